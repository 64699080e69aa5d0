/* See freeze.h. */
#include "learner/freeze.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/lora.h"

bool freeze_is_backbone(const char *freeze)
{
	return strcmp(freeze, "backbone") == 0;
}

static bool is_embedding(enum param_id id)
{
	return id == PARAM_TOKEN_EMBEDDING || id == PARAM_POSITION_EMBEDDING ||
	       id == PARAM_PROJECT_IN;
}

static bool is_head(enum param_id id)
{
	return id == PARAM_SCORE_WEIGHT || id == PARAM_SCORE_BIAS;
}

/* n_layers: how many of the first layers are frozen. */
static bool is_frozen(const struct param *param, bool backbone, int n_layers)
{
	if (is_head(param->id))
		return false;
	if (backbone || is_embedding(param->id))
		return true;
	return param->layer >= 0 && param->layer < n_layers;
}

enum status freeze_attach(struct model *model, const char *freeze, struct error *err)
{
	bool backbone = freeze_is_backbone(freeze);
	int n_layers = atoi(freeze), n = hf_tensor_count(model);
	struct lora_plan plan;

	if (strcmp(freeze, "none") == 0)
		return STATUS_OK;
	if (n_layers > model->config.n_layers)
		return error_set(err, STATUS_BAD_INPUT,
				 "classify.freeze is %d layers, the model has %d", n_layers,
				 model->config.n_layers);
	plan.r = xcalloc((size_t)n, sizeof *plan.r);
	plan.scale = xcalloc((size_t)n, sizeof *plan.scale);
	plan.is_saved = xcalloc((size_t)n, sizeof *plan.is_saved);
	for (int i = 0; i < n; i++)
		plan.is_saved[i] = !is_frozen(hf_tensor_param(model, i), backbone, n_layers);
	lora_attach(model, &plan);
	free(plan.r);
	free(plan.scale);
	free(plan.is_saved);
	return STATUS_OK;
}

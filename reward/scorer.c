/* Reward sources: frozen reward models and rules over ids.
 *
 * A reward model reads the policy's ids when both have the same tokenizer (or
 * neither has one and the vocabularies are equal in size); when the tokenizers
 * differ it reads the text, tokenised anew.  Ids of one tokenizer are never given
 * to a model of another. */
#include "reward/scorer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "reward/frozen.h"

struct source {
	const struct reward_source *config;
	/* Sources of type model. */
	struct frozen_model frozen;
	struct model *model; /* frozen's */
	struct tokenizer *tokenizer; /* the model's own, if its text is needed */
	enum pooling pooling;
	double mean, deviation;	     /* of normalised scores; 0 and 1 otherwise */
};

struct scorer {
	struct source sources[MAX_REWARD_SOURCES];
	int n_sources;
	const struct tokenizer *policy_tokenizer; /* borrowed */
	struct buf identity;
	struct workspace workspace;
};

/* --- loading --- */

/* alias: OpenRLHF's name. */
static enum status read_moment(const struct json *config, const char *dir, const char *key,
			       const char *alias, double *out, struct error *err)
{
	const struct json *value = json_get(config, key);

	if (!value)
		value = json_get(config, alias);
	if (!value || json_type(value) != JSON_NUMBER)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s/config.json: %s is missing, but the source asks for "
				 "\"normalise\"",
				 dir, key);
	*out = json_number(value);
	return STATUS_OK;
}

/* What scores are divided by, so that they stay numbers of float32. */
static const double LEAST_DEVIATION = 1e-30;

static enum status load_moments(struct source *source, struct error *err)
{
	char *path = path_join(source->config->path, "config.json");
	struct json *config = json_read_object(path, 1 << 24, err);
	enum status status = config ? STATUS_OK : STATUS_BAD_INPUT;

	if (status == STATUS_OK)
		status = read_moment(config, source->config->path, "reward_mean", "mean",
				     &source->mean, err);
	if (status == STATUS_OK)
		status = read_moment(config, source->config->path, "reward_std", "std",
				     &source->deviation, err);
	if (status == STATUS_OK && !(source->deviation >= LEAST_DEVIATION))
		status = error_set(err, STATUS_BAD_INPUT, "%s: reward_std is %g, expected at least %g",
				   path, source->deviation, LEAST_DEVIATION);
	json_free(config);
	free(path);
	return status;
}

/* Text becomes any of the tokenizer's ids: each needs a row of the embedding. */
static enum status check_rows(const struct source *source, struct error *err)
{
	int size = tokenizer_size(source->tokenizer), rows = source->model->config.n_vocab;

	if (size <= rows)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "%s: the tokenizer has ids up to %d, the reward model has %d vocabulary "
			 "rows",
			 source->config->path, size - 1, rows);
}

/* Decides between ids and text. */
static enum status match_tokenizers(struct source *source, const struct tokenizer *policy,
				    int n_vocab, int n_positions, struct error *err)
{
	const char *dir = source->config->path;
	struct tokenizer *own = NULL;
	enum status status;

	if (tokenizer_exists(dir)) {
		status = tokenizer_load(&own, dir, err);
		if (status != STATUS_OK)
			return status;
	}
	if (own && policy) {
		if (strcmp(tokenizer_identity(own), tokenizer_identity(policy)) != 0) {
			log_warn("%s has another tokenizer than the policy; texts are tokenised "
				 "anew for it",
				 dir);
			source->tokenizer = own;
			return check_rows(source, err);
		}
	} else if (own || policy) {
		tokenizer_destroy(own);
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: %s; the reward model and the policy need the same tokenizer, "
				 "or both need one",
				 dir,
				 own ? "the reward model has a tokenizer and the policy has none"
				     : "the policy has a tokenizer and the reward model has none");
	}
	tokenizer_destroy(own);
	if (source->model->config.n_vocab < n_vocab)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: the reward model has %d vocabulary rows, the policy has %d",
				 dir, source->model->config.n_vocab, n_vocab);
	return model_check_positions(&source->model->config, n_positions, dir, err);
}

/* A head of nothing but zeros has not been trained: it says the same of every text. */
static bool has_zero_head(const struct model *model)
{
	const struct param *head = param_find(&model->layout, PARAM_SCORE_WEIGHT, -1);
	float *row = xcalloc((size_t)head->cols, sizeof *row);
	bool is_zero = true;

	for (int r = 0; r < head->rows; r++) {
		model_unpack_row(model, head, r, row);
		for (int i = 0; i < head->cols; i++)
			is_zero = is_zero && row[i] == 0;
	}
	free(row);
	return is_zero;
}

/* Collective over comm; what is found to be wrong behind the loading may be one rank's. */
static enum status load_model(struct source *source, struct comm *comm,
			      const struct tokenizer *policy, int n_vocab, int n_positions,
			      struct pool *pool, struct error *err)
{
	enum weight_type type;
	enum status status;

	if (source->config->pooling)
		pooling_parse(source->config->pooling, &source->pooling);
	weight_type_parse(source->config->weights, &type);
	status = frozen_model_load(&source->frozen, comm, source->config->path, HEAD_SCORE, type,
				   pool, err);
	source->model = source->frozen.model;
	if (status == STATUS_OK && source->model->config.n_labels != 1)
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: a reward model has one label, this classifier has %d",
				   source->config->path, source->model->config.n_labels);
	if (status == STATUS_OK && has_zero_head(source->model))
		status = error_set(err, STATUS_BAD_INPUT,
				   "%s: not a reward model: its head is all zeros, expected a trained "
				   "one",
				   source->config->path);
	if (status == STATUS_OK)
		status = match_tokenizers(source, policy, n_vocab, n_positions, err);
	if (status == STATUS_OK && source->config->normalise)
		status = load_moments(source, err);
	return status;
}

static enum status check_rule(const struct reward_source *source, int n_vocab, struct error *err)
{
	if (strcmp(source->rule, "token_count") != 0 || source->token_id < n_vocab)
		return STATUS_OK;
	return error_set(err, STATUS_BAD_INPUT,
			 "rule token_count: token_id is %lld, expected an id of the policy's "
			 "vocabulary, 0 to %d",
			 (long long)source->token_id, n_vocab - 1);
}

/* With as many digits as tell a number from every other. */
static void append_number(struct buf *out, double value)
{
	char text[32];

	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	buf_append_string(out, text);
}

/* One source's part of the identity. */
static void name_source(const struct source *source, struct buf *out)
{
	const struct reward_source *config = source->config;

	if (out->length)
		buf_append_string(out, "; ");
	if (source->model) {
		buf_printf(out, "model:%s@%.12s", config->path, source->frozen.identity);
		if (source->pooling != POOLING_LAST_NON_PAD)
			buf_printf(out, ",%s", pooling_name(source->pooling));
	} else {
		buf_printf(out, "rule:%s", config->rule);
		if (strcmp(config->rule, "token_count") == 0)
			buf_printf(out, "(%lld)", (long long)config->token_id);
	}
	buf_append_char(out, '*');
	append_number(out, config->weight);
	if (config->normalise) {
		buf_append_string(out, ",normalised(");
		append_number(out, source->mean);
		buf_append_char(out, ',');
		append_number(out, source->deviation);
		buf_append_char(out, ')');
	}
}

enum status scorer_create(struct scorer **out, struct comm *comm,
			  const struct reward_source *sources, int n_sources,
			  const struct tokenizer *policy_tokenizer, int n_vocab, int n_positions,
			  struct pool *pool, struct error *err)
{
	struct scorer *scorer = xcalloc(1, sizeof *scorer);
	enum status status;

	*out = scorer;
	scorer->policy_tokenizer = policy_tokenizer;
	workspace_init(&scorer->workspace, pool);
	for (int i = 0; i < n_sources; i++) {
		struct source *source = &scorer->sources[i];

		scorer->n_sources = i + 1;
		*source = (struct source){.config = &sources[i], .deviation = 1};
		status = strcmp(sources[i].type, "model") == 0
				 ? load_model(source, comm, policy_tokenizer, n_vocab, n_positions,
					      pool, err)
				 : check_rule(&sources[i], n_vocab, err);
		if (comm)
			status = comm_agree(comm, status, err);
		if (status != STATUS_OK)
			return status;
		name_source(source, &scorer->identity);
	}
	return STATUS_OK;
}

void scorer_destroy(struct scorer *scorer)
{
	if (!scorer)
		return;
	for (int i = 0; i < scorer->n_sources; i++) {
		frozen_model_release(&scorer->sources[i].frozen);
		tokenizer_destroy(scorer->sources[i].tokenizer);
	}
	buf_release(&scorer->identity);
	workspace_release(&scorer->workspace);
	free(scorer);
}

const char *scorer_identity(const struct scorer *scorer)
{
	return scorer->identity.data ? scorer->identity.data : "";
}

struct frozen_bytes scorer_bytes(const struct scorer *scorer)
{
	struct frozen_bytes bytes = {0};

	for (int i = 0; i < scorer->n_sources; i++)
		frozen_model_count(&scorer->sources[i].frozen, &bytes);
	return bytes;
}

/* --- judging --- */

/* The ids that a source's model reads for a rollout. */
static void model_ids(const struct scorer *scorer, const struct source *source,
		      const struct rollout *rollout, struct ids *out)
{
	const struct model_config *config = &source->model->config;
	size_t n = (size_t)(rollout->n_prompt + rollout->n_completion);
	struct buf text = BUF_INIT;
	size_t most = (size_t)config->max_positions;

	if (!source->tokenizer) {
		ids_append(out, rollout->ids, n);
		return;
	}
	tokenizer_decode(scorer->policy_tokenizer, rollout->ids, n, true, &text);
	tokenizer_encode(source->tokenizer, text.data ? text.data : "", text.length, true, out);
	buf_release(&text);
	if (out->n == 0) { /* a text of nothing is read as an end token alone */
		int32_t end = config->eos_id >= 0 ? config->eos_id : 0;
		ids_append(out, &end, 1);
	}
	if (config->position == POSITION_LEARNED && out->n > most) {
		memmove(out->data, out->data + out->n - most, most * sizeof *out->data);
		out->n = most;
	}
}

static void score_by_model(struct scorer *scorer, const struct source *source,
			   const struct rollout *rollouts, size_t n, float *scores,
			   struct pool *pool)
{
	struct ids *ids = xcalloc(n, sizeof *ids);
	struct frozen_item *items = xcalloc(n, sizeof *items);

	for (size_t i = 0; i < n; i++) {
		model_ids(scorer, source, &rollouts[i], &ids[i]);
		items[i] = (struct frozen_item){
			.ids = ids[i].data,
			.n = (int)ids[i].n,
			.n_prompt = source->tokenizer ? 0 : rollouts[i].n_prompt,
			.scores = &scores[i]};
	}
	frozen_scores(source->model, items, (int)n, source->pooling, &scorer->workspace, pool);
	for (size_t i = 0; i < n; i++) {
		scores[i] = (float)((scores[i] - source->mean) / source->deviation);
		ids_release(&ids[i]);
	}
	free(items);
	free(ids);
}

/* Rules look at the completion alone. */
static float score_by_rule(const struct source *source, const struct rollout *rollout)
{
	const int32_t *ids = rollout->ids + rollout->n_prompt;
	int count = 0;

	if (strcmp(source->config->rule, "length") == 0)
		return (float)rollout->n_completion;
	for (int i = 0; i < rollout->n_completion; i++)
		count += ids[i] == source->config->token_id;
	return (float)count;
}

void scorer_score(struct scorer *scorer, struct rollout *rollouts, size_t n, struct pool *pool)
{
	float *scores = xcalloc(n, sizeof *scores);
	double *totals = xcalloc(n, sizeof *totals);

	for (int k = 0; k < scorer->n_sources; k++) {
		const struct source *source = &scorer->sources[k];

		if (source->model)
			score_by_model(scorer, source, rollouts, n, scores, pool);
		for (size_t i = 0; i < n; i++)
			totals[i] += source->config->weight *
				     (source->model ? scores[i]
						    : score_by_rule(source, &rollouts[i]));
	}
	for (size_t i = 0; i < n; i++) {
		if (!isfinite(totals[i]))
			die("the score of row %d at step %lld is not finite", rollouts[i].row,
			    (long long)rollouts[i].step);
		rollouts[i].score = (float)totals[i];
	}
	free(scores);
	free(totals);
}

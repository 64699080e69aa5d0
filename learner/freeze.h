/* Parameters of a classifier that stay as they were.  The rest is trained as what is
 * saved beside an adapter without modules (common/model/lora.h): gradients, moments and
 * what ranks exchange are of the rest alone, and the model is saved whole. */
#pragma once

#include <stdbool.h>

#include "common/base/status.h"
#include "common/model/model.h"

/* freeze: "none"; "embeddings"; a number of layers, the embeddings with them; or
 * "backbone", all but the head. */
enum status freeze_attach(struct model *model, const char *freeze, struct error *err);
bool freeze_is_backbone(const char *freeze);

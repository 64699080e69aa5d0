/* post_processor of tokenizer.json: the ids put around a sequence.  Refused by
 * name: every type but ByteLevel, TemplateProcessing, RobertaProcessing,
 * BertProcessing and Sequence. */
#pragma once

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/text/tokenizer.h"

struct postprocessor {
	struct ids prefix, suffix;
};

/* config: the JSON value, NULL or null for none; size: ids must be below it. */
enum status postprocessor_load(struct postprocessor *postprocessor, const struct json *config,
			       int32_t size, struct error *err);
void postprocessor_release(struct postprocessor *postprocessor);

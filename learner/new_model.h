/* What model.create says of a model that is made from nothing, beyond what every config.json
 * says. */
#pragma once

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "common/model/model_config.h"

/* Refuses keys of a config.json that its family does not have, by name.  A family that is not
 * known is left to hf_parse_config. */
enum status new_model_check_keys(const struct json *config, struct error *err);
/* Writes whole numbers with a point, 30.0, where transformers 5 accepts no others.  text: of
 * the config. */
enum status new_model_write_points(struct buf *text, const struct json *config, struct error *err);
/* The standard deviation of its matrices, which the config may say. */
enum status new_model_std(const struct json *config, const struct hf_family *family, double *std,
			  struct error *err);

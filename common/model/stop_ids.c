/* Reading end ids; see stop_ids.h.  Ids outside the vocabulary never match and are
 * left out. */
#include "common/model/stop_ids.h"

#include <stdlib.h>

#include "common/base/file.h"
#include "common/base/json.h"

static void add(struct stop_ids *stop, const struct json *value,
		const struct model_config *config)
{
	int64_t id;

	if (json_int64(value, &id) && id >= 0 && id < config->n_vocab && stop->n < MAX_STOP_IDS)
		stop->ids[stop->n++] = (int32_t)id;
}

enum status stop_ids_read(struct stop_ids *stop, const char *dir,
			  const struct model_config *config, struct error *err)
{
	char *path = path_join(dir, "generation_config.json");
	const struct json *eos = NULL;
	struct json *root = NULL;
	enum status status = STATUS_OK;

	stop->n = 0;
	if (file_exists(path)) {
		root = json_parse_file(path, 1 << 20, err);
		if (!root) {
			status = STATUS_BAD_INPUT;
			goto done;
		}
		eos = json_get(root, "eos_token_id");
	}
	if (eos && json_type(eos) == JSON_ARRAY) {
		for (const struct json *id = json_first(eos); id; id = json_next(id))
			add(stop, id, config);
	} else if (eos && json_type(eos) == JSON_NUMBER) {
		add(stop, eos, config);
	} else if (config->eos_id >= 0) {
		stop->ids[stop->n++] = config->eos_id;
	}
done:
	json_free(root);
	free(path);
	return status;
}

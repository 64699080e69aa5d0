/* Reading end ids; see stop_ids.h.  The first of the two files that says something
 * decides.  Ids outside the vocabulary never match and are left out. */
#include "common/model/stop_ids.h"

#include <stdlib.h>

#include "common/base/file.h"
#include "common/base/json.h"

static enum status add(struct stop_ids *stop, const struct json *value, const char *path,
		       int n_vocab, struct error *err)
{
	int64_t id;

	if (!json_int64(value, &id))
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: eos_token_id is %s, expected an id or a list of ids", path,
				 json_type_name(value));
	if (id < 0 || id >= n_vocab)
		return STATUS_OK;
	if (stop->n == MAX_STOP_IDS)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: eos_token_id has more than %d ids, expected at most so many",
				 path, MAX_STOP_IDS);
	stop->ids[stop->n++] = (int32_t)id;
	return STATUS_OK;
}

/* *found: the file says which ids end a completion. */
static enum status read_file(struct stop_ids *stop, const char *path, int n_vocab, bool *found,
			     struct error *err)
{
	struct json *root;
	const struct json *eos;
	enum status status = STATUS_OK;

	if (!file_exists(path))
		return STATUS_OK;
	root = json_read_object(path, 1 << 24, err);
	if (!root)
		return STATUS_BAD_INPUT;
	eos = json_get(root, "eos_token_id");
	*found = eos && json_type(eos) != JSON_NULL;
	if (*found && json_type(eos) == JSON_ARRAY) {
		for (const struct json *id = json_first(eos); id && status == STATUS_OK;
		     id = json_next(id))
			status = add(stop, id, path, n_vocab, err);
	} else if (*found) {
		status = add(stop, eos, path, n_vocab, err);
	}
	json_free(root);
	return status;
}

enum status stop_ids_read(struct stop_ids *stop, const char *dir, const struct model_config *config,
			  struct error *err)
{
	static const char *const names[] = {"generation_config.json", "config.json"};
	enum status status = STATUS_OK;
	bool found = false;

	stop->n = 0;
	for (size_t i = 0; i < sizeof names / sizeof *names && !found && status == STATUS_OK; i++) {
		char *path = path_join(dir, names[i]);

		status = read_file(stop, path, config->n_vocab, &found, err);
		free(path);
	}
	/* The default of the family's class, where no file says anything. */
	if (!found && status == STATUS_OK && config->eos_id >= 0)
		stop->ids[stop->n++] = config->eos_id;
	return status;
}

void stop_ids_add(struct stop_ids *stop, int32_t id, const struct model_config *config)
{
	bool is_known = id < 0 || id >= config->n_vocab;

	for (int i = 0; i < stop->n; i++)
		is_known |= stop->ids[i] == id;
	if (!is_known && stop->n < MAX_STOP_IDS + MAX_ADDED_STOP_IDS)
		stop->ids[stop->n++] = id;
}

/* rlhf status: how far a run is, from its directory alone. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/run/options.h"
#include "common/run/run_dir.h"
#include "deploy/commands.h"
#include "learner/checkpoint.h"
#include "proto/comm.h"

/* The last whole line of metrics.jsonl, a member a line. */
static void print_metrics(const char *dir)
{
	struct json *line = run_dir_last_metrics(dir);
	bool is_object = line && json_type(line) == JSON_OBJECT;

	for (const struct json *member = is_object ? json_first(line) : NULL; member;
	     member = json_next(member)) {
		struct buf key = BUF_INIT, value = BUF_INIT;
		json_write_string(&key, json_key(member), strlen(json_key(member)));
		json_print(member, false, &value);
		printf("  %-28.*s %s\n", (int)key.length - 2, key.data + 1, value.data);
		buf_release(&key);
		buf_release(&value);
	}
	json_free(line);
}

/* Oldest first, without those that a run which goes on removes meanwhile. */
static enum status print_checkpoints(const char *dir, struct error *err)
{
	char *root = path_join(dir, "checkpoints"), **names;
	size_t n;
	enum status status = checkpoint_list(dir, &names, &n, err);

	for (size_t i = n; i-- > 0;) {
		char *path = path_join(root, names[i]);
		struct error why;
		bool is_valid = checkpoint_verify(path, &why) == STATUS_OK;

		if (is_valid || file_exists(path))
			printf("  %-28s %s\n", names[i], is_valid ? "valid" : why.text);
		free(path);
		free(names[i]);
	}
	free(names);
	free(root);
	return status;
}

static enum status print_run(const char *dir, struct error *err)
{
	char state[16];
	int64_t step;
	enum status status = run_dir_need_state(dir, state, &step, err);

	if (status != STATUS_OK)
		return status;
	printf("%s: %s, step %" PRId64 "\ncheckpoints:\n", dir, state, step);
	status = print_checkpoints(dir, err);
	printf("last metrics:\n");
	print_metrics(dir);
	return status;
}

int status_main(int argc, char **argv)
{
	const char *dir = NULL;
	bool help = false;
	const struct option options[] = {
		{.name = "RUN",
		 .type = OPTION_STRING,
		 .target = &dir,
		 .required = true,
		 .help = "directory of a run"},
	};
	struct error err;
	struct comm *world;
	enum status status = options_parse(options, 1, argc, argv, "rlhf status RUN",
					   "rlhf status runs/p", &help, &err);

	if (help)
		return status;
	status = comm_begin(&world, argc, argv, status, &err);
	if (status != STATUS_OK)
		return status;
	if (comm_is_lead(world))
		status = print_run(dir, &err);
	return comm_end(status, &err);
}

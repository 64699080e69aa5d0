/* rlhf logprobs: the log-probability of each token given those before it. */
#include <stdlib.h>

#include "common/base/die.h"
#include "common/base/json.h"
#include "reward/lines.h"
#include "reward/reward.h"

static void print_line(const struct frozen_item *item, struct buf *out)
{
	buf_append_string(out, "{\"input_ids\":");
	json_write_ids(out, item->ids, (size_t)item->n);
	buf_append_string(out, ",\"logprobs\":[null");
	for (int i = 0; i < item->n - 1; i++) {
		buf_append_char(out, ',');
		json_write_float(out, item->logprob[i]);
	}
	buf_append_string(out, "]}\n");
}

static void run(const struct line_command *command, const struct model *model,
		struct frozen_item *items, int n, struct workspace *workspace,
		struct pool *pool, struct buf *out)
{
	for (int i = 0; i < n; i++)
		items[i].logprob = xcalloc((size_t)items[i].n, sizeof(float));
	frozen_logprobs(model, items, n, (float)(1 / command->temperature), NULL, 0, workspace,
			pool);
	for (int i = 0; i < n; i++) {
		print_line(&items[i], out);
		free(items[i].logprob);
	}
}

int logprobs_main(int argc, char **argv)
{
	struct line_command command = {
		.usage = "rlhf logprobs --model DIR --input FILE [--output FILE]",
		.example = "echo '{\"text\":\"Once upon a time\"}' | rlhf logprobs --model DIR "
			   "--input -",
		.head = HEAD_LM,
		.temperature = 1,
		.takes_temperature = true,
		.run = run};
	return line_command_main(&command, argc, argv);
}

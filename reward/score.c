/* rlhf score: what a reward model or classifier says of each text. */
#include <stdlib.h>

#include "common/base/die.h"
#include "common/base/json.h"
#include "reward/lines.h"
#include "reward/reward.h"

static void print_line(const struct model *model, const struct frozen_item *item,
		       struct buf *out)
{
	if (model->config.n_labels == 1) {
		buf_append_string(out, "{\"score\":");
		json_write_float(out, item->scores[0]);
	} else {
		buf_append_string(out, "{\"logits\":");
		json_write_floats(out, item->scores, (size_t)model->config.n_labels);
	}
	buf_append_string(out, "}\n");
}

static void run(const struct line_command *command, const struct model *model,
		struct frozen_item *items, int n, struct workspace *workspace,
		struct pool *pool, struct buf *out)
{
	size_t n_labels = (size_t)model->config.n_labels;
	float *scores = xcalloc((size_t)n * n_labels, sizeof *scores);

	(void)command;
	for (int i = 0; i < n; i++)
		items[i].scores = scores + (size_t)i * n_labels;
	frozen_scores(model, items, n, model->config.pad_id, workspace, pool);
	for (int i = 0; i < n; i++)
		print_line(model, &items[i], out);
	free(scores);
}

int score_main(int argc, char **argv)
{
	struct line_command command = {
		.usage = "rlhf score --model DIR --input FILE [--output FILE]",
		.example = "rlhf score --model reward-model --input texts.jsonl",
		.head = HEAD_SCORE,
		.run = run};
	return line_command_main(&command, argc, argv);
}

/* Any bytes as a data file: every line that parses is read as every kind of row, and cut
 * to half its length. */
#include <stdint.h>
#include <stdlib.h>

#include "common/base/die.h"
#include "common/text/jsonl.h"
#include "common/text/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const struct row *row, int n_vocab)
{
	if (row->n_prompt < 0 || row->n_prompt > row->n)
		abort();
	for (int i = 0; i < row->n; i++)
		if (row->ids[i] < 0 || row->ids[i] >= n_vocab)
			abort();
	for (int i = 0; row->is_target && i < row->n; i++)
		if (row->is_target[i] > 1 || (row->is_target[i] && i < row->n_prompt))
			abort();
}

static void check_and_cut(struct row *row, const struct row_context *context, bool from_left)
{
	int half = (row->n + 1) / 2;

	check_row(row, context->n_vocab);
	row_cut(row, half, from_left, context);
	if (row->n != half)
		abort();
	check_row(row, context->n_vocab);
	row_release(row);
}

static void check_pair(const struct row *row, const struct row *other, int n_vocab)
{
	for (int i = 0; i < row->n_prompt; i++)
		if (row->n_prompt != other->n_prompt || row->ids[i] != other->ids[i])
			abort();
	check_row(row, n_vocab);
	check_row(other, n_vocab);
}

static void read_rows(const struct json *object, int line, const struct row_context *context)
{
	struct row row, other;
	struct error err;

	if (row_sequence(&row, object, line, context, &err) == STATUS_OK)
		check_and_cut(&row, context, line % 2);
	if (row_prompt(&row, object, line, context, &err) == STATUS_OK)
		check_and_cut(&row, context, line % 2);
	if (row_pair(&row, &other, object, line, context, &err) == STATUS_OK) {
		check_pair(&row, &other, context->n_vocab);
		row_cut_pair(&row, &other, (row.n + 1) / 2, true, context);
		check_pair(&row, &other, context->n_vocab);
		row_release(&row);
		row_release(&other);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tokenizer *tokenizer;
	static struct chat *chat;
	struct buf text = BUF_INIT;
	struct jsonl jsonl;
	struct error err;

	if (!tokenizer &&
	    (tokenizer_load(&tokenizer, "tests/golden/chat/bytes", &err) != STATUS_OK ||
	     chat_load(&chat, "chatml", "", tokenizer, &err) != STATUS_OK))
		die("%s", err.text);
	buf_append(&text, data, size);
	if (jsonl_split(&jsonl, "input", &text, &err) != STATUS_OK)
		return 0;
	for (size_t i = 0; i < jsonl.n; i++) {
		struct row_context context = {.tokenizer = tokenizer,
					      .n_vocab = tokenizer_size(tokenizer),
					      .where = "input",
					      .chat = chat};
		struct json *object = jsonl_parse(&jsonl, i, &err);
		if (object)
			read_rows(object, jsonl.numbers[i], &context);
		json_free(object);
	}
	jsonl_release(&jsonl);
	return 0;
}

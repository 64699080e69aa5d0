/* See confusion.h. */
#include "learner/confusion.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "learner/calibration.h"

enum { MAX_SHOWN = 12 }; /* labels of a table that is logged */

void confusion_init(struct confusion *confusion, int n)
{
	*confusion = (struct confusion){.n = n};
	confusion->is = xcalloc((size_t)n, sizeof *confusion->is);
	confusion->said = xcalloc((size_t)n, sizeof *confusion->said);
	confusion->right = xcalloc((size_t)n, sizeof *confusion->right);
}

void confusion_release(struct confusion *confusion)
{
	free(confusion->is);
	free(confusion->said);
	free(confusion->right);
	free(confusion->cells);
	*confusion = (struct confusion){0};
}

static uint64_t cell(const struct confusion *confusion, int label, int predicted)
{
	return (uint64_t)label * (uint64_t)confusion->n + (uint64_t)predicted;
}

void confusion_add(struct confusion *confusion, int label, int predicted)
{
	if (confusion->n_texts == confusion->capacity) {
		confusion->capacity = 2 * confusion->capacity + 64;
		confusion->cells =
			xrealloc(confusion->cells, confusion->capacity, sizeof *confusion->cells);
	}
	confusion->cells[confusion->n_texts++] = cell(confusion, label, predicted);
	confusion->is[label]++;
	confusion->said[predicted]++;
	confusion->right[label] += predicted == label;
}

static double share(long part, long whole)
{
	return whole > 0 ? (double)part / (double)whole : 0;
}

double confusion_precision(const struct confusion *confusion, int label)
{
	return share(confusion->right[label], confusion->said[label]);
}

double confusion_recall(const struct confusion *confusion, int label)
{
	return share(confusion->right[label], confusion->is[label]);
}

double confusion_f1(const struct confusion *confusion, int label)
{
	return share(2 * confusion->right[label], confusion->is[label] + confusion->said[label]);
}

double confusion_macro_f1(const struct confusion *confusion)
{
	double sum = 0;
	int n = 0;

	for (int k = 0; k < confusion->n; k++) {
		if (confusion->is[k] + confusion->said[k] == 0)
			continue;
		sum += confusion_f1(confusion, k);
		n++;
	}
	return n > 0 ? sum / n : 0;
}

/* --- telling --- */

static int compare_cells(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Texts of a cell.  Cells are in order and asked for in order: *at is the first that was not
 * counted yet. */
static long count_cell(const struct confusion *confusion, uint64_t sought, size_t *at)
{
	size_t begin = *at;

	while (*at < confusion->n_texts && confusion->cells[*at] == sought)
		++*at;
	return (long)(*at - begin);
}

static void log_table(const struct confusion *confusion, const char *const *names)
{
	struct buf line = BUF_INIT;
	size_t at = 0;

	log_info("rows: what a text is; columns: what it is taken for, in the same order");
	for (int i = 0; i < confusion->n; i++) {
		buf_reset(&line);
		buf_printf(&line, "  %-16.16s", names[i]);
		for (int k = 0; k < confusion->n; k++)
			buf_printf(&line, " %6ld",
				   count_cell(confusion, cell(confusion, i, k), &at));
		buf_printf(&line, "   F1 %.3f", confusion_f1(confusion, i));
		log_info("%s", line.data);
	}
	buf_release(&line);
}

static void put(struct buf *json, const char *key, double value)
{
	buf_printf(json, "\"%s\": ", key);
	json_write_double(json, value);
}

static void put_string(struct buf *json, const char *text)
{
	json_write_string(json, text, strlen(text));
}

/* {"name": texts, ...}: what is taken for something, in the order of labels. */
static void put_taken(struct buf *json, const struct confusion *confusion, int label,
		      const char *const *names, size_t *at)
{
	uint64_t row = cell(confusion, label, 0), end = cell(confusion, label + 1, 0);
	const char *comma = "";

	buf_append_char(json, '{');
	while (*at < confusion->n_texts && confusion->cells[*at] < end) {
		uint64_t found = confusion->cells[*at];
		buf_append_string(json, comma);
		put_string(json, names[found - row]);
		buf_printf(json, ": %ld", count_cell(confusion, found, at));
		comma = ", ";
	}
	buf_append_char(json, '}');
}

static void put_label(struct buf *json, const struct confusion *confusion, int label,
		      const char *const *names, size_t *at)
{
	buf_append_string(json, "\n    {\"label\": ");
	put_string(json, names[label]);
	buf_append_string(json, ", ");
	put(json, "precision", confusion_precision(confusion, label));
	buf_append_string(json, ", ");
	put(json, "recall", confusion_recall(confusion, label));
	buf_append_string(json, ", ");
	put(json, "f1", confusion_f1(confusion, label));
	buf_append_string(json, ", \"taken_for\": ");
	put_taken(json, confusion, label, names, at);
	buf_append_char(json, '}');
}

void confusion_report(struct confusion *confusion, const char *const *names, struct buf *json)
{
	double f1 = confusion_macro_f1(confusion), low, high;
	int total = (int)confusion->n_texts, right = 0;
	size_t at = 0;

	for (int k = 0; k < confusion->n; k++)
		right += (int)confusion->right[k];
	qsort(confusion->cells, confusion->n_texts, sizeof *confusion->cells, compare_cells);
	wilson_interval(right, total, &low, &high);
	log_info("accuracy on %d texts: %.3f (95 %%: %.3f to %.3f), macro-F1 %.3f", total,
		 (double)right / total, low, high, f1);
	if (confusion->n <= MAX_SHOWN)
		log_table(confusion, names);
	buf_printf(json, "  \"texts\": %d,\n  ", total);
	put(json, "accuracy", (double)right / total);
	buf_append_string(json, ",\n  ");
	put(json, "accuracy_low", low);
	buf_append_string(json, ",\n  ");
	put(json, "accuracy_high", high);
	buf_append_string(json, ",\n  ");
	put(json, "macro_f1", f1);
	buf_append_string(json, ",\n  \"confusion\": [");
	for (int k = 0; k < confusion->n; k++) {
		if (k > 0)
			buf_append_char(json, ',');
		put_label(json, confusion, k, names, &at);
	}
	buf_append_string(json, "\n  ]");
}

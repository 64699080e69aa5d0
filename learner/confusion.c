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
	confusion->table = xcalloc((size_t)n * (size_t)n, sizeof *confusion->table);
}

void confusion_release(struct confusion *confusion)
{
	free(confusion->table);
	*confusion = (struct confusion){0};
}

static long *cell(const struct confusion *confusion, int label, int predicted)
{
	return &confusion->table[(size_t)label * (size_t)confusion->n + (size_t)predicted];
}

void confusion_add(struct confusion *confusion, int label, int predicted)
{
	*cell(confusion, label, predicted) += 1;
}

static long row_sum(const struct confusion *confusion, int label)
{
	long sum = 0;

	for (int k = 0; k < confusion->n; k++)
		sum += *cell(confusion, label, k);
	return sum;
}

static long column_sum(const struct confusion *confusion, int predicted)
{
	long sum = 0;

	for (int k = 0; k < confusion->n; k++)
		sum += *cell(confusion, k, predicted);
	return sum;
}

static double share(long part, long whole)
{
	return whole > 0 ? (double)part / (double)whole : 0;
}

double confusion_precision(const struct confusion *confusion, int label)
{
	return share(*cell(confusion, label, label), column_sum(confusion, label));
}

double confusion_recall(const struct confusion *confusion, int label)
{
	return share(*cell(confusion, label, label), row_sum(confusion, label));
}

double confusion_f1(const struct confusion *confusion, int label)
{
	return share(2 * *cell(confusion, label, label),
		     row_sum(confusion, label) + column_sum(confusion, label));
}

double confusion_macro_f1(const struct confusion *confusion)
{
	double sum = 0;
	int n = 0;

	for (int k = 0; k < confusion->n; k++) {
		if (row_sum(confusion, k) + column_sum(confusion, k) == 0)
			continue;
		sum += confusion_f1(confusion, k);
		n++;
	}
	return n > 0 ? sum / n : 0;
}

/* --- telling --- */

static void log_table(const struct confusion *confusion, const char *const *names)
{
	struct buf line = BUF_INIT;

	log_info("rows: what a text is; columns: what it is taken for, in the same order");
	for (int i = 0; i < confusion->n; i++) {
		buf_reset(&line);
		buf_printf(&line, "  %-16.16s", names[i]);
		for (int k = 0; k < confusion->n; k++)
			buf_printf(&line, " %6ld", *cell(confusion, i, k));
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

static void put_label(struct buf *json, const struct confusion *confusion, int label,
		      const char *name)
{
	buf_append_string(json, "\n    {\"label\": ");
	json_write_string(json, name, strlen(name));
	buf_append_string(json, ", ");
	put(json, "precision", confusion_precision(confusion, label));
	buf_append_string(json, ", ");
	put(json, "recall", confusion_recall(confusion, label));
	buf_append_string(json, ", ");
	put(json, "f1", confusion_f1(confusion, label));
	buf_append_string(json, ", \"taken_for\": [");
	for (int k = 0; k < confusion->n; k++)
		buf_printf(json, "%s%ld", k ? ", " : "", *cell(confusion, label, k));
	buf_append_string(json, "]}");
}

void confusion_report(const struct confusion *confusion, const char *const *names, struct buf *json)
{
	double f1 = confusion_macro_f1(confusion), low, high;
	int total = 0, right = 0;

	for (int k = 0; k < confusion->n; k++) {
		total += (int)row_sum(confusion, k);
		right += (int)*cell(confusion, k, k);
	}
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
		put_label(json, confusion, k, names[k]);
	}
	buf_append_string(json, "\n  ]");
}

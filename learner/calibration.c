/* See calibration.h. */
#include "learner/calibration.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/die.h"
#include "common/base/json.h"
#include "common/base/log.h"

enum { MAX_PARTS = 5, MIN_OF_PART = 4 };

void wilson_interval(int successes, int n, double *low, double *high)
{
	const double z = 1.959963984540054; /* 97.5 % of the normal distribution */
	double p = (double)successes / n, q = z * z / n;
	double middle = (p + q / 2) / (1 + q);
	double half = z / (1 + q) * sqrt(p * (1 - p) / n + q / (4 * n));

	*low = fmax(0, middle - half);
	*high = fmin(1, middle + half);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	double p = fabs(x), q = fabs(y);

	return p != q ? (p > q) - (p < q) : (x > y) - (x < y);
}

static int count_right(const double *margins, int n)
{
	int right = 0;

	for (int i = 0; i < n; i++)
		right += margins[i] > 0;
	return right;
}

static double mean_confidence(const double *margins, int n)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += 1 / (1 + exp(-fabs(margins[i])));
	return sum / n;
}

static void put(struct buf *json, const char *key, double value)
{
	buf_printf(json, "\"%s\": ", key);
	json_write_double(json, value);
}

/* One part of the table: margins of about the same size. */
static void report_part(const double *margins, int n, struct buf *json)
{
	double says = mean_confidence(margins, n), is = (double)count_right(margins, n) / n;
	double from = fabs(margins[0]), to = fabs(margins[n - 1]);

	log_info("  %8.4f to %8.4f   %6d      %.3f    %.3f", from, to, n, says, is);
	buf_append_string(json, "\n    {");
	put(json, "from", from);
	buf_append_string(json, ", ");
	put(json, "to", to);
	buf_printf(json, ", \"pairs\": %d, ", n);
	put(json, "confidence", says);
	buf_append_string(json, ", ");
	put(json, "accuracy", is);
	buf_append_char(json, '}');
}

void calibration_report(const double *margins, int n, struct buf *json)
{
	double *sorted = xcalloc((size_t)n, sizeof *sorted), low, high;
	int right = count_right(margins, n);
	int parts = n / MIN_OF_PART < MAX_PARTS ? n / MIN_OF_PART : MAX_PARTS;

	for (int i = 0; i < n; i++)
		sorted[i] = margins[i];
	qsort(sorted, (size_t)n, sizeof *sorted, by_size);
	wilson_interval(right, n, &low, &high);
	log_info("accuracy on %d pairs: %.3f (95 %%: %.3f to %.3f)", n, (double)right / n, low,
		 high);
	buf_printf(json, "  \"pairs\": %d,\n  ", n);
	put(json, "accuracy", (double)right / n);
	buf_append_string(json, ",\n  ");
	put(json, "accuracy_low", low);
	buf_append_string(json, ",\n  ");
	put(json, "accuracy_high", high);
	buf_append_string(json, ",\n  \"calibration\": [");
	if (parts > 0)
		log_info("  size of the margin      pairs  confidence accuracy");
	for (int k = 0; k < parts; k++) {
		int first = (int)((long long)n * k / parts);
		int end = (int)((long long)n * (k + 1) / parts);

		if (k > 0)
			buf_append_char(json, ',');
		report_part(sorted + first, end - first, json);
	}
	buf_append_string(json, "\n  ]");
	free(sorted);
}

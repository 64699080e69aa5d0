/* One curve of a report as SVG text. */
#pragma once

#include <stddef.h>

#include "common/base/buf.h"

/* y over x, n points in ascending x; a y that is NaN is a gap. */
struct curve {
	const double *x, *y;
	size_t n;
	const char *label;
};
/* Text of an HTML page: the five special characters are escaped. */
void html_append(struct buf *out, const char *text, size_t n);
/* A figure with its title, axes and up to two curves that share them.  Curves of more
 * points than pixels are drawn as means of neighbours between their extremes.
 * Nothing where no point is finite. */
void chart_append(struct buf *out, const char *title, const struct curve *curves, int n_curves);
/* A number for people: five digits, or a whole number below 10^9. */
void number_append(struct buf *out, double value);

/* Which labels a classifier takes for which. */
#pragma once

#include "common/base/buf.h"

struct confusion {
	int n;	     /* labels */
	long *table; /* [n, n] rows of each label (row) that each label (column) was said of */
};
void confusion_init(struct confusion *confusion, int n);
void confusion_release(struct confusion *confusion);
void confusion_add(struct confusion *confusion, int label, int predicted);

/* Right among what was said to be this label, and among what is; 0 where there is none. */
double confusion_precision(const struct confusion *confusion, int label);
double confusion_recall(const struct confusion *confusion, int label);
double confusion_f1(const struct confusion *confusion, int label); /* their harmonic mean */
/* Mean of f1 over the labels that occur, as scikit-learn's macro average. */
double confusion_macro_f1(const struct confusion *confusion);

/* Logs accuracy with its interval, macro-F1, and, for few labels, the table; appends all
 * of it to json as members of an object without its braces.  names [n]. */
void confusion_report(const struct confusion *confusion, const char *const *names,
		      struct buf *json);

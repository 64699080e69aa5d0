/* Which labels a classifier takes for which. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/* Its size follows the labels and the texts, not the pairs of labels that there could be. */
struct confusion {
	int n;		 /* labels */
	long *is;	 /* [n] texts of each label */
	long *said;	 /* [n] texts that each label was said of */
	long *right;	 /* [n] those of both */
	uint64_t *cells; /* [n_texts] label * n + predicted of each */
	size_t n_texts, capacity;
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
 * of it to json as members of an object without its braces, of the table what is not 0.
 * names [n].  At least one text; cells are put in order. */
void confusion_report(struct confusion *confusion, const char *const *names, struct buf *json);

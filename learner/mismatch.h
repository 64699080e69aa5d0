/* Mismatched completions, with which kto estimates the divergence of policy and
 * reference: a row's prompt with what is learnt of another row (algorithms E.5). */
#pragma once

#include "common/text/rows.h"

/* Whose completion each of the n rows is given: partner [n].  Neighbours with the same
 * prompt, such as both sides of a pair, are one group; the k-th of a group gets the k-th
 * of the next one, counted around, and the last group's next is the first.  Where all
 * have the same prompt, row i gets row i + 1. */
void mismatch_partners(int *partner, const struct row *rows, int n);

/* out = the ids of `prompt` up to the first that is learnt, then those of `completion` from
 * its first one on, of which the same are learnt.  The caller releases it. */
void mismatch_row(struct row *out, const struct row *prompt, const struct row *completion);

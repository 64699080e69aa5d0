/* The next-token loss of pretrain and sft: the mean cross-entropy over what is to be
 * learnt in the whole minibatch (algorithms E.1, E.2), with the accuracy of the most
 * likely token and the entropy in nats.  A sequence's first id is never a target.
 * Members of struct supervised_task. */
#pragma once

#include "learner/supervised.h"

enum { N_LANGUAGE_STATS = 3 };
extern const struct stat language_stats[N_LANGUAGE_STATS];

/* Number of targets of a row. */
double language_weight(const struct dataset *dataset, int row);
trainer_microbatch language_microbatch;
/* Sums over each sequence: as many numbers as there are stats. */
measure_units language_measure;
/* eval/perplexity. */
void language_add_metrics(const struct supervised *run, const double *means, bool is_eval,
			  struct buf *line);

/* Log-probabilities of completions under the frozen reference of dpo, two numbers a
 * row: of chosen and rejected, or of a completion and its mismatched one.
 *
 * They are computed once, when a run begins, and are part of its checkpoints: a
 * resumed run needs no reference model.  Sums in double, exact in the file. */
#pragma once

#include "learner/supervised.h"

struct reference {
	double *train, *eval; /* [n][2] of run->train and run->eval; eval may be NULL */
};

/* Of which dataset to measure a row's two numbers, for train (0) and eval (1). */
typedef double *reference_measure(struct supervised *run, const struct model *model, bool is_eval);

/* From the checkpoint to go on from, or by measuring with reference.path (the policy as
 * it starts, if there is none); STATUS_STOPPED if a rank is asked to stop meanwhile.
 * Collective. */
enum status reference_begin(struct reference *reference, struct supervised *run,
			    reference_measure *measure, struct error *err);
/* The model at reference.path, or its outline; the caller destroys it, after a failure
 * too.  The data are loaded. */
enum status reference_load(struct model **model, const struct supervised *run, bool is_outline,
			   struct error *err);
void reference_release(struct reference *reference);
/* dir/reference.safetensors.  Lead only. */
enum status reference_save(const struct reference *reference, const struct supervised *run,
			   const char *dir, struct error *err);

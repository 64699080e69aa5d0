/* The moments of an optimizer on disk: one safetensors file each, dir/PREFIX-m and
 * dir/PREFIX-v, of which every learner writes its own part.  Tensors are the
 * parameters as the flat block has them, so that any number of learners can read
 * their parts back. */
#pragma once

#include "common/base/status.h"
#include "learner/trainer.h"

/* Writes and syncs the moments that the optimizer has.  STATUS_FAILED if one is not
 * finite.  dir must be seen by every learner.  Collective over the learners; all get
 * the same status. */
enum status moments_save(const struct trainer *trainer, const char *dir, const char *prefix,
			 struct error *err);
/* Reads this learner's part; the tensors must be those of the model and finite. */
enum status moments_load(struct trainer *trainer, const char *dir, const char *prefix,
			 struct error *err);

/* Parts of a checkpoint that every kind of training has: models with the text of
 * their config.json, moments of optimizers, counters in state.json.  What does not say
 * "Collective" is the lead learner's, except for reading. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/status.h"
#include "common/model/hf_checkpoint.h"
#include "common/run/run_dir.h"
#include "learner/dataset.h"
#include "learner/trainer.h"

/* A checkpoint of all learners together: the lead fills its directory, each learner
 * adds its part of the moments, the lead publishes it and removes older ones. */
struct state_save {
	struct comm *learners;
	const struct run_dir *run; /* the lead's */
	int64_t step;
	int64_t keep;
	enum status (*fill)(void *context, const char *dir, struct error *err);
	void *context;
	const struct trainer *trainers[2]; /* the second may be NULL */
	const char *prefixes[2];	   /* of their moments; see moments.h */
};
/* Nothing is saved where the learners do not have the same weights: STATUS_FAILED.  The same
 * status on all.  Collective over the learners. */
enum status state_save(const struct state_save *save, struct error *err);

/* A model as the Hugging Face directory dir/name.  Weights that are not finite are
 * refused: they would push the good checkpoints out.  source_dir, which the model was
 * loaded from, tokenizer_dir and edits may be NULL; see hf_save.  save_dtype: the
 * config's, for a result; NULL for the state of a run, whose every bit is kept. */
enum status state_save_model(const struct model *model, const struct buf *config_text,
			     const char *source_dir, const char *tokenizer_dir,
			     const char *const *edits, const char *save_dtype, const char *dir,
			     const char *name, struct error *err);
/* hf_load of dir, and appends the text of its config.json. */
enum status state_load_model(struct model **model, struct buf *config_text, const char *dir,
			     const struct hf_load_options *options, struct pool *pool,
			     struct error *err);

/* dir/name, durably. */
enum status state_write_text(const char *dir, const char *name, const char *text, size_t n,
			     struct error *err);

/* Refuses the state of a run, read from path, that lacks what today's builds write. */
enum status state_refuse_old(const char *path, const char *key, struct error *err);
/* Whole numbers from 0 of state.json; path is for errors. */
struct state_counter {
	const char *key;
	int64_t *value;
};
enum status state_read_counters(const struct json *state, const struct state_counter *counters,
				size_t n, const char *path, struct error *err);
/* The hashes of a data set as members of state.json: NAME_sha256, NAME_ids_sha256. */
void state_print_data(const struct dataset *dataset, const char *name, struct buf *out);
/* Whether a log of the run can be opened at so many bytes, those that the checkpoint counted;
 * changes nothing. */
enum status state_check_log(const char *run_path, const char *name, int64_t bytes,
			    struct error *err);
/* The data must be those that the run began with. */
enum status state_check_data(const struct json *state, const char *name,
			     const struct dataset *dataset, const char *data_path,
			     struct error *err);

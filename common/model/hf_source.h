/* An open checkpoint directory and the model that is made of it.  Private to the hf_*.c
 * files. */
#pragma once

#include "common/base/pool.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_head.h"
#include "common/model/hf_store.h"

struct hf_source {
	struct hf_store store;
	struct model_config config; /* of the model */
	struct hf_head head;	    /* of HEAD_SCORE, unless it is new or missing */
	bool new_score;		    /* the head is not stored */
	bool unties;		    /* a tied model stores an output matrix of its own */
	bool can_match;		    /* tensors can be matched, even if opening failed */
};

/* The caller closes the source in any case. */
enum status hf_source_open(struct hf_source *source, const char *dir,
			   const struct hf_load_options *options, struct error *err);
void hf_source_close(struct hf_source *source);

/* Whether the score head gets a bias. */
bool hf_source_has_bias(const struct hf_source *source);
/* views [hf_tensor_count(model)]: where each tensor of the model comes from, NULL for what
 * is made here or missing; free() it.  What is wrong, as phrases.  Only the model's
 * description is needed. */
const struct tensor_view **hf_source_match(struct hf_source *source, const struct model *model,
					   struct hf_problems *problems);
/* One sentence with the first few phrases; STATUS_OK if there is none. */
enum status hf_source_complain(const struct hf_source *source, const struct hf_problems *problems,
			       struct error *err);
/* The type of most elements of views [n], any of which may be NULL; of none F32. */
enum dtype hf_source_dtype(const struct tensor_view *const *views, int n);
/* Elements [first, first + n) of a tensor.  One that is not finite is refused. */
enum status hf_read_values(const struct tensor_view *view, size_t first, size_t n, float *out,
			   struct pool *pool, struct error *err);
bool hf_name_ends_with(const char *name, const char *ending);

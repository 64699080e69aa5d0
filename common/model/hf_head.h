/* The score head of a checkpoint, whichever program wrote it.  Private to the hf_*.c
 * files.
 *
 *     transformers, TRL         score.weight                         [n, C]
 *     token classification      score or classifier, .weight .bias
 *     OpenRLHF                  <value_head_prefix>.weight, value_head.weight
 *     TRL with value head       v_head.summary.weight, .bias, beside a language model
 *     DeepSpeed-Chat, trlX      v_head.weight
 *     TL;DR reproduction        scalar_head.weight, .bias; config.json wraps the
 *                               model's in base_config and has a bias to subtract */
#pragma once

#include "common/base/status.h"
#include "common/model/hf_store.h"

struct hf_head {
	const struct tensor_view *weight; /* NULL: there is none */
	const struct tensor_view *bias;	  /* NULL: none */
	double offset;			  /* subtracted from every score */
	int n_labels;			  /* as the config says, else the rows of weight */
};

/* Classes whose models give scores and no next token. */
bool hf_head_is_scorer(const char *architecture);

/* Finds the head and takes its tensors.  A head of several layers is refused. */
enum status hf_head_find(struct hf_head *head, struct hf_store *store,
			 const struct model_config *config, struct error *err);

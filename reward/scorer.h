/* Judging whole sequences: reward models and rules, several of them weighted. */
#pragma once

#include <stddef.h>

#include "common/base/pool.h"
#include "common/base/status.h"
#include "common/run/config.h"
#include "common/text/tokenizer.h"
#include "proto/rollout.h"
#include "reward/frozen_model.h"

struct scorer;

/* Loads and checks all sources.  A checkpoint that is not a reward model, or
 * whose head is missing, is refused by name.  A reward model whose tokenizer
 * differs from the policy's gets the text, re-tokenised, if both have
 * tokenizers, and is refused otherwise.  policy_tokenizer may be NULL.  n_vocab:
 * the policy's vocabulary; n_positions: ids of the longest sequence to judge.  A
 * re-tokenised text that is longer than a model's learned positions is read from its
 * end.  The ranks of a node share the weights.  Ranks that read other models than the first
 * are refused.  Collective over comm, on which all get the same status; NULL: a rank by itself. */
enum status scorer_create(struct scorer **scorer, struct comm *comm,
			  const struct reward_source *sources, int n_sources,
			  const struct tokenizer *policy_tokenizer, int n_vocab, int n_positions,
			  struct pool *pool, struct error *err);
void scorer_destroy(struct scorer *scorer);

/* Fills the score of each rollout: sum over sources of weight * score. */
void scorer_score(struct scorer *scorer, struct rollout *rollouts, size_t n, struct pool *pool);

/* Names who judges: "model:<path>@<first 12 digits of hf_frozen_identity>; ..." */
const char *scorer_identity(const struct scorer *scorer);
struct frozen_bytes scorer_bytes(const struct scorer *scorer); /* of its models' weights */

/* Memory that is written once and then read by all ranks of a node, of which each node
 * has one copy.
 *
 *     struct shared *shared;
 *     status = shared_create(&shared, comm, bytes, fill, context, &err);     Collective
 *     ... read shared_data(shared) ...
 *     shared_destroy(shared);
 *
 * The first rank of each node fills it and the others map what it has made.  A rank that
 * cannot, because it sees other processes than the first one, fills a copy of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/base/status.h"
#include "proto/comm.h"

struct shared;

/* Fills the memory, which is zero and aligned to a page. */
typedef enum status shared_fill(void *context, void *memory, struct error *err);

/* The status is the same on all ranks; *shared is NULL unless it is STATUS_OK.  From then
 * on the memory cannot be written.  Collective over comm; comm NULL: a rank by itself. */
enum status shared_create(struct shared **shared, struct comm *comm, size_t bytes,
			  shared_fill *fill, void *context, struct error *err);
const void *shared_data(const struct shared *shared);
/* Whether this rank has filled it: one of those that have the same copy. */
bool shared_is_filled_here(const struct shared *shared);
/* Not collective.  NULL is fine. */
void shared_destroy(struct shared *shared);

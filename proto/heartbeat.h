/* Signs of life.
 *
 * MPI ends a job when a process of it ends, but not when one is alive and does nothing
 * more: it was stopped, its node hangs, a cable is out.  So a thread of each rank tells
 * rank 0 once a second that it is there, what it is and what it does, and rank 0 tells
 * all.  Who is silent for too long is named, and the job ended: the same command goes on
 * from its last checkpoint.  So is a job in which every rank waits and nothing comes.
 *
 * Private to proto. */
#pragma once

struct wire;
struct heartbeat;

enum { HEARTBEAT_ROLE_BYTES = 40 };

/* seconds: how long a rank may be silent.  host is kept.  NULL where a job of one rank or
 * seconds = 0 needs none.  Collective. */
struct heartbeat *heartbeat_start(struct wire *world, const char *host, double seconds);
void heartbeat_stop(struct heartbeat *heart); /* NULL is fine; Collective */

/* What to say of ranks; NULL hearts are fine. */
/* Of all ranks, in order; copied. */
void heartbeat_set_roles(struct heartbeat *heart, const char (*roles)[HEARTBEAT_ROLE_BYTES]);
void heartbeat_set_phase(struct heartbeat *heart, const char *phase); /* a literal */

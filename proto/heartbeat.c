/* Signs of life; see heartbeat.h.
 *
 *     rank 1, 2, ... --- beat ---> rank 0 --- beat ---> rank 1, 2, ...
 *
 * Silence is counted in this thread's own ticks: where a whole job was stopped and goes
 * on, or a machine slept, nobody has been silent.  Rank 1 speaks for all that do not hear
 * rank 0; the others follow if that did not end them, as on a node that is cut off. */
#include "proto/heartbeat.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "proto/launch.h"
#include "proto/wire.h"

enum { ABORT_SECONDS = 10, MOST_NAMED = 16 };

static const double LONGEST_TICK = 1.0;	   /* seconds */
static const double SHORTEST_TICK = 0.020; /* where there is news */
static const double TICKS_A_SILENCE = 10;  /* at least */
static const double OTHERS_FOLLOW = 5.0;   /* seconds after rank 1 */

/* What travels. */
struct beat {
	float waiting; /* seconds for which nothing has come that this rank waits for */
	bool is_last;
	char phase[24], host[64];
};

/* Another rank, as seen from here. */
struct peer {
	struct beat heard;
	bool has_spoken, is_suspected, has_left;
	double silent; /* seconds */
	struct beat said;
	struct wire_transfer *saying; /* of said; NULL: it has left */
};

struct heartbeat {
	struct wire *wire;
	int rank, size;
	double limit, tick; /* seconds */
	const char *host;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool has_news, is_closing;
	const char *phase;
	char (*roles)[HEARTBEAT_ROLE_BYTES]; /* [size] */
	/* the thread's own */
	pthread_t thread;
	struct peer *peers; /* [size] */
	struct wire_waiting seen;
	double waiting, locked_out;
};

/* Rank 0 hears all, the others rank 0. */
static bool hears(const struct heartbeat *heart, int rank)
{
	return rank != heart->rank && (heart->rank == 0 || rank == 0);
}

/* Ends the job, with an alarm for where even that hangs. */
static _Noreturn void give_up(const char *sentence)
{
	log_set_name(""); /* the sentence names its rank */
	log_rank(LOG_ERROR, "%s; the job ends here", sentence);
	launch_end_soon(ABORT_SECONDS);
	alarm(ABORT_SECONDS);
	wire_abort(1);
	_exit(1);
}

/* "rank 2 (actor.1) on host n1" */
static void name_rank(struct buf *text, struct heartbeat *heart, int rank,
		      const struct beat *beat)
{
	buf_printf(text, "rank %d", rank);
	pthread_mutex_lock(&heart->lock);
	if (heart->roles[rank][0])
		buf_printf(text, " (%s)", heart->roles[rank]);
	pthread_mutex_unlock(&heart->lock);
	if (beat->host[0])
		buf_printf(text, " on host %s", beat->host);
}

static void describe(struct heartbeat *heart, struct beat *beat)
{
	*beat = (struct beat){.waiting = (float)heart->waiting};
	pthread_mutex_lock(&heart->lock);
	snprintf(beat->phase, sizeof beat->phase, "%s", heart->phase);
	pthread_mutex_unlock(&heart->lock);
	snprintf(beat->host, sizeof beat->host, "%s", heart->host);
}

/* Who has not taken the last beat gets no other. */
static void say(struct heartbeat *heart, bool is_last)
{
	for (int rank = 0; rank < heart->size; rank++) {
		struct peer *peer = &heart->peers[rank];

		if (!hears(heart, rank) || (peer->saying && !wire_is_done(peer->saying)))
			continue;
		wire_transfer_free(peer->saying);
		describe(heart, &peer->said);
		peer->said.is_last = is_last;
		peer->saying = wire_send(heart->wire, rank, WIRE_BEAT, &peer->said,
					 sizeof peer->said);
	}
}

static void hear(struct heartbeat *heart)
{
	struct beat beat;
	size_t n = sizeof beat;
	int source;

	for (; wire_take(heart->wire, WIRE_BEAT, &beat, &n, &source); n = sizeof beat) {
		struct peer *peer = &heart->peers[source];

		if (n != sizeof beat)
			die("rank %d sent a sign of life of %zu bytes", source, n);
		if (peer->is_suspected)
			log_rank(LOG_WARN, "rank %d is back after %.1f s", source, peer->silent);
		beat.phase[sizeof beat.phase - 1] = '\0';
		beat.host[sizeof beat.host - 1] = '\0';
		peer->heard = beat;
		peer->has_spoken = true;
		peer->has_left = beat.is_last;
		peer->is_suspected = false;
		peer->silent = 0;
	}
}

static double limit_of(const struct heartbeat *heart)
{
	return heart->rank > 1 ? heart->limit + OTHERS_FOLLOW : heart->limit;
}

static void describe_silence(struct buf *text, struct heartbeat *heart, int rank)
{
	const struct peer *peer = &heart->peers[rank];

	name_rank(text, heart, rank, &peer->heard);
	if (peer->has_spoken)
		buf_printf(text, " has been silent for %.1f s, last in phase %s", peer->silent,
			   peer->heard.phase);
	else
		buf_printf(text, " has not been heard of for %.1f s", peer->silent);
}

static void count_silence(struct heartbeat *heart, double elapsed)
{
	struct buf text = BUF_INIT;
	int n = 0;

	for (int rank = 0; rank < heart->size; rank++) {
		struct peer *peer = &heart->peers[rank];

		if (!hears(heart, rank) || peer->has_left)
			continue;
		peer->silent += elapsed;
		if (peer->silent >= limit_of(heart) && n++ < MOST_NAMED) {
			buf_append_string(&text, text.length ? "; " : "");
			describe_silence(&text, heart, rank);
		}
	}
	if (n > MOST_NAMED)
		buf_printf(&text, "; and %d more", n - MOST_NAMED);
	if (n)
		give_up(text.data);
}

/* A word before it comes to that. */
static void warn_of_silence(struct heartbeat *heart)
{
	for (int rank = 0; rank < heart->size && heart->rank <= 1; rank++) {
		struct peer *peer = &heart->peers[rank];
		struct buf text = BUF_INIT;

		if (peer->is_suspected || peer->silent < heart->limit / 3)
			continue;
		peer->is_suspected = true;
		describe_silence(&text, heart, rank);
		log_rank(LOG_WARN, "%s", text.data);
		buf_release(&text);
	}
}

static void count_waiting(struct heartbeat *heart, double elapsed)
{
	struct wire_waiting now = wire_waiting();
	bool waits = now.advances == heart->seen.advances && now.steps != heart->seen.steps;

	heart->waiting = waits ? heart->waiting + elapsed : 0;
	heart->seen = now;
}

/* Rank 0: nobody works, and nothing is on its way. */
static void check_that_someone_works(struct heartbeat *heart)
{
	struct buf text = BUF_INIT;
	struct beat own;

	if (heart->rank != 0 || heart->waiting < heart->limit)
		return;
	for (int rank = 1; rank < heart->size; rank++)
		if (heart->peers[rank].heard.waiting < heart->limit)
			return;
	describe(heart, &own);
	buf_printf(&text, "every rank has waited for the others for %.0f s: ", heart->waiting);
	for (int rank = 0; rank < heart->size && rank < MOST_NAMED; rank++) {
		const struct beat *beat = rank ? &heart->peers[rank].heard : &own;

		buf_append_string(&text, rank ? "; " : "");
		name_rank(&text, heart, rank, beat);
		buf_printf(&text, " in phase %s", beat->phase);
	}
	if (heart->size > MOST_NAMED)
		buf_printf(&text, "; and %d more", heart->size - MOST_NAMED);
	give_up(text.data);
}

/* The main thread is inside MPI where only a call that all ranks make takes long. */
static void count_locked_out(struct heartbeat *heart, double elapsed)
{
	struct buf text = BUF_INIT;
	struct beat own;

	heart->locked_out += elapsed;
	if (heart->locked_out < limit_of(heart))
		return;
	describe(heart, &own);
	name_rank(&text, heart, heart->rank, &own);
	buf_printf(&text, " has been inside MPI for %.0f s in phase %s: another rank does not come",
		   heart->locked_out, own.phase);
	give_up(text.data);
}

static void beat(struct heartbeat *heart, double elapsed)
{
	count_waiting(heart, elapsed);
	if (!wire_enter(heart->tick)) {
		count_locked_out(heart, elapsed);
		return;
	}
	heart->locked_out = 0;
	hear(heart);
	say(heart, false);
	count_silence(heart, elapsed);
	warn_of_silence(heart);
	check_that_someone_works(heart);
	wire_leave();
}

/* Until the next tick, or soon where there is news; false if it is to end. */
static bool sleep_a_tick(struct heartbeat *heart)
{
	double now = clock_now();
	struct timespec soon = clock_timespec(now + SHORTEST_TICK);
	struct timespec end = clock_timespec(now + heart->tick);
	bool is_closing;

	pthread_mutex_lock(&heart->lock);
	while (!heart->is_closing && !heart->has_news &&
	       pthread_cond_timedwait(&heart->changed, &heart->lock, &end) == 0)
		;
	while (!heart->is_closing &&
	       pthread_cond_timedwait(&heart->changed, &heart->lock, &soon) == 0)
		;
	heart->has_news = false;
	is_closing = heart->is_closing;
	pthread_mutex_unlock(&heart->lock);
	return !is_closing;
}

static void *live(void *argument)
{
	struct heartbeat *heart = argument;
	double last = clock_now();

	do {
		double now = clock_now(), elapsed = now - last;

		/* Who slept does not know who was silent meanwhile. */
		beat(heart, elapsed < 2 * heart->tick ? elapsed : 2 * heart->tick);
		last = now;
	} while (sleep_a_tick(heart));
	return NULL;
}

static void start_thread(struct heartbeat *heart)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&heart->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&heart->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	thread_start(&heart->thread, live, heart);
}

struct heartbeat *heartbeat_start(struct wire *world, const char *host, double seconds)
{
	struct heartbeat *heart;

	if (wire_size(world) == 1 || !(seconds > 0))
		return NULL;
	heart = xcalloc(1, sizeof *heart);
	heart->wire = wire_duplicate(world);
	heart->rank = wire_rank(world);
	heart->size = wire_size(world);
	heart->limit = seconds;
	heart->tick = seconds / TICKS_A_SILENCE < LONGEST_TICK ? seconds / TICKS_A_SILENCE
							       : LONGEST_TICK;
	heart->host = host;
	heart->phase = "start";
	heart->peers = xcalloc((size_t)heart->size, sizeof *heart->peers);
	heart->roles = xcalloc((size_t)heart->size, sizeof *heart->roles);
	wire_guard(true);
	start_thread(heart);
	return heart;
}

/* The last beats are said and heard by the main thread, so that none is left on its way. */
static void part(struct heartbeat *heart)
{
	struct wire_wait wait = wire_wait_begin();
	bool is_done;

	for (int rank = 0; rank < heart->size; rank++)
		wire_finish(&heart->peers[rank].saying, 1);
	say(heart, true);
	do {
		hear(heart);
		is_done = true;
		for (int rank = 0; rank < heart->size; rank++)
			is_done = is_done && (!hears(heart, rank) || heart->peers[rank].has_left);
		if (!is_done)
			wire_wait_step(&wait);
	} while (!is_done);
	for (int rank = 0; rank < heart->size; rank++)
		wire_finish(&heart->peers[rank].saying, 1);
}

void heartbeat_stop(struct heartbeat *heart)
{
	if (!heart)
		return;
	pthread_mutex_lock(&heart->lock);
	heart->is_closing = true;
	pthread_cond_signal(&heart->changed);
	pthread_mutex_unlock(&heart->lock);
	pthread_join(heart->thread, NULL);
	wire_guard(false);
	part(heart);
	wire_free(heart->wire);
	pthread_cond_destroy(&heart->changed);
	pthread_mutex_destroy(&heart->lock);
	free(heart->peers);
	free(heart->roles);
	free(heart);
}

void heartbeat_set_roles(struct heartbeat *heart, const char (*roles)[HEARTBEAT_ROLE_BYTES])
{
	if (!heart)
		return;
	pthread_mutex_lock(&heart->lock);
	memcpy(heart->roles, roles, (size_t)heart->size * sizeof *roles);
	pthread_mutex_unlock(&heart->lock);
}

void heartbeat_set_phase(struct heartbeat *heart, const char *phase)
{
	if (!heart)
		return;
	pthread_mutex_lock(&heart->lock);
	heart->phase = phase;
	heart->has_news = true;
	pthread_cond_signal(&heart->changed);
	pthread_mutex_unlock(&heart->lock);
}

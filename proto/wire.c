/* Non-blocking transfers over MPI.
 *
 * A transfer goes in pieces, because an MPI count is an int and because the
 * arrival of a piece tells that the other side is active.  The first piece is
 * small, so that it tells early:
 *
 *     | 64 KiB | 4 MiB | 4 MiB | ... | rest |
 *
 * A sender starts all pieces at once: where a receiver can read the sender's
 * memory, the sender may go on computing meanwhile.  A receiver keeps a few
 * receives open and so paces the sender.
 *
 * MPI calls stand bare: an error handler on our communicator, which duplicates
 * inherit, ends the job.
 *
 * One thread at a time is inside MPI.  While there is another one than the main thread
 * (wire_guard), each call is made between enter and leave. */
#include "proto/wire.h"

#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/die.h"
#include "common/base/memory.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WIRE_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WIRE_ASAN 1
#endif
#ifdef WIRE_ASAN
#include <sanitizer/lsan_interface.h>
#endif

enum {
	FIRST_PIECE = 64 << 10, /* bytes */
	PIECE = 4 << 20,	/* bytes */
	OPEN_RECEIVES = 4,
};

/* Sleeping while pieces arrive would slow a network down that moves a little
 * each time it is looked at; this is longer than a piece takes on 1 Gbit/s. */
static const double ACTIVE_SECONDS = 0.05;

struct wire {
	MPI_Comm comm; /* MPI_COMM_NULL without MPI */
	int rank, size;
	MPI_Request barrier;
};

struct wire_transfer {
	struct wire *wire;
	char *data;
	size_t n;
	size_t started; /* bytes for which requests exist */
	int peer;
	int tag;
	int n_pieces;
	int n_done;    /* pieces; they are waited for in order */
	int n_started; /* pieces */
	bool is_send;
	MPI_Request requests[]; /* [n_pieces] */
};

static void (*failure_hook)(const char *sentence);
static bool mpi_runs;
/* Pieces received or sent that were not the last of their transfer. */
static uint64_t pieces_moved;

static bool is_guarded;
static pthread_mutex_t guard = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
/* What the waits of this process look like to another of its threads: how often one
 * began or moved on, and how often one found nothing. */
static _Atomic uint64_t wait_advances, wait_steps;

static void enter(void)
{
	if (is_guarded)
		pthread_mutex_lock(&guard);
}

static void leave(void)
{
	if (is_guarded)
		pthread_mutex_unlock(&guard);
}

void wire_guard(bool guarded)
{
	is_guarded = guarded;
}

bool wire_enter(double seconds)
{
	struct timespec now, end;

	clock_gettime(CLOCK_REALTIME, &now);
	end = clock_timespec((double)now.tv_sec + 1e-9 * (double)now.tv_nsec + seconds);
	return pthread_mutex_timedlock(&guard, &end) == 0;
}

void wire_leave(void)
{
	pthread_mutex_unlock(&guard);
}

struct wire_waiting wire_waiting(void)
{
	return (struct wire_waiting){
		.advances = atomic_load_explicit(&wait_advances, memory_order_relaxed),
		.steps = atomic_load_explicit(&wait_steps, memory_order_relaxed),
	};
}

static void handle_error(MPI_Comm *comm, int *code, ...)
{
	(void)comm;
	char sentence[MPI_MAX_ERROR_STRING];
	int length;
	MPI_Error_string(*code, sentence, &length);
	failure_hook(sentence);
	wire_abort(1);
}

static struct wire *wire_of(MPI_Comm comm)
{
	struct wire *wire = xmalloc(sizeof *wire);
	*wire = (struct wire){.comm = comm, .size = 1, .barrier = MPI_REQUEST_NULL};
	if (comm != MPI_COMM_NULL) {
		MPI_Comm_rank(comm, &wire->rank);
		MPI_Comm_size(comm, &wire->size);
	}
	return wire;
}

/* Waits without load, so that the MPI collective that follows, which waits with
 * full load, finds everybody there. */
static void meet(struct wire *wire)
{
	struct wire_wait wait = wire_wait_begin();
	wire_barrier_begin(wire);
	while (!wire_barrier_is_done(wire))
		wire_wait_step(&wait);
}

/* MPI's plugins leak, and are unloaded at once where they don't fit and at the
 * end, after which their leaks cannot be told from ours.  So they are left out,
 * and our own are looked for before the end. */
static int start_mpi(void)
{
	int provided;
#ifdef WIRE_ASAN
	__lsan_disable();
#endif
	MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
#ifdef WIRE_ASAN
	__lsan_enable();
#endif
	return provided;
}

static void end_mpi(void)
{
#ifdef WIRE_ASAN
	__lsan_do_leak_check();
#endif
	MPI_Finalize();
}

struct wire *wire_open(bool use_mpi, void (*on_failure)(const char *sentence))
{
	failure_hook = on_failure;
	int provided = use_mpi ? start_mpi() : MPI_THREAD_SINGLE;
	memory_give_large_back();
	if (!use_mpi)
		return wire_of(MPI_COMM_NULL);
	mpi_runs = true;
	if (provided < MPI_THREAD_SERIALIZED)
		on_failure("this MPI library does not allow calls from threads in turn (MPI_THREAD_SERIALIZED)");
	MPI_Comm comm;
	MPI_Comm_dup(MPI_COMM_WORLD, &comm);
	MPI_Errhandler handler;
	MPI_Comm_create_errhandler(handle_error, &handler);
	MPI_Comm_set_errhandler(comm, handler);
	MPI_Errhandler_free(&handler);
	return wire_of(comm);
}

void wire_close(struct wire *world)
{
	meet(world);
	wire_free(world);
	if (!mpi_runs)
		return;
	end_mpi();
	mpi_runs = false;
}

void wire_abort(int exit_code)
{
	if (mpi_runs)
		MPI_Abort(MPI_COMM_WORLD, exit_code);
}

struct wire *wire_duplicate(struct wire *wire)
{
	if (wire->comm == MPI_COMM_NULL)
		return wire_of(MPI_COMM_NULL);
	meet(wire);
	MPI_Comm comm;
	enter();
	MPI_Comm_dup(wire->comm, &comm);
	leave();
	return wire_of(comm);
}

struct wire *wire_split(struct wire *wire, int color)
{
	if (wire->comm == MPI_COMM_NULL)
		return color < 0 ? NULL : wire_of(MPI_COMM_NULL);
	meet(wire);
	MPI_Comm comm;
	enter();
	MPI_Comm_split(wire->comm, color < 0 ? MPI_UNDEFINED : color, wire->rank, &comm);
	leave();
	return comm == MPI_COMM_NULL ? NULL : wire_of(comm);
}

void wire_free(struct wire *wire)
{
	if (wire == NULL)
		return;
	enter();
	if (wire->comm != MPI_COMM_NULL)
		MPI_Comm_free(&wire->comm);
	leave();
	free(wire);
}

int wire_local_ranks(struct wire *wire)
{
	if (wire->comm == MPI_COMM_NULL)
		return 1;
	meet(wire);
	MPI_Comm node;
	int n;
	enter();
	MPI_Comm_split_type(wire->comm, MPI_COMM_TYPE_SHARED, wire->rank, MPI_INFO_NULL, &node);
	MPI_Comm_size(node, &n);
	MPI_Comm_free(&node);
	leave();
	return n;
}

int wire_rank(const struct wire *wire)
{
	return wire->rank;
}

int wire_size(const struct wire *wire)
{
	return wire->size;
}

static int piece_count(size_t n)
{
	size_t pieces = n <= FIRST_PIECE ? 1 : 1 + (n - FIRST_PIECE + PIECE - 1) / PIECE;
	if (pieces > INT_MAX)
		die("a transfer of %zu bytes is too long", n);
	return (int)pieces;
}

static struct wire_transfer *transfer_create(struct wire *wire, int peer, enum wire_tag tag,
					     size_t n)
{
	if (peer < 0 || peer >= wire->size || peer == wire->rank)
		die("rank %d of %d has no transfer with rank %d", wire->rank, wire->size, peer);
	int n_pieces = piece_count(n);
	struct wire_transfer *transfer =
		xmalloc(sizeof *transfer + (size_t)n_pieces * sizeof transfer->requests[0]);
	*transfer = (struct wire_transfer){
		.wire = wire, .n = n, .peer = peer, .tag = tag, .n_pieces = n_pieces};
	return transfer;
}

static void start_piece(struct wire_transfer *transfer)
{
	size_t most = transfer->n_started == 0 ? FIRST_PIECE : PIECE;
	size_t left = transfer->n - transfer->started;
	int count = (int)(left < most ? left : most);
	char *data = transfer->data + transfer->started;
	MPI_Request *request = &transfer->requests[transfer->n_started];
	if (transfer->is_send)
		MPI_Isend(data, count, MPI_BYTE, transfer->peer, transfer->tag,
			  transfer->wire->comm, request);
	else
		MPI_Irecv(data, count, MPI_BYTE, transfer->peer, transfer->tag,
			  transfer->wire->comm, request);
	transfer->started += (size_t)count;
	transfer->n_started++;
}

struct wire_transfer *wire_send(struct wire *wire, int to, enum wire_tag tag, const void *data,
				size_t n)
{
	struct wire_transfer *transfer = transfer_create(wire, to, tag, n);
	transfer->data = (char *)(uintptr_t)data; /* only read */
	transfer->is_send = true;
	enter();
	while (transfer->n_started < transfer->n_pieces)
		start_piece(transfer);
	leave();
	return transfer;
}

struct wire_transfer *wire_receive(struct wire *wire, int from, enum wire_tag tag, void *data,
				   size_t n)
{
	struct wire_transfer *transfer = transfer_create(wire, from, tag, n);
	transfer->data = data;
	enter();
	while (transfer->n_started < transfer->n_pieces && transfer->n_started < OPEN_RECEIVES)
		start_piece(transfer);
	leave();
	return transfer;
}

bool wire_is_open_whole(const struct wire_transfer *transfer)
{
	return transfer->n_started == transfer->n_pieces;
}

/* A receive must bring exactly the bytes expected. */
static void check_piece(const struct wire_transfer *transfer, const MPI_Status *status)
{
	size_t expected = transfer->n_done == 0 ? FIRST_PIECE : PIECE;
	if (transfer->n_done == transfer->n_pieces - 1)
		expected = transfer->n_pieces == 1 ? transfer->n
						   : (transfer->n - FIRST_PIECE - 1) % PIECE + 1;
	int count;
	MPI_Get_count(status, MPI_BYTE, &count);
	if ((size_t)count != expected)
		die("rank %d sent %d bytes where %zu were expected (tag %d)", transfer->peer, count,
		    expected, transfer->tag);
}

static bool move_along(struct wire_transfer *transfer)
{
	while (transfer->n_done < transfer->n_pieces) {
		int flag;
		MPI_Status status;
		MPI_Test(&transfer->requests[transfer->n_done], &flag, &status);
		if (!flag)
			return false;
		if (!transfer->is_send)
			check_piece(transfer, &status);
		transfer->n_done++;
		if (transfer->n_started < transfer->n_pieces)
			start_piece(transfer);
		if (transfer->n_done < transfer->n_pieces)
			pieces_moved++;
	}
	return true;
}

bool wire_is_done(struct wire_transfer *transfer)
{
	bool is_done;

	enter();
	is_done = move_along(transfer);
	leave();
	return is_done;
}

void wire_transfer_free(struct wire_transfer *transfer)
{
	ASSERT(transfer == NULL || transfer->n_done == transfer->n_pieces);
	free(transfer);
}

void wire_finish(struct wire_transfer **transfers, int n)
{
	struct wire_wait wait = wire_wait_begin();
	for (int first = 0; first < n; first++) {
		while (transfers[first] != NULL && !wire_is_done(transfers[first])) {
			/* Receives further on need their next pieces opened. */
			for (int i = first + 1; i < n; i++) {
				if (transfers[i] != NULL)
					wire_is_done(transfers[i]);
			}
			wire_wait_step(&wait);
		}
		wire_transfer_free(transfers[first]);
		transfers[first] = NULL;
	}
}

bool wire_take(struct wire *wire, enum wire_tag tag, void *data, size_t *n, int *source)
{
	int flag = 0, count;
	MPI_Message message;
	MPI_Status status;
	if (wire->comm == MPI_COMM_NULL)
		return false;
	enter();
	MPI_Improbe(MPI_ANY_SOURCE, tag, wire->comm, &flag, &message, &status);
	if (flag) {
		MPI_Mrecv(data, (int)*n, MPI_BYTE, &message, &status);
		MPI_Get_count(&status, MPI_BYTE, &count);
		*n = (size_t)count;
		*source = status.MPI_SOURCE;
	}
	leave();
	return flag;
}

void wire_barrier_begin(struct wire *wire)
{
	enter();
	if (wire->comm != MPI_COMM_NULL)
		MPI_Ibarrier(wire->comm, &wire->barrier);
	leave();
}

bool wire_barrier_is_done(struct wire *wire)
{
	int flag = 1;
	enter();
	if (wire->comm != MPI_COMM_NULL)
		MPI_Test(&wire->barrier, &flag, MPI_STATUS_IGNORE);
	leave();
	return flag;
}

/* Only the main thread waits: no count is lost. */
static void add_one(_Atomic uint64_t *counter)
{
	uint64_t n = atomic_load_explicit(counter, memory_order_relaxed);
	atomic_store_explicit(counter, n + 1, memory_order_relaxed);
}

struct wire_wait wire_wait_begin(void)
{
	add_one(&wait_advances);
	return (struct wire_wait){.pieces = pieces_moved};
}

void wire_wait_step(struct wire_wait *wait)
{
	add_one(&wait_steps);
	if (wait->pieces != pieces_moved) {
		add_one(&wait_advances);
		wait->pieces = pieces_moved;
		wait->active = clock_now();
		pause_reset(&wait->pause);
	}
	if (wait->active > 0 && clock_now() - wait->active < ACTIVE_SECONDS)
		sched_yield();
	else
		pause_step(&wait->pause);
}

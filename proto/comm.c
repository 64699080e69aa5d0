/* Groups of ranks and what they agree on.
 *
 * The collectives are written with transfers between two ranks (wire.h), so that
 * waiting for a rank that is busy costs no core, and so that the order of each
 * sum is ours:
 *
 *   broadcast   binomial tree from the root, long data in pieces passed on as
 *               they come
 *   allgather   blocks of a growing run of ranks (Bruck et al. 1997), about
 *               log2(size) exchanges
 *   tree sum    recursive halving and doubling (Rabenseifner 2004) with the
 *               nearest rank first, which makes the order of the sum the binary
 *               tree over ranks */
#include "proto/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/build_info.h"
#include "common/base/die.h"
#include "common/base/hash.h"
#include "common/base/launcher.h"
#include "common/base/log.h"
#include "common/ops/elementwise.h"
#include "proto/heartbeat.h"
#include "proto/wire.h"

enum {
	BROADCAST_PIECE = 16 << 20, /* bytes */
	SUM_PIECE = 4 << 20, /* bytes exchanged at a time by a tree sum */
	SUM_MAX_LEVELS = 31,
	HOST_BYTES = 256,
};

struct comm {
	struct wire *wire;
	int rank, size;
};

static struct comm *world;
static struct heartbeat *heart;
static const char *comm_phase = "start";

static void report_failure(const char *sentence)
{
	log_rank(LOG_ERROR, "rank %d on host %s: MPI failed in phase %s: %s",
		 world ? world->rank : 0, comm_host(), comm_phase, sentence);
	wire_abort(1);
	_exit(1);
}

static struct comm *comm_of(struct wire *wire)
{
	if (wire == NULL)
		return NULL;
	struct comm *comm = xmalloc(sizeof *comm);
	*comm = (struct comm){.wire = wire, .rank = wire_rank(wire), .size = wire_size(wire)};
	return comm;
}

struct comm *comm_init(void)
{
	if (world != NULL)
		die("comm_init is called twice");
	world = comm_of(wire_open(launcher_rank() != NULL, report_failure));
	die_set_hook(wire_abort);
	return world;
}

void comm_finalize(void)
{
	comm_set_phase("end");
	if (heart)
		comm_barrier(world); /* who does not come is still missed */
	heartbeat_stop(heart);
	heart = NULL;
	die_set_hook(NULL);
	wire_close(world->wire);
	free(world);
	world = NULL;
}

int comm_rank(const struct comm *comm)
{
	return comm->rank;
}

int comm_size(const struct comm *comm)
{
	return comm->size;
}

bool comm_is_lead(const struct comm *comm)
{
	return comm->rank == 0;
}

void comm_set_phase(const char *phase)
{
	comm_phase = phase;
	heartbeat_set_phase(heart, phase);
}

void comm_watch(double seconds)
{
	if (heart)
		die("comm_watch is called twice");
	heart = heartbeat_start(world->wire, comm_host(), seconds);
	heartbeat_set_phase(heart, comm_phase);
}

void comm_set_role(const char *role)
{
	char mine[HEARTBEAT_ROLE_BYTES] = "";
	char(*all)[HEARTBEAT_ROLE_BYTES] = xcalloc((size_t)world->size, sizeof *all);

	snprintf(mine, sizeof mine, "%s", role);
	comm_allgather(world, mine, sizeof mine, all);
	heartbeat_set_roles(heart, (const char(*)[HEARTBEAT_ROLE_BYTES])all);
	free(all);
}

const char *comm_host(void)
{
	static char host[HOST_BYTES];
	if (host[0] == '\0' && (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0'))
		strcpy(host, "unknown");
	return host;
}

int comm_local_ranks(void)
{
	return wire_local_ranks(world->wire);
}

struct comm *comm_split(struct comm *comm, int color)
{
	return comm_of(wire_split(comm->wire, color));
}

void comm_free(struct comm *comm)
{
	if (comm == NULL)
		return;
	wire_free(comm->wire);
	free(comm);
}

struct wire *comm_wire(const struct comm *comm)
{
	return comm->wire;
}

void comm_barrier(struct comm *comm)
{
	struct wire_wait wait = wire_wait_begin();
	wire_barrier_begin(comm->wire);
	while (!wire_barrier_is_done(comm->wire))
		wire_wait_step(&wait);
}

static bool *gather_flags(struct comm *comm, bool mine)
{
	bool *flags = xcalloc((size_t)comm->size, sizeof *flags);
	comm_allgather(comm, &mine, sizeof mine, flags);
	return flags;
}

bool comm_any(struct comm *comm, bool flag)
{
	bool *flags = gather_flags(comm, flag);
	bool any = memchr(flags, true, (size_t)comm->size) != NULL;
	free(flags);
	return any;
}

/* Ranks counted from the root: v receives from v without its lowest set bit, and
 * sends to v + 2^k for each 2^k below that bit, farthest first. */
static int tree_parent(int v)
{
	return v & (v - 1);
}

static int tree_children(int v, int size, int children[static 31])
{
	int n = 0;
	int top = 1;
	while (top < size && (v & top) == 0)
		top *= 2;
	for (int bit = top / 2; bit > 0; bit /= 2) {
		if (v + bit < size)
			children[n++] = v + bit;
	}
	return n;
}

void comm_broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
	if (comm->size == 1 || bytes == 0)
		return;
	int v = (comm->rank - root + comm->size) % comm->size;
	int children[31];
	int n_children = tree_children(v, comm->size, children);
	size_t n_pieces = (bytes + BROADCAST_PIECE - 1) / BROADCAST_PIECE;
	struct wire_transfer **sends =
		xcalloc(n_pieces * (size_t)n_children, sizeof(struct wire_transfer *));
	int n_sends = 0;
	for (size_t at = 0; at < bytes; at += BROADCAST_PIECE) {
		char *piece = (char *)data + at;
		size_t n = bytes - at < BROADCAST_PIECE ? bytes - at : BROADCAST_PIECE;
		if (v != 0) {
			int parent = (tree_parent(v) + root) % comm->size;
			struct wire_transfer *in =
				wire_receive(comm->wire, parent, WIRE_GROUP, piece, n);
			wire_finish(&in, 1);
		}
		for (int c = 0; c < n_children; c++) {
			int child = (children[c] + root) % comm->size;
			sends[n_sends++] = wire_send(comm->wire, child, WIRE_GROUP, piece, n);
		}
	}
	wire_finish(sends, n_sends);
	free(sends);
}

void comm_broadcast_buf(struct comm *comm, struct buf *buf, int root)
{
	uint64_t length = buf->length;
	comm_broadcast(comm, &length, sizeof length, root);
	if (comm->rank != root) {
		buf_reset(buf);
		buf_reserve(buf, length);
		buf->length = length;
		buf->data[length] = '\0';
	}
	comm_broadcast(comm, buf->data, length, root);
}

static void exchange(struct comm *comm, int to, const void *out, size_t n_out, int from, void *in,
		     size_t n_in)
{
	struct wire_transfer *transfers[] = {
		wire_receive(comm->wire, from, WIRE_GROUP, in, n_in),
		wire_send(comm->wire, to, WIRE_GROUP, out, n_out),
	};
	wire_finish(transfers, 2);
}

/* Bytes of the k blocks from that of rank r on, wrapping round; k <= size. */
static size_t run_bytes(const size_t *end, int size, int r, int k)
{
	size_t before = r > 0 ? end[r - 1] : 0;
	if (r + k <= size)
		return end[r + k - 1] - before;
	return end[size - 1] - before + end[r + k - size - 1];
}

/* Gathers blocks of known lengths, end[r] being where the block of rank r ends in
 * out.  blocks holds them from the own one on, wrapping round:
 *     rank, rank + 1, ..., size - 1, 0, ..., rank - 1
 * A round that has k of them gets the next ones from rank + k. */
static void gather_blocks(struct comm *comm, const void *mine, const size_t *end, char *out)
{
	int size = comm->size, rank = comm->rank;
	size_t total = end[size - 1];
	size_t mine_at = rank > 0 ? end[rank - 1] : 0;
	char *blocks = xmalloc(total);
	if (end[rank] > mine_at)
		memcpy(blocks, mine, end[rank] - mine_at);
	for (int have = 1; have < size; have *= 2) {
		int more = have < size - have ? have : size - have;
		int from = (rank + have) % size;
		int to = (rank - have + size) % size;
		exchange(comm, to, blocks, run_bytes(end, size, rank, more), from,
			 blocks + run_bytes(end, size, rank, have),
			 run_bytes(end, size, from, more));
	}
	memcpy(out + mine_at, blocks, total - mine_at);
	memcpy(out, blocks + (total - mine_at), mine_at);
	free(blocks);
}

void comm_allgather(struct comm *comm, const void *mine, size_t bytes, void *out)
{
	size_t *end = xcalloc((size_t)comm->size, sizeof *end);
	for (int r = 0; r < comm->size; r++)
		end[r] = (size_t)(r + 1) * bytes;
	gather_blocks(comm, mine, end, out);
	free(end);
}

void comm_allgather_buf(struct comm *comm, const struct buf *mine, struct buf *out)
{
	size_t *end = xcalloc((size_t)comm->size, sizeof *end);
	comm_allgather(comm, &mine->length, sizeof mine->length, end);
	for (int r = 1; r < comm->size; r++)
		end[r] += end[r - 1];
	size_t total = end[comm->size - 1];
	buf_reserve(out, total);
	gather_blocks(comm, mine->data, end, out->data + out->length);
	out->length += total;
	out->data[out->length] = '\0';
	free(end);
}

enum status comm_agree(struct comm *comm, enum status status, struct error *err)
{
	int32_t mine = (int32_t)status;
	int32_t *all = xcalloc((size_t)comm->size, sizeof *all);
	comm_allgather(comm, &mine, sizeof mine, all);
	int first = 0;
	while (first < comm->size && all[first] == STATUS_OK)
		first++;
	if (first < comm->size) {
		status = (enum status)all[first];
		struct error text = {0};
		if (err != NULL && comm->rank == first)
			text = *err;
		comm_broadcast(comm, &text, sizeof text, first);
		if (err != NULL)
			*err = text;
	}
	free(all);
	return status;
}

/* Who has which text. */
struct holding {
	uint64_t hash; /* of the text */
	int32_t rank;  /* of the world */
	char host[HOST_BYTES];
};

enum status comm_compare(struct comm *comm, const char *text, const char *what, struct error *err)
{
	struct holding mine = {.hash = hash64(text, strlen(text)), .rank = world->rank};
	struct holding *all = xcalloc((size_t)comm->size, sizeof *all);
	enum status status = STATUS_OK;
	snprintf(mine.host, sizeof mine.host, "%s", comm_host());
	comm_allgather(comm, &mine, sizeof mine, all);
	int other = 1;
	while (other < comm->size && all[other].hash == all[0].hash)
		other++;
	if (other < comm->size)
		status =
			error_set(err, STATUS_BAD_INPUT,
				  "rank %d on host %s has another %s than rank %d on host %s",
				  all[other].rank, all[other].host, what, all[0].rank, all[0].host);
	free(all);
	return status;
}

enum status comm_end(enum status status, struct error *err)
{
	status = comm_agree(world, status, err);
	if (status != STATUS_OK && comm_is_lead(world))
		log_error("%s", err->text);
	comm_finalize();
	return status;
}

/* All ranks must run the same program in the same way. */
static enum status compare_commands(int argc, char **argv, struct error *err)
{
	struct buf line = BUF_INIT;
	enum status status = comm_compare(world, build_id(), "build", err);

	for (int i = 0; i < argc; i++)
		buf_printf(&line, "%zu %s", strlen(argv[i]), argv[i]);
	if (status == STATUS_OK)
		status = comm_compare(world, line.data, "command line", err);
	buf_release(&line);
	return status;
}

enum status comm_begin(struct comm **out, int argc, char **argv, enum status status,
		       struct error *err)
{
	*out = comm_init();
	status = comm_agree(world, status, err);
	if (status == STATUS_OK && world->size > 1)
		status = compare_commands(argc, argv, err);
	if (status == STATUS_OK)
		return status;
	*out = NULL;
	return comm_end(status, err);
}

/* --- tree sums --- */

/* to += other; which of the two is the lower subtree's does not matter to a sum. */
typedef void add_function(char *to, const char *other, size_t n);

static void add_float(char *to, const char *other, size_t n)
{
	add_into((float *)to, (const float *)other, n, NULL);
}

static void add_double(char *to, const char *other, size_t n)
{
	double *y = (double *)to;
	const double *x = (const double *)other;
	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

/* Elements that are shared out in whole blocks. */
struct array {
	char *x;
	size_t n, grain, width;
	add_function *add;
};

/* Where the halving of an array stands at a level: blocks [first, first + count)
 * are this rank's and its partner's, the first `low` of them go to the lower. */
struct half {
	size_t first, count, low;
	int partner;
	bool is_low;
};

static struct half first_half(const struct comm *comm, const struct array *a)
{
	size_t count = (a->n + a->grain - 1) / a->grain;
	return (struct half){.count = count,
			     .low = count - count / 2,
			     .partner = comm->rank ^ 1,
			     .is_low = (comm->rank & 1) == 0};
}

/* Of the next level, whose partners differ in the given bit. */
static struct half next_half(const struct comm *comm, struct half half, int bit)
{
	size_t count = half.is_low ? half.low : half.count - half.low;
	return (struct half){.first = half.first + (half.is_low ? 0 : half.low),
			     .count = count,
			     .low = count - count / 2,
			     .partner = comm->rank ^ bit,
			     .is_low = (comm->rank & bit) == 0};
}

/* Elements before block i. */
static size_t elements(const struct array *a, size_t i)
{
	return i * a->grain < a->n ? i * a->grain : a->n;
}

/* Elements of the half that this rank keeps, and of the one that its partner does. */
static void split_half(const struct array *a, const struct half *half, size_t kept[2],
		       size_t given[2])
{
	size_t begin = elements(a, half->first), middle = elements(a, half->first + half->low);
	size_t end = elements(a, half->first + half->count);
	size_t *low = half->is_low ? kept : given, *high = half->is_low ? given : kept;
	low[0] = begin, low[1] = high[0] = middle, high[1] = end;
}

/* Elements of the piece at `at` of n. */
static size_t piece_of(size_t n, size_t at, size_t piece)
{
	return at >= n ? 0 : n - at < piece ? n - at : piece;
}

static void reduce_half(struct comm *comm, const struct array *a, const struct half *half,
			char *scratch)
{
	size_t kept[2], given[2], w = a->width, piece = SUM_PIECE / w;
	split_half(a, half, kept, given);
	size_t n_kept = kept[1] - kept[0], n_given = given[1] - given[0];
	for (size_t at = 0; at < n_kept || at < n_given; at += piece) {
		size_t in = piece_of(n_kept, at, piece), out = piece_of(n_given, at, piece);
		exchange(comm, half->partner, a->x + (given[0] + at) * w, out * w, half->partner,
			 scratch, in * w);
		a->add(a->x + (kept[0] + at) * w, scratch, in);
	}
}

static void gather_half(struct comm *comm, const struct array *a, const struct half *half)
{
	size_t kept[2], given[2], w = a->width, piece = SUM_PIECE / w;
	split_half(a, half, kept, given);
	size_t n_kept = kept[1] - kept[0], n_given = given[1] - given[0];
	for (size_t at = 0; at < n_kept || at < n_given; at += piece)
		exchange(comm, half->partner, a->x + (kept[0] + at) * w,
			 piece_of(n_kept, at, piece) * w, half->partner,
			 a->x + (given[0] + at) * w, piece_of(n_given, at, piece) * w);
}

/* At level k the partner is rank ^ 2^k.  The two hold the sums of neighbouring
 * subtrees of 2^k ranks over the same blocks; the lower of them goes on with the
 * first half of the blocks, the other one with the rest.  Each element is added
 * along the same tree wherever that happens. */
static void scatter(struct comm *comm, const struct array *a)
{
	if ((comm->size & (comm->size - 1)) != 0)
		die("a tree sum over %d ranks, which is not a power of two", comm->size);
	if (comm->size == 1 || a->n == 0)
		return;
	struct half half = first_half(comm, a);
	char *scratch = xmalloc(piece_of(elements(a, half.low), 0, SUM_PIECE / a->width) * a->width);
	for (int bit = 1; bit < comm->size; bit *= 2) {
		if (bit > 1)
			half = next_half(comm, half, bit);
		reduce_half(comm, a, &half, scratch);
	}
	free(scratch);
}

/* The same exchanges in reverse, of whole sums. */
static void gather(struct comm *comm, const struct array *a)
{
	struct half halves[SUM_MAX_LEVELS];
	int level = 0;
	if (comm->size == 1 || a->n == 0)
		return;
	halves[0] = first_half(comm, a);
	for (int bit = 2; bit < comm->size; bit *= 2, level++)
		halves[level + 1] = next_half(comm, halves[level], bit);
	for (; level >= 0; level--)
		gather_half(comm, a, &halves[level]);
}

static struct array floats(float *x, size_t n, size_t grain)
{
	return (struct array){
		.x = (char *)x, .n = n, .grain = grain, .width = sizeof *x, .add = add_float};
}

static struct array doubles(double *x, size_t n, size_t grain)
{
	return (struct array){
		.x = (char *)x, .n = n, .grain = grain, .width = sizeof *x, .add = add_double};
}

void comm_part(const struct comm *comm, size_t n, size_t grain, size_t *begin, size_t *end)
{
	struct array a = floats(NULL, n, grain);
	struct half half = first_half(comm, &a);
	/* One level more than there are partners: what the last one leaves. */
	for (int bit = 2; bit <= comm->size; bit *= 2)
		half = next_half(comm, half, bit);
	*begin = elements(&a, half.first);
	*end = elements(&a, half.first + half.count);
}

void comm_part_of(int rank, int size, size_t n, size_t grain, size_t *begin, size_t *end)
{
	struct comm comm = {.rank = rank, .size = size};

	comm_part(&comm, n, grain, begin, end);
}

void comm_tree_scatter_float(struct comm *comm, float *x, size_t n, size_t grain)
{
	struct array a = floats(x, n, grain);
	scatter(comm, &a);
}

void comm_tree_gather_float(struct comm *comm, float *x, size_t n, size_t grain)
{
	struct array a = floats(x, n, grain);
	gather(comm, &a);
}

void comm_tree_gather_double(struct comm *comm, double *x, size_t n, size_t grain)
{
	struct array a = doubles(x, n, grain);
	gather(comm, &a);
}

void comm_tree_sum_double(struct comm *comm, double *x, size_t n)
{
	struct array a = doubles(x, n, 1);
	scatter(comm, &a);
	gather(comm, &a);
}

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

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/log.h"
#include "proto/launch.h"
#include "proto/wire.h"

enum {
	BROADCAST_PIECE = 16 << 20, /* bytes */
	/* Bytes of x per round of a tree sum: two such halves stay in a cache. */
	SUM_PIECE = 8 << 20,
	SUM_MAX_LEVELS = 31,
	HOST_BYTES = 256,
};

struct comm {
	struct wire *wire;
	int rank, size;
};

static struct comm *world;
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
	world = comm_of(wire_open(launch_is_launched(), report_failure));
	die_set_hook(wire_abort);
	return world;
}

void comm_finalize(void)
{
	comm_phase = "end";
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

bool comm_all_ok(struct comm *comm, bool ok)
{
	return !comm_any(comm, !ok);
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

enum status comm_refuse(enum status status, struct error *err)
{
	comm_init();
	status = comm_agree(world, status, err);
	if (comm_is_lead(world))
		log_error("%s", err->text);
	comm_finalize();
	return status;
}

/* --- tree sums --- */

/* to = low + high; to may be either. */
typedef void add_function(char *to, const char *low, const char *high, size_t n);

static void add_float(char *to, const char *low, const char *high, size_t n)
{
	float *y = (float *)to;
	const float *a = (const float *)low, *b = (const float *)high;
	for (size_t i = 0; i < n; i++)
		y[i] = a[i] + b[i];
}

static void add_double(char *to, const char *low, const char *high, size_t n)
{
	double *y = (double *)to;
	const double *a = (const double *)low, *b = (const double *)high;
	for (size_t i = 0; i < n; i++)
		y[i] = a[i] + b[i];
}

/* At level k the partner is rank ^ 2^k.  The two hold the sums of neighbouring
 * subtrees of 2^k ranks over the same range of elements; the lower of them goes
 * on with the first half of the range, the other one with the rest.  Then the
 * halves, now whole sums, are exchanged in reverse.  Each element is added along
 * the same tree wherever that happens.  scratch holds half of the piece. */
static void sum_piece(struct comm *comm, char *x, size_t n, size_t width, add_function *add,
		      char *scratch)
{
	size_t first[SUM_MAX_LEVELS + 1] = {0}, count[SUM_MAX_LEVELS + 1] = {n};
	int level = 0;
	for (; 1 << level < comm->size; level++) {
		int bit = 1 << level, partner = comm->rank ^ bit;
		bool is_low = (comm->rank & bit) == 0;
		size_t low = count[level] - count[level] / 2;
		char *low_half = x + first[level] * width;
		char *high_half = low_half + low * width;
		size_t keep = is_low ? low : count[level] - low;
		char *kept = is_low ? low_half : high_half;
		exchange(comm, partner, is_low ? high_half : low_half,
			 (count[level] - keep) * width, partner, scratch, keep * width);
		add(kept, is_low ? kept : scratch, is_low ? scratch : kept, keep);
		first[level + 1] = first[level] + (is_low ? 0 : low);
		count[level + 1] = keep;
	}
	while (level-- > 0) {
		int bit = 1 << level, partner = comm->rank ^ bit;
		bool is_low = (comm->rank & bit) == 0;
		size_t other = is_low ? first[level] + count[level + 1] : first[level];
		exchange(comm, partner, x + first[level + 1] * width, count[level + 1] * width,
			 partner, x + other * width, (count[level] - count[level + 1]) * width);
	}
}

static void tree_sum(struct comm *comm, char *x, size_t n, size_t width, add_function *add)
{
	if ((comm->size & (comm->size - 1)) != 0)
		die("a tree sum over %d ranks, which is not a power of two", comm->size);
	if (comm->size == 1 || n == 0)
		return;
	size_t piece = SUM_PIECE / width;
	size_t most = n < piece ? n : piece;
	char *scratch = xaligned(most - most / 2, width);
	for (size_t at = 0; at < n; at += piece)
		sum_piece(comm, x + at * width, n - at < piece ? n - at : piece, width, add,
			  scratch);
	free(scratch);
}

void comm_tree_sum_float(struct comm *comm, float *x, size_t n)
{
	tree_sum(comm, (char *)x, n, sizeof *x, add_float);
}

void comm_tree_sum_double(struct comm *comm, double *x, size_t n)
{
	tree_sum(comm, (char *)x, n, sizeof *x, add_double);
}

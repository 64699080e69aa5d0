/* Memory common to a node; see shared.h.
 *
 * The first rank of a node makes a file without a name in memory (memfd), which is not
 * bounded by the size of /dev/shm, and tells the others its process and descriptor; they
 * open /proc/PID/fd/FD.  A random token behind the data proves that it is that file: a
 * container may number its processes anew.  The memory lives as long as anyone maps it. */
#include "proto/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/die.h"
#include "common/base/file.h"

enum { TOKEN_BYTES = 16, HOST_BYTES = 64 };

struct shared {
	void *memory; /* [mapped] */
	size_t mapped;
	bool is_filled_here;
};

/* What the first rank of a node tells the others. */
struct offer {
	int64_t pid; /* 0: nothing is offered */
	int32_t fd;
	uint8_t token[TOKEN_BYTES];
};

/* Which machine this is: another start of it is another one. */
static void name_node(char name[HOST_BYTES])
{
	struct buf id = BUF_INIT;

	if (file_read("/proc/sys/kernel/random/boot_id", 256, &id, NULL) != STATUS_OK)
		buf_append_string(&id, comm_host());
	snprintf(name, HOST_BYTES, "%.*s", HOST_BYTES - 1, id.data);
	buf_release(&id);
}

/* The ranks of comm on this rank's node, in order. */
static struct comm *node_of(struct comm *comm)
{
	int n = comm_size(comm), first = 0;
	char(*names)[HOST_BYTES] = xcalloc((size_t)n, sizeof *names);
	char mine[HOST_BYTES];

	name_node(mine);
	comm_allgather(comm, mine, sizeof mine, names);
	while (strcmp(names[first], mine) != 0)
		first++;
	free(names);
	return comm_split(comm, first);
}

static enum status no_memory(size_t bytes, struct error *err)
{
	return error_set(err, STATUS_FAILED, "no memory for %zu bytes of weights: %s", bytes,
			 strerror(errno));
}

/* Memory of this process alone. */
static enum status map_own(struct shared *shared, size_t bytes, struct error *err)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return no_memory(bytes, err);
	*shared = (struct shared){.memory = memory, .mapped = bytes};
	madvise(memory, bytes, MADV_HUGEPAGE);
	return STATUS_OK;
}

/* Memory that others may map; *fd stays open until they have. */
static enum status map_offered(struct shared *shared, size_t bytes, struct offer *offer, int *fd,
			       struct error *err)
{
	size_t mapped = bytes + TOKEN_BYTES;
	void *memory = MAP_FAILED;

	*fd = memfd_create("weights", MFD_CLOEXEC);
	if (*fd >= 0 && ftruncate(*fd, (off_t)mapped) == 0)
		memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (memory == MAP_FAILED)
		return no_memory(mapped, err);
	*shared = (struct shared){.memory = memory, .mapped = mapped};
	madvise(memory, mapped, MADV_HUGEPAGE);
	if (getrandom(offer->token, TOKEN_BYTES, 0) != TOKEN_BYTES)
		return error_set(err, STATUS_FAILED, "no random bytes: %s", strerror(errno));
	memcpy((char *)memory + bytes, offer->token, TOKEN_BYTES);
	offer->pid = getpid();
	offer->fd = *fd;
	return STATUS_OK;
}

/* Maps what the first rank offers; false if it is not to be had. */
static bool map_theirs(struct shared *shared, size_t bytes, const struct offer *offer)
{
	size_t mapped = bytes + TOKEN_BYTES;
	struct stat info;
	void *memory = MAP_FAILED;
	char path[64];
	int fd;

	if (offer->pid == 0)
		return false;
	snprintf(path, sizeof path, "/proc/%lld/fd/%d", (long long)offer->pid, offer->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &info) == 0 && info.st_size == (off_t)mapped)
		memory = mmap(NULL, mapped, PROT_READ, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (memory == MAP_FAILED)
		return false;
	if (memcmp((const char *)memory + bytes, offer->token, TOKEN_BYTES) != 0) {
		munmap(memory, mapped);
		return false;
	}
	*shared = (struct shared){.memory = memory, .mapped = mapped};
	return true;
}

/* Maps the memory on a node of several ranks.  *writes: this rank fills it.  Collective
 * over node. */
static enum status map_among(struct shared *shared, struct comm *node, size_t bytes, bool *writes,
			     struct error *err)
{
	struct offer offer = {0};
	int fd = -1;
	enum status status = STATUS_OK;

	*writes = comm_is_lead(node);
	if (*writes)
		status = map_offered(shared, bytes, &offer, &fd, err);
	comm_broadcast(node, &offer, sizeof offer, 0);
	if (!*writes && !map_theirs(shared, bytes, &offer)) {
		*writes = true;
		status = map_own(shared, bytes, err);
	}
	status = comm_agree(node, status, err);
	if (fd >= 0)
		close(fd);
	return status;
}

/* Collective over comm, of which node is a part; NULL: this rank is alone. */
static enum status map_and_fill(struct shared *shared, struct comm *comm, struct comm *node,
				size_t bytes, shared_fill *fill, void *context, struct error *err)
{
	bool writes = true;
	enum status status = node && comm_size(node) > 1
				     ? map_among(shared, node, bytes, &writes, err)
				     : map_own(shared, bytes, err);

	shared->is_filled_here = writes;
	if (status == STATUS_OK && writes)
		status = fill(context, shared->memory, err);
	/* Whoever reads waits here for who writes. */
	if (comm)
		status = comm_agree(comm, status, err);
	if (status == STATUS_OK && mprotect(shared->memory, shared->mapped, PROT_READ) != 0)
		die("memory cannot be protected: %s", strerror(errno));
	return status;
}

enum status shared_create(struct shared **out, struct comm *comm, size_t bytes, shared_fill *fill,
			  void *context, struct error *err)
{
	struct shared *shared = xcalloc(1, sizeof *shared);
	struct comm *node = comm && comm_size(comm) > 1 ? node_of(comm) : NULL;
	enum status status =
		map_and_fill(shared, comm, node, bytes ? bytes : 1, fill, context, err);

	comm_free(node);
	*out = NULL;
	if (status == STATUS_OK)
		*out = shared;
	else
		shared_destroy(shared);
	return status;
}

const void *shared_data(const struct shared *shared)
{
	return shared->memory;
}

bool shared_is_filled_here(const struct shared *shared)
{
	return shared->is_filled_here;
}

void shared_destroy(struct shared *shared)
{
	if (!shared)
		return;
	if (shared->memory)
		munmap(shared->memory, shared->mapped);
	free(shared);
}

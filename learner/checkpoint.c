/* Publishing a checkpoint so that a crash at any point leaves a whole one.
 *
 *     step-X.tmp/ is filled        by the caller
 *     every file and directory     hashed and synced
 *     MANIFEST.json                bytes and SHA-256 of each file; written last
 *     step-X.tmp -> step-X         rename, checkpoints/ synced
 *     older ones                   manifest first, then the rest
 *
 * A directory counts only if its manifest and every file in it verify, so what a
 * crash leaves behind (a .tmp directory, a half-removed old one) is never taken
 * for a checkpoint.  Directories of later steps than the one just published were
 * rejected when the run began; they are left for a person to look at until the
 * run reaches their step again. */
#include "learner/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/pool.h"
#include "common/run/fault.h"

#define MANIFEST "MANIFEST.json"
enum { MANIFEST_FORMAT = 1, MAX_MANIFEST_BYTES = 1 << 24, MAX_DEPTH = 8, HASH_THREADS = 8 };

static enum status system_error(struct error *err, const char *path, const char *what)
{
	return error_set(err, STATUS_BAD_INPUT, "%s: %s: %s", path, what, strerror(errno));
}

static void free_names(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* --- what is in it --- */

/* Names inside the checkpoint, as "model/config.json". */
struct names {
	char **items; /* [n], owned */
	size_t n;
};

/* Of a checkpoint: its files, and its directories, "" for itself, each behind those in it. */
struct listing {
	struct names files, dirs;
};

static void names_add(struct names *names, const char *name)
{
	names->items = xrealloc((void *)names->items, names->n + 1, sizeof *names->items);
	names->items[names->n++] = xstrdup(name);
}

static void listing_release(struct listing *listing)
{
	free_names(listing->files.items, listing->files.n);
	free_names(listing->dirs.items, listing->dirs.n);
}

/* Adds what is in dir, which is `name` inside the checkpoint. */
static enum status list_dir(const char *dir, const char *name, int depth, struct listing *listing,
			    struct error *err)
{
	char **names;
	size_t n;
	enum status status;

	if (depth > MAX_DEPTH)
		return error_set(err, STATUS_BAD_INPUT, "%s: directories nest too deep", dir);
	status = file_list(dir, &names, &n, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		char *path = path_join(dir, names[i]), *inner = path_join(name, names[i]);

		if (file_is_dir(path))
			status = list_dir(path, inner, depth + 1, listing, err);
		else
			names_add(&listing->files, inner);
		free(path);
		free(inner);
	}
	free_names(names, n);
	names_add(&listing->dirs, name);
	return status;
}

/* --- hashing and syncing --- */

struct digest {
	uint64_t bytes;
	char sha256[65];
	enum status status;
	struct error err;
};

struct hashing {
	const char *dir;
	const struct names *names;
	bool syncs;
	struct digest *digests; /* [names->n] */
};

static enum status sync_file(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum status status = STATUS_OK;

	if (fd < 0)
		return system_error(err, path, "cannot open");
	if (fsync(fd) != 0)
		status = system_error(err, path, "cannot sync");
	close(fd);
	return status;
}

static void hash_file(void *args, int i, int thread)
{
	const struct hashing *h = args;
	struct digest *digest = &h->digests[i];
	char *path = path_join(h->dir, h->names->items[i]);

	(void)thread;
	digest->status = h->syncs ? sync_file(path, &digest->err) : STATUS_OK;
	if (digest->status == STATUS_OK)
		digest->status = file_sha256(path, &digest->bytes, digest->sha256, &digest->err);
	free(path);
}

/* digests [names->n] of the files, some at a time: a hash takes longer than a disk or the
 * memory of the system wants to give the bytes.  syncs: they are brought to the disk first. */
static struct digest *hash_files(const char *dir, const struct names *names, bool syncs)
{
	struct hashing hashing = {dir, names, syncs, xcalloc(names->n, sizeof(struct digest))};
	int threads = pool_cores() < HASH_THREADS ? pool_cores() : HASH_THREADS;
	struct pool *pool = pool_create(threads);

	pool_run(pool, (int)names->n, hash_file, &hashing);
	pool_destroy(pool);
	return hashing.digests;
}

/* The manifest's entries of all files of a checkpoint, which is then durable. */
static enum status describe_files(const char *dir, struct buf *out, struct error *err)
{
	struct listing listing = {0};
	struct digest *digests = NULL;
	enum status status = list_dir(dir, "", 0, &listing, err);

	if (status == STATUS_OK)
		digests = hash_files(dir, &listing.files, true);
	for (size_t i = 0; i < listing.files.n && status == STATUS_OK; i++) {
		const struct digest *digest = &digests[i];
		const char *name = listing.files.items[i];

		if (digest->status != STATUS_OK) {
			status = digest->status;
			*err = digest->err;
			break;
		}
		buf_append_string(out, out->length ? ",\n    {\"name\": " : "    {\"name\": ");
		json_write_string(out, name, strlen(name));
		buf_printf(out, ", \"bytes\": %" PRIu64 ", \"sha256\": \"%s\"}", digest->bytes,
			   digest->sha256);
	}
	for (size_t i = 0; i < listing.dirs.n && status == STATUS_OK; i++) {
		char *path = path_join(dir, listing.dirs.items[i]);

		status = file_sync_dir(path, err);
		free(path);
	}
	free(digests);
	listing_release(&listing);
	return status;
}

static enum status write_manifest(const struct checkpoint_writer *writer, struct error *err)
{
	char *path = path_join(writer->directory, MANIFEST);
	struct buf files = BUF_INIT, text = BUF_INIT;
	enum status status = describe_files(writer->directory, &files, err);

	if (status == STATUS_OK) {
		buf_printf(&text,
			   "{\n  \"format\": %d,\n  \"step\": %" PRId64 ",\n  \"files\": [\n%s\n"
			   "  ]\n}\n",
			   MANIFEST_FORMAT, writer->step, files.data ? files.data : "");
		status = file_replace(path, text.data, text.length, err);
	}
	buf_release(&files);
	buf_release(&text);
	free(path);
	return status;
}

/* --- the directory of checkpoints --- */

static char *checkpoints_of(const char *run_path)
{
	return path_join(run_path, "checkpoints");
}

/* The step of a directory's name, -1 if it is not a checkpoint's. */
static int64_t step_of(const char *name)
{
	int64_t step = 0;
	size_t n;

	if (strncmp(name, "step-", 5) != 0)
		return -1;
	name += 5;
	n = strspn(name, "0123456789");
	if (n < 8 || n > 18 || name[n])
		return -1;
	for (size_t i = 0; i < n; i++)
		step = 10 * step + (name[i] - '0');
	return step;
}

static bool is_temporary(const char *name)
{
	size_t n = strlen(name);

	return strncmp(name, "step-", 5) == 0 && n > 4 && strcmp(name + n - 4, ".tmp") == 0;
}

/* First the name, durably: what is left is no checkpoint at any moment, and is
 * removed by the next start if this process dies here. */
static enum status remove_checkpoint(const char *dir, const char *path, struct error *err)
{
	char *temporary = xasprintf("%s.old.tmp", path);
	enum status status = file_remove_tree(temporary, err);

	if (status == STATUS_OK && rename(path, temporary) != 0)
		status = system_error(err, path, "cannot rename");
	if (status == STATUS_OK)
		status = file_sync_dir(dir, err);
	fault_point("checkpoint.evict");
	if (status == STATUS_OK)
		status = file_remove_tree(temporary, err);
	free(temporary);
	return status;
}

static int newest_first(const void *a, const void *b)
{
	int64_t x = step_of(*(char *const *)a), y = step_of(*(char *const *)b);

	return (x < y) - (x > y);
}

/* Names of the checkpoints in dir, newest first.  Absent directory: none. */
static enum status list_checkpoints(const char *dir, char ***names, size_t *n, struct error *err)
{
	size_t kept = 0;
	enum status status;

	*names = NULL;
	*n = 0;
	if (!file_exists(dir))
		return STATUS_OK;
	status = file_list(dir, names, n, err);
	if (status != STATUS_OK)
		return status;
	for (size_t i = 0; i < *n; i++) {
		if (step_of((*names)[i]) >= 0)
			(*names)[kept++] = (*names)[i];
		else
			free((*names)[i]);
	}
	*n = kept;
	if (kept > 0)
		qsort(*names, kept, sizeof **names, newest_first);
	return STATUS_OK;
}

/* Removes all of the steps before `step` but the newest keep - 1. */
static enum status evict(const char *dir, int64_t step, int keep, struct error *err)
{
	char **names;
	size_t n;
	int seen = 1; /* the one just published */
	enum status status = list_checkpoints(dir, &names, &n, err);

	for (size_t i = 0; i < n && status == STATUS_OK; i++) {
		char *path;

		if (step_of(names[i]) >= step || seen++ < keep)
			continue;
		path = path_join(dir, names[i]);
		status = remove_checkpoint(dir, path, err);
		free(path);
	}
	free_names(names, n);
	return status == STATUS_OK ? file_sync_dir(dir, err) : status;
}

/* What is newer than the step that a run goes on from was rejected: it is no checkpoint any more,
 * but stays to be looked at. */
static enum status set_rejected_aside(const char *dir, int64_t step, struct error *err)
{
	char **names;
	size_t n;
	enum status status = list_checkpoints(dir, &names, &n, err);

	for (size_t i = 0; i < n && status == STATUS_OK && step_of(names[i]) > step; i++) {
		char *path = path_join(dir, names[i]), *aside = xasprintf("%s.rejected", path);

		status = file_remove_tree(aside, err);
		if (status == STATUS_OK && rename(path, aside) != 0)
			status = system_error(err, path, "cannot rename");
		free(path);
		free(aside);
	}
	free_names(names, n);
	return status;
}

enum status checkpoint_tidy(const char *run_path, int64_t step, int keep, struct error *err)
{
	char *dir = checkpoints_of(run_path);
	enum status status = set_rejected_aside(dir, step, err);

	if (status == STATUS_OK && file_exists(dir))
		status = evict(dir, step, keep, err);
	free(dir);
	return status;
}

/* --- writing --- */

static void writer_release(struct checkpoint_writer *writer)
{
	free(writer->directory);
	free(writer->final_directory);
	free(writer->run_path);
	*writer = (struct checkpoint_writer){0};
}

enum status checkpoint_begin(struct checkpoint_writer *writer, const char *run_path, int64_t step,
			     struct error *err)
{
	char *dir = checkpoints_of(run_path);
	enum status status;

	fault_point("checkpoint.begin");
	*writer = (struct checkpoint_writer){.run_path = xstrdup(run_path), .step = step};
	writer->directory = xasprintf("%s/step-%08" PRId64 ".tmp", dir, step);
	writer->final_directory = xasprintf("%s/step-%08" PRId64, dir, step);
	status = file_remove_tree(writer->directory, err);
	if (status == STATUS_OK)
		status = file_make_dirs(writer->directory, err);
	if (status == STATUS_OK)
		status = file_sync_dir(run_path, err);
	if (status != STATUS_OK)
		checkpoint_abandon(writer);
	free(dir);
	return status;
}

void checkpoint_abandon(struct checkpoint_writer *writer)
{
	struct error err;

	if (writer->directory && file_remove_tree(writer->directory, &err) != STATUS_OK)
		log_warn("%s", err.text);
	writer_release(writer);
}

/* An old directory of this step stands in the way only if it was rejected: the
 * run went on from before it. */
static enum status clear_way(const struct checkpoint_writer *writer, const char *dir,
			     struct error *err)
{
	return file_exists(writer->final_directory)
		       ? remove_checkpoint(dir, writer->final_directory, err)
		       : STATUS_OK;
}

static enum status publish(const struct checkpoint_writer *writer, const char *dir,
			   struct error *err)
{
	enum status status;

	fault_point("checkpoint.before_manifest");
	status = write_manifest(writer, err);
	fault_point("checkpoint.after_manifest");
	if (status == STATUS_OK)
		status = clear_way(writer, dir, err);
	if (status != STATUS_OK)
		return status;
	fault_point("checkpoint.before_rename");
	if (rename(writer->directory, writer->final_directory) != 0)
		return system_error(err, writer->final_directory, "cannot rename to it");
	status = file_sync_dir(dir, err);
	fault_point("checkpoint.after_rename");
	return status;
}

enum status checkpoint_publish(struct checkpoint_writer *writer, int keep, struct error *err)
{
	char *dir = checkpoints_of(writer->run_path);
	enum status status = publish(writer, dir, err);
	struct error warning;

	if (status == STATUS_OK && evict(dir, writer->step, keep, &warning) != STATUS_OK)
		log_warn("an old checkpoint stays: %s", warning.text);
	if (status == STATUS_OK)
		writer_release(writer);
	else
		checkpoint_abandon(writer);
	free(dir);
	return status;
}

/* --- reading --- */

/* A name that stays inside the checkpoint. */
static bool is_safe_name(const struct json *value)
{
	const char *name;
	size_t length;

	if (!value || json_type(value) != JSON_STRING)
		return false;
	name = json_string(value, &length);
	if (length == 0 || strlen(name) != length || name[0] == '/')
		return false;
	for (const char *part = name; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2]))
			return false;
	}
	return true;
}

/* The names that a manifest lists. */
static enum status list_entries(const char *dir, const struct json *files, struct names *names,
				struct error *err)
{
	for (const struct json *entry = json_first(files); entry; entry = json_next(entry)) {
		const struct json *name = json_get(entry, "name"), *sha = json_get(entry, "sha256");
		int64_t bytes;

		if (!is_safe_name(name) || !json_get(entry, "bytes") ||
		    !json_int64(json_get(entry, "bytes"), &bytes) || !sha ||
		    json_type(sha) != JSON_STRING)
			return error_set(err, STATUS_BAD_INPUT,
					 "%s/" MANIFEST ": an entry lacks name, bytes or sha256",
					 dir);
		names_add(names, json_string(name, NULL));
	}
	return STATUS_OK;
}

static enum status verify_entry(const char *path, const struct json *entry,
				const struct digest *digest, struct error *err)
{
	const char *sha256 = json_string(json_get(entry, "sha256"), NULL);
	int64_t bytes = 0;

	json_int64(json_get(entry, "bytes"), &bytes);
	if (digest->status != STATUS_OK) {
		*err = digest->err;
		return digest->status;
	}
	if (digest->bytes != (uint64_t)bytes)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: has %" PRIu64 " bytes, expected %" PRId64, path,
				 digest->bytes, bytes);
	if (strcmp(digest->sha256, sha256) != 0)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s: its SHA-256 is %.16s..., expected %.16s...", path,
				 digest->sha256, sha256);
	return STATUS_OK;
}

static enum status verify_entries(const char *dir, const struct json *files, struct error *err)
{
	const struct json *entry = json_first(files);
	struct names names = {0};
	struct digest *digests = NULL;
	enum status status = list_entries(dir, files, &names, err);

	if (status == STATUS_OK)
		digests = hash_files(dir, &names, false);
	for (size_t i = 0; i < names.n && status == STATUS_OK; i++, entry = json_next(entry)) {
		char *path = path_join(dir, names.items[i]);

		status = verify_entry(path, entry, &digests[i], err);
		free(path);
	}
	free(digests);
	free_names(names.items, names.n);
	return status;
}

static bool is_listed(const struct json *files, const char *name)
{
	for (const struct json *entry = json_first(files); entry; entry = json_next(entry))
		if (strcmp(json_string(json_get(entry, "name"), NULL), name) == 0)
			return true;
	return false;
}

/* What the manifest does not list has not been verified, and would be read all the same; hidden
 * files belong to file systems. */
static enum status verify_listed(const char *dir, const struct json *files, struct error *err)
{
	struct listing listing = {0};
	enum status status = list_dir(dir, "", 0, &listing, err);

	for (size_t i = 0; i < listing.files.n && status == STATUS_OK; i++) {
		const char *name = listing.files.items[i], *slash = strrchr(name, '/');
		bool is_hidden = (slash ? slash[1] : name[0]) == '.';

		if (!is_hidden && strcmp(name, MANIFEST) != 0 && !is_listed(files, name))
			status = error_set(err, STATUS_BAD_INPUT, "%s/%s: is not in the " MANIFEST,
					   dir, name);
	}
	listing_release(&listing);
	return status;
}

/* A directory that is named as another step's has been renamed by somebody. */
static enum status verify_step(const char *path, const struct json *root, struct error *err)
{
	const char *slash = strrchr(path, '/');
	const struct json *number = json_get(root, "step");
	int64_t named = step_of(slash ? slash + 1 : path), step;

	if (!number || !json_int64(number, &step))
		return error_set(err, STATUS_BAD_INPUT, "%s/" MANIFEST ": it has no step", path);
	if (named >= 0 && named != step)
		return error_set(err, STATUS_BAD_INPUT,
				 "%s/" MANIFEST ": its step is %" PRId64
				 ", the directory's is %" PRId64,
				 path, step, named);
	return STATUS_OK;
}

enum status checkpoint_verify(const char *path, struct error *err)
{
	char *manifest = path_join(path, MANIFEST);
	struct json *root = json_read_object(manifest, MAX_MANIFEST_BYTES, err);
	const struct json *format = json_get(root, "format"), *files = json_get(root, "files");
	enum status status = STATUS_OK;
	int64_t number;

	if (!root)
		status = STATUS_BAD_INPUT;
	else if (!format || !json_int64(format, &number) || number != MANIFEST_FORMAT)
		status = error_set(err, STATUS_BAD_INPUT, "%s: its format is not %d", manifest,
				   MANIFEST_FORMAT);
	else if (!files || json_type(files) != JSON_ARRAY || !json_first(files))
		status = error_set(err, STATUS_BAD_INPUT, "%s: it lists no files", manifest);
	if (status == STATUS_OK)
		status = verify_entries(path, files, err);
	if (status == STATUS_OK)
		status = verify_step(path, root, err);
	if (status == STATUS_OK)
		status = verify_listed(path, files, err);
	json_free(root);
	free(manifest);
	return status;
}

/* One that cannot be removed, as where another node has a file of it open, is in nobody's way. */
static enum status remove_temporaries(const char *dir, struct error *err)
{
	struct error warning;
	char **names = NULL;
	size_t n = 0;
	enum status status = file_exists(dir) ? file_list(dir, &names, &n, err) : STATUS_OK;

	for (size_t i = 0; i < n; i++) {
		char *path = path_join(dir, names[i]);

		if (is_temporary(names[i]) && file_remove_tree(path, &warning) != STATUS_OK)
			log_warn("what an interrupted save left stays: %s", warning.text);
		free(path);
	}
	free_names(names, n);
	return status;
}

enum status checkpoint_list(const char *run_path, char ***names, size_t *n, struct error *err)
{
	char *dir = checkpoints_of(run_path);
	enum status status = list_checkpoints(dir, names, n, err);

	free(dir);
	return status;
}

enum status checkpoint_find(const char *run_path, char **path, int64_t *step, struct error *err)
{
	char *dir = checkpoints_of(run_path), **names = NULL;
	struct error reason;
	size_t n = 0;
	enum status status = remove_temporaries(dir, err);

	*path = NULL;
	*step = 0;
	if (status == STATUS_OK)
		status = list_checkpoints(dir, &names, &n, err);
	for (size_t i = 0; i < n && !*path; i++) {
		char *candidate = path_join(dir, names[i]);

		if (checkpoint_verify(candidate, &reason) == STATUS_OK) {
			*path = candidate;
			*step = step_of(names[i]);
		} else {
			log_warn("checkpoint %s rejected: %s", names[i], reason.text);
			free(candidate);
		}
	}
	if (status == STATUS_OK && n > 0 && !*path)
		status = error_set(err, STATUS_NO_CHECKPOINT,
				   "%s: none of its %zu checkpoints is valid; the oldest: %s", dir,
				   n, reason.text);
	free_names(names, n);
	free(dir);
	return status;
}

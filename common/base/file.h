/* Files: reading whole, mapping, publishing by rename with fsync, listing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/* Opens a standard stream that is closed so that its use fails: a file that is opened later
 * would be that stream instead, and get what is printed. */
void file_keep_streams_apart(void);

/* Appends a regular file's bytes to out; refuses more than max_bytes. */
enum status file_read(const char *path, size_t max_bytes, struct buf *out, struct error *err);
/* Whether path is a pipe, as a shell's <(COMMAND) is; and what comes through it to its
 * end, which can be read once. */
bool file_is_pipe(const char *path);
enum status file_read_pipe(const char *path, size_t max_bytes, struct buf *out, struct error *err);

/* A file mapped read-only. */
struct file_map {
	const uint8_t *data;
	size_t size;
};
enum status file_map(struct file_map *map, const char *path, struct error *err);
void file_unmap(struct file_map *map);

/* Lets n files be open beside the usual number, as far as the system's limit may be raised. */
void file_allow_open(size_t n);
/* Opens a regular file for reading: its descriptor, or -1. */
int file_open(const char *path, uint64_t *size, struct error *err);
/* Reads n bytes at an offset; it is an error if the file ends before them. */
enum status file_read_at(int fd, void *data, size_t n, uint64_t offset, const char *path,
			 struct error *err);
/* SHA-256 of a regular file, in hex, and its size. */
enum status file_sha256(const char *path, uint64_t *bytes, char hex[65], struct error *err);
/* Writes all bytes at an offset, through short writes and EINTR. */
enum status file_write_at(int fd, const void *data, size_t n, uint64_t offset, const char *path,
			  struct error *err);

/* Durable replacement: path.tmp is written, synced and renamed to path, and the
 * directory is synced.  On failure path is untouched and path.tmp is removed; where it is the
 * directory that cannot be synced, path is the new file, but a crash may undo that. */
enum status file_replace(const char *path, const void *data, size_t n, struct error *err);
enum status file_copy(const char *from, const char *to, struct error *err); /* bytes, synced */

/* A directory that cannot be synced, for its file system or for want of the right to read it,
 * is left to the system: no error. */
enum status file_sync_dir(const char *path, struct error *err);
enum status file_make_dirs(const char *path, struct error *err);   /* like mkdir -p */
/* The same.  *made, which the caller frees: the first directory that was not there, NULL if
 * there was none; on failure, too. */
enum status file_make_new_dirs(const char *path, char **made, struct error *err);
/* Removes these directories again, those that are empty.  made may be NULL. */
void file_remove_new_dirs(const char *path, const char *made);
enum status file_remove_tree(const char *path, struct error *err); /* absent is fine */
bool file_exists(const char *path); /* also a link to nothing, which cannot be opened */
bool file_is_dir(const char *path);
bool file_is_same(const char *path, const char *other); /* both exist, and are one */
char *path_join(const char *dir, const char *name); /* the caller frees it */

/* Names in a directory without . and .., sorted by bytes; the caller frees each
 * name and the array. */
enum status file_list(const char *dir, char ***names, size_t *n, struct error *err);

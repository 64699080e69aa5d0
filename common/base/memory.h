/* How much memory there is, and where large arrays come from. */
#pragma once

#include <stddef.h>

/* Bytes that processes on this node may use together: the machine's memory, or the least limit
 * of the control groups that this process is in. */
size_t memory_of_node(void);
/* Bytes of them that are free, or can be freed at once. */
size_t memory_available(void);
/* Bytes that this process holds now, without what it has freed and kept. */
size_t memory_in_use(void);
/* Has large arrays come from the system again and go back to it, after an MPI library that
 * was loaded had malloc take all memory from one heap and keep what is freed: between
 * others, a message as large as a model would leave a hole that the next one no longer fits
 * into. */
void memory_give_large_back(void);

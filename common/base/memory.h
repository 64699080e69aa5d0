/* How much memory there is. */
#pragma once

#include <stddef.h>

/* Bytes that processes on this node may use together: the machine's memory, or the limit
 * of the control group that this process is in. */
size_t memory_of_node(void);
/* Bytes of them that are free, or can be freed at once. */
size_t memory_available(void);
/* Bytes that this process holds now, without what it has freed and kept. */
size_t memory_in_use(void);

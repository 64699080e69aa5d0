/* A thread that takes no signals: those are the main thread's. */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/* What a thread may need: kernels keep their blocks on the stack. */
enum { THREAD_STACK_BYTES = 1 << 20 };

/* Lets the stack of the main thread, the one that calls, grow so far, where the limit of
 * the system is lower and may be raised.  False: it may not. */
bool thread_allow_stack(void);

/* Ends the process where no thread is to be had. */
void thread_start(pthread_t *thread, void *(*body)(void *argument), void *argument);

/* A thread that takes no signals: those are the main thread's. */
#pragma once

#include <pthread.h>

/* Ends the process where no thread is to be had. */
void thread_start(pthread_t *thread, void *(*body)(void *argument), void *argument);

/* Starting threads. */
#include "common/base/thread.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/die.h"

bool thread_allow_stack(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= THREAD_STACK_BYTES)
		return true; /* RLIM_INFINITY is the largest number */
	limit.rlim_cur = THREAD_STACK_BYTES;
	return limit.rlim_max >= THREAD_STACK_BYTES && setrlimit(RLIMIT_STACK, &limit) == 0;
}

/* The system's stack, or as much as is needed. */
static void set_stack(pthread_attr_t *attributes)
{
	size_t bytes;

	if (pthread_attr_getstacksize(attributes, &bytes) == 0 && bytes < THREAD_STACK_BYTES)
		pthread_attr_setstacksize(attributes, THREAD_STACK_BYTES);
}

void thread_start(pthread_t *thread, void *(*body)(void *argument), void *argument)
{
	sigset_t all, before;
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	set_stack(&attributes);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, &attributes, body, argument);
	if (error)
		die("cannot start a thread: %s", strerror(error));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
}

/* Starting threads. */
#include "common/base/thread.h"

#include <signal.h>
#include <string.h>

#include "common/base/die.h"

void thread_start(pthread_t *thread, void *(*body)(void *argument), void *argument)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread, NULL, body, argument);
	if (error)
		die("cannot start a thread: %s", strerror(error));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

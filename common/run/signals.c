/* Requests to stop.
 *
 * The handler only raises a flag that the training loop reads between steps.
 * SIGINT's handler removes itself, so a second one does what it does by default.
 *
 * A rank must not outlive its launcher: mpirun killed with SIGKILL would leave
 * ranks that hold the run's lock.  So a rank asks the kernel for SIGKILL at its
 * parent's death.  A process that no launcher started does not: it may well be
 * left running by a shell that exits (nohup). */
#include "common/run/signals.h"

#include <signal.h>
#include <sys/prctl.h>

#include "common/base/die.h"
#include "common/base/launcher.h"

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal)
{
	(void)signal;
	stop_requested = 1;
}

static void handle(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	if (sigaction(signal, &action, NULL) != 0)
		die("cannot set the handler of signal %d", signal);
}

static void install_common(void)
{
	handle(SIGPIPE, SIG_IGN, 0);
	handle(SIGXFSZ, SIG_IGN, 0);
	if (launcher_rank())
		prctl(PR_SET_PDEATHSIG, SIGKILL);
}

void signals_install(void)
{
	handle(SIGUSR1, request_stop, SA_RESTART); /* first: it kills a rank that has none */
	handle(SIGINT, request_stop, SA_RESTART | (int)SA_RESETHAND);
	install_common();
}

void signals_install_plain(void)
{
	handle(SIGUSR1, SIG_IGN, 0);
	install_common();
}

bool signals_stop_requested(void)
{
	return stop_requested;
}

/* Requests to stop.  SIGINT and SIGUSR1 raise a flag (finish the step, save,
 * exit 75); a second SIGINT ends the process now.  SIGTERM is left alone: there
 * is no time to save.  SIGPIPE and SIGXFSZ are ignored: the write fails.  A rank
 * started by an MPI launcher dies with it. */
#pragma once

#include <stdbool.h>

void signals_install(void);
/* For work that has nothing to save: SIGINT ends it and SIGUSR1 is ignored. */
void signals_install_plain(void);
bool signals_stop_requested(void);

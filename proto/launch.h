/* --ranks N: starting mpirun on this machine with what a laptop needs. */
#pragma once

/* Runs "mpirun -n N ... argv without --ranks" and waits for it, allowing more
 * ranks than cores and root in a container; prints the command that it runs.
 * argv[0] is the name of the rlhf command ("ppo"); the program is this executable.
 * SIGINT and SIGUSR1 become SIGUSR1 to mpirun, which forwards it to every rank (a
 * terminal's Ctrl-C would make mpirun kill them), as soon as launch_tell_ready was called: a
 * process that has just been started would die of it.  A second SIGINT ends the job.
 * mpirun dies with this process, and is killed where it stays behind, some seconds after the
 * last of its ranks.  Returns the job's exit code, 128 + n if signal n ended a rank or mpirun,
 * and says so. */
int launch_mpirun(int n_ranks, int argc, char **argv);
/* For one rank: tells launch_mpirun, if this job is of it, that all ranks take SIGUSR1. */
void launch_tell_ready(void);

/* For a process that ends the job because another node does not answer: mpirun would wait
 * for that node, a quarter of an hour if TCP has something to deliver.  Leaves a process
 * behind that ends mpirun, or its daemon on this node, if it is still there after so many
 * seconds.  Other launchers look after themselves. */
void launch_end_soon(int seconds);

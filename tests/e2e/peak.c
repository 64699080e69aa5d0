/* Runs a command and writes the largest memory that it had resident, in bytes.
 *
 *     peak FILE COMMAND ARGUMENT...
 *
 * Under a launcher each rank writes FILE.RANK.  The exit code is the command's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *rank = getenv("OMPI_COMM_WORLD_RANK");
	struct rusage usage;
	char name[512];
	int status;
	FILE *file;
	pid_t pid;

	if (argc < 3)
		return 125;
	pid = fork();
	if (pid == 0) {
		execv(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
		return 126;
	snprintf(name, sizeof name, rank ? "%s.%s" : "%s", argv[1], rank);
	file = fopen(name, "w");
	if (!file || fprintf(file, "%ld\n", usage.ru_maxrss * 1024) < 0 || fclose(file) != 0)
		return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

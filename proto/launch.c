/* See launch.h. */
#include "proto/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/status.h"

/* Whether that process is Open MPI's launcher.  Safe after a fork. */
static bool is_mpirun(pid_t pid)
{
	static const char *const names[] = {"mpirun\n", "mpiexec\n", "orterun\n",
					    "orted\n", "prterun\n", "prted\n"};
	char path[64], name[32] = "";
	int fd;

	snprintf(path, sizeof path, "/proc/%ld/comm", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, name, sizeof name - 1) < 0)
		name[0] = '\0';
	close(fd);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* In a process of its own, of which mpirun knows nothing and whose end it doesn't wait
 * for. */
static _Noreturn void end_mpirun(pid_t pid, int seconds)
{
	setsid();
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
	for (int second = 0; second < seconds && is_mpirun(pid); second++)
		sleep(1);
	if (is_mpirun(pid))
		kill(pid, SIGKILL);
	_exit(0);
}

void launch_end_soon(int seconds)
{
	pid_t launcher = getppid();

	if (launcher > 1 && is_mpirun(launcher) && fork() == 0)
		end_mpirun(launcher, seconds);
}

/* The words of the command; the array ends with NULL. */
struct words {
	const char **items;
	size_t n;
};

static void add_word(struct words *words, const char *word)
{
	words->items = xrealloc(words->items, words->n + 2, sizeof *words->items);
	words->items[words->n++] = word;
	words->items[words->n] = NULL;
}

/* Our arguments, the name of the command first, without --ranks N and --ranks=N;
 * what follows "--" stays. */
static void add_arguments(struct words *words, int argc, char **argv)
{
	bool options_end = false;
	for (int i = 0; i < argc; i++) {
		options_end = options_end || strcmp(argv[i], "--") == 0;
		if (!options_end && strcmp(argv[i], "--ranks") == 0)
			i++;
		else if (options_end || strncmp(argv[i], "--ranks=", 8) != 0)
			add_word(words, argv[i]);
	}
}

/* As a shell would need it. */
static void append_quoted(struct buf *line, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-+=./:,@%";
	if (*word != '\0' && word[strspn(word, plain)] == '\0') {
		buf_append_string(line, word);
		return;
	}
	buf_append_char(line, '\'');
	for (; *word; word++) {
		if (*word == '\'')
			buf_append_string(line, "'\\''");
		else
			buf_append_char(line, *word);
	}
	buf_append_char(line, '\'');
}

static void print_command(const struct words *words)
{
	struct buf line = BUF_INIT;
	for (size_t i = 0; i < words->n; i++) {
		if (i > 0)
			buf_append_char(&line, ' ');
		append_quoted(&line, words->items[i]);
	}
	log_info("running %s", line.data);
	buf_release(&line);
}

/* Where a rank finds the process of launch_mpirun, and what it sends there. */
#define LAUNCHER "RLHF_LAUNCHER"
enum { RANKS_ARE_READY = SIGUSR2 };

void launch_tell_ready(void)
{
	const char *launcher = getenv(LAUNCHER);
	long pid = launcher ? strtol(launcher, NULL, 10) : 0;

	if (pid > 1)
		kill((pid_t)pid, RANKS_ARE_READY);
}

/* In the child.  In a process group of its own, so that the terminal's Ctrl-C
 * does not reach mpirun. */
_Noreturn static void become_mpirun(const struct words *words, pid_t parent, const sigset_t *mask)
{
	char launcher[16];
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(STATUS_FAILED);
	sigprocmask(SIG_SETMASK, mask, NULL);
	signal(SIGPIPE, SIG_DFL);
	/* A bare container: without /sys every rank would complain of it, and where
	 * nothing knows this host's name mpirun would wait 5 s for an answer. */
	setenv("HWLOC_HIDE_ERRORS", "2", 0);
	setenv("RES_OPTIONS", "timeout:1 attempts:1", 0);
	snprintf(launcher, sizeof launcher, "%ld", (long)parent);
	setenv(LAUNCHER, launcher, 1);
	execvp(words->items[0], (char **)(uintptr_t)words->items);
	log_error("--ranks needs mpirun, which could not be started: %s; install Open MPI or leave "
		  "--ranks out",
		  strerror(errno));
	_exit(STATUS_BAD_INPUT);
}

/* --- an mpirun that is left without ranks --- */

/* It is seen to wait for ever for a lock of its own where a rank is killed while others still
 * begin. */
enum { PATIENCE = 10 }; /* seconds between the end of the last rank and that of mpirun */

struct children {
	int n, n_alive;
};

/* Whether a process is there and not only its exit code. */
static bool is_alive(long pid)
{
	char path[64];
	struct buf text = BUF_INIT;
	struct error ignored;
	snprintf(path, sizeof path, "/proc/%ld/stat", pid);
	const char *state = NULL; /* behind the name, which may hold anything */
	if (file_read(path, 4096, &text, &ignored) == STATUS_OK && text.length > 0)
		state = strrchr(text.data, ')');
	bool alive = state && state[1] == ' ' && state[2] != 'Z' && state[2] != 'X';
	buf_release(&text);
	return alive;
}

/* Adds what one thread of a process has started; false if the kernel does not tell. */
static bool count_children_of(pid_t pid, const char *thread, struct children *children)
{
	char path[320];
	struct buf text = BUF_INIT;
	struct error ignored;
	snprintf(path, sizeof path, "/proc/%ld/task/%s/children", (long)pid, thread);
	bool known = file_read(path, 1 << 20, &text, &ignored) == STATUS_OK;
	char *rest = text.data, *end;
	while (known && rest) {
		long child = strtol(rest, &end, 10);
		if (end == rest)
			break;
		rest = end;
		children->n++;
		children->n_alive += is_alive(child);
	}
	buf_release(&text);
	return known;
}

static bool count_children(pid_t pid, struct children *children)
{
	char path[64], **threads;
	size_t n;
	struct error ignored;
	snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
	bool known = file_list(path, &threads, &n, &ignored) == STATUS_OK;
	*children = (struct children){0};
	for (size_t i = 0; i < n; i++) {
		known = known && count_children_of(pid, threads[i], children);
		free(threads[i]);
	}
	free(threads);
	return known;
}

/* What is known of mpirun's ranks. */
struct ranks_seen {
	bool any;
	double alone_since; /* 0: a rank is alive, or there was none yet */
};

/* Whether mpirun should have ended by now. */
static bool is_left_alone(struct ranks_seen *seen, pid_t pid)
{
	struct children children;
	bool known = count_children(pid, &children);
	seen->any = seen->any || children.n > 0;
	if (!known || !seen->any || children.n_alive > 0)
		seen->alone_since = 0;
	else if (seen->alone_since == 0)
		seen->alone_since = clock_now();
	return seen->alone_since > 0 && clock_now() - seen->alone_since > PATIENCE;
}

/* As a shell has it, and mpirun for a rank.  Says what mpirun -q does not: that a signal ended
 * the job.  mpirun has such codes for a few failures of its own too, which it explains. */
static int exit_code(int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	int number = code - 128;
	if (WIFSIGNALED(status))
		log_error("mpirun was ended by signal %d (%s); the same command goes on", number,
			  strsignal(number));
	else if (number > 0 && number < NSIG)
		log_error("mpirun's exit code is %d, that of a rank ended by signal %d (%s)%s; the "
			  "same command goes on",
			  code, number, strsignal(number),
			  number == SIGKILL ? ", as where memory has run out" : "");
	return code;
}

/* Passes requests to stop on, once all ranks take them, until mpirun ends. */
static int wait_for_mpirun(pid_t pid, const sigset_t *signals)
{
	int n_interrupts = 0;
	bool is_ready = false, is_asked = false;
	struct ranks_seen seen = {0};
	for (;;) {
		const struct timespec second = {.tv_sec = 1};
		int number = sigtimedwait(signals, NULL, &second);
		if (number == SIGINT && n_interrupts++ > 0)
			kill(pid, SIGTERM);
		is_asked = is_asked || number == SIGINT || number == SIGUSR1;
		is_ready = is_ready || number == RANKS_ARE_READY;
		if (is_asked && is_ready) {
			kill(pid, SIGUSR1);
			is_asked = false;
		}
		int status;
		if (waitpid(pid, &status, WNOHANG) == pid)
			return exit_code(status);
		if (number < 0 && is_left_alone(&seen, pid)) {
			log_warn("mpirun has not ended %d s after the last of its ranks, and is "
				 "killed; the same command goes on",
				 PATIENCE);
			kill(pid, SIGKILL);
			seen = (struct ranks_seen){0};
		}
	}
}

static int run_mpirun(const struct words *words)
{
	sigset_t signals, mask;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, RANKS_ARE_READY);
	sigaddset(&signals, SIGCHLD);
	signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would hide the exit code */
	signal(SIGPIPE, SIG_IGN); /* a run does not end for want of a reader of what is said here */
	sigprocmask(SIG_BLOCK, &signals, &mask);
	print_command(words);
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid == 0)
		become_mpirun(words, parent, &mask);
	int code = STATUS_FAILED;
	if (pid < 0)
		log_error("cannot start a process for mpirun: %s", strerror(errno));
	else
		code = wait_for_mpirun(pid, &signals);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return code;
}

int launch_mpirun(int n_ranks, int argc, char **argv)
{
	char count[16];
	snprintf(count, sizeof count, "%d", n_ranks);
	char program[4096];
	ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
	if (length <= 0) {
		log_error("cannot find this program's own file: %s", strerror(errno));
		return STATUS_FAILED;
	}
	program[length] = '\0';

	struct words words = {0};
	add_word(&words, "mpirun");
	add_word(&words, "-n");
	add_word(&words, count);
	add_word(&words, "--oversubscribe");
	add_word(&words, "--bind-to");
	add_word(&words, "none");
	add_word(&words, "-q"); /* an exit code of ours needs no explanation by mpirun */
	if (geteuid() == 0)
		add_word(&words, "--allow-run-as-root");
	add_word(&words, program);
	add_arguments(&words, argc, argv);
	int code = run_mpirun(&words);
	free(words.items);
	return code;
}

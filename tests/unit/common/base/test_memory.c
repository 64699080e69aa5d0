/* The limits of control groups, in a file system made for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.c"

static char root[64];
static struct error err;

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/rlhf-test-memory-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
	(void)state;
	return file_remove_tree(root, &err) == STATUS_OK ? 0 : -1;
}

static void put(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", root, name), *parent = xstrdup(path);

	*strrchr(parent, '/') = '\0';
	assert_int_equal(file_make_dirs(parent, &err), STATUS_OK);
	assert_int_equal(file_replace(path, text, strlen(text), &err), STATUS_OK);
	free(path);
	free(parent);
}

static void check(size_t limit, size_t left)
{
	assert_int_equal(least_of_groups(root, group_limit), limit);
	assert_int_equal(least_of_groups(root, group_left), left);
}

static void test_without_groups_there_is_no_limit(void **state)
{
	(void)state;
	check(SIZE_MAX, SIZE_MAX);
	put("proc/self/cgroup", "0::/\n");
	check(SIZE_MAX, SIZE_MAX);
	put("sys/fs/cgroup/memory.max", "max\n");
	put("sys/fs/cgroup/memory.current", "5\n");
	check(SIZE_MAX, SIZE_MAX);
}

static void test_the_least_of_the_groups_around_counts(void **state)
{
	(void)state;
	put("proc/self/cgroup", "0::/slurm/job_7/step_0\n");
	put("sys/fs/cgroup/slurm/job_7/memory.max", "4000\n");
	put("sys/fs/cgroup/slurm/job_7/memory.current", "3000\n");
	put("sys/fs/cgroup/slurm/job_7/memory.stat", "anon 900\ninactive_file 500\n");
	put("sys/fs/cgroup/slurm/job_7/step_0/memory.max", "max\n");
	put("sys/fs/cgroup/slurm/job_8/memory.max", "10\n");
	check(4000, 1500);
	put("sys/fs/cgroup/slurm/memory.max", "9000\n");
	put("sys/fs/cgroup/slurm/memory.current", "8900\n");
	check(4000, 100);
	put("sys/fs/cgroup/slurm/job_7/step_0/memory.max", "70\n");
	put("sys/fs/cgroup/slurm/job_7/step_0/memory.current", "80\n");
	check(70, 0);
}

static void test_the_first_version_is_read_too(void **state)
{
	(void)state;
	put("proc/self/cgroup", "5:cpu,memory:/job/0\n4:memory_other:/other\n1:name=x:/x\n0::/\n");
	put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "600\n");
	put("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "500\n");
	put("sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 50\n");
	put("sys/fs/cgroup/memory/other/memory.limit_in_bytes", "3\n");
	put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
	check(600, 150);
}

static void test_a_group_that_is_not_seen_here_is_passed_over(void **state)
{
	(void)state;
	put("proc/self/cgroup", "0::/docker/0123\n");
	put("sys/fs/cgroup/memory.max", "800\n");
	check(800, SIZE_MAX);
	put("proc/self/cgroup", "0::/../../outside\n");
	put("outside/memory.max", "1\n");
	check(800, SIZE_MAX);
	put("proc/self/cgroup", "nonsense\n::\n\n");
	check(800, SIZE_MAX);
}

static void test_this_machine_has_memory(void **state)
{
	(void)state;
	assert_true(memory_of_node() >= memory_available());
	assert_true(memory_available() > memory_in_use());
	assert_true(memory_in_use() > 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_without_groups_there_is_no_limit),
		CASE(test_the_least_of_the_groups_around_counts),
		CASE(test_the_first_version_is_read_too),
		CASE(test_a_group_that_is_not_seen_here_is_passed_over),
		CASE(test_this_machine_has_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

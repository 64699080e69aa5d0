#!/usr/bin/env bash
# Runs the tests that make has built and ends with one line: "N passed, N failed".
#
#   tests/run.sh OBJECTS all|unit|soak [LAYER]
#
# A unit test is a program; an MPI test says its rank counts in its first line
# ("/* ranks: 1 2 3 4 */"); an end-to-end test is a script that is given the
# program's path.  The output of a test is shown when it fails, or with V=1.
set -u
cd "$(dirname "$0")/.." || exit 1
objects=$1 what=$2 layer=${3:-}
export RLHF=$PWD/$objects/rlhf
[ "${objects#/}" = "$objects" ] || RLHF=$objects/rlhf
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export HWLOC_HIDE_ERRORS=2 # in a bare container without /sys
# mpirun looks its own host's name up: where nothing knows it, not for 5 seconds.
export RES_OPTIONS=${RES_OPTIONS:-timeout:1 attempts:1}
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
# Open MPI itself holds memory to its end; leaks are looked for without it.
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$PWD/tests/lsan.supp:print_suppressions=0}
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

run() { # NAME COMMAND...
	local name=$1 began=$SECONDS rc
	shift
	"$@" >"$log" 2>&1 </dev/null
	rc=$?
	if [ $rc -eq 0 ]; then
		passed=$((passed + 1))
		printf 'ok      %s (%ds)\n' "$name" $((SECONDS - began))
		[ -z "${V:-}" ] || cat "$log"
	elif [ $rc -eq 77 ]; then
		skipped=$((skipped + 1))
		printf 'skipped %s: %s\n' "$name" "$(tail -n 1 "$log")"
	else
		failed=$((failed + 1))
		printf 'FAILED  %s, exit %d\n' "$name" $rc
		cat "$log"
	fi
}

# A layer may have no tests of its own.
if [ "$what" != soak ] && [ -d "tests/unit/$layer" ]; then
	for source in $(find "tests/unit/$layer" -name 'test_*.c' | sort); do
		run "${source%.c}" "$objects/${source%.c}"
	done
fi
if [ "$what" = all ]; then
	for source in tests/fuzz/fuzz_*.c; do
		[ -e "$source" ] || continue
		name=${source##*/fuzz_}
		run "${source%.c}" "$objects/${source%.c}" "tests/fuzz/corpus/${name%.c}"
	done
	for source in tests/mpi/test_*.c; do
		[ -e "$source" ] || continue
		for n in $(sed -n '1s,.*ranks: \([0-9 ]*\).*,\1,p' "$source"); do
			run "${source%.c} on $n" mpirun -n "$n" "$objects/${source%.c}"
		done
	done
	for script in tests/e2e/test_*.sh; do
		[ -e "$script" ] && run "${script%.sh}" "$script"
	done
fi
if [ "$what" = soak ]; then
	for script in tests/e2e/soak_*.sh; do
		[ -e "$script" ] && run "${script%.sh}" "$script"
	done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]

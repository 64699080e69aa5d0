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
work=$(mktemp -d)
export work
trap 'rm -rf "$work"' EXIT

run() { # NAME COMMAND...
	local name=$1 began=$SECONDS rc log
	log=$(mktemp -p "$work")
	shift
	"$@" >"$log" 2>&1 </dev/null
	rc=$?
	(
		flock 9
		if [ $rc -eq 0 ]; then
			echo passed >>"$work/results"
			printf 'ok      %s (%ds)\n' "$name" $((SECONDS - began))
			[ -z "${V:-}" ] || cat "$log"
		elif [ $rc -eq 77 ]; then
			echo skipped >>"$work/results"
			printf 'skipped %s: %s\n' "$name" "$(tail -n 1 "$log")"
		else
			echo failed >>"$work/results"
			printf 'FAILED  %s, exit %d\n' "$name" $rc
			cat "$log"
		fi
	) 9>"$work/lock"
}
export -f run

# A line for each test: its name and its command.
unit_tests() {
	local source
	# A layer may have no tests of its own.
	[ -d "tests/unit/$layer" ] || return 0
	for source in $(find "tests/unit/$layer" -name 'test_*.c' | sort); do
		echo "${source%.c} $objects/${source%.c}"
	done
}

fuzz_tests() {
	local source name
	for source in tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_}
		echo "${source%.c} $objects/${source%.c} tests/fuzz/corpus/${name%.c}"
	done
}

mpi_tests() {
	local source n
	for source in tests/mpi/test_*.c; do
		for n in $(sed -n '1s,.*ranks: \([0-9 ]*\).*,\1,p' "$source"); do
			echo "\"${source%.c} on $n\" mpirun -n $n $objects/${source%.c}"
		done
	done
}

scripts() { # KIND
	local script
	for script in tests/e2e/"$1"_*.sh; do
		echo "${script%.sh} $script"
	done
}

tests() {
	case $what in
	all)
		unit_tests
		fuzz_tests
		mpi_tests
		scripts test
		;;
	unit) unit_tests ;;
	soak) scripts soak ;;
	esac
}

count() { # RESULT
	grep -cx "$1" "$work/results"
}

jobs=${JOBS:-$(nproc)}
[ "$what" != soak ] || jobs=1
touch "$work/results"
tests | xargs -r -P "$jobs" -L 1 bash -uc 'run "$@"' run
echo "$(count passed) passed, $(count failed) failed, $(count skipped) skipped"
[ "$(count failed)" -eq 0 ] && [ "$(count passed)" -gt 0 ]

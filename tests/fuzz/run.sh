#!/usr/bin/env bash
# Runs clang's libFuzzer on each target for some seconds: make fuzz.
#
#   tests/fuzz/run.sh OBJECTS SECONDS [TARGET...]
#
# The search starts from tests/fuzz/corpus/TARGET; what it finds to be new goes to
# OBJECTS/found/TARGET, and an input that crashes, leaks or hangs to OBJECTS/crashes.
set -u
cd "$(dirname "$0")/../.." || exit 1
objects=$1 seconds=$2
shift 2
targets=("$@")
if [ $# -eq 0 ]; then
	for source in tests/fuzz/fuzz_*.c; do
		name=${source##*/fuzz_}
		targets+=("${name%.c}")
	done
fi
export LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mkdir -p "$objects/crashes"
failed=0
for target in "${targets[@]}"; do
	mkdir -p "$objects/found/$target"
	"$objects/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 \
		-print_final_stats=1 -artifact_prefix="$objects/crashes/$target-" \
		"$objects/found/$target" "tests/fuzz/corpus/$target" >"$objects/found/$target.log" 2>&1
	rc=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$objects/found/$target.log")
	new=$(find "$objects/found/$target" -type f | wc -l)
	if [ $rc -eq 0 ]; then
		echo "ok      $target: ${runs:-0} inputs, $new of them reached something new"
	else
		failed=1
		echo "FAILED  $target after ${runs:-?} inputs, exit $rc; see $objects/found/$target.log"
		grep -m 3 -E 'ERROR|SUMMARY|Test unit written' "$objects/found/$target.log"
	fi
done
exit $failed

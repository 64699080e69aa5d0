#!/usr/bin/env bash
# deploy/slurm/ppo.sbatch on a real Slurm of two emulated nodes: a job that is warned,
# one that loses a rank, one that is cancelled, and one with bad input.
#
#   tests/cluster/test_slurm.sh PROGRAM
#
# Ends with "N passed, N failed"; where Slurm is missing, says so and exits 0.
set -u
export RLHF=${1:?usage: test_slurm.sh PROGRAM}
here=$(cd "$(dirname "$0")" && pwd)
. "$here/jobs.sh"
missing=$(missing_program)
if [ -n "$missing" ]; then
	echo "skipped: $missing is not installed (deploy/install-deps.sh --with-slurm)"
	exit 0
fi
[ -n "${RLHF_CLUSTER:-}" ] || exec "$here/cluster.sh" 2 "$0" "$RLHF"

passed=0 failed=0

run() { # NAME FUNCTION
	local began=$SECONDS
	if "$2" >case.log 2>&1; then
		passed=$((passed + 1))
		printf 'ok      %s (%ds)\n' "$1" $((SECONDS - began))
	else
		failed=$((failed + 1))
		printf 'FAILED  %s\n' "$1"
		cat case.log ppo.*.out
	fi
	scancel --user="$(id -un)" 2>/dev/null
	rm -f ppo.*.out
}

runs_under_mpirun() {
	mpirun --oversubscribe -n 4 "$RLHF" ppo ppo.json --set run.dir=reference &&
		[ "$(wc -l <reference/metrics.jsonl)" -eq 12 ]
}

# The signal that Slurm gives before a time limit.
saves_and_requeues_when_warned() {
	local job
	job=$(submit -- ppo.json --set run.dir=warned) && await_step warned 3 30 || return 1
	scancel --signal=USR1 --batch "$job"
	await_end "$job" 60 && job_ended "$job" COMPLETED 0 1 || return 1
	grep -q 'stopped after step [0-9]*; the same command goes on' "ppo.$job.out" &&
		grep -q 'resuming from .*checkpoints/step-' "ppo.$job.out" &&
		same_bytes warned reference
}

# Under mpirun, which starts ranks in another way.
requeues_after_a_lost_rank() {
	local job rank
	job=$(RLHF_LAUNCHER=mpirun submit -- ppo.json --set run.dir=lost) && await_step lost 7 30 ||
		return 1
	rank=$(grep -lzxF "RLHF_CLUSTER=$RLHF_CLUSTER" /proc/[0-9]*/environ 2>/dev/null |
		xargs grep -lzxF "SLURM_JOB_ID=$job" 2>/dev/null |
		xargs grep -lzxF 'OMPI_COMM_WORLD_RANK=3' 2>/dev/null | tr -dc '0-9\n')
	kill -KILL "$rank" && await_end "$job" 60 && job_ended "$job" COMPLETED 0 1 &&
		grep -q 'resuming from .*step-00000005' "ppo.$job.out" && same_bytes lost reference
}

does_not_requeue_when_cancelled() {
	local job
	job=$(submit -- ppo.json --set run.dir=cancelled) && await_step cancelled 2 30 || return 1
	scancel "$job"
	sleep 1
	await_end "$job" 30 && [ "$(job_field "$job" JobState)" = CANCELLED ] &&
		[ "$(job_field "$job" Restarts)" -eq 0 ]
}

does_not_requeue_bad_input() {
	local job
	job=$(submit -- ppo.json --set data.prompts=nowhere.jsonl --set run.dir=bad) &&
		await_end "$job" 30 && job_ended "$job" FAILED 2 0 &&
		grep -q 'nowhere.jsonl' "ppo.$job.out"
}

make_task || exit 1
run 'plain mpirun, the reference' runs_under_mpirun
run 'a warned job saves, requeues itself, ends with the same bytes' saves_and_requeues_when_warned
run 'a job that lost a rank is requeued, ends with the same bytes' requeues_after_a_lost_rank
run 'a cancelled job stays cancelled' does_not_requeue_when_cancelled
run 'bad input is final' does_not_requeue_bad_input
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

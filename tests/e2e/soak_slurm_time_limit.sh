#!/usr/bin/env bash
# A job on an emulated Slurm cluster that needs more time than its limit allows: Slurm
# warns it, it saves and requeues itself, as often as it takes, and ends with the
# bytes of a run under plain mpirun.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${RLHF:=$here/../../build/rlhf}"
export RLHF
. "$here/../cluster/jobs.sh"
missing=$(missing_program)
if [ -n "$missing" ]; then
	echo "$missing is not installed"
	exit 77
fi
[ -n "${RLHF_CLUSTER:-}" ] || exec "$here/../cluster/cluster.sh" 2 "$0"

fail() {
	echo "FAILED: $*"
	cat ppo.*.out 2>/dev/null
	exit 1
}

plain() { # RUN ITERATIONS
	mpirun -q --oversubscribe -n 4 "$RLHF" ppo ppo.json --set "run.dir=$1" \
		--set "ppo.iterations=$2" 2>"$1.log" || fail "$1: $(cat "$1.log")"
}

make_task || exit 1
plain pace 10
# Iterations that last about 100 s here.
iterations=$(sed -E 's/.*"time\/step":([0-9.e-]+).*/\1/' pace/metrics.jsonl |
	awk '{ s += $1 } END { printf "%d", 100 * NR / s }')
plain reference "$iterations"
# Slurm looks at limits about twice a minute and warns up to a minute early.
job=$(submit --time=2 --signal=B:USR1@60 -- ppo.json --set run.dir=limited \
	--set "ppo.iterations=$iterations") || fail 'sbatch'
await_end "$job" 480 || fail 'too slow'
restarts=$(job_field "$job" Restarts)
[ "$restarts" -ge 1 ] || fail "the job was not restarted in $iterations iterations"
job_ended "$job" COMPLETED 0 "$restarts" || fail "job $job"
grep -q 'SIGUSR1' "ppo.$job.out" || fail 'Slurm did not warn the job'
[ "$(grep -c 'stopped after step' "ppo.$job.out")" -eq "$restarts" ] || fail 'not every stop was clean'
same_bytes limited reference || fail 'the bytes differ'
echo "$iterations iterations, $restarts restarts"

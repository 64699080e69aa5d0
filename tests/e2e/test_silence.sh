#!/usr/bin/env bash
# A rank that is alive and does nothing more is named, with role, host and phase, and ends
# the job; the same command goes on to the same bytes.  One that is slow does not.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
deadlock=${RLHF%/rlhf}/tests/e2e/deadlock
host=$(uname -n)
make_toy
make_rows
mpirun --oversubscribe -n 4 "$RLHF" ppo config.json --set run.dir=whole 2>log || fail "$(cat log)"

# ends RANKS SENTENCE COMMAND...: with exit code 1, in a few seconds, and one error.
ends() {
	local ranks=$1 sentence=$2 rc=0 begin=$SECONDS
	shift 2
	on "$ranks" "$@" >log 2>&1 || rc=$?
	[ $rc -eq 1 ] || fail "exit $rc, expected 1: $*: $(cat log)"
	[ $((SECONDS - begin)) -lt 20 ] || fail "took $((SECONDS - begin)) s: $*"
	[ "$(grep -c '^rlhf: error: ' log)" -eq 1 ] || fail "not one error: $*: $(cat log)"
	grep -qE "^rlhf: error: $sentence; the job ends here$" log || fail "no \"$sentence\": $(cat log)"
}

# In each role; rank 1 speaks where rank 0 cannot.
for stopped in '0 learner.0 ppo.updated' '2 actor.1 actor.prompts' '3 reward.0 reward.rollouts'; do
	read -r rank role point <<<"$stopped"
	RLHF_FAULT=stop:$point:3 RLHF_FAULT_RANK=$rank ends 4 \
		"rank $rank \\($role\\) on host $host has been silent for [23]\\.[0-9] s, last in phase [a-z]+" \
		"$RLHF" ppo config.json --set run.dir="run-$rank" --set run.heartbeat_timeout=2
	grep -q "warning: rank $rank ($role) on host $host has been silent for 0" log ||
		fail "no warning: $(cat log)"
	mpirun --oversubscribe -n 4 "$RLHF" ppo config.json --set run.dir="run-$rank" 2>log ||
		fail "after rank $rank was silent: $(cat log)"
	same_run whole "run-$rank" "rank $rank was silent"
done
RLHF_FAULT=stop:train.updated:3 RLHF_FAULT_RANK=1 ends 2 \
	"rank 1 \\(learner.1\\) on host $host has been silent for [23]\\.[0-9] s, last in phase [a-z]+" \
	"$RLHF" pretrain pretrain.json --set run.heartbeat_timeout=2

# Stopped for a while, it is waited for.
rm log # which names a silent rank 1 already
RLHF_FAULT=stop:actor.prompts:3 RLHF_FAULT_RANK=1 mpirun --oversubscribe -n 4 "$RLHF" ppo config.json \
	--set run.dir=short --set run.heartbeat_timeout=12 2>log &
job=$!
until grep -qs 'rank 1 .* has been silent' log; do
	kill -0 $job || fail "ended: $(cat log)"
	sleep 0.1
done
# shellcheck disable=SC2046 # a list
kill -CONT $(running_in short)
wait $job || fail "exit $? after a short silence: $(cat log)"
grep -q 'warning: rank 1 is back after' log || fail "no return: $(cat log)"
same_run whole short 'a rank was silent for a while'

# All alive: nobody works, or one does and the others wait.  Where mpirun takes longer than that
# to end the others, they complain of the one that has ended.
ends 2 "every rank has waited for the others for 2 s: rank 0 on host $host in phase testing; rank 1 on host $host in phase testing" \
	"$deadlock" 2 wait
on 3 "$deadlock" 0.5 busy >log 2>&1 || fail "a busy rank: exit $?: $(cat log)"
[ ! -s log ] || fail "a busy rank: $(cat log)"

# An mpirun that stays behind when its ranks are gone is ended by --ranks.
mkdir stuck
cat >stuck/mpirun <<'SH'
#!/bin/sh
sleep 2 &
exec sleep 1000
SH
chmod +x stuck/mpirun
rc=0
PATH=$PWD/stuck:$PATH timeout 60 "$RLHF" pretrain pretrain.json --ranks 2 2>log || rc=$?
[ $rc -eq 137 ] || fail "exit $rc with an mpirun that stays behind, expected 137: $(cat log)"
grep -q 'warning: mpirun has not ended 10 s after the last of its ranks' log || fail "$(cat log)"

#!/usr/bin/env bash
# A killed run goes on to the same bytes: at every named point of a save, in each
# role, and at random moments.  So does a supervised one.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/e2e/kill.sh
. "$here/tests/e2e/kill.sh"
make_toy
mpirun --oversubscribe -n 4 "$RLHF" ppo config.json --set run.dir=whole 2>log || fail "$(cat log)"
for point in checkpoint.begin checkpoint.policy checkpoint.critic checkpoint.moments \
	checkpoint.before_manifest checkpoint.after_manifest checkpoint.before_rename \
	checkpoint.after_rename checkpoint.evict final.begin final.end; do
	kill_at 0 $point 1
done
kill_at 0 checkpoint.after_rename 3
kill_at 4 ppo.updated 3
kill_at 4 actor.prompts 4
kill_at 4 reward.rollouts 5
# --ranks says so, where mpirun is quiet, and goes on, whether anybody reads what it says or not.
rc=0
RLHF_FAULT=kill:actor.prompts:4 "$RLHF" ppo config.json --ranks 4 --set run.dir=said 2>log || rc=$?
[ $rc -eq 137 ] || fail "a rank that was killed: exit $rc, expected 137: $(cat log)"
grep -qxE 'rlhf: error: .* 137, that of a rank ended by signal 9 \(Killed\).*; the same command goes on' log ||
	fail "a rank that was killed: $(cat log)"
mkfifo unread
exec 4<>unread 5>unread 4<&-
"$RLHF" ppo config.json --ranks 4 --set run.dir=said 2>&5 || fail "exit $? without a reader"
same_run whole said 'after a rank of --ranks was killed'
run_with_kills random 5 4 ppo config.json

mv whole whole-ppo
make_rows
"$RLHF" pretrain pretrain.json --set run.dir=whole 2>log || fail "$(cat log)"
run_with_kills alone 3 0 pretrain pretrain.json
run_with_kills together 2 2 pretrain pretrain.json

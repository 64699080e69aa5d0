#!/usr/bin/env bash
# A killed run goes on to the same bytes: at every named point of a save, in each
# role, and at random moments.
. "$(dirname "$0")/common.sh"
. "$here/tests/e2e/kill.sh"
make_toy
mpirun --oversubscribe -n 4 "$RLHF" ppo config.json --set run.dir=whole 2>log || fail "$(cat log)"
for point in $save_points; do
	kill_at "$point" 1
done
kill_at checkpoint.after_rename 2
kill_at ppo.updated 3
kill_at actor.prompts 4
kill_at reward.rollouts 5
run_with_kills random 5

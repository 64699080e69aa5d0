#!/usr/bin/env bash
# Fifty random kills of ranks and of mpirun itself.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/e2e/kill.sh
. "$here/tests/e2e/kill.sh"
make_toy
mpirun --oversubscribe -n 4 "$RLHF" ppo config.json --set run.dir=whole 2>log || fail "$(cat log)"
for i in 1 2 3 4 5 6 7 8 9 10; do
	run_with_kills "random-$i" 5
done

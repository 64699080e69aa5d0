#!/usr/bin/env bash
# Fifty random kills of the ranks of a ppo run, and of mpirun itself; two hundred of a
# pretrain run, alone and on several ranks.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=tests/e2e/kill.sh
. "$here/tests/e2e/kill.sh"
make_toy
mpirun --oversubscribe -n 4 "$RLHF" ppo config.json --set run.dir=whole 2>log || fail "$(cat log)"
for i in 1 2 3 4 5 6 7 8 9 10; do
	run_with_kills "random-$i" 5 4 ppo config.json
done

mv whole whole-ppo
make_rows
"$RLHF" pretrain pretrain.json --set run.dir=whole 2>log || fail "$(cat log)"
run_with_kills alone 100 0 pretrain pretrain.json
run_with_kills two 50 2 pretrain pretrain.json
run_with_kills four 50 4 pretrain pretrain.json

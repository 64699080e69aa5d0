#!/usr/bin/env bash
# The same bytes for any layout of the roles, and the first update's ratio is 1.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
make_toy
on 0 "$RLHF" ppo config.json --set run.dir=alone 2>log || fail "alone: $(cat log)"
layout() { # RANKS LEARNERS ACTORS REWARDS
	local run=run-$2-$3-$4
	on "$1" "$RLHF" ppo config.json --set run.dir="$run" --set roles.learner="$2" \
		--set roles.actor="$3" --set roles.reward="$4" 2>log || fail "$run: $(cat log)"
	same_run alone "$run" "layout $2+$3+$4"
}
layout 3 1 1 1
layout 4 1 2 1
layout 6 2 2 2
layout 6 1 3 2
on 4 "$RLHF" ppo config.json --set run.dir=default 2>log || fail "default roles: $(cat log)"
same_run alone default 'default roles on 4 ranks'
on 0 "$RLHF" ppo config.json --set run.dir=threads --set run.threads=1 2>log || fail "$(cat log)"
same_run alone threads '1 thread'
on 0 "$RLHF" ppo config.json --set run.dir=again --set ppo.recompute=true 2>log || fail "$(cat log)"
same_run alone again 'recomputed activations'

[ "$(wc -l <alone/metrics.jsonl)" -eq 6 ] || fail 'metrics.jsonl does not have a line for each step'
[ "$(grep -c '"val/first_ratio_deviation":0,' alone/metrics.jsonl)" -eq 6 ] ||
	fail 'the first ratio is not exactly 1 at every iteration'
head -n 1 alone/metrics.jsonl | grep -q '"objective/kl":0,' || fail 'KL is not 0 at iteration 1'
[ "$(sed 1d alone/metrics.jsonl | grep -c '"objective/kl":0,')" -eq 0 ] || fail 'the policy did not move'
"$RLHF" inspect alone/final >/dev/null || fail 'the result is not sound'
"$RLHF" ppo config.json --set run.dir=alone 2>log || fail 'a finished run did not exit 0'
grep -q 'finished' log || fail 'a finished run did not say so'

# A log-probability that is not the learner's ends the run before anything is updated.
differs() { # RANKS DIR
	if RLHF_FAULT=nan:actor.logprob:5 on "$1" "$RLHF" ppo config.json --set run.dir="$2" \
		--set ppo.minibatches=1 --set ppo.verify=16 2>log; then
		fail "$2: a wrong log-probability went unnoticed"
	fi
	grep -q 'step 1, row [0-9]*, token 0: .* must be equal to the bit' log || fail "$2: $(cat log)"
	[ ! -s "$2/metrics.jsonl" ] || fail "$2: the step was taken"
}
differs 0 wrong
differs 4 wrong-4

# A learner whose policy is another one than the lead's, were it not found at the start.
mkdir elsewhere
"$make_model" elsewhere/policy lm 24 9
cp -r judge prompts.jsonl config.json elsewhere
ppo=("$RLHF" ppo config.json --set run.dir="$PWD/unlike" --set roles.learner=2 --set roles.actor=1
	--set roles.reward=1)
if RLHF_FAULT=omit:comparison mpirun --oversubscribe -n 1 "${ppo[@]}" : -n 1 -wdir "$PWD/elsewhere" "${ppo[@]}" : \
	-n 2 "${ppo[@]}" 2>log; then
	fail 'two learners began with unlike policies, unnoticed'
fi
grep -q 'step 1: the actors. log-probabilities are not all' log || fail "$(cat log)"

# A reference that is not the policy as it starts: weights of nodes are compared among learners
# and among reward ranks, but not with each other.
ppo=("$RLHF" ppo config.json --set run.dir="$PWD/apart" --set roles.learner=1 --set roles.actor=1
	--set roles.reward=1)
if mpirun --oversubscribe -n 2 "${ppo[@]}" : -n 1 -wdir "$PWD/elsewhere" "${ppo[@]}" 2>log; then
	fail 'another reference than the policy went unnoticed'
fi
grep -q 'step 1: the reference, which is the policy as it starts, gives' log || fail "$(cat log)"

#!/usr/bin/env bash
# A policy that is sampled from and trained in weights rounded to bfloat16 beside masters
# in float32: with all promises, the probabilities being those of the rounded weights.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

run() { # RANKS DIR ARGUMENT...
	local ranks=$1 dir=$2
	shift 2
	on "$ranks" "$RLHF" ppo config.json --set run.dir="$dir" --set rollout.weights=bf16 "$@" \
		2>log || fail "$dir: $(cat log)"
}

metric() { # RUN NAME: of each step
	sed -E "s|.*\"$2\":([^,}]*).*|\1|" "$1/metrics.jsonl"
}

# Rollouts of a step against `logprobs` of the checkpoint that sampled them.
agrees() { # RUN STEP CHECKPOINT
	grep "\"step\":$2," "$1/rollouts.jsonl" >rollouts
	sed -E 's/.*"prompt_ids":\[([^]]*)\],"completion_ids":\[([^]]*)\].*/{"input_ids":[\1,\2]}/' \
		rollouts >ids.jsonl
	sed -E 's/.*"logprobs":\[([^]]*)\],"ref.*/\1/' rollouts >sampled
	"$RLHF" logprobs --model "$3" --input ids.jsonl --weights bf16 2>log |
		sed -E 's/.*"logprobs":\[(.*)\]\}/\1/' >computed || fail "$(cat log)"
	paste -d '|' sampled computed | awk -F'|' '
		substr($2, length($2) - length($1) + 1) != $1 || $1 == "" { bad++ }
		END { exit bad > 0 || NR == 0 }' || fail "$1: step $2 is not of $3"
}

make_toy
"$RLHF" ppo config.json --set run.dir=floats 2>log || fail "$(cat log)"
run 0 alone
cmp -s floats/rollouts.jsonl alone/rollouts.jsonl && fail 'nothing is rounded'
for ranks in 3 4; do
	run $ranks on-$ranks
	same_run alone on-$ranks "on $ranks ranks"
done
run 4 two-learners --set roles.learner=2 --set roles.actor=1 --set roles.reward=1
same_run alone two-learners 'with two learners'
run 0 threads --set run.threads=2
same_run alone threads 'on 2 threads'
[ "$(metric alone val/first_ratio_deviation | sort -u)" = 0 ] || fail 'a first ratio is not 1'
[ "$(metric alone objective/kl | head -n 1)" = 0 ] || fail 'the reference is not rounded alike'
agrees alone 1 policy
agrees alone 5 alone/checkpoints/step-00000004/model

# Killed and gone on.
if RLHF_FAULT=kill:checkpoint.after_rename:2 "$RLHF" ppo config.json --set run.dir=killed \
	--set rollout.weights=bf16 2>log; then
	fail 'the fault was not passed'
fi
run 4 killed
same_run alone killed 'after a kill'

# What is saved is not rounded: small steps would otherwise be lost.
"$RLHF" logprobs --model alone/final --input prompts.jsonl >exact 2>log || fail "$(cat log)"
"$RLHF" logprobs --model alone/final --input prompts.jsonl --weights bf16 >rounded 2>log ||
	fail "$(cat log)"
cmp -s exact rounded && fail 'the result is rounded'

# A checkpoint in bfloat16 starts alike with floats.
"$make_model" policy-bf16 lm 24 1 bf16
"$RLHF" ppo config.json --set policy.path=policy-bf16 --set run.dir=first 2>log ||
	fail "$(cat log)"
run 0 second --set policy.path=policy-bf16
cmp <(grep '"step":1,' first/rollouts.jsonl) <(grep '"step":1,' second/rollouts.jsonl) ||
	fail 'step 1 differs though nothing was rounded'
run 0 exact-reference --set reference.weights=f32
[ "$(metric exact-reference objective/kl | head -n 1)" != 0 ] || fail 'the reference is rounded'

# An adapter beside a rounded base.
lora=(--set lora.r=2)
run 0 adapter "${lora[@]}"
run 4 adapter-on-4 "${lora[@]}"
same_run adapter adapter-on-4 'an adapter on 4 ranks'
[ "$(metric adapter val/first_ratio_deviation | sort -u)" = 0 ] || fail 'a first ratio is not 1'
[ "$(metric adapter objective/kl | head -n 1)" = 0 ] || fail 'the reference is not the base'
run 0 adapter-again --set lora.path=adapter/final
[ "$(metric adapter-again objective/kl | head -n 1)" = 0 ] ||
	fail 'the reference is not the base with its adapter'

# The rounding belongs to the run.
rc=0
"$RLHF" ppo config.json --set run.dir=on-3 --set reference.weights=bf16 >out 2>log || rc=$?
[ $rc -eq 2 ] && grep -qF '"rollout.weights" is "f32"' log || fail "exit $rc: $(cat log)"

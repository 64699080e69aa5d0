#!/usr/bin/env bash
# Weights held in bfloat16: of a checkpoint in bfloat16 every byte of output is the same,
# of another the bytes differ and keep their promises; PPO judges by such models.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

refused() { # SENTENCE COMMAND...
	local sentence=$1 rc=0
	shift
	"$@" >out 2>log || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc of $*"
	grep -qF -- "$sentence" log || fail "$(cat log)"
	[ ! -s out ] || fail "output of $*"
}

make_toy
mv judge judge-f32
"$make_model" policy-bf16 lm 24 1 bf16
"$make_model" judge reward 24 2 bf16
for i in $(seq 1 70); do
	echo "{\"input_ids\":[1,$((i % 7 + 2)),$((i % 5 + 3)),$((i % 11 + 4)),$((i % 3))]}"
done >rows.jsonl

# What is in bfloat16 already loses nothing.
for command in logprobs generate; do
	"$RLHF" $command --model policy-bf16 --input rows.jsonl >floats 2>log || fail "$(cat log)"
	"$RLHF" $command --model policy-bf16 --input rows.jsonl --weights bf16 >held 2>log ||
		fail "$(cat log)"
	cmp floats held || fail "$command of a checkpoint in bfloat16 changes"
done
"$RLHF" score --model judge --input rows.jsonl >floats 2>log || fail "$(cat log)"
"$RLHF" score --model judge --input rows.jsonl --weights bf16 >held 2>log || fail "$(cat log)"
cmp floats held || fail 'score of a checkpoint in bfloat16 changes'

# Other weights are rounded: the same bytes on any ranks, generated or not.
"$RLHF" logprobs --model policy --input rows.jsonl >floats 2>log || fail "$(cat log)"
"$RLHF" logprobs --model policy --input rows.jsonl --weights bf16 >held 2>log || fail "$(cat log)"
cmp -s floats held && fail 'bfloat16 changes nothing'
for ranks in 2 3; do
	on $ranks "$RLHF" logprobs --model policy --input rows.jsonl --weights bf16 \
		--output ranks 2>log || fail "$(cat log)"
	cmp held ranks || fail "other bytes on $ranks ranks"
done
"$RLHF" generate --model policy --input prompts.jsonl --weights bf16 --max-new-tokens 9 \
	--seed 4 >made 2>log || fail "$(cat log)"
paste -d ' ' prompts.jsonl made |
	sed -E 's/^\{"input_ids":\[([^]]*)\]\} .*"completion_ids":\[([^]]*)\].*/{"input_ids":[\1,\2]}/' >both.jsonl
"$RLHF" logprobs --model policy --input both.jsonl --weights bf16 2>log |
	sed -E 's/.*"logprobs":\[(.*)\]\}/\1/' >expected || fail "$(cat log)"
sed -E 's/.*"logprobs":\[([^]]*)\].*/\1/' made >found
awk -F, 'NR == FNR { tail[FNR] = $0; next } {
	n = length(tail[FNR])
	if (substr($0, length($0) - n + 1) != tail[FNR] || n == 0) bad++
} END { exit bad > 0 || FNR != 10 }' found expected || fail 'generate disagrees with logprobs'

refused '--weights is "half", expected f32 or bf16' \
	"$RLHF" logprobs --model policy --input rows.jsonl --weights half
refused '--weights bf16 is for models without --adapter' \
	"$RLHF" logprobs --model policy --input rows.jsonl --weights bf16 --adapter policy

# PPO whose judge and reference are held so.  From checkpoints in bfloat16 it is the run
# with floats; from others it is one of its own, on any ranks.
held=(--set reference.weights=bf16 --set reward.sources.0.weights=bf16)
"$RLHF" ppo config.json --set policy.path=policy-bf16 --set run.dir=floats-run 2>log ||
	fail "$(cat log)"
"$RLHF" ppo config.json --set policy.path=policy-bf16 --set run.dir=held-run "${held[@]}" 2>log ||
	fail "$(cat log)"
same_run floats-run held-run 'bfloat16 in ppo from bfloat16'
sed -i 's/"judge"/"judge-f32"/' config.json
"$RLHF" ppo config.json --set run.dir=plain 2>log || fail "$(cat log)"
"$RLHF" ppo config.json --set run.dir=one "${held[@]}" 2>log || fail "$(cat log)"
cmp -s plain/final/model.safetensors one/final/model.safetensors && fail 'nothing is rounded'
"$RLHF" ppo config.json --set run.dir=judged --set reward.sources.0.weights=bf16 2>log ||
	fail "$(cat log)"
cmp -s plain/rollouts.jsonl judged/rollouts.jsonl && fail 'the judge is not rounded'
on 4 "$RLHF" ppo config.json --set run.dir=four "${held[@]}" 2>log || fail "$(cat log)"
same_run one four 'bfloat16 in ppo on 4 ranks'
"$RLHF" ppo config.json --set run.dir=short --set ppo.iterations=2 --set schedule.name=constant \
	"${held[@]}" 2>log || fail "$(cat log)"
refused '"reference.weights" is "f32"' "$RLHF" ppo config.json --set run.dir=short \
	--set schedule.name=constant --set reward.sources.0.weights=bf16
refused '"reference.weights" is "half"' "$RLHF" ppo config.json --set run.dir=other \
	--set reference.weights=half
"$RLHF" ppo config.json --set lora.r=2 --set ppo.iterations=2 --set run.dir=first 2>log ||
	fail "$(cat log)"
refused '"reference.weights" is bf16, but the reference is a base with the adapter' \
	"$RLHF" ppo config.json --set lora.path=first/final --set run.dir=second "${held[@]}"
[ ! -e other ] && [ ! -e second ] || fail 'a refused run has a directory'

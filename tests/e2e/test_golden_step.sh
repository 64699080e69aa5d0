#!/usr/bin/env bash
# One step of gradient descent at rate 1 moves every tensor of a checkpoint by its
# gradient as transformers computes it, in every family.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden_step=${RLHF%/rlhf}/tests/e2e/golden_step
n=0
for dir in "$here"/tests/golden/models/*; do
	name=${dir##*/}
	if [ ! -e "$dir/model.safetensors" ] || ! grep -q grad. "$dir/golden.safetensors"; then
		continue
	fi
	"$golden_step" rows "$dir" input_ids >"$name.jsonl"
	cat >config.json <<-JSON
		{"run": {"dir": "$name"}, "model": {"path": "$dir"},
		 "data": {"train": "$name.jsonl", "packing": false},
		 "train": {"steps": 1, "batch_size": $(wc -l <"$name.jsonl")},
		 "optimizer": {"name": "sgd", "learning_rate": 1, "max_grad_norm": 0}}
	JSON
	"$RLHF" pretrain config.json 2>log || fail "$name: $(cat log)"
	"$golden_step" check "$dir" "$name/final" || fail "$name: the step is not the gradient"
	n=$((n + 1))
done
[ $n -gt 0 ] || fail 'no model was tried'

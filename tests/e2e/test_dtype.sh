#!/usr/bin/env bash
# Training from a checkpoint in bfloat16: the run's state is float32, its result is
# bfloat16 again, or of several types where the checkpoint was, and a run that was killed and
# resumed gives the same bytes.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

dtypes() { # FILE: the types of its tensors
	"$RLHF" inspect "$1" | sed -nE 's/.* (F32|BF16|F16) .*/\1/p' | sort -u
}

make_toy
rm -r policy
"$make_model" policy lm 24 1 bf16
[ "$(dtypes policy/model.safetensors)" = BF16 ] || fail 'the policy is not bfloat16'

"$RLHF" ppo config.json --set run.dir=whole 2>log || fail "$(cat log)"
RLHF_FAULT=kill:checkpoint.after_rename:1 "$RLHF" ppo config.json --set run.dir=killed 2>log &&
	fail 'not killed'
"$RLHF" ppo config.json --set run.dir=killed 2>log || fail "$(cat log)"
same_run whole killed 'a resumed run from bfloat16'
[ "$(dtypes whole/final/model.safetensors)" = BF16 ] || fail 'the result is not bfloat16'
[ "$(dtypes whole/checkpoints/step-00000006/model/model.safetensors)" = F32 ] ||
	fail 'the state is not float32'

"$RLHF" ppo config.json --set run.dir=wide --set model.save_dtype=f32 2>log || fail "$(cat log)"
[ "$(dtypes wide/final/model.safetensors)" = F32 ] || fail 'the result is not float32'
cmp wide/final/model.safetensors whole/checkpoints/step-00000006/model/model.safetensors ||
	fail 'a result in float32 is not the state'

# From float32 to bfloat16.
"$RLHF" ppo config.json --set run.dir=narrow --set policy.path=wide/final --set ppo.iterations=1 \
	--set model.save_dtype=bf16 2>log || fail "$(cat log)"
[ "$(dtypes narrow/final/model.safetensors)" = BF16 ] || fail 'the result is not bfloat16'

# Of several types: each tensor of the result has its own, before and after a kill.
types() { # FILE: names and types of its tensors
	"$RLHF" inspect "$1" --tensors | sed -nE 's/^([a-z].*[^ ]) +(F32|BF16) .*/\1 \2/p'
}
rm -r policy
"$make_model" policy lm 24 1 mixed
types policy/model.safetensors >policy.types
[ "$(grep -c F32 policy.types)" -eq 5 ] && [ "$(grep -c BF16 policy.types)" -eq 16 ] ||
	fail "the policy is not of two types: $(cat policy.types)"
make_rows
for point in checkpoint.after_rename:1 final.begin:1; do
	rm -rf whole killed
	"$RLHF" pretrain pretrain.json --set run.dir=whole 2>log || fail "$(cat log)"
	RLHF_FAULT=kill:$point "$RLHF" pretrain pretrain.json --set run.dir=killed 2>log &&
		fail "$point was passed alive"
	"$RLHF" pretrain pretrain.json --set run.dir=killed 2>log || fail "$(cat log)"
	same_run whole killed "a run of two types, killed at $point"
	types killed/final/model.safetensors | diff policy.types - || fail 'types have changed'
	cmp whole/final/config.json killed/final/config.json || fail 'another config.json'
done
[ "$(dtypes whole/checkpoints/step-00000008/model/model.safetensors)" = F32 ] ||
	fail 'the state is not float32'

#!/usr/bin/env bash
# Adapters in every training command: the same bytes on any number of ranks and after
# kills, adapters alone in the result, a base that stays as it is, and what merging makes
# of them.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
make_toy
make_rows
lora=(--set 'lora.target_modules=["q_proj","v_proj","up_proj","down_proj"]' --set lora.r=4)

# The policy's adapter alone travels and is saved; the first ratio is 1.
on 0 "$RLHF" ppo config.json "${lora[@]}" --set run.dir=whole 2>log || fail "ppo: $(cat log)"
[ "$(grep -c '"val/first_ratio_deviation":0,' whole/metrics.jsonl)" -eq 6 ] ||
	fail 'the first ratio is not exactly 1 at every iteration'
head -n 1 whole/metrics.jsonl | grep -q '"objective/kl":0,' || fail 'KL is not 0 at iteration 1'
[ "$(sed 1d whole/metrics.jsonl | grep -c '"objective/kl":0,')" -eq 0 ] || fail 'the policy did not move'
[ "$(cd whole/final && echo *)" = 'adapter_config.json adapter_model.safetensors' ] ||
	fail "the result is $(ls whole/final)"
layout() { # RANKS LEARNERS ACTORS REWARDS
	local run=run-$2-$3-$4
	on "$1" "$RLHF" ppo config.json "${lora[@]}" --set run.dir="$run" --set roles.learner="$2" \
		--set roles.actor="$3" --set roles.reward="$4" 2>log || fail "$run: $(cat log)"
	same_run whole "$run" "layout $2+$3+$4"
}
layout 3 1 1 1
layout 6 2 2 2
for point in checkpoint.critic:2 checkpoint.after_rename:2 final.begin:1; do
	rm -rf killed
	(RLHF_FAULT=kill:$point "$RLHF" ppo config.json "${lora[@]}" --set run.dir=killed) >log 2>&1 &&
		fail "$point was passed alive"
	"$RLHF" ppo config.json "${lora[@]}" --set run.dir=killed 2>log || fail "resumed: $(cat log)"
	same_run whole killed "ppo with an adapter, killed at $point"
done
on 0 "$RLHF" ppo config.json "${lora[@]}" --set run.dir=full-critic --set critic.lora=false 2>log ||
	fail "a whole critic: $(cat log)"
"$RLHF" inspect full-critic/checkpoints/step-00000006/critic >/dev/null 2>log || fail "$(cat log)"

# Another base under a run's adapter is refused.
cp -r policy another
"$RLHF" pretrain pretrain.json "${lora[@]}" --set model.path=another --set run.dir=sft 2>log ||
	fail "pretrain: $(cat log)"
"$make_model" another lm 24 9
rc=0
"$RLHF" pretrain pretrain.json "${lora[@]}" --set model.path=another --set run.dir=sft \
	--set train.steps=9 2>log || rc=$?
[ $rc -eq 2 ] || fail "another base: exit $rc: $(cat log)"
grep -q 'error: another: these are not the weights' log || fail "$(cat log)"

# Going on from an adapter, in another command too; the reference of ppo is then the
# policy as it starts.
"$RLHF" pretrain pretrain.json "${lora[@]}" --set run.dir=first 2>log || fail "$(cat log)"
"$RLHF" ppo config.json --set lora.path=first/final --set run.dir=second 2>log || fail "$(cat log)"
head -n 1 second/metrics.jsonl | grep -q '"objective/kl":0,' || fail 'KL is not 0 from an adapter on'
on 3 "$RLHF" ppo config.json --set lora.path=first/final --set run.dir=third 2>log || fail "$(cat log)"
same_run second third 'from an adapter on, on 3 ranks'

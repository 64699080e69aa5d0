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
[ "$(cd whole/final && echo *)" = 'adapter_config.json adapter_model.safetensors model' ] ||
	fail "the result is $(ls whole/final)"
for part in . checkpoints/step-00000006; do
	"$RLHF" inspect whole/$part >/dev/null 2>log || fail "inspect whole/$part: $(cat log)"
done
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
"$RLHF" pretrain pretrain.json "${lora[@]}" --set model.path=another --set run.dir=based 2>log ||
	fail "pretrain: $(cat log)"
"$make_model" another lm 24 9
rc=0
"$RLHF" pretrain pretrain.json "${lora[@]}" --set model.path=another --set run.dir=based \
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

# A run is no adapter, but the adapter is near, for every command that takes one.
not_an_adapter() { # EXPECTED COMMAND...
	local expected=$1 rc=0
	shift
	"$@" >log 2>&1 || rc=$?
	[ $rc -eq 2 ] || fail "$*: exit $rc: $(cat log)"
	grep -qxE "rlhf: error: $expected" log || fail "$*: $(cat log)"
}
run='first: is the directory of a run, expected an adapter: the run.s result is first/final'
not_an_adapter "$run" "$RLHF" merge --model policy --adapter first --output no
not_an_adapter "$run" "$RLHF" logprobs --model policy --adapter first --input rows.jsonl
not_an_adapter "$run" "$RLHF" pretrain pretrain.json --set lora.path=first --set run.dir=no
not_an_adapter '(.*): is a checkpoint of a run, expected an adapter: that is \1/model' \
	"$RLHF" merge --model policy --adapter first/checkpoints/step-00000008 --output no

# What the config says beside lora.path agrees with that adapter, or is refused.
"$RLHF" pretrain pretrain.json --set lora.path=first/final --set run.dir=on 2>log || fail "$(cat log)"
"$RLHF" pretrain on/config.json --set run.dir=again 2>log || fail "its own config.json: $(cat log)"
same_run on again 'from an adapter on, by the config.json of such a run'
"$RLHF" pretrain pretrain.json "${lora[@]}" --set lora.path=first/final --set run.dir=said 2>log ||
	fail "$(cat log)"
same_run on said 'from an adapter on, with its own r and target_modules beside it'
for said in lora_alpha=16 'modules_to_save=norm' r=8 'target_modules=all-linear' use_rslora=true; do
	rc=0
	"$RLHF" pretrain pretrain.json --set lora.path=first/final --set "lora.$said" --set run.dir=no \
		2>log || rc=$?
	[ $rc -eq 2 ] || fail "lora.$said beside lora.path: exit $rc: $(cat log)"
	grep -q "error: first/final: this adapter has .*, but lora.${said%=*} is" log || fail "$(cat log)"
	[ ! -e no/config.json ] || fail "lora.$said beside lora.path has begun a run"
done

# Merging and --adapter agree; the base stays as it is.
sha256sum policy/* >policy.was
sed 's/"input_ids"/"prompt_ids"/' rows.jsonl | head -n 8 >ids.jsonl
"$RLHF" merge --model policy --adapter first/final --output merged 2>log || fail "merge: $(cat log)"
sha256sum --quiet -c policy.was || fail 'the base has changed'
near() { # COMMAND MODEL ADAPTER MERGED: numbers of both within 1e-5
	"$RLHF" "$1" --model "$2" --adapter "$3" --input rows.jsonl >adapted 2>log || fail "$1: $(cat log)"
	"$RLHF" "$1" --model "$4" --input rows.jsonl >one 2>log || fail "$1: $(cat log)"
	cmp -s adapted one && fail "$1: merging and adapting have the same bits, so nothing was adapted"
	paste -d ' ' <(grep -o -- '-\?[0-9][0-9.e-]*' adapted) <(grep -o -- '-\?[0-9][0-9.e-]*' one) |
		awk '{ d = $1 - $2; if (d * d > 1e-10) { print; exit 1 } } END { exit NR < 40 }' ||
		fail "$1: merged and adapted differ"
	"$RLHF" "$1" --model "$2" --input rows.jsonl >base 2>log || [ "$1" = score ] || fail "$(cat log)"
	cmp -s adapted base && fail "$1: the adapter changes nothing"
	true
}
near logprobs policy first/final merged
for taken in policy first/final/; do
	rc=0
	"$RLHF" merge --model policy --adapter first/final --output $taken 2>log || rc=$?
	[ $rc -eq 2 ] || fail "merge into $taken: exit $rc"
	grep -q "error: --output is $taken, which is merged from" log || fail "$(cat log)"
done
# What is somebody else's is refused before the work.
mkdir -p others
touch others/notes.txt
rc=0
"$RLHF" merge --model policy --adapter first/final --output others 2>log || rc=$?
{ [ $rc -eq 2 ] && grep -q 'error: others: ' log; } || fail "merge over another's files: $rc: $(cat log)"
if grep -q 'layers adapted' log; then fail "merge works before it looks at --output: $(cat log)"; fi
"$RLHF" generate --model policy --adapter first/final --input ids.jsonl --max-new-tokens 8 --seed 1 \
	>adapted 2>log || fail "generate: $(cat log)"
"$RLHF" generate --model merged --input ids.jsonl --max-new-tokens 8 --seed 1 >one 2>log ||
	fail "generate: $(cat log)"
cmp <(sed 's/"logprobs":[^]]*]//' adapted) <(sed 's/"logprobs":[^]]*]//' one) ||
	fail 'other completions from the merged model'

# Every other kind of training, and the heads that are trained whole beside an adapter.
for i in $(seq 0 39); do
	echo "{\"prompt_ids\":[1,$((i % 7 + 2))],\"completion_ids\":[$((i % 5 + 3)),4],\"label\":$((i % 2))}"
done >sft.jsonl
for i in $(seq 0 39); do
	echo "{\"prompt_ids\":[1,$((i % 7 + 2))],\"chosen_ids\":[$((i % 5 + 3)),4],\"rejected_ids\":[9,$((i % 3 + 5))]}"
done >pairs.jsonl
sed 's/,"label".*/}/; s/{"prompt_ids":\(.*\),"completion_ids":\[/{"input_ids":\1 /; s/\] /,/; s/,,/,/' \
	sft.jsonl | awk '{ sub(/}$/, ""); printf "%s,\"label\":%d}\n", $0, NR % 3 }' >labelled.jsonl
stage() { # COMMAND DATA
	sed "s/rows.jsonl/$2/" pretrain.json >"$1.json"
	"$RLHF" "$1" "$1.json" "${lora[@]}" --set run.dir="$1" 2>log || fail "$1: $(cat log)"
	on 2 "$RLHF" "$1" "$1.json" "${lora[@]}" --set run.dir="$1-2" 2>log || fail "$1: $(cat log)"
	same_run "$1" "$1-2" "$1 with an adapter on 2 ranks"
	(RLHF_FAULT=kill:checkpoint.after_rename:2 "$RLHF" "$1" "$1.json" "${lora[@]}" \
		--set run.dir="$1-3") >log 2>&1 && fail 'not killed'
	"$RLHF" "$1" "$1.json" "${lora[@]}" --set run.dir="$1-3" 2>log || fail "$1: $(cat log)"
	same_run "$1" "$1-3" "$1 with an adapter, killed"
	for part in . checkpoints/step-00000008 final; do
		"$RLHF" inspect "$1/$part" >/dev/null 2>log || fail "$1/$part: $(cat log)"
	done
	"$RLHF" merge --model policy --adapter "$1/final" --output "$1-merged" 2>log ||
		fail "$1: $(cat log)"
	"$RLHF" inspect "$1-merged" >/dev/null 2>log || fail "$1: $(cat log)"
}
stage sft sft.jsonl
stage dpo pairs.jsonl
stage reward-train pairs.jsonl
near score policy reward-train/final reward-train-merged
stage classify labelled.jsonl
near score policy classify/final classify-merged

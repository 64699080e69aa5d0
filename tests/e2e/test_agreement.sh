#!/usr/bin/env bash
# Ranks that were started differently, or that find other files at the same paths, as on nodes
# of which one has an old copy: one sentence, exit code 2, and nothing is written.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
# What needs no MPI is printed by the first rank.
for arguments in --help 'sft --help' 'sft --print-config' 'inspect -h'; do
	# shellcheck disable=SC2086
	"$RLHF" $arguments >alone
	# shellcheck disable=SC2086
	on 3 "$RLHF" $arguments >thrice
	cmp alone thrice || fail "rlhf $arguments says something else on three ranks"
done

make_toy
make_rows
mkdir elsewhere
cp -r policy judge ./*.json ./*.jsonl elsewhere

check_refused() { # PATTERN MPIRUN-ARGUMENTS...
	local pattern=$1 rc=0 log out
	log=$(mktemp -p "$work") out=$(mktemp -p "$work")
	shift
	mpirun --oversubscribe "$@" >"$out" 2>"$log" </dev/null || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc, expected 2: $*: $(cat "$log")"
	[ "$(grep -c '^rlhf:' "$log")" -eq 1 ] || fail "not one line: $*: $(cat "$log")"
	grep -qE "^rlhf: error: $pattern" "$log" || fail "no \"$pattern\": $*: $(cat "$log")"
	[ ! -s "$out" ] || fail "$*: wrote to standard output: $(cat "$out")"
}

# An mpirun whose ranks have failed takes a second to end: several wait together.
pending=()
refused() {
	check_refused "$@" &
	pending+=($!)
}
settle() { # before what they read is changed
	local job
	for job in "${pending[@]}"; do
		wait "$job" || exit 1
	done
	pending=()
	if compgen -G '*none-*' >/dev/null; then fail "left $(find none-*)"; fi
}

# --- command lines ---
# Whichever rank it is, and whatever the others would do then.
for command in 'generate --model policy --input prompts.jsonl' 'ppo config.json'; do
	read -ra good <<<"$command"
	refused 'unknown option --bogus' -n 1 "$RLHF" "${good[@]}" : -n 1 "$RLHF" "${good[@]}" --bogus
	refused 'unknown option --bogus' -n 1 "$RLHF" "${good[@]}" --bogus : -n 1 "$RLHF" "${good[@]}"
done
refused 'unknown command "generat"' -n 1 "$RLHF" generate --model policy --input prompts.jsonl : \
	-n 1 "$RLHF" generat
other='rank 1 on host .* has another command line than rank 0 on host'
refused "$other" -n 1 "$RLHF" logprobs --model policy --input prompts.jsonl : -n 1 "$RLHF" ppo config.json
refused "$other" -n 1 "$RLHF" generate --model policy --input prompts.jsonl : \
	-n 1 "$RLHF" generate --model policy --input prompts.jsonl --samples 2
settle
cp "$RLHF" rebuilt
printf x >>rebuilt
refused 'rank 1 on host .* has another build than rank 0 on host' -n 1 "$RLHF" score --model judge \
	--input prompts.jsonl : -n 1 ./rebuilt score --model judge --input prompts.jsonl
settle

# --- other files at the same paths ---
unlike() { # PATTERN BEFORE AFTER COMMAND...: of BEFORE + 1 + AFTER ranks one is elsewhere
	local pattern=$1 before=$2 after=() command=("$RLHF" "${@:4}")
	[[ $5 != *.json ]] || command+=(--set run.dir="none-${#pending[@]}")
	[ "$3" -eq 0 ] || after=(: -n "$3" "${command[@]}")
	refused "$pattern" -n "$before" "${command[@]}" : -n 1 -wdir "$work/elsewhere" "${command[@]}" \
		"${after[@]}"
}

# What is trained, its adapter, what it is compared with; and the base that actors read.
echo '{"prompt_ids":[1,2],"chosen_ids":[3,4],"rejected_ids":[9,5]}' | tee pairs.jsonl >elsewhere/pairs.jsonl
"$RLHF" pretrain pretrain.json --set run.dir=adapted --set lora.r=2 2>log || fail "$(cat log)"
mv adapted/final adapter
cp -r adapter elsewhere/
rm -r elsewhere/policy
"$make_model" elsewhere/policy lm 24 7
cp -r policy reference
cp -r elsewhere/policy elsewhere/reference
other='rank 1 on host .* has another'
unlike "$other model at policy than rank 0 on host" 1 0 pretrain pretrain.json
unlike "$other model at policy than rank 0 on host" 1 0 pretrain pretrain.json --set lora.r=2
roles=(--set roles.learner=2 --set roles.actor=1 --set roles.reward=1)
unlike "$other policy at policy than rank 0 on host" 1 2 ppo config.json "${roles[@]}"
roles=(--set roles.learner=1 --set roles.actor=1 --set roles.reward=1)
unlike "$other model at policy than rank 0 on host" 1 1 ppo config.json "${roles[@]}" \
	--set lora.r=2
settle
rm -r elsewhere/policy
cp -r policy elsewhere/
unlike "$other model at reference than rank 0 on host" 1 0 dpo pretrain.json \
	--set data.train=pairs.jsonl --set reference.path=reference
settle
printf '\001' | dd of=elsewhere/adapter/adapter_model.safetensors bs=1 conv=notrunc status=none \
	seek=$(($(wc -c <adapter/adapter_model.safetensors) - 3))
unlike "$other adapter at adapter than rank 0 on host" 1 0 pretrain pretrain.json \
	--set lora.path=adapter
unlike "$other adapter at adapter than rank 0 on host" 1 0 logprobs --model policy \
	--adapter adapter --input prompts.jsonl
roles=(--set roles.learner=1 --set roles.actor=1 --set roles.reward=1)
unlike 'rank 2 on host .* has another adapter at adapter than rank 0 on host' 2 0 ppo config.json \
	"${roles[@]}" --set lora.path=adapter
settle

# What is said of the same weights: here, another epsilon.
sed -i 's/1e-05/1e-02/' elsewhere/policy/config.json
unlike "$other model at policy than rank 0 on host" 1 0 pretrain pretrain.json
unlike "$other model at policy than rank 0 on host" 1 0 logprobs --model policy --input prompts.jsonl
unlike "$other model at policy than rank 0 on host" 1 1 ppo config.json "${roles[@]}"
unlike 'rank 2 on host .* has another model at policy than rank 0 on host' 2 0 ppo config.json \
	"${roles[@]}"
settle
cp policy/config.json elsewhere/policy/

# Tokenizers.
cp "$here"/tests/golden/tokenizers/byte_level/tokenizer*.json .
"$make_model" speaker lm 2000 3
"$make_model" listener reward 2000 4
cp tokenizer*.json speaker/
cp tokenizer*.json listener/
cp -r speaker listener elsewhere/
sed -i 's/"add_prefix_space": false/"add_prefix_space": true/' elsewhere/speaker/tokenizer.json
cmp -s speaker/tokenizer.json elsewhere/speaker/tokenizer.json && fail 'the tokenizers are alike'
echo '{"prompt":"abc"}' | tee texts.jsonl >elsewhere/texts.jsonl
unlike "$other model at speaker than rank 0 on host" 1 0 generate \
	--model speaker --input texts.jsonl
roles=(--set roles.learner=1 --set roles.actor=1 --set roles.reward=2)
unlike "$other model at speaker than rank 0 on host" 1 0 tokenize --model speaker --input texts.jsonl
roles=(--set roles.learner=1 --set roles.actor=1 --set roles.reward=2)
ppo=(ppo config.json --set policy.path=speaker --set reward.sources.0.path=listener
	--set data.prompts=texts.jsonl "${roles[@]}")
unlike 'rank 3 on host .* has another model at speaker than rank 0 on' 3 0 "${ppo[@]}"
settle
mv elsewhere/speaker/tokenizer.json elsewhere/listener/
cp speaker/tokenizer.json elsewhere/speaker/
unlike 'rank 3 on host .* has another model at listener than rank 2 on' 3 0 "${ppo[@]}"
settle

# Models of a size of their own: one copy of the same size is shared on a machine.
rm -r elsewhere/judge
"$make_model" elsewhere/judge reward 25 2
unlike 'rank 3 on host .* has another model at judge than rank 2 on host' 3 0 ppo \
	config.json --set roles.learner=1 --set roles.actor=1 --set roles.reward=2
unlike 'rank 1 on host .* has another model at judge than rank 0 on host' 1 0 score \
	--model judge --input prompts.jsonl
settle
sed -i 's/3/4/' elsewhere/rows.jsonl
unlike 'rank 1 on host .* has another data.train, its file or its tokenizer, than rank 0 on' 1 0 \
	pretrain pretrain.json
unlike 'rank 1 on host .* has another data.eval, its file or its tokenizer, than rank 0 on' 1 0 \
	pretrain pretrain.json --set data.train=prompts.jsonl --set data.eval=rows.jsonl
settle
sed -i 's/"seed": 3/"seed": 4/' elsewhere/pretrain.json
unlike 'rank 1 on host .* has another config than rank 0 on' 1 0 pretrain pretrain.json
settle

# --- what cannot go on leaves the run as it was, whichever rank finds out ---
not_resumed() { # PATTERN MPIRUN-ARGUMENTS...
	check_refused "$@"
	contents | diff was - >&2 || fail "$1: the run has changed"
}

contents() {
	find run -type f ! -name lock | sort | xargs sha256sum
}
if (RLHF_FAULT=kill:ppo.updated:4 "$RLHF" ppo config.json) >log 2>&1; then
	fail 'ppo passed step 4 alive'
fi
[ -d run/checkpoints/step-00000002 ] || fail "no checkpoint of step 2: $(cat log)"
[ "$(wc -l <run/metrics.jsonl)" -eq 3 ] || fail "metrics of $(wc -l <run/metrics.jsonl) steps"
ppo=("$RLHF" ppo config.json --set roles.learner=2 --set roles.actor=1 --set roles.reward=1)
contents >was
not_resumed 'run/checkpoints/step-00000002/model/config.json: cannot open' -n 1 "${ppo[@]}" : -n 1 -wdir "$work/elsewhere" \
	"${ppo[@]}" : -n 2 "${ppo[@]}"
truncate -s 9 run/rollouts.jsonl
contents >was
not_resumed 'run/rollouts.jsonl: has 9 bytes, expected at least the .* that the checkpoint counted' \
	-n 4 "${ppo[@]}"

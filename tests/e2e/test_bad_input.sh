#!/usr/bin/env bash
# Whatever is wrong with the input: one sentence of ours that names file, place,
# found and expected, exit code 2 alone and from mpirun, and nothing written over.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden=$here/tests/golden

# refused RANKS PATTERN COMMAND...: the sentence matches the pattern, and is the only
# line of ours from all ranks together.
refused() {
	local ranks=$1 pattern=$2 rc=0
	shift 2
	on "$ranks" "$@" >out 2>log </dev/null || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc, expected 2: $*: $(cat log)"
	[ "$(grep -c '^rlhf:' log)" -eq 1 ] || fail "not one line: $*: $(cat log)"
	grep -qE "^rlhf: error: .*$pattern" log || fail "no \"$pattern\": $*: $(cat log)"
	[ ! -s out ] || fail "$*: wrote to standard output: $(cat out)"
}

# What inspect finds wrong is the same sentence, and a line of its report.
unsound() { # PATTERN PATH
	local rc=0
	"$RLHF" inspect "$2" >out 2>log </dev/null || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc, expected 2: inspect $2: $(cat log)"
	[ "$(grep -c '^rlhf:' log)" -eq 1 ] || fail "not one line: inspect $2: $(cat log)"
	grep -qE "^rlhf: error: .*$1" log || fail "no \"$1\": inspect $2: $(cat log)"
	grep -qE "^problem  .*$1" out || fail "no \"$1\" in the report of $2: $(cat out)"
	[ "$(tail -n 1 out)" = 'not sound' ] || fail "the report of $2 ends with $(tail -n 1 out)"
}

# A refused run leaves no directory.
ppo_refused() { # RANKS PATTERN ARGUMENTS...
	local ranks=$1 pattern=$2
	shift 2
	refused "$ranks" "$pattern" "$RLHF" ppo config.json --set run.dir=fresh "$@"
	[ ! -e fresh ] || fail "$pattern: left $(find fresh)"
}

# A refused resumption leaves every file of the run as it was.
resume_refused() { # RANKS PATTERN ARGUMENTS...
	local ranks=$1 pattern=$2
	shift 2
	refused "$ranks" "$pattern" "$RLHF" ppo config.json --set run.dir=run "$@"
	unchanged run
}

contents() { # DIRECTORY
	find "$1" -type f ! -name lock | sort | xargs sha256sum
}

unchanged() { # DIRECTORY: since contents DIRECTORY >DIRECTORY.was
	contents "$1" | diff "$1.was" - >&2 || fail "$1 has changed"
}

# ppo on one rank must work.
works() { # ARGUMENTS...
	"$RLHF" ppo config.json "$@" >out 2>log || fail "$*: $(cat log)"
}

# A model with one edit of its files: bytes of a header are replaced by as many.
edited() { # MODEL NEW SED-EXPRESSION [FILE]
	rm -rf "$2"
	cp -r "$1" "$2"
	LC_ALL=C sed -i "$3" "$2/${4:-model.safetensors}"
	! cmp -s "$1/${4:-model.safetensors}" "$2/${4:-model.safetensors}" || fail "$3 changed nothing"
}

make_toy

# --- a directory in use; waits 10 s for its holder, so it goes on beside the rest ---
"$RLHF" ppo config.json --set run.dir=busy --set ppo.iterations=1000000 2>busy.log &
holder=$!
small_is_mounted=false
clean_up() {
	kill -KILL $holder 2>/dev/null || true
	! $small_is_mounted || umount -l "$work/small" || true
	rm -rf "$work"
}
trap clean_up EXIT
while ! grep -q running busy/run.json 2>/dev/null; do sleep 0.05; done
kill -STOP $holder
(
	rc=0
	mpirun --oversubscribe -n 2 "$RLHF" ppo config.json --set run.dir=busy 2>second.log || rc=$?
	echo $rc >second.rc
) &
second=$!

# --- the command line ---
refused 0 'unknown command "pppo", did you mean "ppo"' "$RLHF" pppo
refused 0 'unknown command' "$RLHF" xyzzy
refused 3 '--model is missing' "$RLHF" generate --prompt x
refused 0 '--prompt is not UTF-8' "$RLHF" generate --model policy --prompt $'\377'
refused 0 '--output is empty' "$RLHF" generate --model policy --input prompts.jsonl --output ''
refused 0 '--stop is not UTF-8' "$RLHF" generate --model policy --prompt x --stop $'\377'
refused 0 'unknown option --sets, did you mean --set' "$RLHF" ppo config.json --sets a=b
refused 0 'no config given' "$RLHF" ppo
refused 0 '--set nonsense: expected KEY=VALUE' "$RLHF" ppo config.json --set nonsense
refused 0 'expected a number from 1 to 4096' "$RLHF" ppo config.json --ranks 0
for command in logprobs score; do
	refused 0 '--model is missing' "$RLHF" $command --input prompts.jsonl
	refused 0 '--input is missing' "$RLHF" $command --model policy
	refused 0 'unknown option --imput, did you mean --input' "$RLHF" $command --model policy --imput x
done
rc=0
"$RLHF" inspect policy >/dev/full 2>log || rc=$?
[ $rc -eq 2 ] || fail "exit $rc with a full standard output"
grep -q '^rlhf: error: standard output: cannot write: No space left' log || fail "$(cat log)"
# What is printed never goes into a file that has taken the place of a closed stream.
"$RLHF" ppo config.json --set run.dir=closed --set ppo.iterations=1 0<&- 1>&- 2>&- ||
	fail 'closed standard streams'
[ "$(grep -vc '^pid ' closed/lock)" -eq 0 ] || fail "printed into a file: $(cat closed/lock)"
refused 0 'either --input FILE or --prompt TEXT' "$RLHF" generate --model policy
refused 0 '--min-new-tokens is 9, more than --max-new-tokens, 8' "$RLHF" generate --model policy \
	--input prompts.jsonl --min-new-tokens 9 --max-new-tokens 8
refused 0 '--temperature is -1, expected' "$RLHF" generate --model policy --prompt x --temperature -1
refused 0 '--top-p is 0, expected' "$RLHF" generate --model policy --prompt x --top-p 0
refused 0 '--min-p is 1.5, expected' "$RLHF" generate --model policy --prompt x --min-p 1.5
refused 0 '--top-k is -5, expected' "$RLHF" generate --model policy --prompt x --top-k=-5
refused 0 '--stop is empty' "$RLHF" generate --model policy --prompt x --stop=
refused 0 'policy: --stop is text, but there is no tokenizer' "$RLHF" generate --model policy \
	--input prompts.jsonl --stop x
refused 3 '--stop-id is "24", expected an id below 24' "$RLHF" generate --model policy \
	--input prompts.jsonl --stop-id 24
refused 0 '--seed is 9007199254740992, expected a number from 0 to 9007199254740991$' "$RLHF" generate \
	--model policy --prompt x --seed 9007199254740992
refused 0 '--stream needs --prompt' "$RLHF" generate --model policy --input prompts.jsonl --stream
refused 0 'PATH is missing' "$RLHF" inspect
unsound 'nowhere: cannot open: No such file' nowhere
refused 0 'RUN is missing' "$RLHF" status
refused 0 'nowhere: not a run directory' "$RLHF" status nowhere
refused 0 '--vocab-size is missing' "$RLHF" tokenizer-train --input x --output y
refused 0 'nowhere: cannot open' "$RLHF" tokenizer-train --input nowhere --vocab-size 300 --output made
: >empty
refused 0 'empty: .*empty' "$RLHF" tokenizer-train --input empty --vocab-size 300 --output made
[ ! -e made ] || fail 'tokenizer-train left a directory'
# A link to a directory stays one; what is no directory, or leads to none, is refused.
printf 'the cat\n%.0s' {1..99} >cats.txt
mkdir linked
ln -s linked link
ln -s nothing dangling
ln -s ../cats.txt linked/tokenizer.json
"$RLHF" tokenizer-train --input cats.txt --vocab-size 260 --output link 2>log || fail "$(cat log)"
[ -L link ] && [ -f linked/tokenizer_config.json ] && [ ! -L linked/tokenizer.json ] ||
	fail 'tokenizer-train into a link to a directory'
[ "$(head -n 1 cats.txt)" = 'the cat' ] || fail 'tokenizer-train wrote through a link inside'
for output in /dev/null dangling cats.txt; do
	refused 0 "$output: cannot create the directory: Not a directory" "$RLHF" tokenizer-train \
		--input cats.txt --vocab-size 260 --output $output
done

# --- lines in and out ---
: >empty.jsonl
head -n 5 prompts.jsonl | sed '3s/.*/{"input_ids":[1,2/' >broken.jsonl
echo '{"input_ids":[1,24]}' >range.jsonl
echo '{"input_ids":[]}' >nothing.jsonl
echo '{"prompt":"text"}' >text.jsonl
echo '{"input_ids":[1,2,3,4,5,6,7,8,9]}' >nine.jsonl
for command in generate logprobs score; do
	model=policy
	[ $command != score ] || model=judge
	echo old >result
	refused 0 'nowhere.jsonl: cannot open: No such file' "$RLHF" $command --model $model \
		--input nowhere.jsonl --output result
	refused 0 'nowhere/config.json: cannot open' "$RLHF" $command --model nowhere \
		--input prompts.jsonl --output result
	refused 0 'empty.jsonl: no line, expected one JSON object' "$RLHF" $command --model $model \
		--input empty.jsonl --output result
	refused 0 'broken.jsonl: line 3' "$RLHF" $command --model $model --input broken.jsonl \
		--output result
	refused 0 'line 1: .*\[1\] is 24, expected an id from 0 to 23' "$RLHF" $command --model $model \
		--input range.jsonl --output result
	refused 0 'line 1: .*no ids' "$RLHF" $command --model $model --input nothing.jsonl --output result
	refused 0 'isa is "sse", expected auto' "$RLHF" $command --model $model --input prompts.jsonl \
		--isa sse
	refused 0 '/out: cannot write' "$RLHF" $command --model $model --input prompts.jsonl \
		--output nowhere/out
	[ "$(cat result)" = old ] || fail "$command wrote over its output"
	refused 0 'broken.jsonl: line 3' "$RLHF" $command --model $model --input broken.jsonl \
		--output result.new
	[ ! -e result.new ] || fail "$command left its output"
	refused 0 '/dev/full: cannot write: No space left' "$RLHF" $command --model $model \
		--input prompts.jsonl --output /dev/full
done
echo '{"prompt_ids": [5, 6, 7]}' >ids.jsonl
refused 0 '24 positions beyond which the rotary angles depend on the length' "$RLHF" generate \
	--model "$here/tests/golden/models/phi3-longrope" --input ids.jsonl --max-new-tokens 30
refused 2 'broken.jsonl: line 3' "$RLHF" logprobs --model policy --input broken.jsonl --output result
refused 0 'policy: not a reward model: .*LlamaForCausalLM, expected LlamaForSequenceClass' \
	"$RLHF" score --model policy --input prompts.jsonl
refused 0 'judge: a sequence classifier .*, expected a causal' "$RLHF" generate --model judge \
	--input prompts.jsonl
refused 0 'text.jsonl: line 1: "prompt" is text, but there is no tokenizer' "$RLHF" generate \
	--model policy --input text.jsonl
refused 0 '120 new tokens do not fit into .* 128 positions' "$RLHF" generate --model policy \
	--input nine.jsonl --max-new-tokens 120

# --- the config ---
refused 0 'nowhere.json: cannot open: No such file' "$RLHF" ppo nowhere.json
refused 0 'empty: empty configuration' "$RLHF" ppo empty
printf '{"run": {"dir": "fresh"},\n "policy": {"path": "po' >torn.json
refused 0 'torn.json: line 2, column 21: ' "$RLHF" ppo torn.json
echo '{}' >nothing.json
refused 0 'nothing.json: "run.dir" is missing: directory of the run' "$RLHF" ppo nothing.json
ppo_refused 3 'unknown key "ppo.iteration", did you mean "ppo.iterations"' --set ppo.iteration=3
ppo_refused 0 'unknown key "reward.sources.0.weigth", did you mean "weight"' \
	--set reward.sources.0.weigth=1
ppo_refused 0 '"ppo.epochs" is "4" .*a string.*, expected an integer' --set 'ppo.epochs="4"'
ppo_refused 0 '"ppo.epochs" is 1.5 .*, expected an integer' --set ppo.epochs=1.5
ppo_refused 0 '"ppo.gamma" is 2 .*, expected a number from 0 to 1' --set ppo.gamma=2
ppo_refused 0 '"reward.sources" is \[\] .*, expected a list' --set 'reward.sources=[]'
ppo_refused 0 '"rollout.temperature" is 0 .*, expected a number from 1e-06' --set rollout.temperature=0
ppo_refused 0 '"rollout.min_new_tokens" is 13, expected at most .* 12' --set rollout.min_new_tokens=13
ppo_refused 0 '"roles.learner" is 3, expected a divisor of ppo.lanes, 8' --set roles.learner=3
ppo_refused 0 '"ppo.lanes" is 6, expected a power of two' --set ppo.lanes=6
ppo_refused 3 'roles ask for 4 ranks \(learner 1 \+ actor 2 \+ reward 1\) but the job has 3; --ranks 4 starts as many$' \
	--set roles.learner=1 --set roles.actor=2 --set roles.reward=1
echo '{"run": {"dir": "fresh"}, "model": {"path": "policy"}, "data": {"train": "prompts.jsonl"},
	"train": {"steps": 2, "batch_size": 4}}' >train.json
refused 3 '3 ranks do not divide train.lanes, 8' "$RLHF" pretrain train.json
refused 0 'nowhere.jsonl: cannot open' "$RLHF" pretrain train.json --set data.train=nowhere.jsonl
refused 0 'line 3' "$RLHF" pretrain train.json --set data.train=broken.jsonl
refused 0 'prompts.jsonl: line 1: "chosen" is missing' "$RLHF" reward-train train.json
refused 0 '"model.path" is missing' "$RLHF" pretrain train.json --set model.path=null
new='{"family": "llama", "hidden_size": 2147483647}'
refused 0 'model.create: hidden_size is not a whole number from 1 to 4194304' \
	"$RLHF" pretrain train.json --set model.path=null --set "model.create=$new"
new='{"family": "llama", "hidden_size": 4194304, "num_attention_heads": 32768}'
refused 0 'model.create: the weights take .* GiB, expected no more than the .* of this machine' \
	"$RLHF" pretrain train.json --set model.path=null --set "model.create=$new"
new='{"family": "mixtral"}'
refused 0 'model.create: model_type "mixtral" .* is not a supported family; supported: gpt2, ' \
	"$RLHF" pretrain train.json --set model.path=null --set "model.create=$new"
new='{"family": "llama", "rope_scaling": ["x"]}'
refused 0 'model.create: rope_scaling is an array, expected an object' \
	"$RLHF" pretrain train.json --set model.path=null --set "model.create=$new"
new='{"family": "llama", "hiden_size": 32}'
refused 0 'model.create: unknown key "hiden_size", did you mean "hidden_size"\?' \
	"$RLHF" pretrain train.json --set model.path=null --set "model.create=$new"
refused 0 'unknown key "hiden_size"' "$RLHF" plan train.json --stage pretrain --set model.path=null \
	--set "model.create=$new"
new='{"family": "llama", "sliding_window": 16}'
refused 4 'model.create: "sliding_window" is 16, which this family does not have' \
	"$RLHF" pretrain train.json --set model.path=null --set "model.create=$new"
refused 0 '/run: ~ stands for no home directory' "$RLHF" pretrain train.json --set run.dir=\~/run
printf '%s\n' '{"prompt_ids": [1], "chosen_ids": [2], "rejected_ids": [3], "margin": 1e308}' >wide.jsonl
refused 0 'wide.jsonl: line 1: "margin" is 1e\+308, expected a number from -1e\+06 to 1e\+06' \
	"$RLHF" reward-train train.json --set model.path=judge --set data.train=wide.jsonl
printf 'BZh91AY' >packed.jsonl
refused 0 'packed.jsonl: bzip2 data, expected one JSON object' "$RLHF" pretrain train.json \
	--set data.train=packed.jsonl
refused 0 'nowhere.jsonl: cannot open' "$RLHF" pretrain train.json --set data.train=nowhere.jsonl \
	--set run.dir=fresh/of/all
[ ! -e fresh ] || fail 'a refused training left its directory'
mkdir there
refused 0 'nowhere.jsonl: cannot open' "$RLHF" pretrain train.json --set data.train=nowhere.jsonl \
	--set run.dir=there/run
refused 0 'nowhere.jsonl: cannot open' "$RLHF" pretrain train.json --set data.train=nowhere.jsonl \
	--set run.dir=there
rmdir there || fail 'a refused training changed the directory around its own'

# --- the directory of the run ---
contents policy >policy.was
refused 0 'policy: holds a config.json but no run.json' "$RLHF" ppo config.json --set run.dir=policy
unchanged policy
refused 0 'prompts.jsonl: cannot create the directory: Not a directory' "$RLHF" ppo config.json \
	--set run.dir=prompts.jsonl
refused 0 'policy: is a directory, expected a regular file' "$RLHF" ppo policy

mkdir -p taken/final taken/best
touch taken/final/notes taken/best/notes
refused 4 'taken/final: holds notes, which is no file of a checkpoint' "$RLHF" ppo config.json \
	--set run.dir=taken
refused 0 'taken/final: holds notes' "$RLHF" pretrain train.json --set run.dir=taken
rm -r taken/final
refused 0 'taken/best: holds notes' "$RLHF" pretrain train.json --set run.dir=taken \
	--set data.eval=prompts.jsonl --set train.eval_every=1
[ "$(find taken | sort | xargs)" = 'taken taken/best taken/best/notes' ] ||
	fail "a refused training left $(find taken)"

# One that is taken away under a run, with or without another run in its place, is left alone.
"$RLHF" ppo config.json --set run.dir=away --set ppo.iterations=400 \
	--set checkpoint.every_steps=200 2>log &
until [ -s away/metrics.jsonl ]; do sleep 0.02; done
mv away elsewhere
rc=0
wait $! || rc=$?
[ $rc -eq 2 ] || fail "exit $rc of a run whose directory is gone: $(cat log)"
grep -q '^rlhf: error: away: its file "lock" was removed or replaced while this run' log || fail "$(cat log)"
[ ! -e away ] || fail "written where the directory was: $(find away)"

# --- prompts ---
ppo_refused 0 'nowhere.jsonl: cannot open: No such file' --set data.prompts=nowhere.jsonl
ppo_refused 0 'empty.jsonl: no line, expected one JSON object' --set data.prompts=empty.jsonl
ppo_refused 3 'broken.jsonl: line 3' --set data.prompts=broken.jsonl
ppo_refused 0 'range.jsonl: line 1: .* is 24, expected an id from 0 to 23' --set data.prompts=range.jsonl
ppo_refused 0 'nothing.jsonl: line 1: .*no ids' --set data.prompts=nothing.jsonl
ppo_refused 0 'text.jsonl: line 1: "prompt" is text' --set data.prompts=text.jsonl
cat prompts.jsonl nine.jsonl >long.jsonl
ppo_refused 0 'long.jsonl: line 11: 9 tokens, expected at most 8' --set data.prompts=long.jsonl \
	--set data.max_length=8
ppo_refused 0 'max_new_tokens is 128, but the policy policy has 128 positions' \
	--set rollout.max_new_tokens=128
edited policy stretched \
	's/"max_position_embeddings": 128/"rope_scaling": {"type": "linear", "factor": 4},\
	"max_position_embeddings": 32/' config.json
ppo_refused 0 'max_new_tokens is 128, but the policy stretched has 128 positions' \
	--set policy.path=stretched --set rollout.max_new_tokens=128
works --set run.dir=stretch --set policy.path=stretched --set rollout.min_new_tokens=60 \
	--set rollout.max_new_tokens=60 --set ppo.iterations=1 --set ppo.verify=16
for rule in skip truncate; do
	works --set run.dir=$rule --set data.prompts=long.jsonl --set data.max_length=8 \
		--set data.too_long=$rule --set ppo.iterations=1
done
cat nine.jsonl prompts.jsonl >first-long.jsonl
works --set run.dir=lines --set data.prompts=first-long.jsonl --set data.max_length=8 \
	--set data.too_long=skip --set ppo.iterations=1
! grep -q '"prompt_index":0,' lines/rollouts.jsonl || fail 'a skipped prompt was sampled from'
grep -q '"prompt_index":10,' lines/rollouts.jsonl || fail 'prompt_index is no line of the file'

# --- models ---
ppo_refused 0 'nowhere/config.json: cannot open' --set policy.path=nowhere
ppo_refused 0 'nowhere/config.json: cannot open' --set reward.sources.0.path=nowhere
ppo_refused 0 'nowhere/config.json: cannot open' --set critic.path=nowhere
ppo_refused 0 'nowhere/config.json: cannot open' --set reference.path=nowhere
ppo_refused 3 'policy: not a reward model: .*LlamaForCausalLM' --set reward.sources.0.path=policy
ppo_refused 0 'judge: a sequence classifier' --set policy.path=judge
ppo_refused 0 'token_id is 24, expected .* 0 to 23' \
	--set 'reward.sources=[{"type":"rule","rule":"token_count","token_id":24}]'
edited judge headless 's/score\.weight/scoreXweight/'
ppo_refused 3 'headless: not a reward model: its head, score.weight, is missing' \
	--set reward.sources.0.path=headless
mkdir bare
cp policy/config.json bare
ppo_refused 0 'bare: neither model.safetensors nor' --set policy.path=bare
edited policy bad 's/model\.norm\.weight/model.norm.weighX/'
ppo_refused 0 'bad: 2 tensors are wrong: missing model.norm.weight, unexpected model.norm.weighX' \
	--set policy.path=bad
edited policy bad 's/\[24,32\]/[32,24]/'
ppo_refused 0 'bad: 1 tensor is wrong: shape of lm_head.weight is \[32, 24\], expected \[24, 32\]' \
	--set policy.path=bad
edited policy bad 's/"dtype":"F32"/"dtype":"I32"/'
ppo_refused 0 'bad: .* unsupported type of' --set policy.path=bad
edited policy bad 's/"vocab_size": 24/"vocab_size": 25/' config.json
ppo_refused 0 'bad: 2 tensors are wrong: shape of model.embed_tokens.weight is \[24, 32\]' --set policy.path=bad
edited policy bad 's/"vocab_size": 24/"vocab_size": 4000000/' config.json
ppo_refused 0 'bad: config.json describes .* numbers' --set policy.path=bad
edited policy bad 's/"num_hidden_layers": 2/"num_hidden_layers": 3/' config.json
ppo_refused 0 'bad: 9 tensors are wrong: missing model.layers.2' --set policy.path=bad
edited policy bad 's/"rms_norm_eps": 1e-05/"quantization_config": {}/' config.json
ppo_refused 0 'bad/config.json: quantization_config' --set policy.path=bad
edited policy bad '1s/{/[/' config.json
ppo_refused 0 'bad/config.json:' --set policy.path=bad
head -c 5000 policy/model.safetensors >bad/model.safetensors
cp policy/config.json bad
ppo_refused 0 'bad/model.safetensors: ' --set policy.path=bad
# A NaN in the last element of the last tensor.
cp policy/model.safetensors bad
printf '\0\0\300\177' | dd of=bad/model.safetensors bs=1 conv=notrunc status=none \
	seek=$(($(stat -c %s bad/model.safetensors) - 4))
ppo_refused 3 'bad/model.safetensors: tensor "model.norm.weight": element 31 is nan, expected a finite' --set policy.path=bad
unsound 'bad/model.safetensors: tensor "model.norm.weight": element 31 is nan' bad
# Weights that are finite and give logits that are not.
for _ in $(seq 32); do printf '\377\377\177\177'; done | dd of=bad/model.safetensors bs=1 conv=notrunc \
	status=none seek=$(($(stat -c %s bad/model.safetensors) - 128))
echo '{"input_ids":[1,2,3]}' >three.jsonl
for command in logprobs generate; do
	refused 2 'three.jsonl: line 1: bad gives log-probabilities that are not finite' \
		"$RLHF" $command --model bad --input three.jsonl
done
for file in "$golden"/malformed/bad-*.safetensors; do
	unsound "$(basename "$file"): " "$file"
	cp "$file" bad/model.safetensors
	ppo_refused 0 'bad/model.safetensors: ' --set policy.path=bad
done
for file in "$golden"/malformed/ok*.safetensors; do
	"$RLHF" inspect "$file" >out || fail "$file is refused"
done
# A judge that cannot read as far as the policy writes.
"$make_model" wide lm 97 1
edited "$golden/models/rm-gpt2" rm-gpt2 's/50256/96/' config.json
ppo_refused 3 'rm-gpt2: the model has 64 learned positions, expected at least 128' \
	--set policy.path=wide --set reward.sources.0.path=rm-gpt2
ppo_refused 0 'rm-gpt2, for the critic: the model has 64 learned positions' --set policy.path=wide \
	--set critic.path=rm-gpt2 --set 'reward.sources=[{"type":"rule","rule":"length"}]'
works --set run.dir=short --set policy.path=wide --set data.max_length=52 --set ppo.iterations=1 \
	--set reward.sources.0.path=rm-gpt2
ppo_refused 0 'judge: the reward model has 24 vocabulary rows, the policy has 97' --set policy.path=wide
ppo_refused 0 'policy: the reference has 24 vocabulary rows, the policy wide has 97' \
	--set policy.path=wide --set reference.path=policy
# An output matrix of its own although the config says that it is tied.
edited policy tied 's/"tie_word_embeddings": false/"tie_word_embeddings": true/' config.json
works --set run.dir=tied-run --set policy.path=tied --set ppo.iterations=1

# --- tokenizers ---
for size in 300 320; do
	"$RLHF" tokenizer-train --input "$golden/tokenizers/training.txt" --vocab-size $size \
		--output words-$size >log 2>&1 || fail "$(cat log)"
	"$make_model" speaker-$size lm $size 1
	"$make_model" critic-$size reward $size 2
	cp words-$size/* speaker-$size
done
ppo_refused 0 'judge: the policy has a tokenizer and the reward model has none' \
	--set policy.path=speaker-300
cp -r judge judge-text
cp words-300/* judge-text
ppo_refused 0 'judge-text: the reward model has a tokenizer and the policy has none' \
	--set reward.sources.0.path=judge-text
cp words-320/* critic-320
printf '{"prompt":"The"}\n{"prompt":"A word"}\n' >words.jsonl
works --set run.dir=retold --set policy.path=speaker-300 --set reward.sources.0.path=critic-320 \
	--set data.prompts=words.jsonl --set ppo.iterations=2
grep -q 'warning: critic-320 has another tokenizer than the policy' log ||
	fail "no warning of re-tokenised texts: $(cat log)"
cp words-300/* critic-300
works --set run.dir=told --set policy.path=speaker-300 --set reward.sources.0.path=critic-300 \
	--set data.prompts=words.jsonl --set ppo.iterations=2
! grep -q warning log || fail "a needless warning: $(cat log)"
echo '{"prompt":""}' >>words.jsonl
ppo_refused 0 'words.jsonl: line 3: ' --set policy.path=speaker-300 \
	--set reward.sources.0.path=critic-300 --set data.prompts=words.jsonl
head -c 100 words-300/tokenizer.json >critic-300/tokenizer.json
ppo_refused 0 'critic-300/tokenizer.json:' --set policy.path=speaker-300 \
	--set reward.sources.0.path=critic-300 --set data.prompts=words.jsonl

# --- going on ---
works --set run.dir=whole
# What a run keeps is no model, but the model is near.
ppo_refused 0 'whole: is the directory of a run, expected a model: the run.s result is whole/final$' \
	--set policy.path=whole
ppo_refused 0 'step-00000006: is a checkpoint of a run, expected a model: that is .*/step-00000006/model$' \
	--set reference.path=whole/checkpoints/step-00000006
rc=0
RLHF_FAULT=kill:checkpoint.after_rename:2 "$RLHF" ppo config.json --set run.dir=run 2>log || rc=$?
[ -d run/checkpoints/step-00000004 ] || fail "exit $rc, no checkpoint of step 4: $(cat log)"
contents run >run.was
resume_refused 0 'ppo.kl.coef' --set ppo.kl.coef=0.1
resume_refused 0 'run.seed' --set run.seed=4
sed 's/9/8/' prompts.jsonl >other.jsonl
cp prompts.jsonl kept.jsonl
cp other.jsonl prompts.jsonl
resume_refused 3 'prompts.jsonl: the file has changed since the run began'
cp kept.jsonl prompts.jsonl
cp -r policy policy.kept
"$make_model" policy lm 24 5
resume_refused 3 'policy: these are not the weights of the reference that the run began with'
rm -r policy
mv policy.kept policy
resume_refused 0 'policy: not a reward model' --set reward.sources.0.path=policy
resume_refused 0 'roles ask for' --set roles.actor=7
resume_refused 0 'run: is at step 4 already, but ppo.iterations is 3' --set ppo.iterations=3
# A FIFO where the run wrote is not waited for.
mkdir ended
cp -r run ended/run
rm ended/run/metrics.jsonl ended/run/lock
mkfifo ended/run/metrics.jsonl ended/run/lock
timeout 20 "$RLHF" status ended/run >out 2>log || [ $? -ne 124 ] || fail 'status waits for a FIFO'
timeout 20 "$RLHF" ppo config.json --set run.dir=ended/run >out 2>log || [ $? -ne 124 ] ||
	fail 'a resumed run waits for a FIFO'
# What is refused leaves no directory.
echo '{"text":"a few words"}' >few.jsonl
refused 0 'a vocabulary of [0-9]* ids, expected at least 300' \
	"$RLHF" tokenizer-train --input few.jsonl --vocab-size 300 --output new/tokenizer
[ ! -e new ] || fail "left $(find new)"
# More bytes than memory.
truncate -s 15T huge.jsonl
refused 2 'huge.jsonl: has 16492674416640 bytes, this machine has memory for' \
	"$RLHF" logprobs --model policy --input huge.jsonl
rm huge.jsonl
# Allowed: another judge, a longer run.
cp -r run swapped
"$make_model" judge-2 reward 24 9
works --set run.dir=swapped --set reward.sources.0.path=judge-2 --set ppo.iterations=8
[ "$(grep -c '"reward/judge":"model:judge@' swapped/metrics.jsonl)" -eq 4 ] || fail 'the first judge'
[ "$(grep -c '"reward/judge":"model:judge-2@' swapped/metrics.jsonl)" -eq 4 ] || fail 'the second judge'
# The newest checkpoint is damaged: the one before is taken.
cp -r run damaged
printf x | dd of=damaged/checkpoints/step-00000004/model/model.safetensors bs=1 conv=notrunc \
	status=none seek=4000
works --set run.dir=damaged
grep -q 'warning: checkpoint step-00000004 rejected: .*SHA-256' log || fail "no warning: $(cat log)"
same_run whole damaged 'after a damaged checkpoint'
[ -d damaged/checkpoints/step-00000004.rejected ] || fail 'the damaged checkpoint was not set aside'
# All are: nothing is guessed and nothing written over.
for step in run/checkpoints/*; do
	truncate -s -1 "$step/critic/model.safetensors"
done
contents run >run.was
rc=0
on 3 "$RLHF" ppo config.json --set run.dir=run 2>log || rc=$?
[ $rc -eq 3 ] || fail "exit $rc with all checkpoints damaged: $(cat log)"
[ "$(grep -c '^rlhf: error' log)" -eq 1 ] || fail "not one error: $(cat log)"
unchanged run

# ppo under a limit of the shell ends with 2 and the sentence.
refused_under() { # OPTION LIMIT RUN PATTERN
	local rc=0
	(
		ulimit "$1" "$2"
		exec "$RLHF" ppo config.json --set run.dir="$3" 2>log
	) || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc with ulimit $1 $2: $(cat log)"
	grep -q "$4" log || fail "$(cat log)"
}

# --- little stack ---
(
	ulimit -S -s 256
	works --set run.dir=stack
)
same_run whole stack "with a low limit of the stack that may be raised"
refused_under -s 256 fresh \
	'error: a stack of 1024 KiB is needed, and the limit is lower (ulimit -s)'
[ ! -e fresh ] || fail "a refused run left its directory"

# --- no space ---
# After a failure for lack of space, the same command goes on.
goes_on_after() { # RUN
	[ -d "$1/checkpoints/step-00000002" ] || fail "$1: the last checkpoint is gone"
	works --set run.dir="$1"
	same_run whole "$1" "after a full disk"
}
RLHF_FAULT=kill:checkpoint.after_rename:1 "$RLHF" ppo config.json --set run.dir=limited 2>log || true
refused_under -f 24 limited \
	'error: limited/checkpoints/step-00000004.tmp/.*: cannot write: File too large'
goes_on_after limited
# What cannot be removed of an interrupted save, here as its path is too long, is in nobody's way.
mkdir limited/checkpoints/step-00000003.tmp
(
	cd limited/checkpoints/step-00000003.tmp
	for _ in {1..17}; do
		mkdir "$(printf %0250d 0)"
		cd -P "$(printf %0250d 0)"
	done
)
works --set run.dir=limited --set ppo.iterations=7
grep -q 'warning: what an interrupted save left stays: limited/.*/step-00000003.tmp/' log || fail "$(cat log)"
rm -r limited
mkdir small
if mount -t tmpfs -o size=4m tmpfs small 2>/dev/null; then
	small_is_mounted=true
	RLHF_FAULT=kill:checkpoint.after_rename:1 "$RLHF" ppo config.json --set run.dir=small/run 2>log || true
	head -c 4000000 /dev/zero >small/ballast 2>/dev/null || true
	rc=0
	on 3 "$RLHF" ppo config.json --set run.dir=small/run 2>log || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc with a full disk: $(cat log)"
	[ "$(grep -c '^rlhf: .*error: small/run/.*: No space left' log)" -eq 1 ] || fail "$(cat log)"
	rm small/ballast
	goes_on_after small/run
fi

# --- the end of the wait ---
wait $second
[ "$(cat second.rc)" -eq 2 ] || fail "a run in use: exit $(cat second.rc): $(cat second.log)"
grep -q "error: busy: in use by pid $holder on $(hostname) since .* UTC" second.log ||
	fail "$(cat second.log)"
[ "$(grep -c '^rlhf: .*error' second.log)" -eq 1 ] || fail "$(cat second.log)"
kill -KILL $holder
leftovers=$(find . -name '*.tmp' ! -path './busy/*')
[ -z "$leftovers" ] || fail "temporary files are left: $leftovers"

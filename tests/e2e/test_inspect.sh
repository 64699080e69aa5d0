#!/usr/bin/env bash
# rlhf inspect: models, runs, checkpoints of runs, adapters and files; all that is wrong
# at once; once under mpirun; JSON that is JSON.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden=$here/tests/golden

found() { # PATTERN...: in the report of the last inspection
	for pattern in "$@"; do
		grep -qE "$pattern" out || fail "no \"$pattern\" in: $(cat out)"
	done
}

lacks() { # PATTERN...: nowhere in it
	for pattern in "$@"; do
		! grep -qE "$pattern" out || fail "\"$pattern\" in: $(cat out)"
	done
}

sound() { # PATH ARGUMENTS...
	"$RLHF" inspect "$@" >out 2>log || fail "$*: $(cat log)"
	[ "$(tail -n 1 out)" = sound ] || fail "$*: $(cat out)"
	[ ! -s log ] || fail "$*: $(cat log)"
}

unsound() { # N PATH ARGUMENTS...: with that many problems
	local n=$1 rc=0
	shift
	"$RLHF" inspect "$@" >out 2>log || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc: $*: $(cat out log)"
	[ "$(grep -c '^problem ' out)" -eq "$n" ] || fail "not $n problems: $(cat out)"
	[ "$(wc -l <log)" -eq 1 ] || fail "not one line: $(cat log)"
}

make_toy

# --- models ---
for model in "$golden"/models/*; do
	[ -e "$model/model.safetensors" ] || [ -e "$model/model.safetensors.index.json" ] || continue
	sound "$model"
	found '^family ' '^parameters +[0-9]' '^tensors +[0-9]+: ' '^files +model'
done
sound "$golden/models/score-gpt2"
found '^labels +3: LABEL_0, LABEL_1, LABEL_2$' '^head +scores, score.weight$' \
	'^special ids +bos 1, eos 2, pad 0; a completion ends at 2$'
sound policy --tensors
found '^model.layers.1.self_attn.q_proj.weight +F32 +\[32, 32\]$' '^shape +2 layers, 32 channels'
on 3 "$RLHF" inspect policy --tensors >thrice 2>log || fail "$(cat log)"
cmp out thrice || fail 'another report under mpirun'
sound "$golden/malformed/ok.safetensors"
# Which of the layers have a window: none, some or all of two.
sound "$golden/models/llama-gqa"
lacks '^window'
sound "$golden/models/qwen2-window"
found '^window +4, in 1 of the layers$'
sound "$golden/models/mistral-window"
found '^window +5, in 2 of the layers$'

# --- warnings ---
cp -r judge odd
sed -i 's/"eos_token_id": 23/"eos_token_id": 0, "pad_token_id": 0/; s/"bos_token_id": 0/"bos_token_id": 99, "attention_dropout": 0.1/' odd/config.json
sound odd
found '^warning +odd: pad_token_id equals eos_token_id' \
	'^warning +odd/config.json: bos_token_id 99 is outside the vocabulary of 24' \
	'^warning +odd/config.json: attention_dropout is 0.1'
sound policy
lacks '^warning'
ids() { # BOS EOS: of policy
	rm -rf odd
	cp -r policy odd
	sed -i "s/\"bos_token_id\": 0/\"bos_token_id\": $1/; s/\"eos_token_id\": 23/\"eos_token_id\": $2/" odd/config.json
	sound odd
}
ids 23 -1
lacks '^warning'
ids 24 '[22, -2, 25]'
found 'bos_token_id 24 is outside the vocabulary of 24 and' 'eos_token_id -2 is outside' \
	'eos_token_id 25 is outside'
lacks 'eos_token_id 22'
# A head's bias, here in a second file, is warned of where the head is the model's own.
beside() { # MODEL HEADER BYTES NAME: a file of zeros beside its own
	rm -rf odd
	cp -r "$1" odd
	mv odd/model.safetensors odd/one.safetensors
	printf '%b\0\0\0\0\0\0\0%s' "\\x$(printf %x ${#2})" "$2" >odd/two.safetensors
	head -c "$3" /dev/zero >>odd/two.safetensors
	printf '{"weight_map":{"model.norm.weight":"one.safetensors","%s":"two.safetensors"}}\n' "$4" \
		>odd/model.safetensors.index.json
	sound odd
}
sound judge
lacks 'the head has a bias'
beside judge '{"score.bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' 4 score.bias
found '^warning +odd: the head has a bias, which'
beside policy '{"v_head.weight":{"dtype":"F32","shape":[1,32],"data_offsets":[0,128]},"v_head.bias":{"dtype":"F32","shape":[1],"data_offsets":[128,132]}}' \
	132 v_head.bias
found '^head +next token; beside it a score head, v_head.weight$'
lacks 'the head has a bias'

# --- all that is wrong, at once ---
cp -r policy bad
LC_ALL=C sed -i 's/model\.norm\.weight/model.norm.weighX/; s/\[24,32\]/[32,24]/' bad/model.safetensors
printf '\0\0\300\177' | dd of=bad/model.safetensors bs=1 conv=notrunc status=none \
	seek=$(($(stat -c %s bad/model.safetensors) - 4000))
echo '{"eos_token_id": "x"}' >bad/generation_config.json
unsound 5 bad
found 'missing model.norm.weight' 'unexpected model.norm.weighX' 'shape of lm_head.weight is \[32, 24\]' \
	'element [0-9]+ is nan' 'generation_config.json: eos_token_id'
grep -q 'and 4 more problems$' log || fail "$(cat log)"
rc=0
on 2 "$RLHF" inspect bad >twice 2>log || rc=$?
[ $rc -eq 2 ] || fail "exit $rc under mpirun"
[ "$(grep -c '^rlhf: error' log)" -eq 1 ] || fail "not one line under mpirun: $(cat log)"
cmp out twice || fail 'another report under mpirun'
LC_ALL=C sed 's/score\.weight/scoreXweight/' judge/model.safetensors >bad/model.safetensors
cp judge/config.json bad
rm bad/generation_config.json
unsound 2 bad
found 'its head, score.weight, is missing' 'unexpected scoreXweight'
cp -r "$golden/models/llama-gqa-sharded" shards
rm shards/model-00002-of-00003.safetensors
printf x >>shards/model-00003-of-00003.safetensors
unsound 2 shards
found 'model-00002-of-00003.safetensors: cannot open' 'model-00003-of-00003.safetensors: the tensors end'
mkdir nothing
unsound 1 nothing
found 'nothing/config.json: cannot open'

# --- runs ---
"$RLHF" ppo config.json 2>log || fail "$(cat log)"
sound run
found '^kind +run$' '^state +finished$' '^step +6$' 'step-00000006, valid$' '^directory +run/final$'
# What is being written or removed is no checkpoint yet or no more.
mkdir -p run/checkpoints/step-00000008.tmp/model run/checkpoints/step-00000002.old.tmp/model
sound run
! grep -q tmp out || fail "$(cat out)"
"$RLHF" status run >out 2>log || fail "$(cat log)"
found '^  step-00000004 +valid$' '^  step-00000006 +valid$'
! grep -q tmp out || fail "$(cat out)"
sound run/checkpoints/step-00000006
found '^kind +checkpoint of a run$' 'step-00000006/model$' 'step-00000006/critic$'
printf x | dd of=run/checkpoints/step-00000004/model/model.safetensors bs=1 conv=notrunc status=none seek=4000
unsound 1 run
found 'step-00000004, damaged$' 'problem +run/checkpoints/step-00000004/model/model.safetensors: its SHA-256'

# --- adapters ---
mkdir adapter
tensor() { # NAME BEGIN: of shape [2, 2]
	printf '"%s":{"dtype":"F32","shape":[2,2],"data_offsets":[%d,%d]}' "$1" "$2" $(($2 + 16))
}
adapter() { # SECOND-NAME
	local header
	header="{$(tensor base_model.model.q.lora_A.weight 0),$(tensor "$1" 16)}"
	printf '%b\0\0\0\0\0\0\0%s%32s' "\\x$(printf %x ${#header})" "$header" '' >adapter/adapter_model.safetensors
}
adapter base_model.model.q.lora_B.weight
echo '{"peft_type":"LORA","r":2,"lora_alpha":4,"target_modules":["q"],"task_type":"CAUSAL_LM"}' >adapter/adapter_config.json
sound adapter
found '^kind +LoRA adapter$' '^scale +alpha 4, rank 2$' '^targets +q$' '^parameters +8 in 2 tensors$'
adapter base_model.model.k.lora_B.weight
unsound 2 adapter
found 'lora_A.weight" is there without "base_model.model.q.lora_B.weight"' '"base_model.model.k.lora_B.weight" is there without'
echo '{"peft_type":"IA3","r":0,"lora_alpha":0,"use_dora":true}' >adapter/adapter_config.json
unsound 5 adapter
found '"peft_type" is "IA3", expected "LORA"' '"r" is 0, expected a whole number' '"use_dora" is true'

# What is sound is what a command loads, and what is not is refused there.
base=$golden/models/llama-gqa
cp -r "$golden/adapters/llama-rslora" plain
cat >plain/adapter_config.json <<-'JSON'
	{"peft_type": "LORA",
	 "r": 3,
	 "lora_alpha": 5,
	 "bias": "none",
	 "rank_pattern": {"v_proj": 2},
	 "use_rslora": true}
JSON
same() { # 0-OR-2 WHAT: of the adapter in other
	local rc=0
	"$RLHF" logprobs --model "$base" --adapter other --input prompts.jsonl >/dev/null 2>log || rc=$?
	[ $rc -eq "$1" ] || fail "$2: logprobs: exit $rc: $(cat log)"
	rc=0
	"$RLHF" inspect other >out 2>log || rc=$?
	[ $rc -eq "$1" ] || fail "$2: inspect: exit $rc: $(cat out log)"
}
says() { # 0-OR-2 MEMBER: in the place of one of that name
	local key=${2%%:*}
	rm -rf other
	cp -r plain other
	sed -i "/^ $key:/d; 1s/{/{$2,/" other/adapter_config.json
	same "$1" "$2"
	[ "$1" -eq 0 ] || grep -q "${key//\"/}" out || fail "$2: $(cat out)"
}
says 0 '"lora_alpha": -1'
says 0 '"lora_alpha": 0'
says 2 '"lora_alpha": "x"'
says 2 '"bias": "all"'
says 2 '"init_lora_weights": "pissa"'
says 0 '"init_lora_weights": "gaussian"'
says 2 '"layer_replication": [[0, 1]]'
says 2 '"trainable_token_indices": [1]'
says 2 '"rank_pattern": {".*v_proj": 2}'
says 2 '"alpha_pattern": {"v_proj": "x"}'
renamed() { # 0-OR-2 SCRIPT: the names of tensors, which keep their lengths
	rm -rf other
	cp -r plain other
	LC_ALL=C sed -i "1,/}}/$2" other/adapter_model.safetensors
	same "$1" "$2"
}
renamed 0 's/nothing/as it is/'
renamed 2 's/base_model\.model\./base-model.model./g'
renamed 2 's/lora_B\.weight/lora_B.weighX/'
renamed 2 's/lora_A\.weight/lora_C.weight/'
mv other/adapter_model.safetensors other/adapter_model.bin
same 2 'other formats'

# --- JSON ---
for path in policy judge bad run adapter "$golden/malformed/ok.safetensors" "$golden/malformed/bad-hole.safetensors"; do
	"$RLHF" inspect "$path" --json --tensors >out 2>log || true
	[ "$(wc -l <out)" -eq 1 ] || fail "$path: not one line of JSON"
	sed 's/^/{"input_ids": [1], "report": /; s/$/}/' out >line.jsonl
	"$RLHF" logprobs --model policy --input line.jsonl >/dev/null 2>log || fail "$path: no JSON: $(cat log): $(cat out)"
done
"$RLHF" inspect policy --json >out
found '"parameters": [0-9]+, ' '"problems": \[\], "sound": true\}$' '"dtypes": \{"F32": 21\}'

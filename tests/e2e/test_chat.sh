#!/usr/bin/env bash
# Conversations: training on messages is training on the ids that tokenize gives for them,
# to the byte; a format that is named ends what is sampled.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden=$here/tests/golden/chat
"$make_model" talker lm 413 1
"$make_model" judge reward 413 2
cp "$golden"/bytes/tokenizer*.json talker
cp "$golden"/bytes/tokenizer*.json judge
cp "$golden/chatml.jinja" talker/chat_template.jinja

# --- sft: messages, and their ids with labels ---
for i in 1 2 3 4 5 6; do
	printf '{"messages": [{"role": "user", "content": "the %d"}, {"role": "assistant", "content": "is %d"}, ' $i $((i * 5 % 7))
	printf '{"role": "user", "content": "and?"}, {"role": "assistant", "content": "more<|im_end|>"}]}\n'
done >talks.jsonl
"$RLHF" tokenize --model talker --input talks.jsonl --output ids.jsonl 2>log || fail "$(cat log)"
cat >sft.json <<'JSON'
{"run": {"dir": "sft"}, "model": {"path": "talker"},
 "data": {"train": "talks.jsonl", "max_length": 128}, "train": {"steps": 2, "batch_size": 4},
 "optimizer": {"learning_rate": 0.01}, "checkpoint": {"every_steps": 0}}
JSON
"$RLHF" sft sft.json 2>log || fail "sft: $(cat log)"
on 2 "$RLHF" sft sft.json --set run.dir=sft-ids --set data.train=ids.jsonl 2>log || fail "sft of ids: $(cat log)"
cmp sft/final/model.safetensors sft-ids/final/model.safetensors || fail 'messages and their ids train otherwise'
cmp sft/final/chat_template.jinja talker/chat_template.jinja || fail 'the result lost its chat template'
"$RLHF" sft sft.json --set run.dir=named --set data.chat=llama-3 2>log || fail "a named format: $(cat log)"
! cmp -s sft/final/model.safetensors named/final/model.safetensors || fail 'data.chat changes nothing'

# --- preferences ---
for i in 1 2 3 4; do
	echo "{\"chosen\": [{\"role\": \"user\", \"content\": \"$i\"}, {\"role\": \"assistant\", \"content\": \"yes\"}]," \
		"\"rejected\": [{\"role\": \"user\", \"content\": \"$i\"}, {\"role\": \"assistant\", \"content\": \"no\"}]}"
done >pairs.jsonl
for side in chosen rejected; do
	sed -E "s/.*\"$side\": (\[[^]]*\]).*/{\"messages\": \1}/" pairs.jsonl >$side.jsonl
	"$RLHF" tokenize --model talker --input $side.jsonl | sed -E 's/.*"input_ids":(\[[^]]*\]).*/\1/' >$side.ids
done
paste -d '\n' chosen.ids rejected.ids | sed -E 'N; s/(.*)\n(.*)/{"chosen_ids":\1,"rejected_ids":\2}/' >pair-ids.jsonl
sed 's/talks/pairs/; s/"dir": "sft"/"dir": "dpo"/' sft.json >dpo.json
"$RLHF" dpo dpo.json 2>log || fail "dpo: $(cat log)"
"$RLHF" dpo dpo.json --set run.dir=dpo-ids --set data.train=pair-ids.jsonl 2>log || fail "dpo of ids: $(cat log)"
cmp dpo/final/model.safetensors dpo-ids/final/model.safetensors || fail 'pairs of messages train otherwise'

# --- ppo and generate: the last turn is the user's ---
for i in 1 2 3 4; do
	echo "{\"messages\": [{\"role\": \"user\", \"content\": \"the $i\"}]}"
done >prompts.jsonl
"$RLHF" tokenize --model talker --input prompts.jsonl --output prompt-ids.jsonl 2>log || fail "$(cat log)"
cat >ppo.json <<'JSON'
{"run": {"dir": "ppo"}, "policy": {"path": "talker"}, "data": {"prompts": "prompts.jsonl"},
 "reward": {"sources": [{"type": "model", "path": "judge"}]},
 "rollout": {"batch_size": 4, "max_new_tokens": 8}, "ppo": {"iterations": 1, "epochs": 1},
 "checkpoint": {"every_steps": 0}}
JSON
on 2 "$RLHF" ppo ppo.json 2>log || fail "ppo: $(cat log)"
"$RLHF" ppo ppo.json --set run.dir=ppo-ids --set data.prompts=prompt-ids.jsonl 2>log || fail "ppo of ids: $(cat log)"
cmp ppo/final/model.safetensors ppo-ids/final/model.safetensors || fail 'prompts of messages train otherwise'
"$RLHF" generate --model talker --input prompts.jsonl --max-new-tokens 8 >out 2>log || fail "$(cat log)"
"$RLHF" generate --model talker --input prompt-ids.jsonl --max-new-tokens 8 >ids.out 2>log || fail "$(cat log)"
cmp out ids.out || fail 'messages and their ids generate otherwise'
head -n 1 prompts.jsonl >one.jsonl
"$RLHF" generate --model talker --input one.jsonl --max-new-tokens 8 >out 2>log || fail "$(cat log)"
for chat in auto chatml; do
	"$RLHF" generate --model talker --prompt 'the 1' --chat $chat --max-new-tokens 8 >said.out 2>log ||
		fail "--prompt with --chat $chat: $(cat log)"
	cmp out said.out || fail "--prompt with --chat $chat is not what the user says"
done
"$RLHF" generate --model talker --prompt 'the 1' --max-new-tokens 8 2>log | grep -q '"prompt":"the 1"' ||
	fail "--prompt without --chat is not plain text: $(cat log)"

# --- what TRL hands to the template beside messages ---
for more in '"tools": [{"name": "x"}]' '"tools": "[{}]"' '"chat_template_kwargs": {"a": null, "b": false}'; do
	rc=0
	sed "2s/}\$/, $more}/" prompts.jsonl >more.jsonl
	"$RLHF" tokenize --model talker --input more.jsonl >out 2>log || rc=$?
	grep -qE '^rlhf: error: more.jsonl: line 2: "[a-z_]*" beside messages is not supported$' log && [ $rc -eq 2 ] ||
		fail "exit $rc with $more: $(cat log)"
done
for more in '"tools": []' '"tools": null' '"tools": "[]"' '"tools": "", "chat_template_kwargs": {"a": null}'; do
	sed "s/}\$/, $more}/" prompts.jsonl >more.jsonl
	"$RLHF" tokenize --model talker --input more.jsonl 2>log | cmp - prompt-ids.jsonl || fail "$more: $(cat log)"
done

# --- the end of a turn ends a completion: of many short ones some stop there ---
"$RLHF" generate --model talker --input prompts.jsonl --max-new-tokens 100 --samples 40 --chat chatml >out 2>log ||
	fail "$(cat log)"
grep -q ',401\],"logprobs".*"finish_reason":"stop"' out || fail 'nothing stopped at <|im_end|>'
! grep -q '"completion_ids":\[[^]]*401,' out || fail 'something went on behind <|im_end|>'

# --- so it does in ppo, found or named; what actors do not sample yet, the reference bans too ---
for chat in auto chatml; do
	"$RLHF" ppo ppo.json --set run.dir=end-$chat --set data.chat=$chat --set rollout.batch_size=160 \
		--set rollout.max_new_tokens=100 --set rollout.min_new_tokens=8 2>log ||
		fail "ppo with chat $chat: $(cat log)"
	grep -q ',401\],"completion".*"finish_reason":"stop"' end-$chat/rollouts.jsonl ||
		fail "chat $chat: nothing stopped at <|im_end|>"
	! grep -q '"completion_ids":\[[^]]*401,' end-$chat/rollouts.jsonl ||
		fail "chat $chat: something went on behind <|im_end|>"
	grep -q '"objective/kl":0,' end-$chat/metrics.jsonl ||
		fail "chat $chat: policy and reference are the same, but $(grep -o '"objective/kl":[^,]*' end-$chat/metrics.jsonl)"
done

# --- what there is no format for ---
rm talker/chat_template.jinja
refused() { # PATTERN COMMAND...
	local pattern=$1 rc=0
	shift
	"$@" --set run.dir=fresh >out 2>log || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc, expected 2: $*: $(cat log)"
	grep -qE "^rlhf: error: .*$pattern" log || fail "no \"$pattern\": $*: $(cat log)"
	[ ! -e fresh ] || fail "$pattern: left $(find fresh)"
}
refused 'talks.jsonl: line 1: "messages": talker has no chat template; name the chat format: chatml' \
	"$RLHF" sft sft.json
refused 'chat format "chatlm" is not known' "$RLHF" ppo ppo.json --set data.chat=chatlm

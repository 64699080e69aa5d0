#!/usr/bin/env bash
# tokenizer-train, pretrain and reward-train: the same bytes on 1, 2 and 4 ranks,
# on 1 thread, and after a kill at any named point of a save; a stop on request.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"

for i in $(seq 0 239); do
	a=$((i * 7 % 11)) b=$((i * 5 % 13))
	echo "{\"text\":\"the cat number $a sees dog number $b and runs $((a + b)) steps\"}"
done >text.jsonl
for i in $(seq 0 79); do
	printf '{"prompt":"the cat","chosen":" runs %d sweet steps","rejected":" runs %d steps"}\n' \
		$((i * 7 % 11)) $((i * 5 % 13))
done >pairs.jsonl
head -n 20 pairs.jsonl >held-out.jsonl
cat >pretrain.json <<'JSON'
{"run": {"dir": "lm", "seed": 3},
 "model": {"create": {"family": "llama", "hidden_size": 32, "intermediate_size": 64,
   "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
   "max_position_embeddings": 64, "tie_word_embeddings": true, "tokenizer": "tokenizer"}},
 "data": {"train": "text.jsonl", "eval": "text.jsonl", "max_length": 32},
 "train": {"steps": 9, "batch_size": 16},
 "optimizer": {"learning_rate": 0.01},
 "checkpoint": {"every_steps": 3, "keep": 2}}
JSON
cat >reward.json <<'JSON'
{"run": {"dir": "rm", "seed": 3},
 "model": {"path": "lm/final"},
 "data": {"train": "pairs.jsonl", "eval": "held-out.jsonl", "max_length": 32},
 "train": {"steps": 9, "batch_size": 16},
 "optimizer": {"learning_rate": 0.01},
 "checkpoint": {"every_steps": 3, "keep": 2}}
JSON

"$RLHF" tokenizer-train --input text.jsonl --vocab-size 300 --output tokenizer 2>log ||
	fail "tokenizer-train: $(cat log)"

alike pretrain pretrain.json lm train.updated:5 checkpoint.begin:2 checkpoint.model:1 \
	checkpoint.moments:2 checkpoint.before_manifest:2 checkpoint.after_manifest:2 \
	checkpoint.before_rename:1 checkpoint.before_rename:3 checkpoint.after_rename:2 \
	checkpoint.evict:1 final.begin:1 final.end:1
alike reward-train reward.json rm checkpoint.before_rename:2 final.begin:1

# transformers 5 wants a point in what its classes have as floats.
"$RLHF" pretrain pretrain.json --set run.dir=gemma --set train.steps=1 --set 'model.create=
	{"family": "gemma2", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
	"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4, "tokenizer": "tokenizer",
	"max_position_embeddings": 64, "final_logit_softcapping": 30.0}' 2>log || fail "$(cat log)"
grep -q '"final_logit_softcapping": 30[.]0,' gemma/final/config.json ||
	fail "a float has become a whole number: $(cat gemma/final/config.json)"

loss() { # STEP METRICS
	sed -nE "s/^\{\"step\":$1,.*\"loss\":([0-9.e-]*).*/\1/p" "$2"
}
awk -v a="$(loss 1 lm/metrics.jsonl)" -v b="$(loss 9 lm/metrics.jsonl)" \
	'BEGIN { exit !(a > 5 && b < a - 1) }' || fail 'pretrain did not learn'
grep -q '"eval/accuracy":1,' rm/metrics.jsonl || fail 'the reward model did not learn the rule'
for file in tokenizer.json tokenizer_config.json; do
	cmp tokenizer/$file rm/final/$file || fail "$file was not copied byte for byte"
done
# What the model says of itself is what the score command finds.
pad=$(sed -nE 's/.*"pad_token_id": ([0-9]+).*/\1/p' rm/final/config.json)
eos=$(sed -nE 's/.*"eos_token_id": ([0-9]+).*/\1/p' rm/final/config.json)
if [ -z "$pad" ] || [ "$pad" = "$eos" ]; then
	fail "pad_token_id is \"$pad\", the end token \"$eos\""
fi
sed -E 's/(.*),"rejected":.*/\1}/; s/"chosen"/"completion"/' held-out.jsonl >texts.jsonl
sed -E 's/"chosen":"[^"]*",//; s/"rejected"/"completion"/' held-out.jsonl >>texts.jsonl
mean=$(sed -nE 's/.*"reward_mean": ([-0-9.e]+).*/\1/p' rm/final/config.json)
std=$(sed -nE 's/.*"reward_std": ([-0-9.e]+).*/\1/p' rm/final/config.json)
"$RLHF" score --model rm/final --input texts.jsonl | sed -E 's/.*"score": ?([-0-9.e]+).*/\1/' |
	awk -v mean="$mean" -v std="$std" '{ s += $1; t += $1 * $1 } END {
		m = s / NR; d = m - mean; e = sqrt(t / NR - m * m) - std
		exit !(NR == 40 && d * d < 1e-8 && e * e < 1e-8 && std > 0) }' ||
	fail "scores do not have the mean $mean and the deviation $std"
# Which a source uses that says so: the same rollouts, scored by one and by the other.
echo '{"run": {"dir": "ppo"}, "policy": {"path": "lm/final"},
	"reward": {"sources": [{"type": "model", "path": "rm/final"}]},
	"data": {"prompts": "prompts.jsonl"}, "ppo": {"iterations": 1},
	"rollout": {"batch_size": 8, "max_new_tokens": 8}}' >ppo.json
echo '{"prompt": "the cat"}' >prompts.jsonl
# A finished run has nothing to do, but for a result that somebody has removed.
finished_again() { # COMMAND CONFIG RUN
	"$RLHF" "$1" "$2" --set run.dir="$3" 2>log || fail "$3: $(cat log)"
	grep -q "$3: the run is finished after" log || fail "$3: $(cat log)"
	mv "$3/final" final.was
	"$RLHF" "$1" "$2" --set run.dir="$3" 2>log || fail "$3 without its result: $(cat log)"
	diff -r final.was "$3/final" || fail "$3: another result"
	rm -r final.was
}
finished_again pretrain pretrain.json lm
rc=0
"$RLHF" tokenizer-train --input text.jsonl --vocab-size 290 --output lm/final 2>log || rc=$?
[ $rc -eq 2 ] || fail "tokenizer-train into the directory of a model: exit $rc"
grep -q 'error: lm/final: holds a model, whose tokenizer would be replaced' log || fail "$(cat log)"
cmp tokenizer/tokenizer.json lm/final/tokenizer.json || fail "the model's tokenizer was replaced"
for normalise in true false; do
	"$RLHF" ppo ppo.json --set run.dir=ppo-$normalise --set reward.sources.0.normalise=$normalise \
		2>log || fail "normalise $normalise: $(cat log)"
	sed -nE 's/.*"score":([-0-9.e]+).*/\1/p' ppo-$normalise/rollouts.jsonl >$normalise.scores
done
finished_again ppo ppo.json ppo-false
[ "$(wc -l <true.scores)" -eq 8 ] || fail 'rollouts without scores'
paste true.scores false.scores | awk -v mean="$mean" -v std="$std" '
	{ d = $1 - ($2 - mean) / std; if (d * d > 1e-8 * (1 + $1 * $1)) exit 1 }' ||
	fail 'a normalised score is not (score - reward_mean) / reward_std'

# Checkpoints by time: each step takes longer than no time.
saved_steps() { # EVERY_SECONDS
	rm -rf timed
	"$RLHF" pretrain pretrain.json --set run.dir=timed --set checkpoint.every_steps=0 \
		--set checkpoint.keep=5 --set checkpoint.every_seconds="$1" 2>log || fail "timed: $(cat log)"
	find timed/checkpoints -name 'step-*' | sed 's/.*step-0*//' | sort -n | tr '\n' ' '
}
[ "$(saved_steps 1e-9)" = '5 6 7 8 9 ' ] || fail 'checkpoint.every_seconds did not save each step'
[ "$(saved_steps 0)" = '9 ' ] || fail 'more than the end was saved with both intervals off'

"$RLHF" pretrain pretrain.json --set run.dir=stopped --set train.steps=100000 2>log &
child=$!
while [ ! -s stopped/metrics.jsonl ]; do sleep 0.05; done
kill -USR1 $child
rc=0
wait $child || rc=$?
[ $rc -eq 75 ] || fail "stopped on request: exit $rc, expected 75"
grep -q '"state": "stopped"' stopped/run.json || fail 'run.json does not say stopped'
find stopped/checkpoints -name MANIFEST.json | grep -q . || fail 'nothing was saved at the stop'

# A request that comes before any rank has begun is kept for it.
"$RLHF" pretrain pretrain.json --set run.dir=early --set train.steps=100000 --ranks 2 2>early.log &
child=$!
while [ ! -s early.log ]; do sleep 0.01; done
kill -USR1 $child
rc=0
wait $child || rc=$?
[ $rc -eq 75 ] || fail "asked to stop at the start: exit $rc, expected 75: $(cat early.log)"
[ "$(wc -l <early/metrics.jsonl)" -eq 1 ] || fail "asked to stop at the start: $(cat early/metrics.jsonl)"

rc=0
on 3 "$RLHF" pretrain pretrain.json --set run.dir=three >log 2>&1 || rc=$?
[ $rc -eq 2 ] || fail "3 ranks: exit $rc, expected 2"
grep -q '3 ranks do not divide train.lanes, 8' log || fail "3 ranks: $(cat log)"

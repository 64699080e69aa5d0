#!/usr/bin/env bash
# sft: the same bytes on any number of ranks and after a kill; what is learnt, what
# is kept, and what is refused.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden=$here/tests/golden

# The last value of a metric.
metric() { # NAME RUN
	sed -nE "s|.*\"$1\":([-0-9.e]+).*|\1|p" "$2/metrics.jsonl" | tail -n 1
}

holds() { # AWK-EXPRESSION WHAT
	awk "BEGIN { exit !($1) }" || fail "$2: $1"
}

# refused PATTERN COMMAND...: exit 2, one sentence, no directory.
refused() {
	local pattern=$1 rc=0
	shift
	"$@" --set run.dir=fresh >log 2>&1 || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc, expected 2: $*: $(cat log)"
	grep -qE "^rlhf: error: .*$pattern" log || fail "no \"$pattern\": $*: $(cat log)"
	[ ! -e fresh ] || fail "$pattern: left $(find fresh)"
}

"$RLHF" tokenizer-train --input "$golden/tokenizers/training.txt" --vocab-size 300 \
	--output words 2>log || fail "tokenizer-train: $(cat log)"
"$make_model" speaker lm 300 1
cp words/* speaker

# --- sft ---
for i in $(seq 0 39); do
	printf '{"prompt":"the %d","completion":" cat sees %d"}\n' $((i * 7 % 11)) $((i * 5 % 13))
done >examples.jsonl
head -n 9 examples.jsonl >held-out.jsonl
cat >sft.json <<'JSON'
{"run": {"dir": "sft", "seed": 3}, "model": {"path": "speaker"},
 "data": {"train": "examples.jsonl", "eval": "held-out.jsonl", "max_length": 32},
 "train": {"steps": 9, "batch_size": 8, "eval_every": 2},
 "optimizer": {"learning_rate": 0.01}, "checkpoint": {"every_steps": 3, "keep": 2}}
JSON
alike sft sft.json sft checkpoint.before_rename:2
holds "$(metric eval/loss sft) < 3 && $(metric eval/perplexity sft) < exp(3)" 'sft did not learn'
holds "$(metric mean_token_accuracy sft) > 0.4 && $(metric entropy sft) > 0" 'metrics of sft'
# The lowest loss on held-out rows was the last: best and final are one model.
cmp sft/best/model.safetensors sft/final/model.safetensors || fail 'best is not the last model'
"$RLHF" sft sft.json --set run.dir=worse --set optimizer.learning_rate=0.3 --set train.steps=8 \
	2>log || fail "$(cat log)"
! cmp -s worse/best/model.safetensors worse/final/model.safetensors ||
	fail 'a model that became worse is kept as the best'
"$RLHF" sft sft.json --set run.dir=all --set sft.loss=all --set train.steps=1 2>log ||
	fail "$(cat log)"
holds "$(metric loss all) != $(sed -n '1s/.*"loss":\([^,]*\),.*/\1/p' sft/metrics.jsonl)" \
	'prompts are not learnt with sft.loss all'

echo '{"prompt":"the","completion":""}' >nothing.jsonl
echo '{"input_ids":[1,2],"labels":[-100,-100]}' >masked.jsonl
echo '{"prompt":"the cat sees the dog and runs","completion":" home to the other cats"}' >long.jsonl
refused 'nothing.jsonl: line 1: the completion is empty' "$RLHF" sft sft.json \
	--set data.train=nothing.jsonl
refused 'masked.jsonl: line 1: nothing is to be learnt' "$RLHF" sft sft.json \
	--set data.train=masked.jsonl
refused 'long.jsonl: line 1: [0-9]* tokens, expected at most 8' "$RLHF" sft sft.json \
	--set data.train=long.jsonl --set data.max_length=8
refused 'long.jsonl: no row is left' "$RLHF" sft sft.json --set data.train=long.jsonl \
	--set data.max_length=8 --set data.too_long=truncate
refused '"sft.loss" is "prompt"' "$RLHF" sft sft.json --set sft.loss=prompt

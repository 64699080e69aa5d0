#!/usr/bin/env bash
# sft, dpo (and kto), classify: the same bytes on any number of ranks and after a kill; what is
# learnt, what is kept, and what is refused.
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

# --- dpo ---
for i in $(seq 0 39); do
	printf '{"prompt":"the %d","chosen":" cat sees %d","rejected":" dog %d runs"}\n' \
		$((i * 7 % 11)) $((i * 5 % 13)) $((i % 9))
done >pairs.jsonl
head -n 9 pairs.jsonl >pairs-eval.jsonl
cat >dpo.json <<'JSON'
{"run": {"dir": "dpo", "seed": 3}, "model": {"path": "sft/final"},
 "data": {"train": "pairs.jsonl", "eval": "pairs-eval.jsonl", "max_length": 32},
 "train": {"steps": 9, "batch_size": 8, "eval_every": 4},
 "optimizer": {"learning_rate": 0.001}, "checkpoint": {"every_steps": 3, "keep": 2}}
JSON
first() { # NAME RUN: the metric's first value
	sed -nE "1s|.*\"$1\":([-0-9.e]+).*|\1|p" "$2/metrics.jsonl"
}
alike dpo dpo.json dpo checkpoint.before_rename:2
# The first step's policy is the reference, to the bit; so is a copy of it.
holds "$(first loss dpo) == $(first rewards/margins dpo) + 0.6931471805599453" 'DPO starts at ln 2'
holds "$(first rewards/accuracies dpo) == 0 && $(metric rewards/accuracies dpo) == 1" 'accuracy of DPO'
holds "$(metric eval/loss dpo) < 0.6 && $(metric rewards/chosen dpo) > $(metric rewards/rejected dpo)" \
	'DPO did not learn'
cp -r sft/final copy
"$RLHF" dpo dpo.json --set run.dir=copied --set reference.path=copy 2>log || fail "$(cat log)"
same_run dpo copied 'a reference that is a copy of the policy'
"$RLHF" dpo dpo.json --set run.dir=other --set reference.path=speaker 2>log || fail "$(cat log)"
holds "$(first loss other) != $(first loss dpo)" 'reference.path is not used'
# A request to stop is heeded while the reference is asked: rank 0 is held before that, told,
# and makes no step.
held() { # a process of the run that stands still
	local pid
	for pid in $(running_in stopped); do
		grep -qsE '^State:\s*T' "/proc/$pid/status" && echo "$pid"
	done
}
stops() { # RANKS
	local rc=0 pid='' job ms
	rm -rf stopped
	RLHF_FAULT=stop:reference.rows:1 RLHF_FAULT_RANK=0 on "$1" "$RLHF" dpo dpo.json \
		--set run.dir=stopped 2>log &
	job=$!
	for ((ms = 0; ms < 30000 && ${#pid} == 0; ms += 50)); do
		pid=$(held) || true
		sleep 0.05
	done
	[ -n "$pid" ] || fail "nobody stands still: $(cat log)"
	kill -USR1 "$pid"
	kill -CONT "$pid"
	wait $job || rc=$?
	[ $rc -eq 75 ] || fail "asked to stop while the reference is asked: exit $rc: $(cat log)"
	grep -q 'asked to stop before the reference has given all' log || fail "$(cat log)"
	[ ! -e stopped/checkpoints ] && [ ! -e stopped/metrics.jsonl ] || fail "a step: $(ls stopped)"
}
stops 0
stops 2
"$RLHF" dpo dpo.json --set run.dir=stopped 2>log || fail "$(cat log)"
same_run dpo stopped 'after a stop while the reference was asked'
# A resumed run does not need its reference any more.
if (RLHF_FAULT=kill:train.updated:6 "$RLHF" dpo dpo.json --set run.dir=orphan \
	--set reference.path=copy) >log 2>&1; then
	fail 'dpo passed its sixth step alive'
fi
mv copy gone
"$RLHF" dpo dpo.json --set run.dir=orphan --set reference.path=copy 2>log || fail "$(cat log)"
same_run dpo orphan 'a run resumed without its reference'
# Its rows are the same ones: what the reference said of them is in the checkpoint.
other_rows() { # PATTERN
	local rc=0
	"$RLHF" dpo dpo.json --set train.steps=10 2>log || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc of a run that goes on with other rows: $(cat log)"
	grep -q "rlhf: error: $1" log || fail "no \"$1\": $(cat log)"
}
cp pairs-eval.jsonl kept-pairs.jsonl
cp sft/final/tokenizer.json kept-tokenizer.json
sed 's/dog/cat/' kept-pairs.jsonl >pairs-eval.jsonl
other_rows 'pairs-eval.jsonl: the file has changed since the run began'
cp kept-pairs.jsonl pairs-eval.jsonl
sed 's/"add_prefix_space": false/"add_prefix_space": true/' kept-tokenizer.json >sft/final/tokenizer.json
other_rows 'pairs.jsonl: its rows are other ids than when the run began'
cp kept-tokenizer.json sft/final/tokenizer.json
for type in robust hinge ipo; do
	"$RLHF" dpo dpo.json --set run.dir=$type --set dpo.loss_type=$type 2>log || fail "$(cat log)"
	holds "$(metric rewards/accuracies $type) == 1" "$type did not learn"
done

# --- kto ---
for i in $(seq 0 39); do
	if [ $((i % 3)) -ne 0 ]; then
		printf '{"prompt":"the %d","completion":" cat sees %d","label":true}\n' $((i % 11)) $((i % 13))
	else
		printf '{"prompt":"the %d","completion":" dog %d runs","label":0}\n' $((i % 11)) $((i % 9))
	fi
done >judged.jsonl
sed 's/"dir": "dpo"/"dir": "kto"/; s/"pairs.jsonl"/"judged.jsonl"/
	s/"train": {"steps"/"dpo": {"loss_type": "kto"}, &/' dpo.json >kto.json
alike dpo kto.json kto checkpoint.before_rename:2
holds "$(first loss kto) == 0.5 && $(first kl kto) == 0" 'KTO starts at a half'
holds "$(metric eval/loss kto) < 0.49 && $(metric eval/rewards/margins kto) > 0.1" 'KTO did not learn'

# --- what dpo refuses ---
echo '{"prompt":"the","chosen":" cat","rejected":""}' >nothing.jsonl
echo '{"prompt":"the","chosen":" cat","rejected":" cat"}' >equal.jsonl
echo '{"prompt":"the","completion":" cat","label":0.5}' >label.jsonl
refused 'nothing.jsonl: line 1: the completion of rejected is empty' "$RLHF" dpo dpo.json \
	--set data.train=nothing.jsonl
refused 'equal.jsonl: no row is left' "$RLHF" dpo dpo.json --set data.train=equal.jsonl
refused 'label.jsonl: line 1: "label" is neither true nor false' "$RLHF" dpo kto.json \
	--set data.train=label.jsonl
refused '"dpo.label_smoothing" is 0.1, expected 0 with dpo.loss_type "ipo"' "$RLHF" dpo dpo.json \
	--set dpo.loss_type=ipo --set dpo.label_smoothing=0.1
refused '"dpo.beta" is 0' "$RLHF" dpo dpo.json --set dpo.beta=0
"$make_model" small lm 24 1
refused 'small: the reference has 24 vocabulary rows, the policy sft/final has 300' "$RLHF" dpo dpo.json \
	--set reference.path=small

# --- classify ---
for i in $(seq 0 47); do
	case $((i % 3)) in
	0) printf '{"text":"the cat sees %d","label":"cats"}\n' $((i % 7)) ;;
	1) printf '{"text":"a dog runs %d","label":"dogs"}\n' $((i % 5)) ;;
	2) printf '{"text":"%d steps","label":"steps"}\n' $((i % 11)) ;;
	esac
done >texts.jsonl
head -n 12 texts.jsonl >texts-eval.jsonl
cat >classify.json <<'JSON'
{"run": {"dir": "classify", "seed": 3}, "model": {"path": "speaker"},
 "data": {"train": "texts.jsonl", "eval": "texts-eval.jsonl"},
 "train": {"steps": 12, "batch_size": 8, "eval_every": 4},
 "optimizer": {"learning_rate": 0.005}, "checkpoint": {"every_steps": 4, "keep": 2}}
JSON
alike classify classify.json classify checkpoint.before_rename:2 final.begin:1
holds "$(metric eval/accuracy classify) == 1 && $(metric eval/f1 classify) == 1" 'classify did not learn'
grep -q '"id2label": {"0": "cats", "1": "dogs", "2": "steps"}' classify/final/config.json ||
	fail "labels: $(cat classify/final/config.json)"
grep -q '"label": "dogs", "precision": 1, "recall": 1, "f1": 1, "taken_for": {"dogs": 4}}' \
	classify/evaluation.json || fail "evaluation: $(cat classify/evaluation.json)"
"$RLHF" score --model classify/final --input texts-eval.jsonl >scores.jsonl
diff <(grep -o '"label":"[a-z]*"' scores.jsonl) <(grep -o '"label":"[a-z]*"' texts-eval.jsonl) ||
	fail 'score does not name the labels'
# A classifier goes on with its own labels, by name or number.
sed 's/"cats"/0/; s/"dogs"/1/; s/"steps"/2/' texts.jsonl >numbers.jsonl
"$RLHF" classify classify.json --set run.dir=again --set model.path=classify/final \
	--set data.train=numbers.jsonl --set train.steps=1 2>log || fail "$(cat log)"
holds "$(metric accuracy again) == 1" 'a classifier forgot its labels'

echo '{"text":"a dog","label":"birds"}' >birds.jsonl
echo '{"text":"a dog","label":3}' >three.jsonl
refused 'birds.jsonl: every label is birds, expected at least two' "$RLHF" classify classify.json \
	--set data.train=birds.jsonl
refused 'birds.jsonl: line 1: "label" is "birds", expected one of the model.s 3 labels' \
	"$RLHF" classify classify.json --set data.eval=birds.jsonl
refused 'three.jsonl: line 1: "label" is 3, expected a number from 0 to 2' \
	"$RLHF" classify classify.json --set data.eval=three.jsonl
refused 'pairs.jsonl: line 1: "label" is missing' "$RLHF" classify classify.json \
	--set data.train=pairs.jsonl
"$make_model" judge reward 300 2
cp words/* judge
refused 'judge: a model that chooses one of 1 label, expected one of at least 2' \
	"$RLHF" classify classify.json --set model.path=judge

# --- freezing ---
# Both files hold the same tensors, by name: embedding, layers, norm, score.
embedding=$((300 * 32 * 4)) layer=$(((1024 + 512 + 512 + 1024 + 3 * 2048 + 64) * 4)) head=$((3 * 32 * 4))
weights=model.safetensors
header=$((8 + $(od -An -tu8 -N8 classify/final/$weights)))
size=$(stat -c %s classify/final/$weights)
sed 's|"speaker"|"classify/final"|; s|"dir": "classify"|"dir": "frozen"|
	s|"train": {"steps"|"classify": {"freeze": "backbone"}, &|' classify.json >frozen.json
freeze() { # WHAT BYTES NEXT: the first BYTES of the data stay, the NEXT do not
	"$RLHF" classify frozen.json --set run.dir="kept-$1" --set classify.freeze="$1" 2>log ||
		fail "freeze $1: $(cat log)"
	cmp -n $((header + $2)) classify/final/$weights "kept-$1/final/$weights" ||
		fail "freeze $1 does not keep $2 bytes"
	! cmp -s -n "$3" -i $((header + $2)) classify/final/$weights "kept-$1/final/$weights" ||
		fail "freeze $1 keeps more than $2 bytes"
}
alike classify frozen.json frozen checkpoint.before_rename:2 final.begin:1
# One rank of two has no memory to keep them.
RLHF_FAULT=omit:embeddings RLHF_FAULT_RANK=1 on 2 timeout 60 "$RLHF" classify frozen.json \
	--set run.dir=frozen-unlike 2>log || fail "embeddings that one rank cannot keep: $(cat log)"
same_run frozen frozen-unlike 'embeddings that one rank cannot keep'
freeze none 0 $embedding
freeze embeddings $embedding $layer
freeze 1 $((embedding + layer)) $layer
freeze 2 $((embedding + 2 * layer)) $((32 * 4))
freeze backbone $((size - header - head)) $head
holds "$(stat -c %s kept-backbone/checkpoints/step-00000012/optimizer-m.safetensors) < 1000" \
	'moments of frozen weights are kept'
refused 'classify.freeze is 3 layers, the model has 2' "$RLHF" classify frozen.json \
	--set classify.freeze=3
refused '"classify.freeze" is 0 .*, expected one of .*, or an integer from 1' "$RLHF" classify \
	frozen.json --set classify.freeze=0

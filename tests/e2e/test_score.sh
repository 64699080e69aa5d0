#!/usr/bin/env bash
# rlhf score: one label and several, each pooling rule, and the same bytes on any ranks.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden=$here/tests/golden/models

score() { # MODEL INPUT ARGUMENTS...
	local model=$1 input=$2
	shift 2
	"$RLHF" score --model "$model" --input "$input" "$@" 2>log || fail "$(cat log)"
}

# Three labels that have names; ids of the pad, 0, at the end.
cp -r "$golden/score-gpt2" judge
for i in $(seq 1 9); do
	echo "{\"prompt_ids\":[5,$((i + 3)),7],\"completion_ids\":[$((i * 5)),3,0,11,2,4,0]}"
done >rows.jsonl
score judge rows.jsonl >plain
[ "$(grep -cE '^\{"logits":\[[-0-9.e,]+\],"label":"LABEL_[012]"\}$' plain)" -eq 9 ] || fail "$(cat plain)"
for ranks in 2 3; do
	on $ranks "$RLHF" score --model judge --input rows.jsonl --output ranks 2>log || fail "$(cat log)"
	cmp plain ranks || fail "other scores on $ranks ranks"
done
sed -i 's/"LABEL_0": 0/"bad": 0/; s/"0": "LABEL_0"/"0": "bad"/; s/"1": "LABEL_1"/"1": "good \\"one\\""/' judge/config.json
score judge rows.jsonl | sed 's/bad/LABEL_0/; s/good \\"one\\"/LABEL_1/' | cmp - plain ||
	fail 'labels have other names'
sed -i 's/"model_type"/"problem_type": "regression", "model_type"/' judge/config.json
score judge rows.jsonl | diff - <(sed 's/,"label.*/}/' plain) || fail 'regression has no label'
sed -i 's/"regression"/"multi_label_classification"/' judge/config.json
score judge rows.jsonl | grep -qE '"labels":\[("[^]]*")?\]\}' || fail 'no list of labels'

# One label has no name, so a wrong one does no harm; of several it is refused.
sed 's/"LABEL_0": 0/"LABEL_0": 7/; s/"0": "LABEL_0"/"0": 5/' "$golden/rm-llama/config.json" >config.json
cp -r "$golden/rm-llama" unnamed
score unnamed rows.jsonl >plain
cp config.json unnamed
score unnamed rows.jsonl | cmp - plain || fail 'the name of the only label counts'
sed -i 's/"0": "bad"/"0": 5/' judge/config.json
rc=0
"$RLHF" score --model judge --input rows.jsonl >out 2>log || rc=$?
[ $rc -eq 2 ] || fail "exit $rc of a name that is a number: $(cat log)"

# Each rule reads the position that the same ids, cut behind it, end with.
"$make_model" scorer reward 24 2
sed -i 's/"bos_token_id": 0/"bos_token_id": 0, "pad_token_id": 0/; s/"eos_token_id": 23/"eos_token_id": 2/' scorer/config.json
pooled() { # RULE COMPLETION: the ids up to the position that it reads
	echo '{"prompt_ids":[5,0,7],"completion_ids":[9,3,0,11,2,4,0]}' >whole.jsonl
	echo "{\"prompt_ids\":[5,0,7],\"completion_ids\":$2}" >cut.jsonl
	score scorer whole.jsonl --pooling "$1" >full
	score scorer cut.jsonl --pooling last >short
	cmp full short || fail "--pooling $1 reads another position: $(cat full short)"
}
pooled last-non-pad '[9,3,0,11,2,4]'
pooled last '[9,3,0,11,2,4,0]'
pooled first-pad '[9,3]'
pooled eos '[9,3,0,11,2]'
score scorer whole.jsonl >default
score scorer whole.jsonl --pooling last-non-pad | cmp - default || fail 'another default'
rc=0
"$RLHF" score --model scorer --input whole.jsonl --pooling mean >out 2>log || rc=$?
[ $rc -eq 2 ] || fail "exit $rc of an unknown rule"
grep -q 'error: --pooling is "mean", expected last-non-pad, last, first-pad or eos' log || fail "$(cat log)"

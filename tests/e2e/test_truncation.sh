#!/usr/bin/env bash
# data.truncation_side: rows cut on the left train as the rows of ids that are left of
# them, to the byte; what a row's end says is learnt then, and only then.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
"$make_model" speaker lm 512 1
cp "$here/tests/golden/tokenizers/llama3/tokenizer.json" speaker # 420 is its BOS

# Pairs of a prompt of 3 to 12 ids, BOS first, and completions of 1 to 9; examples of
# the same prompts and chosen completions; prompts for a policy whose BOS is 0.  What is
# left of each at a length of 8, as computed here, is in the other file.
awk 'function list(from, n, first,   text, i) {
		for (i = from; i < n; i++)
			text = text (i > from ? "," : "") (i == 0 ? first : (i * 31 + row * 7 + part * 101) % 400)
		return "[" text "]"
	}
	function least(a, b) { return a < b ? a : b }
	function most(a, b) { return a > b ? a : b }
	# A pair or, without rejected, an example: ids of the prompt behind BOS and of the
	# completion that are cut are the first ones.
	function print_row(file, cut, chosen_cut, rejected_cut,   text) {
		part = 0
		text = "{\"prompt_ids\":" (cut ? "[420" (cut + 1 < prompt ? "," substr(list(cut + 1, prompt), 2) : "]") : list(0, prompt, 420))
		part = 1
		if (rejected_cut < 0) {
			print text ",\"completion_ids\":" list(100 + chosen_cut, 100 + chosen) ",\"label\":" row % 2 "}" >file
			return
		}
		text = text ",\"chosen_ids\":" list(100 + chosen_cut, 100 + chosen)
		part = 2
		print text ",\"rejected_ids\":" list(100 + rejected_cut, 100 + rejected) "}" >file
	}
	BEGIN {
		for (row = 0; row < 24; row++) {
			prompt = 3 + row * 5 % 10
			chosen = 1 + row * 4 % 9
			rejected = 1 + row * 7 % 8
			print_row("long-pairs.jsonl", 0, 0, 0)
			cut = most(0, least(prompt + most(chosen, rejected) - 8, prompt - 1))
			print_row("pairs.jsonl", cut, most(0, prompt - cut + chosen - 8), most(0, prompt - cut + rejected - 8))
			print_row("long-rows.jsonl", 0, 0, -1)
			cut = most(0, least(prompt + chosen - 8, prompt - 1))
			print_row("rows.jsonl", cut, most(0, prompt - cut + chosen - 8), -1)
			print "{\"input_ids\":[0,1,2,3," row % 3 "," row % 5 "," row % 7 ",5,6,7]}" >"long-prompts.jsonl"
			print "{\"input_ids\":[0," row % 3 "," row % 5 "," row % 7 ",5,6,7]}" >"prompts.jsonl"
		}
	}'
cat >config.json <<'JSON'
{"run": {"dir": "run"}, "model": {"path": "speaker"},
 "data": {"train": "rows.jsonl", "max_length": 8, "too_long": "truncate", "truncation_side": "left"},
 "train": {"steps": 3, "batch_size": 16}, "optimizer": {"learning_rate": 0.01},
 "checkpoint": {"every_steps": 0}}
JSON
cut_alike() { # COMMAND ROWS ARGUMENTS...
	local command=$1 rows=$2
	shift 2
	rm -rf long short
	"$RLHF" "$command" config.json --set run.dir=short --set "data.train=$rows.jsonl" \
		--set data.too_long=error "$@" 2>log || fail "$command of the cut rows: $(cat log)"
	"$RLHF" "$command" config.json --set run.dir=long --set "data.train=long-$rows.jsonl" "$@" 2>log ||
		fail "$command: $(cat log)"
	same_run short long "$command $* of rows that are cut"
}
cut_alike sft rows
cut_alike reward-train pairs
cut_alike dpo pairs
cut_alike dpo rows --set dpo.loss_type=kto
cut_alike classify rows

# kto's estimate of the KL divergence is of each prompt with the completion of the next
# row, cut in the same way: what logprobs says of these.
sed -nE 's/.*"prompt_ids":\[([^]]*)\],"completion_ids":\[([^]]*)\].*/\1 \2/p' rows.jsonl | awk '
	function print_row(prompt, completion,   n, m, i, ids, text, skip) {
		n = split(prompt, ids, ",")
		m = split(prompt "," completion, ids, ",")
		skip = m > 8 ? m - 8 : 0
		text = ids[1]
		for (i = 2; i <= n; i++)
			if (i > 1 + skip) text = text "," ids[i]
		printf "{\"prompt_ids\":[%s],\"completion_ids\":[", text
		for (i = n + 1; i <= m; i++)
			if (i > 1 + skip) printf "%s%s", (i > n + 1 && i > 2 + skip ? "," : ""), ids[i]
		print "]}"
	}
	NR == 1 { first = $2 }
	NR > 1 { print_row(prompt, $2) }
	{ prompt = $1 }
	END { print_row(prompt, first) }' >mismatched.jsonl
"$make_model" reference lm 512 2
cp speaker/tokenizer.json reference
sum() { # MODEL: of the log-probabilities of the completions
	"$RLHF" logprobs --model "$1" --input mismatched.jsonl | sed -E 's/.*"logprobs":\[null,?|\]\}//g' |
		paste -d ' ' - <(sed -E 's/.*"completion_ids":\[([^]]*)\].*/\1/' mismatched.jsonl) |
		awk '{ n = split($1, p, ","); m = split($2, c, ","); for (i = n - m + 1; i <= n; i++) s += p[i] }
			END { printf "%.9g", s }'
}
"$RLHF" dpo config.json --set run.dir=kto --set dpo.loss_type=kto --set reference.path=reference \
	--set train.steps=1 --set train.batch_size=24 2>log || fail "kto: $(cat log)"
kl=$(sed -nE 's/.*"kl":([-0-9.e]+).*/\1/p' kto/metrics.jsonl)
awk -v kl="$kl" -v policy="$(sum speaker)" -v reference="$(sum reference)" 'BEGIN {
	d = kl - (policy - reference) / 24; exit !(kl > 0 && d * d < 1e-8) }' ||
	fail "kl $kl of kto, expected ($(sum speaker) - $(sum reference)) / 24"

# ppo cuts prompts so by default.
"$make_model" policy lm 24 1
"$make_model" judge reward 24 2
cat >ppo.json <<'JSON'
{"run": {"dir": "ppo"}, "policy": {"path": "policy"},
 "reward": {"sources": [{"type": "model", "path": "judge"}]},
 "data": {"prompts": "prompts.jsonl", "max_length": 7, "too_long": "truncate"},
 "rollout": {"batch_size": 8, "max_new_tokens": 6}, "ppo": {"iterations": 2, "epochs": 1},
 "checkpoint": {"every_steps": 0}}
JSON
"$RLHF" ppo ppo.json 2>log || fail "ppo: $(cat log)"
"$RLHF" ppo ppo.json --set run.dir=ppo-long --set data.prompts=long-prompts.jsonl 2>log || fail "ppo: $(cat log)"
same_run ppo ppo-long 'ppo of prompts that are cut'
"$RLHF" ppo ppo.json --set run.dir=ppo-right --set data.prompts=long-prompts.jsonl \
	--set data.truncation_side=right 2>log || fail "ppo: $(cat log)"
grep -q '"prompt_ids":\[0,1,2,3,[0-4,]*\]' ppo-right/rollouts.jsonl || fail "$(head -n 1 ppo-right/rollouts.jsonl)"

# --- texts whose last word decides ---
for i in $(seq 0 31); do
	prompt="the cat number $((i / 2 % 4)) sees the dog and then they run and run and are"
	case $((i % 2)) in
	0) echo "{\"text\":\"$prompt kind\",\"label\":\"good\"}" ;;
	1) echo "{\"text\":\"$prompt wild and old\",\"label\":\"bad\"}" ;;
	esac
	echo "{\"prompt\":\"$prompt\",\"chosen\":\" kind\",\"rejected\":\" wild and old\"}" >>talk-pairs.jsonl
done >talks.jsonl
learn() { # COMMAND ROWS SIDE
	rm -rf "$1-$3"
	"$RLHF" "$1" config.json --set run.dir="$1-$3" --set data.train="$2" --set data.eval="$2" \
		--set data.max_length=16 --set train.steps=12 --set data.truncation_side="$3" 2>log
}
says() { # RUN ACCURACY
	grep -q "\"eval/accuracy\":$2," "$1/metrics.jsonl" || fail "$1: $(tail -n 1 "$1/metrics.jsonl")"
}
for side in left right; do
	learn classify talks.jsonl $side || fail "classify: $(cat log)"
done
says classify-left 1
says classify-right 0.5
learn reward-train talk-pairs.jsonl left || fail "reward-train: $(cat log)"
says reward-train-left 1
# On the right the pairs are equal: none is left, or the short one alone.
rc=0
learn reward-train talk-pairs.jsonl right || rc=$?
[ $rc -eq 2 ] || fail "exit $rc of equal pairs"
grep -q 'talk-pairs.jsonl: no row is left of it' log || fail "$(cat log)"
echo '{"prompt":"it is","chosen":" kind","rejected":" wild"}' >>talk-pairs.jsonl
learn reward-train talk-pairs.jsonl right || fail "reward-train: $(cat log)"
grep -q 'talk-pairs.jsonl: 32 rows with chosen equal to rejected after the cut left out; data.truncation_side "left" keeps' log ||
	fail "no word of truncation_side: $(cat log)"

rc=0
"$RLHF" sft config.json --set data.truncation_side=middle >log 2>&1 || rc=$?
[ $rc -eq 2 ] || fail "exit $rc of an unknown side"
grep -q '"data.truncation_side" is "middle" (a string), expected one of "right" "left"' log || fail "$(cat log)"

#!/usr/bin/env bash
# Completions are a function of (model, prompt, seed, line, sample): the bytes of the
# output do not depend on ranks, threads, memory or the samples made beside.  Their
# log-probabilities are those that logprobs prints for the same ids, byte by byte,
# whatever the sampling leaves out.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
"$make_model" policy lm 24 1
for i in $(seq 1 70); do
	echo "{\"input_ids\":[1,$((i % 7 + 2)),$((i % 5 + 3))$(for _ in $(seq 1 $((i % 13 * 5))); do
		printf ',%d' $((i * 7 % 22 + 1))
	done)]}"
done >prompts.jsonl

# The log-probabilities of the completions, one line for each.
completion_logprobs() { # GENERATED
	sed -E 's/.*"logprobs":\[([^]]*)\].*/\1/' "$1"
}
judged_logprobs() { # GENERATED TEMPERATURE
	"$RLHF" logprobs --model policy --input "$1" --temperature "$2" >judged.jsonl
	paste -d ' ' <(sed -E 's/.*"completion_ids":\[([^]]*)\].*/\1/' "$1" | awk -F, '{ print NF }') \
		<(sed -E 's/.*"logprobs":\[([^]]*)\].*/\1/' judged.jsonl) |
		awk '{
			n = split($2, all, ",")
			line = all[n - $1 + 1]
			for (i = n - $1 + 2; i <= n; i++)
				line = line "," all[i]
			print line
		}'
}

case=0
while read -r temperature options; do
	case=$((case + 1))
	# shellcheck disable=SC2086 # options are words
	generate() {
		"$RLHF" generate --model policy --input prompts.jsonl --max-new-tokens 50 \
			--temperature "$temperature" $options "$@"
	}
	generate --threads 1 --kv-cache-mb 1 >expected.jsonl
	[ "$(wc -l <expected.jsonl)" -ge 70 ] || fail "case $case: $(wc -l <expected.jsonl) lines"
	diff <(completion_logprobs expected.jsonl) \
		<(judged_logprobs expected.jsonl "$([ "$temperature" = 0 ] && echo 1 || echo "$temperature")") >&2 ||
		fail "case $case: logprobs says otherwise"
	generate --threads 2 | cmp - expected.jsonl || fail "case $case: 2 threads"
	if [ $case -le 2 ]; then
		for n in 1 2 3; do
			# shellcheck disable=SC2086
			on $n "$RLHF" generate --model policy --input prompts.jsonl --max-new-tokens 50 \
				--temperature "$temperature" $options 2>log </dev/null | cmp - expected.jsonl ||
				fail "case $case: $n ranks: $(cat log)"
		done
	fi
done <<'CASES'
1 --samples 3
1.3 --top-k 5 --top-p 0.9 --min-new-tokens 4
2.5 --min-p 0.1 --seed 7
7 --top-p 0.5 --samples 2
0 --min-new-tokens 20
CASES
[ $case -eq 5 ] || fail "only $case cases"

# Sample k of a prompt is the same in any number of samples.
"$RLHF" generate --model policy --input prompts.jsonl --samples 1 >one.jsonl
"$RLHF" generate --model policy --input prompts.jsonl --samples 3 | sed -n 1~3p |
	cmp - one.jsonl || fail "the first of three samples is another one"

# The most restrictive options are greedy.
"$RLHF" generate --model policy --input prompts.jsonl --temperature 0 >greedy.jsonl
for options in '--top-k 1' '--top-p 1e-9' '--min-p 1'; do
	# shellcheck disable=SC2086
	"$RLHF" generate --model policy --input prompts.jsonl $options | cmp - greedy.jsonl ||
		fail "$options is not greedy"
done

# As far as a scaling of rotary positions stretches those that a model was made for, and no
# further: the likeliest continuation is that of transformers.
ids() { # FIRST COUNT: of rows of ids
	sed -E 's/.*_ids":\[([^]]*)\].*/\1/' | cut -d , -f "$1-$(($1 + $2 - 1))"
}
while read -r name made_for limit; do
	model=$here/tests/golden/models/$name
	"${RLHF%/rlhf}/tests/e2e/golden_step" rows "$model" greedy >whole.jsonl
	echo "{\"prompt_ids\":[$(ids 1 8 <whole.jsonl)]}" >begin.jsonl
	grep -q "\"max_position_embeddings\": $made_for,\$" "$model/config.json" ||
		fail "$name is not made for $made_for positions"
	"$RLHF" generate --model "$model" --input begin.jsonl --temperature 0 --max-new-tokens 16 \
		--output found.jsonl 2>log || fail "$name: $(cat log)"
	diff <(ids 9 16 <whole.jsonl) \
		<(sed -E 's/.*("completion_ids":\[[^]]*\]).*/\1/' found.jsonl | ids 1 16) >&2 ||
		fail "$name: another continuation than that of transformers"
	"$RLHF" generate --model "$model" --input begin.jsonl --max-new-tokens $((limit - 8)) \
		>/dev/null 2>log || fail "$name: $(cat log)"
	if "$RLHF" generate --model "$model" --input begin.jsonl --max-new-tokens $((limit - 7)) \
		>/dev/null 2>log || ! grep -q "do not fit into the model's $limit positions" log; then
		fail "$name goes beyond $limit positions: $(cat log)"
	fi
	for n in "$limit" $((limit + 1)); do
		echo "{\"input_ids\":[$(seq "$n" | sed 's/.*/5/' | paste -sd ,)]}" >whole.jsonl
		"$RLHF" logprobs --model "$model" --input whole.jsonl >/dev/null 2>log-"$n"
	done
	[ ! -s log-"$limit" ] || fail "logprobs of $limit positions: $(cat log-"$limit")"
	grep -q "$((limit + 1)) ids are more than the $limit positions" log-$((limit + 1)) ||
		fail "logprobs of more than $limit positions: $(cat log-$((limit + 1)))"
	"$RLHF" inspect "$model" >log 2>&1
	grep -qE "^positions +$limit, rotary" log ||
		fail "inspect does not say $limit positions of $name"
done <<-'MODELS'
	llama-linear-long 8 24
	llama-yarn-long 16 64
MODELS

# Stop strings: the text ends in front of one, the ids behind it.
cp "$here"/tests/golden/tokenizers/byte_level/tokenizer*.json .
"$make_model" speaker lm "$(grep -o '"id": *[0-9]*\|": [0-9]*,\?$' tokenizer.json | grep -o '[0-9]*' | sort -n | tail -1 | awk '{ print $1 + 2 }')" 3
cp tokenizer*.json speaker/
speak() {
	"$RLHF" generate --model speaker --prompt 'x y' --samples 300 --max-new-tokens 9 --temperature 4 "$@"
}
field() { # NAME: text without escapes, other lines are left out
	sed -nE "s/.*\"$1\":\"([^\"\\\\]*)\".*/\\1/p"
}
speak >free.jsonl
speak --stop e --stop th --stop-id 40 --stop-id 41 >stopped.jsonl
for reason in '"e"' '"th"' 40 41 null; do
	grep -q "\"stop_reason\":$reason" stopped.jsonl || fail "nothing ended by $reason"
done
if grep -q stop_reason free.jsonl; then
	fail 'a reason where no stop was given'
fi
speak --stop-id 40 >by-id.jsonl
grep -q '"stop_reason":40' by-id.jsonl || fail 'no reason where only --stop-id is given'
if field completion <stopped.jsonl | grep -qE 'e|th'; then
	fail 'text behind a stop string'
fi
# Without the stop the completion goes on with the same ids.
paste -d '|' <(sed -E 's/.*"completion_ids":\[([^]]*)\].*/\1/' stopped.jsonl) \
	<(sed -E 's/.*"completion_ids":\[([^]]*)\].*/\1/' free.jsonl) |
	awk -F'|' 'index($2 ",", $1 ",") != 1 { exit 1 }' || fail 'a stop string changed the ids'

# Under mpirun standard output may be a terminal that it has made: still JSON.
on 1 "$RLHF" generate --model speaker --prompt 'x y' --max-new-tokens 2 2>log >lines </dev/null ||
	fail "$(cat log)"
grep -q '^{"prompt":' lines || fail "no JSON under mpirun: $(cat lines)"
echo kept >kept
"$RLHF" generate --model speaker --prompt x --stream --output kept 2>log && fail '--stream into a file'
grep -q 'error: --stream prints to standard output' log || fail "$(cat log)"
[ "$(cat kept)" = kept ] || fail '--stream replaced a file'

# What --stream shows is the text of the JSON lines.
speak --stream --stop e --stop th --stop-id 40 --stop-id 41 >shown.txt
field completion <stopped.jsonl | while IFS= read -r text; do
	grep -qxF -- "$text" shown.txt || fail "not shown: $text"
done
[ "$(grep -c '^--- [0-9]* of 300$' shown.txt)" -eq 300 ] || fail '--stream shows other samples'
# Where it cannot, one sentence tells why.
rc=0
speak --stream 2>log >/dev/full || rc=$?
[ $rc -eq 2 ] || fail "exit $rc with a full standard output"
[ "$(cat log)" = 'rlhf: error: standard output: cannot write: No space left on device' ] || fail "$(cat log)"
{
	speak --stream 2>log || true
} | true
[ "$(cat log)" = 'rlhf: error: standard output: cannot write: Broken pipe' ] || fail "$(cat log)"

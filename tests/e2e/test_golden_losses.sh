#!/usr/bin/env bash
# Losses, gradients and metrics of the training commands are those of torch, step by
# step of plain gradient descent (tests/golden/make_losses.py).
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
golden=$here/tests/golden

# The models are named as in tests/golden/models.
for name in llama-bias gpt2-hub-layout rm-llama score-llama; do
	ln -s "$golden/models/$name" $name
done

run_case() { # NAME COMMAND ROWS MODEL KEY=VALUE...
	local name=$1 command=$2 rows=$3 model=$4 sets=() key
	shift 4
	for key; do sets+=(--set "$key"); done
	cat >"$name.json" <<-JSON
		{"run": {"dir": "$name"}, "model": {"path": "$model"},
		 "data": {"train": "$golden/losses/$rows.jsonl"},
		 "train": {"steps": 3, "batch_size": $(wc -l <"$golden/losses/$rows.jsonl")},
		 "optimizer": {"name": "sgd", "max_grad_norm": 0}}
	JSON
	"$RLHF" "$command" "$name.json" "${sets[@]}" 2>log || fail "$name: $(cat log)"
}

# Lines "CASE STEP METRIC VALUE" of what was found, from metrics.jsonl.
found() {
	local name
	for name; do
		sed -E 's/^\{//; s/\}$//' "$name/metrics.jsonl" | awk -F, -v name="$name" '{
			split($1, step, ":")
			for (i = 2; i <= NF; i++) {
				gsub(/"/, "", $i)
				at = match($i, /:[^:]*$/)
				print name, step[2], substr($i, 1, at - 1), substr($i, at + 1)
			}
		}'
	done
}

names=()
while read -r word name rest; do
	[ "$word" = case ] || continue
	# shellcheck disable=SC2086 # words
	run_case "$name" $rest
	names+=("$name")
done <"$golden/losses/expected.txt"
found "${names[@]}" >found.txt

# Sums of float in another order: a few times 1e-7 of what is summed, and more behind
# steps that amplify it.
awk 'FILENAME == "found.txt" { found[$1, $2, $3] = $4; next }
	$1 == "case" { name = $2; next }
	{
		n++
		is = found[name, $1, $2]
		d = is - $3
		size = $3 < 0 ? -$3 : $3
		limit = ($1 == 1 ? 2e-5 : 2e-4) * (size > 1 ? size : 1)
		if (is == "" || d > limit || -d > limit) {
			printf "%s: step %d: %s is %s, expected %s\n", name, $1, $2, is, $3
			wrong++
		}
	}
	END { exit wrong > 0 || n < 100 }' found.txt "$golden/losses/expected.txt" >wrong ||
	fail "not the golden ones: $(cat wrong)"

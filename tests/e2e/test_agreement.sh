#!/usr/bin/env bash
# Ranks that were started differently, or that find other files at the same paths, as on nodes
# of which one has an old copy: one sentence, exit code 2, and nothing is written.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
# What needs no MPI is printed by the first rank.
for arguments in --help 'sft --help' 'sft --print-config' 'inspect -h'; do
	# shellcheck disable=SC2086
	"$RLHF" $arguments >alone
	# shellcheck disable=SC2086
	on 3 "$RLHF" $arguments >thrice
	cmp alone thrice || fail "rlhf $arguments says something else on three ranks"
done

make_toy
make_rows
mkdir elsewhere
cp -r policy judge ./*.json ./*.jsonl elsewhere

refused() { # PATTERN MPIRUN-ARGUMENTS...
	local pattern=$1 rc=0
	shift
	mpirun --oversubscribe "$@" >out 2>log </dev/null || rc=$?
	[ $rc -eq 2 ] || fail "exit $rc, expected 2: $*: $(cat log)"
	[ "$(grep -c '^rlhf:' log)" -eq 1 ] || fail "not one line: $*: $(cat log)"
	grep -qE "^rlhf: error: $pattern" log || fail "no \"$pattern\": $*: $(cat log)"
	[ ! -s out ] || fail "$*: wrote to standard output: $(cat out)"
}

# --- command lines ---
# Whichever rank it is, and whatever the others would do then.
for command in 'generate --model policy --input prompts.jsonl' 'ppo config.json'; do
	read -ra good <<<"$command"
	refused 'unknown option --bogus' -n 1 "$RLHF" "${good[@]}" : -n 1 "$RLHF" "${good[@]}" --bogus
	refused 'unknown option --bogus' -n 1 "$RLHF" "${good[@]}" --bogus : -n 1 "$RLHF" "${good[@]}"
done
refused 'unknown command "generat"' -n 1 "$RLHF" generate --model policy --input prompts.jsonl : \
	-n 1 "$RLHF" generat
other='rank 1 on host .* has another command line than rank 0 on host'
refused "$other" -n 1 "$RLHF" logprobs --model policy --input prompts.jsonl : -n 1 "$RLHF" ppo config.json
refused "$other" -n 1 "$RLHF" generate --model policy --input prompts.jsonl : \
	-n 1 "$RLHF" generate --model policy --input prompts.jsonl --samples 2
cp "$RLHF" rebuilt
printf x >>rebuilt
refused 'rank 1 on host .* has another build than rank 0 on host' -n 1 "$RLHF" score --model judge \
	--input prompts.jsonl : -n 1 ./rebuilt score --model judge --input prompts.jsonl

# --- other files at the same paths ---
unlike() { # PATTERN RANKS COMMAND...: one more rank is elsewhere
	local pattern=$1 ranks=$2
	shift 2
	refused "$pattern" -n "$ranks" "$@" : -n 1 -wdir "$work/elsewhere" "$@"
	[ ! -e run ] || fail "$*: left $(find run)"
}

# Models of a size of their own: one copy of the same size is shared on a machine.
rm -r elsewhere/judge
"$make_model" elsewhere/judge reward 25 2
unlike 'rank 3 on host .* has another model at judge than rank 2 on host' 3 "$RLHF" ppo \
	config.json --set roles.learner=1 --set roles.actor=1 --set roles.reward=2
unlike 'rank 1 on host .* has another model at judge than rank 0 on host' 1 "$RLHF" score \
	--model judge --input prompts.jsonl
sed -i 's/3/4/' elsewhere/rows.jsonl
unlike 'rank 1 on host .* has another data.train, its file or its tokenizer, than rank 0 on' 1 \
	"$RLHF" pretrain pretrain.json
unlike 'rank 1 on host .* has another data.eval, its file or its tokenizer, than rank 0 on' 1 \
	"$RLHF" pretrain pretrain.json --set data.train=prompts.jsonl --set data.eval=rows.jsonl
sed -i 's/"seed": 3/"seed": 4/' elsewhere/pretrain.json
unlike 'rank 1 on host .* has another config than rank 0 on' 1 "$RLHF" pretrain pretrain.json

# --- what cannot go on leaves the run as it was, whichever rank finds out ---
not_resumed() { # PATTERN MPIRUN-ARGUMENTS...
	refused "$@"
	contents | diff was - >&2 || fail "$1: the run has changed"
}

contents() {
	find run -type f ! -name lock | sort | xargs sha256sum
}
if (RLHF_FAULT=kill:ppo.updated:4 "$RLHF" ppo config.json) >log 2>&1; then
	fail 'ppo passed step 4 alive'
fi
[ -d run/checkpoints/step-00000002 ] || fail "no checkpoint of step 2: $(cat log)"
[ "$(wc -l <run/metrics.jsonl)" -eq 3 ] || fail "metrics of $(wc -l <run/metrics.jsonl) steps"
ppo=("$RLHF" ppo config.json --set roles.learner=2 --set roles.actor=1 --set roles.reward=1)
contents >was
not_resumed 'run/checkpoints/step-00000002/model/config.json: cannot open' -n 1 "${ppo[@]}" : -n 1 -wdir "$work/elsewhere" \
	"${ppo[@]}" : -n 2 "${ppo[@]}"
truncate -s 9 run/rollouts.jsonl
contents >was
not_resumed 'run/rollouts.jsonl: has 9 bytes, expected at least the .* that the checkpoint counted' \
	-n 4 "${ppo[@]}"

# Shared by the end-to-end tests, which source it: a scratch directory, tiny
# checkpoints, and comparisons by bytes.
# shellcheck shell=bash
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${RLHF:=$here/build/release-gcc/rlhf}"
make_model=${RLHF%/rlhf}/tests/e2e/make_model
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# on N COMMAND...: under mpirun on N ranks; N = 0 alone.
on() {
	local n=$1
	shift
	if [ "$n" -eq 0 ]; then
		"$@"
	else
		mpirun --oversubscribe -n "$n" "$@"
	fi
}

# Processes that run with --set run.dir=DIR; a bare Debian has no pgrep.
running_in() { # DIR
	grep -laE -- "run[.]dir=$1" /proc/[0-9]*/cmdline 2>/dev/null | cut -d / -f 3 || true
}

# Everything that is promised to be the same, as lines of hashes: the result, the
# optimizer's state, what is known of the result, rollouts, and metrics without their time
# fields.
fingerprint() { # RUN
	(
		cd "$1"
		sha256sum final/*.safetensors
		[ ! -e best ] || sha256sum best/*.safetensors
		find checkpoints -name '*.safetensors' -not -path '*.rejected/*' | sort | xargs sha256sum
		[ ! -e evaluation.json ] || sha256sum evaluation.json
		[ ! -e rollouts.jsonl ] || sha256sum rollouts.jsonl
		sed -E 's/,"(time|perf)\/[^"]*":[^,}]*//g' metrics.jsonl | sha256sum
	)
}

same_run() { # RUN OTHER WHAT
	diff <(fingerprint "$1") <(fingerprint "$2") >&2 || fail "$3: the bytes differ"
}

# A run of a training command alone, on 2 and 4 ranks, on 1 thread, and killed at each
# point and gone on: the same bytes.
alike() { # COMMAND CONFIG RUN POINT...
	local command=$1 config=$2 run=$3 ranks point
	shift 3
	"$RLHF" "$command" "$config" 2>log || fail "$command alone: $(cat log)"
	for ranks in 2 4; do
		on "$ranks" "$RLHF" "$command" "$config" --set run.dir="$run-$ranks" 2>log ||
			fail "$command on $ranks ranks: $(cat log)"
		same_run "$run" "$run-$ranks" "$command on $ranks ranks"
	done
	"$RLHF" "$command" "$config" --set run.dir="$run-thread" --set run.threads=1 2>log ||
		fail "$command on 1 thread: $(cat log)"
	same_run "$run" "$run-thread" "$command on 1 thread"
	for point; do
		rm -rf "$run-killed"
		if (RLHF_FAULT=kill:$point "$RLHF" "$command" "$config" \
			--set run.dir="$run-killed") >log 2>&1; then
			fail "$command passed $point alive"
		fi
		"$RLHF" "$command" "$config" --set run.dir="$run-killed" 2>log ||
			fail "$command after a kill at $point: $(cat log)"
		same_run "$run" "$run-killed" "$command killed at $point"
		cmp "$run/final/config.json" "$run-killed/final/config.json" ||
			fail "$command killed at $point: another config.json"
	done
}

# A policy, a reward model and prompts of ids, with vocabulary 24.
make_toy() {
	"$make_model" policy lm 24 1
	"$make_model" judge reward 24 2
	for i in 1 2 3 4 5 6 7 8 9 10; do
		echo "{\"input_ids\":[1,$((i % 7 + 2)),$((i % 5 + 3))$([ $((i % 3)) -eq 0 ] && echo ,9)]}"
	done >prompts.jsonl
	cat >config.json <<-'JSON'
		{"run": {"dir": "run", "seed": 3},
		 "policy": {"path": "policy"},
		 "reward": {"sources": [{"type": "model", "path": "judge", "weight": 1.0}]},
		 "data": {"prompts": "prompts.jsonl"},
		 "rollout": {"batch_size": 16, "max_new_tokens": 12},
		 "ppo": {"iterations": 6, "epochs": 2, "minibatches": 2},
		 "optimizer": {"learning_rate": 1e-3},
		 "checkpoint": {"every_steps": 2, "keep": 2}}
	JSON
}

# For a run of pretrain from the toy policy: rows of ids, and checkpoints often enough
# that kills fall into all phases.
make_rows() {
	for i in $(seq 0 39); do
		echo "{\"input_ids\":[1,$((i % 7 + 2)),$((i % 5 + 3)),$((i % 11 + 4)),$((i % 3))]}"
	done >rows.jsonl
	cat >pretrain.json <<-'JSON'
		{"run": {"dir": "run", "seed": 3},
		 "model": {"path": "policy"},
		 "data": {"train": "rows.jsonl"},
		 "train": {"steps": 8, "batch_size": 16},
		 "optimizer": {"learning_rate": 0.01, "weight_decay": 0.1},
		 "schedule": {"name": "cosine", "warmup_steps": 2},
		 "checkpoint": {"every_steps": 2}}
	JSON
}

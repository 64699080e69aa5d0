# Shared by the tests on the emulated cluster, which source it inside of it.
# shellcheck shell=bash
export PATH=$PATH:/usr/sbin:/sbin
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# The first program that the tests would miss, or nothing.
missing_program() {
	local program
	for program in slurmctld slurmd munged sbatch srun scancel scontrol unshare mpirun; do
		if ! command -v $program >/dev/null; then
			echo $program
			return
		fi
	done
}

# A scratch directory that ends with the cluster, in it a policy of ids (vocabulary 32,
# end token 31), prompts, and ppo.json: four ranks, judged by a rule.
make_task() {
	local i
	cd "$(mktemp -d "$RLHF_CLUSTER/work.XXXXXX")" || exit 1
	for ((i = 0; i < 16; i++)); do
		echo "{\"input_ids\":[0,$((i % 29 + 2)),$((i * 7 % 29 + 2)),$((i * 5 % 29 + 2))]}"
	done >prompts.jsonl
	cat >base.json <<-'JSON'
		{"run": {"dir": "base", "seed": 1},
		 "model": {"create": {
		   "model_type": "llama", "vocab_size": 32, "hidden_size": 64, "intermediate_size": 128,
		   "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
		   "max_position_embeddings": 128, "bos_token_id": 0, "eos_token_id": 31,
		   "tie_word_embeddings": true}},
		 "data": {"train": "prompts.jsonl", "max_length": 32},
		 "train": {"steps": 2, "batch_size": 8}}
	JSON
	cat >ppo.json <<-'JSON'
		{"run": {"dir": "run", "seed": 3},
		 "roles": {"learner": 1, "actor": 2, "reward": 1},
		 "policy": {"path": "base/final"},
		 "reward": {"sources": [{"type": "rule", "rule": "token_count", "token_id": 7}]},
		 "data": {"prompts": "prompts.jsonl"},
		 "rollout": {"batch_size": 64, "max_new_tokens": 48},
		 "ppo": {"iterations": 12, "epochs": 4},
		 "optimizer": {"learning_rate": 1e-3},
		 "checkpoint": {"every_steps": 5, "keep": 1000}}
	JSON
	"$RLHF" pretrain base.json 2>base.log || {
		cat base.log
		return 1
	}
}

# submit [OPTION OF SBATCH...] -- ARGUMENT...: prints the job's id.
submit() {
	local options=()
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	sbatch --parsable --nodes=2 --ntasks=4 "${options[@]}" \
		"$repository/deploy/slurm/ppo.sbatch" "$@"
}

job_field() { # JOB FIELD
	scontrol show job "$1" -o 2>/dev/null | tr ' ' '\n' | sed -n "s/^$2=//p" | head -n 1
}

await_end() { # JOB SECONDS: until the job has ended for good
	local end=$((SECONDS + $2))
	while [ $SECONDS -lt $end ]; do
		case $(job_field "$1" JobState) in
		COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) return 0 ;;
		esac
		sleep 0.2
	done
	echo "job $1 has not ended within $2 s"
	return 1
}

await_step() { # RUN STEP SECONDS: until the run has done the step
	local end=$((SECONDS + $3)) lines
	while [ $SECONDS -lt $end ]; do
		lines=$(wc -l 2>/dev/null <"$1/metrics.jsonl")
		[ "${lines:-0}" -lt "$2" ] || return 0
		sleep 0.05
	done
	echo "$1 has not done step $2 within $3 s"
	return 1
}

# Hashes of all that is promised to be the same: the result, what the reference's
# checkpoints hold, rollouts, and metrics without times.
fingerprint() { # RUN REFERENCE
	local file
	for file in final/model.safetensors rollouts.jsonl \
		$(cd "$2" && find checkpoints -name '*.safetensors' | sort); do
		echo "$file $(sha256sum <"$1/$file")"
	done
	echo "metrics.jsonl $(sed -E 's/,"(time|perf)\/[^"]*":[^,}]*//g' "$1/metrics.jsonl" | sha256sum)"
}

same_bytes() { # RUN REFERENCE
	diff <(fingerprint "$1" "$2" 2>&1) <(fingerprint "$2" "$2" 2>&1)
}

job_ended() { # JOB STATE EXIT-CODE RESTARTS
	local found
	found="$(job_field "$1" JobState) $(job_field "$1" ExitCode) $(job_field "$1" Restarts)"
	[ "$found" = "$2 $3:0 $4" ] && return 0
	echo "job $1: state, exit code and restarts are $found, expected $2 $3:0 $4"
	return 1
}

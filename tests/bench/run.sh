#!/usr/bin/env bash
# Speed, beside limits that are measured in the same run.
#
#   tests/bench/run.sh OBJECTS [SECTION]...
#
# Sections: gemm, attention, elementwise, decode, decode-1b, ppo-small, ppo-124m, start.
#
# Without a section: all but decode-1b (which takes 12 GB of memory), in about six
# minutes.  decode: tokens/s of a GPT-2 124M of random weights; decode-1b: of a
# TinyLlama 1.1B.  With LLAMA_CPP=DIR, a build directory of llama.cpp (bin/llama-bench,
# bin/llama-batched-bench) that also holds gpt2-124m.gguf and llama-1.1b.gguf in f32,
# llama.cpp's figures follow.
#
# The limit of a PPO iteration is its arithmetic at the machine's limit of fused
# multiply-adds.  B sequences of P prompt and N new tokens, T = P + N; W weights of
# the layers' matrices, H = V C of the output matrix; A = 4 L (heads) D T (T + 1) / 2
# of causal attention in one sequence; all for one pass forward:
#     layers(n tokens) = 2 n W        head(n rows) = 2 n H        attention = B A
# and a backward pass is twice the products and 2.5 times the attention:
#     generate         layers(B (T - 1)) + head(B N) + attention
#     reward model     layers(B T) + attention
#     reference        layers(B T) + head(B N) + attention
#     values           layers(B T) + attention
#     each epoch       policy 3 layers(B T) + 3 head(B N) + 3.5 attention
#                      critic 3 layers(B T) + 3.5 attention
# Optimizer steps, softmax, messages and the like are not counted.
set -euo pipefail
objects=$(cd "$1" && pwd)
shift
rlhf=$objects/rlhf
sections=("$@")
[ $# -gt 0 ] || sections=(gemm attention elementwise decode start ppo-small ppo-124m)
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Microseconds, without starting a program.
now() {
	echo "${EPOCHREALTIME/[.,]/}"
}

median() {
	sort -g | awk '{ x[NR] = $1 } END { print (x[int((NR + 1) / 2)] + x[int(NR / 2) + 1]) / 2 }'
}

# A random policy and a random reward model of its shape.
checkpoints() { # ARCHITECTURE CLASSIFIER DIMENSIONS
	local head=$1 classifier=$2 dimensions=$3
	echo "{\"architectures\": [\"$head\"], $dimensions}" >policy.json
	echo "{\"architectures\": [\"$classifier\"], \"id2label\": {\"0\": \"LABEL_0\"}, $dimensions}" >judge.json
	rm -rf policy judge
	"$objects/tests/bench/make_model" policy policy.json 1
	"$objects/tests/bench/make_model" judge judge.json 2
}

prompts() { # N LENGTH VOCABULARY
	awk -v n="$1" -v length_="$2" -v v="$3" 'BEGIN {
		for (i = 0; i < n; i++) {
			printf "{\"input_ids\":["
			for (k = 0; k < length_; k++)
				printf "%s%d", k ? "," : "", (i * 7919 + k * 104729) % (v - 8) + 3
			print "]}"
		}
	}' >prompts.jsonl
}

# The whole config but for the sizes; a completion never ends early.
config() { # BATCH EPOCHS
	cat >config.json <<-JSON
		{"run": {"dir": "run", "seed": 3},
		 "policy": {"path": "policy"},
		 "reward": {"sources": [{"type": "model", "path": "judge"}]},
		 "data": {"prompts": "prompts.jsonl"},
		 "rollout": {"batch_size": $1, "max_new_tokens": 64, "min_new_tokens": 64},
		 "ppo": {"iterations": 1000, "epochs": $2},
		 "optimizer": {"learning_rate": 1e-5},
		 "checkpoint": {"every_steps": 0}}
	JSON
}

# Seconds an iteration after ITERATIONS + 1 of them, the first left out; the run is
# then killed.
iteration() { # RANKS ITERATIONS
	local ranks=$1 wanted=$(($2 + 1)) pid
	rm -rf run
	if [ "$ranks" -eq 1 ]; then
		"$rlhf" ppo config.json 2>log &
	else
		mpirun -n "$ranks" "$rlhf" ppo config.json 2>log &
	fi
	pid=$!
	until [ -e run/metrics.jsonl ] && [ "$(wc -l <run/metrics.jsonl)" -ge "$wanted" ]; do
		if ! kill -0 $pid 2>/dev/null; then
			cat log >&2
			return 1
		fi
		sleep 0.1
	done
	kill -TERM $pid 2>/dev/null || true
	wait $pid 2>/dev/null || true
	sed 1d run/metrics.jsonl | sed -E 's/.*"time\/step":([0-9.e+-]+).*/\1/' | median
}

limit= # GFLOP/s of multiply-adds of all cores, measured once
measure_limit() {
	[ -n "$limit" ] || limit=$("$objects/tests/bench/bench_limit" "$(nproc)" | awk '{ print $2 }')
}

# GFLOP of one iteration.
arithmetic() { # B P N EPOCHS LAYERS W H HEADS*D
	awk -v b="$1" -v p="$2" -v n="$3" -v e="$4" -v l="$5" -v w="$6" -v h="$7" -v d="$8" 'BEGIN {
		t = p + n
		layers = 2 * b * t * w
		head = 2 * b * n * h
		attention = b * 4 * l * d * t * (t + 1) / 2
		generate = 2 * b * (t - 1) * w + head + attention
		frozen = 3 * layers + head + 3 * attention # reward model, reference, values
		epoch = 6 * layers + 3 * head + 7 * attention
		printf "%.1f", (generate + frozen + e * epoch) * 1e-9
	}'
}

report() { # NAME GFLOP ITERATIONS
	local seconds ranks
	measure_limit
	for ranks in 1 4; do
		seconds=$(iteration $ranks "$3")
		awk -v name="$1" -v ranks=$ranks -v s="$seconds" -v f="$2" -v limit="$limit" 'BEGIN {
			printf "%-26s %d rank%s %9.3f s an iteration, limit %8.3f s, %5.1f %% of it\n", name,
				ranks, (ranks > 1 ? "s" : " "), s, f / limit, 100 * f / limit / s
		}'
	done
}

small_model() {
	checkpoints LlamaForCausalLM LlamaForSequenceClassification '"model_type": "llama",
		"hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5,
		"num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 512,
		"vocab_size": 512, "eos_token_id": 2, "bos_token_id": 1, "rms_norm_eps": 1e-05,
		"tie_word_embeddings": true'
	prompts 256 5 512
}

ppo_small() {
	small_model
	config 64 4
	# A layer: q k v [64 + 32 + 32, 64], o [64, 64], gate and up [344, 64], down [64, 172].
	report '260K, 64 x (5 + 64), 4 ep.' \
		"$(arithmetic 64 5 64 4 5 $((5 * 64 * (128 + 64 + 344 + 172))) $((512 * 64)) 64)" 15
}

ppo_124m() {
	checkpoints GPT2LMHeadModel GPT2ForSequenceClassification '"model_type": "gpt2",
		"n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257,
		"layer_norm_epsilon": 1e-05, "activation_function": "gelu_new",
		"eos_token_id": 50256, "bos_token_id": 50256, "pad_token_id": 50256'
	prompts 64 64 50257
	config 16 1
	report '124M, 16 x (64 + 64), 1 ep.' \
		"$(arithmetic 16 64 64 1 12 $((12 * 12 * 768 * 768)) $((50257 * 768)) 768)" 2
}

generation() { # SHAPE
	local model=${LLAMA_CPP:-}/$1.gguf
	"$objects/tests/bench/bench_decode" "$1"
	[ -n "${LLAMA_CPP:-}" ] || return 0
	"$LLAMA_CPP/bin/llama-batched-bench" -m "$model" -t "$(nproc)" -c 8192 -b 2048 -ub 512 \
		-npp 64 -ntg 64 -npl 1,8,32 2>/dev/null |
		awk -F'|' -v shape="$1" '$4 + 0 > 0 {
			printf "%-11s %-8s %4d %9.1f tokens/s by llama.cpp\n", shape, "decode", $4, $9
		}'
	"$LLAMA_CPP/bin/llama-bench" -m "$model" -t "$(nproc)" -p 512 -n 0 -r 3 2>/dev/null |
		awk -F'|' -v shape="$1" '/pp512/ {
			printf "%-11s %-8s %4d %9.1f tokens/s by llama.cpp\n", shape, "prefill", 512, $8
		}'
}

start() {
	local began pid
	for _ in 1 2 3 4 5 6 7; do
		began=$(now)
		"$rlhf" --version >/dev/null
		echo $(($(now) - began))
	done | median | awk '{ printf "%-32s %9.1f ms, wanted under 10\n", "rlhf --version", $1 / 1e3 }'
	small_model
	config 4 1
	# An iteration of four completions of one token, which is nearly nothing but the
	# start: until its rollouts have been written.
	for _ in 1 2 3 4 5; do
		rm -rf run
		began=$(now)
		mpirun -n 4 "$rlhf" ppo config.json --set rollout.max_new_tokens=1 \
			--set rollout.min_new_tokens=1 2>log &
		pid=$!
		until [ -s run/rollouts.jsonl ]; do
			kill -0 $pid 2>/dev/null || { cat log >&2; return 1; }
			sleep 0.005
		done
		echo $(($(now) - began))
		kill -TERM $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
	done | median |
		awk '{ printf "%-32s %9.3f s,  wanted under 1\n", "start to first rollout, 4 ranks", $1 / 1e6 }'
}

for section in "${sections[@]}"; do
	case $section in
	gemm | attention | elementwise)
		echo "--- $section"
		"$objects/tests/bench/bench_$section"
		;;
	decode)
		echo "--- $section"
		generation gpt2-124m
		;;
	decode-1b)
		echo "--- $section"
		generation llama-1.1b
		;;
	ppo-small | ppo-124m | start)
		echo "--- $section"
		"${section//-/_}"
		;;
	*)
		echo "no section $section: gemm, attention, elementwise, decode, decode-1b, ppo-small, ppo-124m, start" >&2
		exit 2
		;;
	esac
done

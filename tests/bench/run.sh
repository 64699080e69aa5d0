#!/usr/bin/env bash
# Speed, beside limits that are measured in the same run.
#
#   tests/bench/run.sh OBJECTS [SECTION]...
#
# Sections: gemm, attention, elementwise, decode, decode-1b, train, ppo-small, ppo-124m,
# start.
#
# Without a section: all but decode-1b (which takes 12 GB of memory), in about ten
# minutes.  A section repeats what it measures less often where that is slow, so that it
# takes a few minutes at most wherever one repetition does not.
#
# decode: tokens/s of a GPT-2 124M of random weights; decode-1b: of a TinyLlama 1.1B.
# With LLAMA_CPP=DIR, a build directory of llama.cpp (bin/llama-bench,
# bin/llama-batched-bench) that also holds gpt2-124m.gguf and llama-1.1b.gguf in f32,
# llama.cpp's figures follow.
#
# train: tokens/s of whole steps of pretrain (forward, backward, AdamW) at the GPT-2 124M
# shape, 4 sequences of 256, each the best of a few.  Its limit is 6 flop for each of
# the 124,439,808 parameters and 12 L C T = 12 x 12 x 768 x 256 of attention, 0.775
# GFLOP a token, at the machine's multiply-adds of as many threads, measured before and
# after each run.  With PYTORCH=COMMAND, which bash runs, each line of its output that
# holds "N tokens/s" follows, with ours beside it: the same step by PyTorch, and by
# torch.compile, if the command runs both.
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
#     each epoch       policy 3 layers(B T) + 3 head(B N) + 3.5 attention
#                      critic 3 layers(B T) + 3.5 attention
# The values before the first epoch are those of its own forward pass.  Optimizer steps,
# softmax, messages and the like are not counted; nor is it taken off that where nothing
# is trained the last layer leaves out, behind its attention, rows that nobody asks for.
set -euo pipefail
objects=$(cd "$1" && pwd)
shift
rlhf=$objects/rlhf
sections=("$@")
[ $# -gt 0 ] || sections=(gemm attention elementwise decode start train ppo-small ppo-124m)
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

gpt2_124m='"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12,
	"n_positions": 1024, "vocab_size": 50257, "layer_norm_epsilon": 1e-05,
	"activation_function": "gelu_new", "eos_token_id": 50256, "bos_token_id": 50256,
	"pad_token_id": 50256'

# A random model.
checkpoint() { # DIR SEED ARCHITECTURE DIMENSIONS
	echo "{\"architectures\": [\"$3\"], $4}" >"$1.json"
	rm -rf "$1"
	"$objects/tests/bench/make_model" "$1" "$1.json" "$2"
}

# A random policy and a random reward model of its shape.
checkpoints() { # ARCHITECTURE CLASSIFIER DIMENSIONS
	checkpoint policy 1 "$1" "$3"
	checkpoint judge 2 "$2" "\"id2label\": {\"0\": \"LABEL_0\"}, $3"
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

# Seconds of each step of a training command after STEPS + 1 of them, the first left out;
# the run is then killed.  From SECONDS on, one step is enough.
steps() { # RANKS STEPS SECONDS COMMAND ARGUMENT...
	local ranks=$1 wanted=$(($2 + 1)) enough=$((SECONDS + $3)) run=("$rlhf") pid lines
	shift 3
	[ "$ranks" -eq 1 ] || run=(mpirun -n "$ranks" "$rlhf")
	rm -rf run
	"${run[@]}" "$@" 2>log &
	pid=$!
	until [ -e run/metrics.jsonl ] && lines=$(wc -l <run/metrics.jsonl) &&
		{ [ "$lines" -ge "$wanted" ] || { [ "$lines" -ge 2 ] && [ $SECONDS -ge $enough ]; }; }; do
		if ! kill -0 $pid 2>/dev/null; then
			cat log >&2
			return 1
		fi
		sleep 0.1
	done
	kill -TERM $pid 2>/dev/null || true
	wait $pid 2>/dev/null || true
	sed 1d run/metrics.jsonl | sed -E 's/.*"time\/step":([0-9.e+-]+).*/\1/'
}

# GFLOP/s of multiply-adds.
limit_of() { # THREADS
	"$objects/tests/bench/bench_limit" "$1" | awk '{ print $2 }'
}

largest() {
	sort -g | tail -n 1
}

# GFLOP of one iteration.
arithmetic() { # B P N EPOCHS LAYERS W H HEADS*D
	awk -v b="$1" -v p="$2" -v n="$3" -v e="$4" -v l="$5" -v w="$6" -v h="$7" -v d="$8" 'BEGIN {
		t = p + n
		layers = 2 * b * t * w
		head = 2 * b * n * h
		attention = b * 4 * l * d * t * (t + 1) / 2
		generate = 2 * b * (t - 1) * w + head + attention
		frozen = 2 * layers + head + 2 * attention # reward model, reference
		epoch = 6 * layers + 3 * head + 7 * attention
		printf "%.1f", (generate + frozen + e * epoch) * 1e-9
	}'
}

report() { # NAME GFLOP ITERATIONS
	local seconds ranks before limit
	for ranks in 1 4; do
		before=$(limit_of "$(nproc)")
		seconds=$(steps $ranks "$3" 45 ppo config.json | median)
		limit=$({ echo "$before" && limit_of "$(nproc)"; } | largest)
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
	checkpoints GPT2LMHeadModel GPT2ForSequenceClassification "$gpt2_124m"
	prompts 64 64 50257
	config 16 1
	report '124M, 16 x (64 + 64), 1 ep.' \
		"$(arithmetic 16 64 64 1 12 $((12 * 12 * 768 * 768)) $((50257 * 768)) 768)" 2
}

# Rows of 1,024 tokens in all, of the lengths given, 16 times over.
rows() { # FILE LENGTH...
	local file=$1
	shift
	printf '%s\n' "$@" | awk '{ n[NR] = $1 } END {
		for (i = 0; i < 16 * NR; i++) {
			printf "{\"input_ids\":["
			for (k = 0; k < n[i % NR + 1]; k++)
				printf "%s%d", k ? "," : "", (i * 7919 + k * 104729) % 50249 + 3
			print "]}"
		}
	}' >"$file"
}

rate= # tokens/s of the last run
train_run() { # NAME RANKS THREADS SEQUENCES ROWS [ARGUMENT]...
	local name=$1 ranks=$2 threads=$3 before limit
	cat >config.json <<-JSON
		{"run": {"dir": "run", "threads": $threads},
		 "model": {"path": "policy"},
		 "data": {"train": "$5", "shuffle": false, "max_length": 256},
		 "train": {"steps": 1000, "batch_size": $4, "lanes": 2},
		 "optimizer": {"learning_rate": 1e-5},
		 "checkpoint": {"every_steps": 0}}
	JSON
	shift 5
	before=$(limit_of $((ranks * threads)))
	rate=$(steps "$ranks" 5 15 pretrain config.json "$@" | sort -g | awk 'NR == 1 { print 1024 / $1 }')
	limit=$({ echo "$before" && limit_of $((ranks * threads)); } | largest)
	awk -v name="$name" -v rate="$rate" -v limit="$limit" 'BEGIN {
		most = limit / 0.775
		printf "124M, %-34s %8.1f tokens/s, limit %7.1f, %5.1f %% of it\n", name, rate, most,
			100 * rate / most
	}'
}

beside() { # NAME RATE OTHER [WANTED]
	awk -v name="$1" -v a="$2" -v b="$3" -v wanted="${4:-}" 'BEGIN {
		printf "%-40s %8.2f%s\n", name, a / b, wanted ? ", wanted " wanted : ""
	}'
}

# All with two gradient lanes, which two ranks need, but for the one that says otherwise.
train() {
	local full ragged=(200 40 172 100 31 225 150 106)
	checkpoint policy 1 GPT2LMHeadModel "$gpt2_124m"
	rows full.jsonl 256 256 256 256
	rows ragged.jsonl "${ragged[@]}"
	train_run '4 x 256, 1 thread' 1 1 4 full.jsonl
	train_run '4 x 256, 2 threads' 1 2 4 full.jsonl
	full=$rate
	train_run '4 x 256, 2 ranks' 2 1 4 full.jsonl
	beside 'two ranks beside two threads' "$rate" "$full" 0.95
	train_run '8 of 31 to 225, 2 threads' 1 2 ${#ragged[@]} ragged.jsonl
	beside 'ragged beside full' "$rate" "$full" 0.95
	train_run '4 x 256, 2 threads, LoRA of r 16' 1 2 4 full.jsonl --set lora.r=16 \
		--set lora.target_modules=all-linear
	beside 'LoRA beside full' "$rate" "$full" 1.4
	train_run '4 x 256, 2 threads, 8 lanes' 1 2 4 full.jsonl --set train.lanes=8
	[ -z "${PYTORCH:-}" ] || bash -c "$PYTORCH" 2>/dev/null | awk -v ours="$full" '
		match($0, /[0-9.]+ tokens\/s/) {
			printf "PyTorch: %s; ours of 2 threads is %.2f times that\n", $0,
				ours / substr($0, RSTART, RLENGTH)
		}'
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
	train | ppo-small | ppo-124m | start)
		echo "--- $section"
		"${section//-/_}"
		;;
	*)
		echo "no section $section: gemm, attention, elementwise, decode, decode-1b, train, ppo-small," \
			'ppo-124m, start' >&2
		exit 2
		;;
	esac
done

#!/usr/bin/env bash
# rlhf plan: what it says each rank will hold is within 10 % of what the rank then has
# resident at its peak, for every training; it refuses what the run would refuse, says
# what does not fit, and writes nothing.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
peak=${RLHF%/rlhf}/tests/e2e/peak

rows() { # N KEY...: rows of ids under these keys
	local n=$1
	shift
	awk -v n="$n" -v keys="$*" 'BEGIN {
		count = split(keys, key, " ")
		for (i = 0; i < n; i++) {
			printf "{"
			for (k = 1; k <= count; k++) {
				printf("%s\"%s\":[", (k > 1 ? "," : ""), key[k])
				for (j = 0; j < 12 + (i * 7 + k * 5) % 20; j++)
					printf "%s%d", j ? "," : "", (i * 7919 + j * 104729 + k) % 1900 + 3
				printf "]"
			}
			print "}"
		}
	}'
}

# The largest rank's memory and that of all of them, as planned and as it was.
close() { # RANKS COMMAND CONFIG ARGUMENT...
	local ranks=$1 command=$2 planned was
	shift 2
	rm -rf run peak peak.*
	"$RLHF" plan "$@" --stage "$command" --ranks $((ranks > 0 ? ranks : 1)) --no-speed >table 2>log ||
		fail "plan $command $*: $(cat log)"
	[ ! -e run ] || fail "plan $command has made the run's directory"
	planned="$(sed -nE 's/^  together +([0-9.]+) MiB$/\1/p' table | sort -g | tail -n 1) \
		$(sed -nE 's/^memory: ([0-9.]+) MiB needed.*/\1/p' table)"
	on "$ranks" "$peak" peak "$RLHF" "$command" "$@" 2>log || fail "$command: $(cat log)"
	was=$(cat peak* | awk '{ sum += $1; most = $1 > most ? $1 : most } END {
		print most / 1048576, sum / 1048576
	}')
	echo "$planned $was" | awk '{
		exit !($1 > 0.9 * $3 && $1 < 1.1 * $3 && $2 > 0.9 * $4 && $2 < 1.1 * $4)
	}' || fail "plan $command $*: MiB of the largest rank and of all, planned $planned, were $was"
}

refused() { # SENTENCE ARGUMENT...
	local sentence=$1 rc=0
	shift
	"$RLHF" plan "$@" >out 2>log || rc=$?
	[ $rc -eq 2 ] && [ ! -s out ] || fail "exit $rc of plan $*: $(cat out log)"
	[ "$(wc -l <log)" -eq 1 ] && grep -qF -- "$sentence" log || fail "$(cat log)"
}

rows 64 input_ids >rows.jsonl
rows 32 input_ids >prompts.jsonl
rows 48 prompt_ids completion_ids >completions.jsonl
rows 48 prompt_ids chosen_ids rejected_ids >pairs.jsonl
rows 48 input_ids | awk '{ sub(/}$/, ",\"label\":" NR % 3 "}"); print }' >labels.jsonl
cat >create.json <<-'JSON'
	{"run": {"dir": "run", "seed": 1, "threads": 2},
	 "model": {"create": {"model_type": "gpt2", "n_embd": 320, "n_head": 5, "n_layer": 6,
	                      "n_positions": 128, "vocab_size": 2000}},
	 "data": {"train": "rows.jsonl", "max_length": 64},
	 "train": {"steps": 2, "batch_size": 16},
	 "optimizer": {"learning_rate": 1e-4}}
JSON
# The sanitizers' memory is none of the plan's.
nm "$RLHF" >symbols
if ! grep -q __asan_init symbols; then
	close 0 pretrain create.json
	mv run/final model
	sed '/"model"/,/vocab_size/d; s/"data"/"model": {"path": "model"}, "data"/' create.json >config.json
	close 0 pretrain config.json --set train.lanes=1 --set data.eval=rows.jsonl
	close 0 pretrain config.json --set train.recompute=true --set model.save_dtype=bf16
	close 2 pretrain config.json
	close 4 pretrain config.json
	close 0 sft config.json --set data.train=completions.jsonl --set lora.r=4 --set train.lanes=1
	close 0 reward-train config.json --set data.train=pairs.jsonl
	close 0 dpo config.json --set data.train=pairs.jsonl --set reference.path=model
	close 0 dpo config.json --set data.train=pairs.jsonl --set lora.r=4 --set train.recompute=true
	close 2 reward-train config.json --set data.train=pairs.jsonl --set lora.r=4
	close 0 classify config.json --set data.train=labels.jsonl --set classify.freeze=backbone
	cat >ppo.json <<-'JSON'
		{"run": {"dir": "run", "seed": 1, "threads": 2},
		 "policy": {"path": "model"},
		 "reward": {"sources": [{"type": "model", "path": "judge"}]},
		 "data": {"prompts": "prompts.jsonl"},
		 "rollout": {"batch_size": 16, "max_new_tokens": 24, "min_new_tokens": 24},
		 "ppo": {"iterations": 2, "epochs": 1}}
	JSON
	"$RLHF" reward-train config.json --set data.train=pairs.jsonl --set run.dir=judging 2>log ||
		fail "$(cat log)"
	mv judging/final judge
	close 0 ppo ppo.json
	close 4 ppo ppo.json
	close 0 ppo ppo.json --set lora.r=4
	close 4 ppo ppo.json --set rollout.weights=bf16
	close 0 ppo ppo.json --set rollout.weights=bf16 --set lora.r=4
fi

# What is refused, and what is printed.
sed '/"model"/,/vocab_size/d' create.json >any.json
refused 'may be for several commands; --stage says which' any.json
refused '--stage is "train", expected' create.json --stage train
refused '"train.stepz", did you mean "train.steps"?' create.json --set train.stepz=1
refused 'no-such-rows.jsonl' create.json --set data.train=no-such-rows.jsonl
refused '3 ranks' create.json --ranks 3

"$RLHF" plan create.json --ranks 2 >table || fail 'no plan on two ranks'
grep -qE '^model: gpt2, 8[0-9]+ parameters, all trained|^model: gpt2, [0-9.]+ million parameters, all trained' table ||
	fail "$(cat table)"
for line in 'pretrain, 2 steps, on 2 ranks' 'memory of rank 0' 'sums of gradients' 'new weights' \
	'checkpoints' 'result' 'tokens/s'; do
	grep -qF "$line" table || fail "no $line in $(cat table)"
done

# The kernels of a run: the best of this machine, or those that its config asks for.
if grep -qw avx2 /proc/cpuinfo; then
	grep -q ', kernels: avx' table || fail "$(head -n 1 table)"
fi
"$RLHF" plan create.json --no-speed --set run.isa=portable >table || fail 'no plan of portable kernels'
grep -q ', kernels: portable$' table || fail "$(head -n 1 table)"
if ! grep -qw avx512f /proc/cpuinfo; then
	refused 'isa is avx512, but the CPUs of this job have' create.json --set run.isa=avx512
fi

# Under a launcher one rank plans and prints.  Its own size is another there.
"$RLHF" plan create.json --no-speed >alone || fail 'no plan alone'
on 2 "$RLHF" plan create.json --no-speed >twice 2>log || fail "plan under a launcher: $(cat log)"
sed -i -E '/^  (program|together)|available$/d' alone twice
diff alone twice >&2 || fail 'another plan under a launcher'
rc=0
on 2 "$RLHF" plan any.json >out 2>log || rc=$?
[ $rc -eq 2 ] && [ ! -s out ] && [ "$(grep -c 'may be for several commands' log)" -eq 1 ] ||
	fail "exit $rc of a refused plan under a launcher: $(cat out log)"

# Wider than any machine: the plan says so and allocates nothing of it.
rc=0
"$RLHF" plan create.json --set model.create.n_embd=65536 --set model.create.n_head=512 \
	--set model.create.n_layer=96 >table 2>log || rc=$?
[ $rc -eq 1 ] && [ "$(grep -c '^does not fit: ' table)" -eq 2 ] || fail "exit $rc: $(cat table log)"
grep -q 'not measured' table || fail 'the probe has run'
[ ! -e run/run.json ] || rm -rf run

# Of ppo, role by role.
make_toy
"$RLHF" plan config.json --set roles.learner=1 --set roles.actor=2 --set roles.reward=1 >table ||
	fail 'no plan of roles'
for line in 'ppo, 6 steps, on 4 ranks' 'memory of rank 0, learner.0' \
	'memory of rank 1 to 2, each, actor.0 to actor.1' 'memory of rank 3, reward.0' \
	'weights to actors' 'critic: llama' 'tokens/s'; do
	grep -qF "$line" table || fail "no $line in $(cat table)"
done
refused 'no-such-judge' config.json --set reward.sources.0.path=no-such-judge
refused 'roles' config.json --set roles.learner=1 --set roles.actor=2 --set roles.reward=1 --ranks 3

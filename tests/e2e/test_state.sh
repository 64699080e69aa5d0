#!/usr/bin/env bash
# A checkpoint holds all that a run needs: a run killed and gone on with has the bytes
# of one left alone, and one that is gone on with without any single part of the
# checkpoint has not.  On the way, gradients that are not finite on one rank alone are
# skipped by all.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
make_toy
make_rows

launches() { # NAME RANKS ROLES NAN COMMAND...; the parts of a checkpoint on standard input
	local name=$1 ranks=$2 nan=$4 roles parts part
	read -ra roles <<<"$3"
	mapfile -t parts # all of them now: mpirun would take what is left
	shift 4
	# The run left alone, and again with the bad gradients on one rank of several.
	RLHF_FAULT=$nan "$@" --set run.dir="$name" 2>log || fail "$name: $(cat log)"
	grep -q '"optim/skipped":2,' "$name/metrics.jsonl" || fail "$name: two steps were not skipped"
	RLHF_FAULT=$nan RLHF_FAULT_RANK=1 on "$ranks" "$@" "${roles[@]}" --set run.dir="$name-2" 2>log ||
		fail "$name on $ranks ranks: $(cat log)"
	same_run "$name" "$name-2" "$name with NaN on one of $ranks ranks"
	# Killed after a checkpoint, and gone on with.
	(RLHF_FAULT=$nan,kill:checkpoint.after_rename:2 "$@" --set run.dir="$name-killed") >log 2>&1 &&
		fail "$name was not killed"
	cp -r "$name-killed" "$name-resumed"
	"$@" --set run.dir="$name-resumed" 2>log || fail "$name resumed: $(cat log)"
	same_run "$name" "$name-resumed" "$name resumed"
	for part in "${parts[@]}"; do
		cp -r "$name-killed" "$name-$part"
		RLHF_FAULT=omit:$part "$@" --set run.dir="$name-$part" 2>log ||
			fail "$name without $part: $(cat log)"
		if [ "$(fingerprint "$name")" = "$(fingerprint "$name-$part")" ]; then
			fail "$name: nobody sees that $part is missing"
		fi
	done
}
launches pretrain 2 '' nan:trainer.gradient:1,nan:trainer.gradient:3 \
	"$RLHF" pretrain pretrain.json <<'PARTS'
model
optimizer-m
optimizer-v
step
updates
skipped
metrics_bytes
PARTS
# Steps of policy and critic take turns: 24 of them, of which 16 before the kill.
launches ppo 4 '--set roles.learner=2 --set roles.actor=1 --set roles.reward=1' \
	nan:trainer.gradient:3,nan:trainer.gradient:6 \
	"$RLHF" ppo config.json --set ppo.kl.controller=adaptive <<'PARTS'
model
critic
policy-m
policy-v
critic-m
critic-v
step
episode
policy_updates
critic_updates
policy_skipped
critic_skipped
metrics_bytes
rollouts_bytes
kl_coef
PARTS

# One log-probability that is not finite costs the updates of its step, not those of all steps
# after it.
RLHF_FAULT=nan:actor.logprob:60 "$RLHF" ppo config.json --set run.dir=one-nan \
	--set ppo.kl.controller=adaptive --set ppo.verify=0 2>log || fail "one bad number: $(cat log)"
[ "$(grep -c '"objective/kl_coef":null' one-nan/metrics.jsonl)" -eq 0 ] ||
	fail 'one bad number spoils the KL coefficient'

# Ten bad gradients in a row end a run before another step: a model that has diverged is not
# called finished. So they do where it was killed between two of them.
lost() { # the run in lost, begun or gone on with
	local rc=0
	"$RLHF" pretrain pretrain.json --set train.steps=20 --set run.dir=lost 2>log || rc=$?
	[ $rc -eq 1 ] || fail "exit $rc of a diverged run, expected 1: $(cat log)"
	grep -q 'error: the gradient of 10 updates in a row was not finite, or' log || fail "$(cat log)"
	[ ! -e lost/final ] || fail 'a diverged run has a result'
	[ "$(wc -l <lost/metrics.jsonl)" -eq 12 ] ||
		fail "a diverged run stopped after $(wc -l <lost/metrics.jsonl) steps, expected 12"
	grep -q '"state": "failed"' lost/run.json || fail "$(cat lost/run.json)"
}
gradients() { # FIRST LAST
	seq -s , -f 'nan:trainer.gradient:%g' "$1" "$2"
}
(export RLHF_FAULT && RLHF_FAULT=$(gradients 3 12) && lost)
# Policy and critic have four updates each in a step of ppo: the fourth step ends it.
(RLHF_FAULT=$(gradients 9 40) "$RLHF" ppo config.json --set run.dir=lost-ppo) 2>log &&
	fail 'a diverged run of ppo did not stop'
grep -q '"state": "failed"' lost-ppo/run.json && grep -q '"step": 4,' lost-ppo/run.json ||
	fail "$(cat lost-ppo/run.json)"
# Checkpoints of that time do not push out those before it, nor does going on from one.
rm -rf lost
for i in 1 2; do
	(RLHF_FAULT=$(gradients $((i == 1 ? 7 : 1)) 20) "$RLHF" pretrain pretrain.json --set train.steps=20 \
		--set checkpoint.every_steps=2 --set checkpoint.keep=2 --set run.dir=lost) 2>log &&
		fail 'a diverged run did not stop'
	[ -d lost/checkpoints/step-00000006 ] || fail "no checkpoint is sound: $(ls lost/checkpoints)"
done
rm -rf lost
(RLHF_FAULT=$(gradients 3 12),kill:checkpoint.after_rename:2 "$RLHF" pretrain pretrain.json \
	--set train.steps=20 --set run.dir=lost) >log 2>&1 && fail 'it was not killed'
cp -r lost lost-count
(export RLHF_FAULT && RLHF_FAULT=$(gradients 1 10) && lost)
(RLHF_FAULT=omit:skipped_in_a_row,$(gradients 1 10) "$RLHF" pretrain pretrain.json \
	--set train.steps=20 --set run.dir=lost-count) >log 2>&1 && fail 'it did not stop'
[ "$(wc -l <lost-count/metrics.jsonl)" -eq 14 ] || fail 'nobody sees that skipped_in_a_row is missing'

# A learner's copy that has come apart from the others' is found before it is saved.
rc=0
RLHF_FAULT=nan:checkpoint.weights:2 RLHF_FAULT_RANK=1 on 2 "$RLHF" pretrain pretrain.json \
	--set run.dir=apart 2>log || rc=$?
[ $rc -eq 1 ] || fail "exit $rc of learners that have come apart, expected 1: $(cat log)"
grep -q "error: the learners' weights have come apart and are not saved: rank 1 on host .* has another model at step 4 than rank 0 on" log ||
	fail "$(cat log)"
[ "$(ls apart/checkpoints)" = step-00000002 ] || fail "saved: $(ls apart/checkpoints)"
on 2 "$RLHF" pretrain pretrain.json --set run.dir=apart 2>log || fail "$(cat log)"
"$RLHF" pretrain pretrain.json --set run.dir=whole 2>log || fail "$(cat log)"
same_run whole apart 'learners that had come apart'

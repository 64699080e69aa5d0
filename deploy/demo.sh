#!/bin/sh
# From nothing to a policy that PPO has made better, in a few minutes on 2 cores.
#
#   deploy/demo.sh
#
# Installs what is missing, builds, writes a small language and preferences between
# its stories, and trains: tokenizer, language model, reward model, PPO on 4 ranks.
# Ends with a table of the policy before and after.  Everything is in build/demo;
# delete that folder to begin anew, or run this again to go on where it stopped.
set -eu
cd "$(dirname "$0")/.."
deploy/install-deps.sh --yes
[ -d /usr/lib64/openmpi/bin ] && PATH=$PATH:/usr/lib64/openmpi/bin && export PATH
make -j"$(nproc)"
rlhf=build/rlhf
out=build/demo
mkdir -p $out

say() { printf '\n== %s\n' "$*"; }
stories() { awk -v mode="$1" -v n="$2" -v seed="$3" -f deploy/demo/stories.awk; }

say 'Writing stories, pairs of them with a hidden preference (one label in ten is wrong), prompts'
stories text 20000 1 >$out/stories.jsonl
stories text 500 2 >$out/stories-eval.jsonl
stories pairs 4000 3 >$out/pairs.jsonl
stories pairs 500 4 >$out/pairs-eval.jsonl
stories prompts 2000 5 >$out/prompts.jsonl
stories prompts 200 6 >$out/prompts-eval.jsonl
head -n 1 $out/pairs.jsonl

say 'Tokenizer'
[ -e $out/tokenizer/tokenizer.json ] ||
	$rlhf tokenizer-train --input $out/stories.jsonl --vocab-size 400 --output $out/tokenizer

say 'Language model, from nothing'
$rlhf pretrain deploy/demo/pretrain.json

say 'Reward model, from the language model and the pairs'
$rlhf reward-train deploy/demo/reward.json

say 'PPO: one learner, two actors, one reward rank'
$rlhf ppo deploy/configs/laptop-4.json --ranks 4

say 'Before and after, on 200 prompts that PPO has not seen'
sample() { # NAME MODEL
	$rlhf generate --model "$2" --input $out/prompts-eval.jsonl --max-new-tokens 48 --seed 7 \
		--output "$out/samples-$1.jsonl"
	$rlhf score --model $out/judge/final --input "$out/samples-$1.jsonl" \
		--output "$out/scores-$1.jsonl"
	$rlhf logprobs --model $out/base/final --input "$out/samples-$1.jsonl" \
		--output "$out/reference-$1.jsonl"
	awk -f deploy/demo/judge.awk "$out/samples-$1.jsonl" >"$out/rule-$1.txt"
}
mean() { awk -F: '{ x = $NF + 0; s += x; q += x * x } END { m = s / NR; printf "%.3f (sd %.3f)", m, sqrt(q / NR - m * m) }' "$1"; }
sample before $out/base/final
sample after $out/ppo/final
printf '\n%-28s %-22s %-22s\n' '' before after
printf '%-28s %-22s %-22s\n' 'reward-model score' "$(mean $out/scores-before.jsonl)" "$(mean $out/scores-after.jsonl)"
printf '%-28s %-22s %-22s\n' 'hidden rule (kind - unkind)' "$(mean $out/rule-before.txt)" "$(mean $out/rule-after.txt)"
printf '%-28s %-22s %-22s\n' 'KL to the start, nats' \
	"$(awk -f deploy/demo/kl.awk $out/samples-before.jsonl $out/reference-before.jsonl)" \
	"$(awk -f deploy/demo/kl.awk $out/samples-after.jsonl $out/reference-after.jsonl)"
for which in before after; do
	printf '\nThree stories %s:\n' $which
	head -n 3 "$out/samples-$which.jsonl" |
		sed -n 's/.*"prompt":"\([^"]*\)","completion":"\([^"]*\)".*/  \1\2/p'
done

# Mean over sequences of log p(completion) - log q(completion), in nats.
#   awk -f kl.awk samples.jsonl q-logprobs.jsonl
# The first file is the output of "rlhf generate", which has log p; the second that
# of "rlhf logprobs" of the other model for the same lines.
function array(line, key,    found) {
	found = match(line, "\"" key "\":\\[[^]]*\\]")
	return found ? substr(line, RSTART + length(key) + 4, RLENGTH - length(key) - 5) : ""
}
FNR == NR {
	count[FNR] = split(array($0, "logprobs"), values, ",")
	for (i = 1; i <= count[FNR]; i++) sum[FNR] += values[i]
	next
}
{
	total = split(array($0, "logprobs"), values, ",")
	for (i = total - count[FNR] + 1; i <= total; i++) sum[FNR] -= values[i]
	kl += sum[FNR]
	lines++
}
END { printf "%.4f\n", lines ? kl / lines : 0 }

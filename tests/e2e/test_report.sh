#!/usr/bin/env bash
# The page that `report` makes of a run: what it draws, and that no text of a run can
# become a part of the page; and what `status` prints of one.
. "$(dirname "$0")/common.sh"

mkdir run
echo '{"id": "x", "state": "stopped", "step": 900, "reason": ""}' >run/run.json
echo '{"data": {"train": "<b>&x</b>"}}' >run/config.json
awk 'BEGIN {
	for (i = 1; i <= 900; i++) {
		printf "{\"step\":%d,\"loss\":%g,\"constant\":3,\"never\":null", i, 900 / i
		if (i % 100 == 0)
			printf ",\"eval/loss\":%g,\"eval/only\":%g", 901 / i, i
		print ",\"judge\":\"a\",\"time/unix\":1700000000.5}"
	}
	printf "{\"step\":901,\"loss\":"
}' >run/metrics.jsonl
for step in 1 2 900; do
	for i in 1 2 3 4 5 6; do
		echo "{\"step\":$step,\"completion\":\"<script>$step.$i\",\"score\":$i.25}"
	done
done >run/rollouts.jsonl

has() { # COUNT FIXED-STRING
	[ "$(grep -oF -- "$2" run/report.html | wc -l)" -eq "$1" ] ||
		fail "report.html has not $1 times: $2"
}
"$RLHF" report run 2>said
grep -q 'run/report.html' said || fail 'report does not say where its page is'
has 3 '<figure>' # loss with eval/loss, constant, eval/only
has 1 '<span class=key1>eval'
has 700 '<line class=range0' # 900 points of loss and of constant are drawn as 350 groups
has 1 'stopped at step 900'
has 4 '&lt;script&gt;1.'
has 0 '&lt;script&gt;2.'
has 4 '&lt;script&gt;900.'
has 0 '<script'
has 1 '&lt;b&gt;&amp;x&lt;/b&gt;'
has 1 '<tr><td>loss<td>900<td>1<td>900<td>1'
has 0 'http'

# The curve falls from the upper left to the lower right corner of its axes.
points=$(grep -o 'class=curve0 points="[^"]*"' run/report.html | head -n 1)
case $points in
*'="58.'*) ;;
*) fail "the curve begins elsewhere: ${points:0:60}" ;;
esac
awk -v points="${points#*\"}" 'BEGIN {
	n = split(points, p, " ")
	for (i = 2; i <= n; i++) {
		split(p[i - 1], a, ",")
		split(p[i], b, ",")
		if (!(b[1] > a[1] && b[2] >= a[2]))
			exit 1
	}
	exit !(n == 350)
}' || fail 'the curve is not that of 900 / step'

same_page() { # FILE WHAT
	cmp <(sed 's/written .*//' page) <(sed 's/written .*//' "$1") || fail "$2 gets another page"
}
"$RLHF" report run --output - >page
same_page run/report.html 'a file'

# Under a launcher one rank acts and prints.
on 2 "$RLHF" report run --output - >twice 2>log || fail "report on two ranks: $(cat log)"
same_page twice 'a run on two ranks'
"$RLHF" status run >alone
on 2 "$RLHF" status run >twice 2>log || fail "status on two ranks: $(cat log)"
diff alone twice >&2 || fail 'status prints something else on two ranks'

# A file is replaced where it is: a link stays one and a neighbour is left alone. What is
# not a file is written to.
mkdir far
echo old >far/target.html
ln -s far/target.html link.html
echo mine >link.html.tmp
echo mine >far/target.html.tmp
"$RLHF" report run --output link.html 2>/dev/null
[ -L link.html ] || fail 'a link is replaced by a file'
same_page far/target.html 'what a link leads to'
[ "$(cat link.html.tmp far/target.html.tmp | sort -u)" = mine ] || fail 'a neighbour is lost'
[ "$(ls far)" = "$(printf 'target.html\ntarget.html.tmp')" ] || fail "left behind: $(ls far)"
mkfifo pipe
timeout 60 cat pipe >piped &
"$RLHF" report run --output pipe 2>/dev/null
wait
[ -p pipe ] || fail 'a pipe is replaced by a file'
same_page piped 'a pipe'

rm run/metrics.jsonl run/rollouts.jsonl
"$RLHF" report run 2>/dev/null
has 0 '<figure>'

# Values beyond what sums and ranges can hold have no place in a curve.
printf '{"step":%d,"wide":%s,"tiny":5e-324}\n' 1 1e308 2 -1e308 3 1e300 4 -1e300 5 1 >run/metrics.jsonl
"$RLHF" report run 2>/dev/null
has 2 '<figure>'
if grep -oE '(points|[xy][12]|c[xy])="?[^" ]*(nan|inf)' run/report.html >&2; then
	fail 'a curve has points without a place'
fi

# Five digits, or a whole number from 10^5 on and below 10^9.
printf '{"step":%d,"number":%s}\n' 1 0.000012345678 2 -2500000000 3 1e9 4 123456.7 >run/metrics.jsonl
"$RLHF" report run 2>/dev/null
has 1 '<tr><td>number<td>1.2346e-05<td>-2.5e+09<td>1e+09<td>123457'
printf '{"step":%d,"number":%s}\n' 1 99999 2 -100000 3 999999999 4 -0.5 >run/metrics.jsonl
"$RLHF" report run 2>/dev/null
has 1 '<tr><td>number<td>99999<td>-100000<td>999999999<td>-0.5'

# status without a last line, or with one that is no object, has no metrics.
for line in '' '[1,2]' '"text"' '{}' 'torn'; do
	printf '%s\n' "$line" >run/metrics.jsonl
	[ -n "$line" ] || rm run/metrics.jsonl
	"$RLHF" status run >out || fail "exit $? of status where the last metrics are: $line"
	[ "$(tail -n 1 out)" = 'last metrics:' ] || fail "metrics of $line: $(cat out)"
done
echo '{"step":7,"loss":0.5}' >run/metrics.jsonl
"$RLHF" status run >out
[ "$(tail -n 2 out | tr -s ' ' ,)" = "$(printf ',step,7\n,loss,0.5')" ] || fail "$(cat out)"

# Of very many metrics the first are drawn, however many lines there are.
awk 'BEGIN {
	for (i = 1; i <= 300; i++) {
		printf "{\"step\":%d", i
		for (k = 1; k <= 300; k++)
			printf ",\"metric/%d\":%d", k, i + k
		print "}"
	}
}' >run/metrics.jsonl
"$RLHF" report run 2>/dev/null
has 256 '<figure>'
has 1 '<tr><td>metric/256<td>257<td>257<td>556<td>556'

# A completion may hold a NUL, which ends neither the table nor the text of the page.
printf '{"step":1,"completion":"%s","score":1}\n' 'before\u0000after' 'the next' >run/rollouts.jsonl
"$RLHF" report run 2>/dev/null
has 1 'before&#xFFFD;after'
has 1 'the next'

# A run that goes on from a checkpoint cuts its files, also while they are read.
awk 'BEGIN {
	for (i = 1; i <= 50000; i++) {
		printf "{\"step\":%d", i
		for (k = 1; k <= 20; k++)
			printf ",\"metric/%d\":%g", k, i / k
		print "}"
	}
}' >run/metrics.jsonl
"$RLHF" report run 2>said &
reader=$!
sleep 0.2
truncate -s 4096 run/metrics.jsonl
wait $reader || fail "exit $? of a report whose file was cut: $(cat said)"
has 1 '</html>'

# What is no run is refused, once.
for ranks in 0 2; do
	for command in report status; do
		rc=0
		on $ranks "$RLHF" $command far >out 2>log || rc=$?
		[ $rc -eq 2 ] && [ ! -s out ] || fail "exit $rc of $command on $ranks ranks: $(cat out log)"
		[ "$(grep -c 'error: far: not a run directory, it has no run.json' log)" -eq 1 ] ||
			fail "$command on $ranks ranks: $(cat log)"
	done
done

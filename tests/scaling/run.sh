#!/usr/bin/env bash
# How a training step scales to 512 learners, on a simulated cluster.
#
#   tests/scaling/run.sh OBJECTS [RANKS]...      (default: 1 2 4 ... 512)
#
# Needs SimGrid (Debian: simgrid libsimgrid-dev).  The cost of computing is measured on
# this machine, which stands for one node; the trainer and its messages then run as
# they are on N simulated nodes.  Prints two tables, of a batch that grows with the
# learners and of one that does not, and writes scaling.svg beside them in OBJECTS.
#
# The cluster: 512 nodes of one learner each, 100 Gbit/s links with 1 us latency, in a
# fat tree of 16 + 32 switches with full bisection.
set -euo pipefail
objects=$(cd "$1" && pwd)
shift
ranks=("$@")
[ $# -gt 0 ] || ranks=(1 2 4 8 16 32 64 128 256 512)
here=$(cd "$(dirname "$0")/../.." && pwd)
command -v smpicc >/dev/null || { echo 'SimGrid is not installed (simgrid libsimgrid-dev)' >&2; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
floats=124439808 length=256 per_learner=4 batch=2048

smpicc -O2 -std=c17 -I"$here" -D_GNU_SOURCE -DNDEBUG -w -Wl,--wrap=xaligned -o "$work/learners" \
	"$here"/tests/scaling/{learners,clock}.c "$here"/learner/trainer.c \
	"$here"/proto/{comm,heartbeat,wire,launch}.c "$here"/common/model/sequences.c \
	"$here"/common/base/{arena,buf,die,hash,hash_x86,log,pool,status,thread}.c \
	"$here"/common/run/fault.c "$objects/libcommon_base.a"
cat >"$work/platform.xml" <<'XML'
<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <cluster id="cluster" prefix="node-" suffix="" radical="0-511" speed="1Gf" bw="12.5GBps" lat="1us"
           topology="FAT_TREE" topo_parameters="2;16,32;1,16;1,1"/>
</platform>
XML
for i in $(seq 0 511); do echo "node-$i"; done >"$work/hosts"
cat >"$work/gpt2.json" <<'JSON'
{"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12,
 "n_positions": 1024, "vocab_size": 50257, "activation_function": "gelu_new"}
JSON
costs=${COSTS:-$("$objects/tests/scaling/measure" "$work/gpt2.json" $per_learner $length)}
echo "seconds: a token, forward and backward; an element of zero, add, square, AdamW"
echo "         $costs"

simulate() { # RANKS SEQUENCES
	# shellcheck disable=SC2086
	OMPI_COMM_WORLD_RANK=0 smpirun -np "$1" -platform "$work/platform.xml" -hostfile "$work/hosts" \
		--cfg=smpi/simulate-computation:no --cfg=smpi/host-speed:1Gf \
		--cfg=smpi/shared-malloc:global --cfg=smpi/shared-malloc-blocksize:67108864 \
		--cfg=smpi/privatization:dlopen --cfg=smpi/tmpdir:"$work" \
		--cfg=smpi/test:1e-5 --cfg=smpi/iprobe:1e-5 --log=root.threshold:critical \
		"$work/learners" $floats "$2" $length 1 $costs
}

table() { # TITLE SEQUENCES-OF-RANKS
	local title=$1 sequences=$2 n
	echo
	echo "$title"
	echo 'learners   s a step   of them computing   efficiency   GB sent   messages'
	for n in "${ranks[@]}"; do
		simulate "$n" "$("$sequences" "$n")"
	done | awk -v weak="$3" 'NR == 1 { base = $2 * (weak ? 1 : $1) } {
		e = base / $2 / (weak ? 1 : $1)
		printf "%8d %10.3f %19.3f %10.1f %% %9.3f %10d\n", $1, $2, $3, 100 * e, $4 / 1e9, $5
	}'
}
growing() { echo $(($1 * per_learner)); }
fixed() { echo $batch; }
table "$per_learner sequences of $length tokens a learner" growing 1 | tee "$work/growing"
table "$batch sequences of $length tokens in all" fixed 0 | tee "$work/fixed"

# Efficiency over learners, both tables, as a picture.
awk 'FNR == 1 { f++ } $1 + 0 > 0 && $5 == "%" { print f, $1, $4 }' "$work/growing" "$work/fixed" |
	awk -v top="${ranks[-1]}" '
	{ table[NR] = $1; n[NR] = $2; e[NR] = $3; if (NR == 1 || $3 < least) least = $3 }
	function x(n) { return 70 + 500 * log(n) / log(top > 1 ? top : 2) }
	function y(e) { return 250 - 220 * (e - bottom) / (100 - bottom) }
	function draw(t, colour, name, legend,   i, line) {
		for (i = 1; i <= NR; i++) {
			if (table[i] != t) continue
			line = line (line ? " " : "") sprintf("%.1f,%.1f", x(n[i]), y(e[i]))
			printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", x(n[i]), y(e[i]), colour
		}
		printf "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"%s\"/>\n", colour, line
		printf "<path stroke=\"%s\" stroke-width=\"2\" d=\"M90 %d h24\"/>", colour, legend
		printf "<circle cx=\"102\" cy=\"%d\" r=\"3.5\" fill=\"%s\"/>", legend, colour
		printf "<text x=\"122\" y=\"%d\">%s</text>\n", legend + 4, name
	}
	END {
		bottom = 10 * int(least / 10)
		if (bottom > 90) bottom = 90
		print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 600 310\" font-family=\"sans-serif\" font-size=\"13\">"
		print "<title>Efficiency of a training step over the number of learners</title>"
		print "<rect width=\"600\" height=\"310\" fill=\"#fff\"/>"
		for (k = 0; k <= 5; k++) {
			tick = bottom + k * (100 - bottom) / 5
			printf "<path stroke=\"#ddd\" d=\"M70 %g H570\"/><text x=\"62\" y=\"%g\" text-anchor=\"end\">%g %%</text>\n", y(tick), y(tick) + 4, tick
		}
		for (i = 1; i <= NR; i++)
			if (table[i] == 1)
				printf "<path stroke=\"#888\" d=\"M%.1f 250 v5\"/><text x=\"%.1f\" y=\"270\" text-anchor=\"middle\">%d</text>\n", x(n[i]), x(n[i]), n[i]
		print "<path stroke=\"#888\" fill=\"none\" d=\"M70 30 V250 H570\"/>"
		print "<text x=\"320\" y=\"297\" text-anchor=\"middle\">learners, one a node (logarithmic)</text>"
		print "<text transform=\"translate(15 140) rotate(-90)\" text-anchor=\"middle\">efficiency</text>"
		draw(1, "#1f6feb", "'"$per_learner"' sequences a learner", 219)
		draw(2, "#d9480f", "'"$batch"' sequences in all", 237)
		print "</svg>"
	}' >"$objects/scaling.svg"

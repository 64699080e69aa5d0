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
	"$here"/proto/{comm,wire,launch}.c "$here"/common/model/sequences.c \
	"$here"/common/base/{arena,buf,die,hash,hash_x86,log,pool,status}.c \
	"$here"/common/run/fault.c
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
echo "seconds: a token, forward and backward; an element of zero, add, square, AdamW, pack"
echo "         $costs"

simulate() { # RANKS SEQUENCES
	# shellcheck disable=SC2086
	OMPI_COMM_WORLD_SIZE=$1 smpirun -np "$1" -platform "$work/platform.xml" -hostfile "$work/hosts" \
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
	function x(n) { return 60 + 500 * log(n) / log(top > 1 ? top : 2) }
	function y(e) { return 250 - 2.2 * e }
	{ points[$1] = points[$1] " " x($2) "," y($3); seen[$2] = 1 }
	END {
		print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 600 300\" font-family=\"sans-serif\" font-size=\"12\">"
		print "<rect width=\"600\" height=\"300\" fill=\"#fff\"/>"
		for (e = 0; e <= 100; e += 20)
			printf "<path stroke=\"#ddd\" d=\"M60 %g H560\"/><text x=\"54\" y=\"%g\" text-anchor=\"end\">%d %%</text>\n", y(e), y(e) + 4, e
		for (n in seen)
			printf "<text x=\"%g\" y=\"268\" text-anchor=\"middle\">%d</text>\n", x(n), n
		print "<text x=\"310\" y=\"290\" text-anchor=\"middle\">learners</text>"
		printf "<polyline fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\" points=\"%s\"/>\n", points[1]
		printf "<polyline fill=\"none\" stroke=\"#d9480f\" stroke-width=\"2\" points=\"%s\"/>\n", points[2]
		print "<text x=\"70\" y=\"230\" fill=\"#1f6feb\">batch grows with the learners</text>"
		print "<text x=\"70\" y=\"212\" fill=\"#d9480f\">same batch for all</text>"
		print "</svg>"
	}' >"$objects/scaling.svg"

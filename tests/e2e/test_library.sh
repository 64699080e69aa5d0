#!/usr/bin/env bash
# Portable kernels leave backward products to OpenBLAS, whose bits differ with the kernels that it
# chooses for a CPU: a run goes on with those that it began with or not at all, and ranks that
# have not the same ones do without.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
make_toy
make_rows

# without: no OpenBLAS can be loaded; NAME: it has that CPU's kernels.
as() { # without|NAME COMMAND...
	local cpu=$1
	shift
	if [ "$cpu" = without ]; then
		LD_LIBRARY_PATH=$work/none "$@"
	else
		OPENBLAS_CORETYPE=$cpu "$@"
	fi
}
mkdir none
echo >none/libopenblas.so.0
run() { # RUN [OPTIONS...]
	local dir=$1
	shift
	"$RLHF" pretrain pretrain.json --isa portable --set run.dir="$dir" "$@"
}
library() { # RUN
	grep -ho '"library": "[^"]*"' "$1"/checkpoints/*/state.json | sort -u
}

as without run own 2>log || fail "without OpenBLAS: $(cat log)"
[ "$(library own)" = '"library": ""' ] || fail "without OpenBLAS: $(library own)"

# A state of before it told the library.
(export RLHF_FAULT=kill:checkpoint.after_rename:2 && as without run old) >log 2>&1 &&
	fail 'it was not killed'
for state in old/checkpoints/*/state.json; do
	manifest=${state%/*}/MANIFEST.json
	sed -i -z 's/,\n *"library": ""//' "$state"
	sed -i -E '/"state.json"/ s/"bytes": .*"\}/"bytes": '"$(stat -c %s "$state")"', "sha256": "'"$(
		sha256sum <"$state" | cut -d ' ' -f 1
	)"'"}/' "$manifest"
done
rc=0
as without run old 2>log || rc=$?
[ $rc -eq 2 ] || fail "without its library: exit $rc: $(cat log)"
grep -q 'error: old/checkpoints/.*/state.json: "library" is missing: the run was begun by an earlier build' log ||
	fail "$(cat log)"

for cpu in Prescott Nehalem; do
	as $cpu run $cpu 2>log || fail "$cpu: $(cat log)"
done
if [ "$(library Prescott)" = "$(library Nehalem)" ]; then
	echo 'skipped: this OpenBLAS has kernels of one CPU alone, or is not there' >&2
	exit 77
fi
"$RLHF" pretrain pretrain.json --set run.dir=best 2>log || fail "$(cat log)"
if ! grep -q '"isa": "portable"' best/checkpoints/*/state.json; then
	[ "$(library best)" = '"library": ""' ] || fail "other levels do not use it: $(library best)"
fi

# Killed under one, gone on with under the same, another and none.
(export RLHF_FAULT=kill:checkpoint.after_rename:2 && as Prescott run killed) >log 2>&1 &&
	fail 'it was not killed'
for cpu in Nehalem without; do
	cp -r killed other
	rc=0
	as $cpu run other 2>log || rc=$?
	[ $rc -eq 2 ] || fail "begun with Prescott's kernels, $cpu: exit $rc: $(cat log)"
	grep -q 'error: other: the run was computed with OpenBLAS .*; its bits could not be kept' log ||
		fail "$cpu: $(cat log)"
	diff -r -x lock killed other >log || fail "a refused run was changed: $(cat log)"
	rm -r other
done
as Prescott run killed 2>log || fail "$(cat log)"
same_run Prescott killed 'killed and gone on with'
# Begun without, it does without.
(export RLHF_FAULT=kill:checkpoint.after_rename:2 && as without run killed-own) >log 2>&1 &&
	fail 'it was not killed'
as Prescott run killed-own 2>log || fail "$(cat log)"
same_run own killed-own 'begun without OpenBLAS'

# Ranks of two kinds.
train=("$RLHF" pretrain pretrain.json --isa portable --set run.dir=mixed)
mpirun --oversubscribe -n 1 -x OPENBLAS_CORETYPE=Prescott "${train[@]}" : \
	-n 1 -x OPENBLAS_CORETYPE=Nehalem "${train[@]}" 2>log || fail "mixed: $(cat log)"
grep -q 'the ranks have not all the same OpenBLAS' log || fail "no word of it: $(cat log)"
same_run own mixed 'ranks of two kinds'

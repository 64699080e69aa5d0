#!/usr/bin/env bash
# A tree with one fault of each kind, in which run.sh must find each of them, and
# the same tree without faults, in which it must find nothing.  Prints what went
# wrong, or nothing.
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/common/base" "$tree/proto" "$tree/actor" "$tree/learner" "$tree/deploy"
printf 'all:\n' >"$tree/Makefile"
printf '#pragma once\nint base(void);\n' >"$tree/common/base/base.h"
printf '#pragma once\n#include "common/base/base.h"\n' >"$tree/learner/learner.h"
printf '#include <mpi.h>\n#include "common/base/base.h"\nvoid f(int a)\n{\n\tASSERT(a == 1 &&\n\t       a <= 2);\n}\n' \
	>"$tree/proto/comm.c"
"$here/run.sh" "$tree" >"$tree/.output" || {
	echo 'lint finds faults in a clean tree:'
	cat "$tree/.output"
}

printf '#include "proto/comm.h"\n' >"$tree/common/base/upward.c"
printf '#include "learner/learner.h"\n' >"$tree/actor/sideways.c"
printf '#include "neighbour.h"\n' >"$tree/actor/relative.c"
printf '#include <mpi.h>\n' >"$tree/actor/door.c"
printf '#pragma once\nsize_t missing_include(void);\n' >"$tree/actor/alone.h"
printf 'void f(int a)\n{\n\tASSERT(a ||\n\t       a++);\n}\n' >"$tree/actor/effect.c"
printf '/* %s: later */\n' TO''DO >"$tree/actor/word.c"
printf '/* see %s/x */\n' /wo''rk >"$tree/actor/path.c"
printf 'int a; \n' >"$tree/actor/space.c"
printf 'int b;' >"$tree/actor/newline.c"
printf '#!/bin/sh\nif\n' >"$tree/deploy/broken.sh"
: >"$tree/stray"
"$here/run.sh" "$tree" >"$tree/.output" && echo 'lint accepts a tree full of faults'
while read -r expected; do
	grep -q "^$expected" "$tree/.output" || echo "lint does not find: $expected"
done <<'END'
common/base/upward.c:1: common/base may not include proto/comm.h
actor/sideways.c:1: actor may not include learner/learner.h
actor/relative.c:1: "neighbour.h" is not a path
actor/door.c:1: mpi.h has its door elsewhere
actor/alone.h: does not compile alone
actor/effect.c:3: ASSERT with a side effect
actor/word.c:1:.*forbidden word
actor/path.c:1:.*path of one machine
actor/space.c:1: white space
actor/newline.c: no newline
deploy/broken.sh
stray: does not belong
END
exit 0

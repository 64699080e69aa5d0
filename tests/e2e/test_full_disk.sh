#!/usr/bin/env bash
# A disk that becomes full, after any number of pages: one sentence names the file, the
# checkpoint before is whole, nothing half is left, and with room again the same command
# goes on to the same bytes.
# shellcheck source=tests/e2e/common.sh
. "$(dirname "$0")/common.sh"
step=${1:-29} # pages between two tries
mkdir disk
if ! mount -t tmpfs -o size=16m tmpfs disk 2>/dev/null; then
	echo 'no file system can be mounted here'
	exit 77
fi
trap 'umount "$work/disk"; rm -rf "$work"' EXIT

# One try with so many pages left: whether they were enough.
run_with_room() { # PAGES RANKS COMMAND CONFIG
	local pages=$1 ranks=$2 command=$3 config=$4 rc=0
	rm -rf disk/run disk/ballast
	cp -r killed disk/run
	dd if=/dev/zero of=disk/ballast bs=1M 2>/dev/null || true
	truncate -s -$((pages * 4096)) disk/ballast
	on "$ranks" "$RLHF" "$command" "$config" --set run.dir=disk/run >log 2>&1 || rc=$?
	[ $rc -ne 0 ] || return 0
	[ $rc -eq 2 ] || fail "$pages pages: exit $rc: $(cat log)"
	[ "$(grep -c '^rlhf: .*error: disk/run/.*No space left' log)" -eq 1 ] ||
		fail "$pages pages: $(cat log)"
	cmp killed/checkpoints/step-00000002/MANIFEST.json \
		disk/run/checkpoints/step-00000002/MANIFEST.json || fail "$pages pages: the checkpoint is gone"
	[ -z "$(find disk -name '*.tmp')" ] || fail "$pages pages: $(find disk -name '*.tmp') is left"
	rm disk/ballast
	on "$ranks" "$RLHF" "$command" "$config" --set run.dir=disk/run >log 2>&1 ||
		fail "$pages pages, then room: $(cat log)"
	same_run whole disk/run "after $pages pages"
	return 1
}

fill_up() { # STEP RANKS COMMAND CONFIG: from no pages left to enough of them
	local every=$1 pages=0
	shift
	rm -rf whole killed
	"$RLHF" "$2" "$3" --set run.dir=whole 2>log || fail "$(cat log)"
	(RLHF_FAULT=kill:checkpoint.after_rename:1 "$RLHF" "$2" "$3" --set run.dir=killed) >log 2>&1 &&
		fail 'the run was not killed'
	while ! run_with_room $pages "$@"; do
		pages=$((pages + every))
		[ $pages -lt 4000 ] || fail 'no room is enough'
	done
	[ $pages -gt 0 ] || fail 'no room was enough'
}
make_toy
make_rows
fill_up "$step" 0 ppo config.json
# Large enough for each of two learners to have moments to write.
"$make_model" policy lm 4000 1
fill_up $((step * 40)) 2 pretrain pretrain.json

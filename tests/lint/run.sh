#!/usr/bin/env bash
# Checks what compilers do not: layers, doors, headers, asserts, words, white
# space, shell scripts, the top level.  Prints one line for each finding, what
# was checked, and "check: clean" if nothing was found.
#
#   tests/lint/run.sh [TREE]        the tree that this script is in by default
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/../..}" || exit 1
findings=$(mktemp)
trap 'rm -f "$findings"' EXIT

# Files of the tree whose names end in one of the words given, one a line.
files() {
	local folder word
	for folder in actor common deploy learner proto reward tests; do
		[ -d "$folder" ] || continue
		for word in "$@"; do
			find "$folder" -type f -name "*$word"
		done
	done | sort
}

# Reads findings from its input and says how the check NAME went over COUNT things.
report() { # NAME COUNT
	local before after
	before=$(wc -l <"$findings")
	cat >>"$findings"
	after=$(wc -l <"$findings")
	tail -n +$((before + 1)) "$findings"
	printf 'check: %-22s %5d checked, %d found\n' "$1" "$2" $((after - before))
}

check_layers() {
	[ ${#sources[@]} -eq 0 ] || awk -f "$here/layers.awk" "$here/layers.txt" "${sources[@]}"
}

check_doors() {
	local header pattern name line file allowed
	while read -r header pattern; do
		case $header in '' | '#'*) continue ;; esac
		name=${header//./\\.}
		[ ${#sources[@]} -eq 0 ] || grep -nHE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"](.*/)?${name##*/}[>\"]" \
			"${sources[@]}" | while IFS=: read -r file line _; do
			allowed=no
			while read -r other pattern; do
				# shellcheck disable=SC2254 # the pattern is one
				[ "$other" = "$header" ] && case $file in $pattern) allowed=yes ;; esac
			done <"$here/doors.txt"
			[ $allowed = yes ] || echo "$file:$line: $header has its door elsewhere (doors.txt)"
		done
	done < <(awk '!/^#/ && NF && !seen[$1]++' "$here/doors.txt")
}

# Each header alone, by each compiler that is there.
check_headers() {
	local compiler
	for compiler in gcc clang; do
		command -v $compiler >/dev/null || continue
		[ ${#headers[@]} -eq 0 ] || printf '%s\n' "${headers[@]}" |
			COMPILER=$compiler xargs -P 2 -I '{}' sh -c '
				output=$(printf "#include \"%s\"\n" "$1" | $COMPILER -x c -std=c17 -I. \
					-D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused-function -fsyntax-only - 2>&1) ||
				printf "%s: does not compile alone with %s: %s\n" "$1" "$COMPILER" \
					"$(printf "%s" "$output" | grep -m 1 error)"' sh '{}'
	done
}

check_asserts() {
	[ ${#sources[@]} -eq 0 ] || awk -f "$here/asserts.awk" "${sources[@]}"
}

# Brackets keep the patterns from finding themselves.
check_words() {
	[ ${#texts[@]} -eq 0 ] ||
		grep -nHwE '[T]ODO|[F]IXME|[X]XX' "${texts[@]}" | sed 's/$/   <- forbidden word/'
	[ ${#texts[@]} -eq 0 ] ||
		grep -nHE '(^|[^[:alnum:]_.$}])/([w]ork|[r]oot)/' "${texts[@]}" |
		sed 's/$/   <- path of one machine/'
}

check_white_space() {
	[ ${#texts[@]} -eq 0 ] ||
		grep -nHE '[[:space:]]+$' "${texts[@]}" | cut -d: -f1,2 |
		sed 's/$/: white space at the end of the line/'
	local file
	for file in "${texts[@]}"; do
		[ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] ||
			echo "$file: no newline at the end of the file"
	done
}

check_shell() {
	local file
	for file in "${scripts[@]}"; do
		bash -n "$file" 2>&1
	done
	[ ${#scripts[@]} -eq 0 ] || ! command -v shellcheck >/dev/null ||
		shellcheck -x --severity=warning --format=gcc "${scripts[@]}"
}

check_top_level() {
	local entry
	for entry in *; do
		case $entry in
		actor | common | deploy | learner | proto | reward | tests) ;;
		Makefile | README.md | build) ;;
		*) git check-ignore -q "$entry" 2>/dev/null ||
			echo "$entry: does not belong at the top level" ;;
		esac
	done
}

mapfile -t sources < <(files .c .h)
mapfile -t headers < <(files .h)
mapfile -t texts < <(
	files .c .h .sh .sbatch .awk .py .md .txt | grep -v '^tests/golden/\|^tests/fuzz/corpus/'
	ls Makefile README.md .ci/run .gitignore 2>/dev/null
)
mapfile -t scripts < <(
	files .sh .sbatch
	ls .ci/run 2>/dev/null
)

report layers ${#sources[@]} < <(check_layers)
report doors ${#sources[@]} < <(check_doors)
report 'headers alone' ${#headers[@]} < <(check_headers)
report asserts ${#sources[@]} < <(check_asserts)
report 'words and paths' ${#texts[@]} < <(check_words)
report 'white space' ${#texts[@]} < <(check_white_space)
report 'shell scripts' ${#scripts[@]} < <(check_shell)
report 'top level' "$(find . -mindepth 1 -maxdepth 1 -not -name '.*' | wc -l)" < <(check_top_level)
command -v shellcheck >/dev/null || echo 'check: shellcheck is not installed; only syntax was checked'
if [ $# -eq 0 ]; then
	report 'lint itself' 1 < <("$here/selftest.sh")
fi
if [ -s "$findings" ]; then
	echo "check: $(wc -l <"$findings") found"
	exit 1
fi
echo 'check: clean'

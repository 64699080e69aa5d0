# Finds ASSERT(condition) whose condition changes something: it is not evaluated
# in release builds.  Conditions may go on over several lines.

function check(text, line) {
	gsub(/"([^"\\]|\\.)*"/, "", text)
	gsub(/'([^'\\]|\\.)*'/, "", text)
	gsub(/[=!<>]=/, "", text)
	if (text ~ /\+\+|--|=/)
		printf "%s:%d: ASSERT with a side effect\n", FILENAME, line
}

FNR == 1 { depth = 0 }

/^[ \t]*#[ \t]*define[ \t]+ASSERT/ { next }

{
	rest = $0
	if (depth == 0) {
		if (!match(rest, /(^|[^A-Za-z0-9_])ASSERT\(/))
			next
		rest = substr(rest, RSTART + RLENGTH)
		depth = 1
		condition = ""
		start = FNR
	}
	n = length(rest)
	for (i = 1; i <= n && depth > 0; i++) {
		c = substr(rest, i, 1)
		depth += (c == "(") - (c == ")")
		condition = condition c
	}
	if (depth == 0)
		check(condition, start)
}

# Checks include directions.  First file: layers.txt; then sources, named by
# their path from the top.  Prints one line for each finding.

function folder_of(path) {
	sub(/\/[^\/]*$/, "", path)
	return path
}

FNR == NR {
	if (/^#/ || !NF)
		next
	folder = $1
	sub(/:$/, "", folder)
	allowed[folder, folder] = 1
	known[folder] = 1
	for (i = 2; i <= NF; i++)
		allowed[folder, $i] = 1
	next
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, parts, "\"")
	target = folder_of(parts[2])
	own = beside = folder_of(FILENAME)
	of_tests = target == "tests" && own ~ /^tests\//
	if (sub(/^tests\/unit\//, "", own))
		sub(/^tests\/unit\//, "", target)
	if (parts[2] !~ /\//)
		printf "%s:%d: \"%s\" is not a path from the top\n", FILENAME, FNR, parts[2]
	else if ((own in known) && target != beside && !of_tests && !((own, target) in allowed))
		printf "%s:%d: %s may not include %s\n", FILENAME, FNR, own, parts[2]
}

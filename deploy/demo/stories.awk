# Writes small stories, pairs of them, or their beginnings, as JSON lines.
#
#   awk -v mode=text|pairs|prompts -v n=1000 -v seed=1 -f stories.awk
#
# A story is a beginning and three sentences.  What a model has to learn: who is in
# the story, that "he" and "she" agree with the names, which verb takes which
# object, and where one can be.  The hidden rule behind the pairs: a story is better
# the more kind things and the fewer unkind things happen in it.  Ten labels in a
# hundred are wrong.

# Park and Miller's generator: exact in double arithmetic, the same in every awk.
function random(k) { state = state * 16807 % 2147483647; return int(state / 2147483647 * k) }
function pick(list, size) { return list[1 + random(size)] }

function words(text, list) { return split(text, list, "|") }

function setup() {
	n_boys = words("Tom|Ben|Max|Sam", boys)
	n_girls = words("Anna|Lily|Mia|Zoe", girls)
	n_places = words("in the park|at the beach|in the garden|by the river|at school|in the kitchen", places)
	n_things = words("ball|kite|book|hat|drum|boat|cake|apple", things)
	n_colours = words("red|blue|green|big|small|yellow|new", colours)
	n_kind = words("shares the %|gives @ the %|helps @ with the %|thanks @ for the %|hugs @", kind)
	n_unkind = words("takes the % from @|breaks the %|hides the % from @|shouts at @|pushes @", unkind)
	n_plain = words("finds a %|looks at the %|holds the %|walks home|sits down|sings a song|runs to @", plain)
	n_moods = words("happy|tired|hungry|glad|quiet", moods)
}

function fill(template, object, other) {
	gsub(/%/, object, template)
	gsub(/@/, other, template)
	return template
}

# A beginning; leaves the names and pronouns of the two children behind.
function beginning() {
	if (random(2)) { first = pick(boys, n_boys); he = "He"; him = "him" }
	else { first = pick(girls, n_girls); he = "She"; him = "her" }
	do {
		if (random(2)) { second = pick(boys, n_boys); he2 = "He"; him2 = "him" }
		else { second = pick(girls, n_girls); he2 = "She"; him2 = "her" }
	} while (second == first)
	thing = pick(colours, n_colours) " " pick(things, n_things)
	return first " and " second " are " pick(places, n_places) ". " first " has a " thing "."
}

# One sentence; adds to the hidden score.
function sentence(    kindness, subject, other, verb) {
	if (random(2)) { subject = random(2) ? first : he; other = random(2) && he != he2 ? him2 : second }
	else { subject = second; other = random(2) && he != he2 ? him : first }
	kindness = random(10)
	if (kindness < 3) { verb = pick(kind, n_kind); score++ }
	else if (kindness < 6) { verb = pick(unkind, n_unkind); score-- }
	else if (kindness < 9) verb = pick(plain, n_plain)
	else return " " subject " is " pick(moods, n_moods) "."
	return " " subject " " fill(verb, thing, other) "."
}

function rest() {
	score = 0
	return sentence() sentence() sentence()
}

function pair(    prompt, a, b, score_a, better, worse, swap) {
	prompt = beginning()
	do {
		a = rest()
		score_a = score
		b = rest()
	} while (score == score_a)
	better = score_a > score ? a : b
	worse = score_a > score ? b : a
	if (random(100) < 10) { swap = better; better = worse; worse = swap }
	printf "{\"prompt\":\"%s\",\"chosen\":\"%s\",\"rejected\":\"%s\"}\n", prompt, better, worse
}

BEGIN {
	state = seed * 7919 % 2147483646 + 1
	for (i = 0; i < 10; i++) random(2)
	setup()
	for (i = 0; i < n; i++) {
		if (mode == "pairs") pair()
		else if (mode == "prompts") printf "{\"prompt\":\"%s\"}\n", beginning()
		else printf "{\"text\":\"%s%s\"}\n", beginning(), rest()
	}
}

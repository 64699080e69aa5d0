# The hidden rule, applied to the output of "rlhf generate": kind minus unkind
# things in each completion, one number a line.
{
	score = 0
	if (match($0, /"completion":"[^"]*"/)) {
		text = substr($0, RSTART + 14, RLENGTH - 15)
		score += gsub(/shares|gives|helps|thanks|hugs/, "&", text)
		score -= gsub(/takes|breaks|hides|shouts|pushes/, "&", text)
	}
	print score
}

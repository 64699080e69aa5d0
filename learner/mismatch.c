/* Mismatched completions; see mismatch.h. */
#include "learner/mismatch.h"

#include <string.h>

#include "common/base/die.h"

/* Where what is learnt begins. */
static int first_target(const struct row *row)
{
	int i = 0;

	while (i < row->n && !row_is_target(row, i))
		i++;
	return i;
}

static bool has_same_prompt(const struct row *a, const struct row *b)
{
	int n = first_target(a);

	return n == first_target(b) && memcmp(a->ids, b->ids, (size_t)n * sizeof *a->ids) == 0;
}

/* The end of the group that begins at row `first`. */
static int group_end(const struct row *rows, int n, int first)
{
	int end = first + 1;

	while (end < n && has_same_prompt(&rows[end - 1], &rows[end]))
		end++;
	return end;
}

void mismatch_partners(int *partner, const struct row *rows, int n)
{
	for (int first = 0, end; first < n; first = end) {
		int next, next_end;

		end = group_end(rows, n, first);
		if (end - first == n) {
			for (int i = 0; i < n; i++)
				partner[i] = (i + 1) % n;
			return;
		}
		next = end % n;
		next_end = group_end(rows, n, next);
		for (int i = first; i < end; i++)
			partner[i] = next + (i - first) % (next_end - next);
	}
}

void mismatch_row(struct row *out, const struct row *prompt, const struct row *completion)
{
	int n_prompt = first_target(prompt), from = first_target(completion);
	int n = completion->n - from;

	*out = (struct row){.n = n_prompt + n, .n_prompt = n_prompt};
	out->ids = xcalloc((size_t)out->n, sizeof *out->ids);
	memcpy(out->ids, prompt->ids, (size_t)n_prompt * sizeof *out->ids);
	memcpy(out->ids + n_prompt, completion->ids + from, (size_t)n * sizeof *out->ids);
	if (!completion->is_target)
		return;
	out->is_target = xcalloc((size_t)out->n, sizeof *out->is_target);
	memcpy(out->is_target + n_prompt, completion->is_target + from, (size_t)n);
}

/* Which ids are kept: as transformers keeps them (tests/golden/sampling.tsv), and as a
 * sort finds them; which id is drawn: by the cumulative distribution of those. */
#include "common/ops/sampling.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/unit/common/ops/elements.h"

static const struct sampling plain = {.temperature = 1, .top_p = 1};
static const struct sampling greedy = {.temperature = 0, .top_p = 1};

static struct sampling_row whole(const float *z, int n)
{
	return (struct sampling_row){.logits = z, .n = n};
}

static int32_t draw(const float *z, int n, const int32_t *banned, int n_banned,
		    const struct sampling *sampling, double u)
{
	struct sampling_row row = {
		.logits = z, .n = n, .banned = banned, .n_banned = n_banned};
	void *scratch = xmalloc(sampling_scratch_bytes(n));
	int32_t id = sampling_draw(&row, sampling, u, scratch);

	free(scratch);
	return id;
}

/* Ids first, first + step, ... below n. */
static int ban(int32_t *banned, int first, int n, int step)
{
	int n_banned = 0;

	for (int i = first; i < n; i += step)
		banned[n_banned++] = i;
	return n_banned;
}

/* --- golden --- */

/* The rows of tests/golden/make_sampling.py. */
static float golden_logit(int i, uint32_t seed, int kind)
{
	uint32_t h = (uint32_t)(i + 1) * 2654435761u + seed * 2246822519u;
	int a;

	h ^= h >> 15;
	h *= 3266489917u;
	h ^= h >> 13;
	switch (kind) {
	case 0:
		return (float)((int)(h % 8191) - 4095) / 512;
	case 1:
		return (float)((int)(h % 9) - 4) / 2;
	case 2:
		a = (int)(h % 4095) - 2047;
		return (float)(a * abs(a)) / 524288;
	default:
		return (float)(h % 8191) / 65536;
	}
}

static uint64_t hash_of_kept(const bool *kept, int n, int *n_kept)
{
	uint64_t h = 0xcbf29ce484222325u;

	*n_kept = 0;
	for (uint32_t i = 0; i < (uint32_t)n; i++) {
		*n_kept += kept[i];
		for (int byte = 0; kept[i] && byte < 4; byte++)
			h = (h ^ (i >> 8 * byte & 255)) * 0x100000001b3u;
	}
	return h;
}

static void check_golden_line(const char *line)
{
	struct sampling sampling;
	int v, kind, expected, found;
	uint32_t seed;
	uint64_t hash;
	float *z;
	void *scratch;
	bool *kept;
	struct sampling_row row;

	if (sscanf(line, "%d %" SCNu32 " %d %lf %d %lf %lf %d %" SCNx64, &v, &seed, &kind,
		   &sampling.temperature, &sampling.top_k, &sampling.top_p, &sampling.min_p,
		   &expected, &hash) != 9)
		fail_msg("not a golden line: %s", line);
	z = xcalloc((size_t)v, sizeof *z);
	scratch = xmalloc(sampling_scratch_bytes(v));
	kept = xcalloc((size_t)v, sizeof *kept);
	for (int i = 0; i < v; i++)
		z[i] = golden_logit(i, seed, kind);
	row = whole(z, v);
	sampling_kept(kept, &row, &sampling, scratch);
	if (hash_of_kept(kept, v, &found) != hash || found != expected)
		fail_msg("kept %d ids, expected %d: %s", found, expected, line);
	free(z);
	free(scratch);
	free(kept);
}

static void golden(void)
{
	FILE *file = fopen("tests/golden/sampling.tsv", "r");
	char line[256];
	int n = 0;

	assert_non_null(file);
	while (fgets(line, sizeof line, file)) {
		check_golden_line(line);
		n++;
	}
	fclose(file);
	assert_true(n > 500);
}

static void test_kept_ids_are_those_of_transformers(void **state)
{
	(void)state;
	at_each_level(golden);
}

/* --- against sorting --- */

static const float *sorted_by;

static int by_logit_then_id(const void *a, const void *b)
{
	int i = *(const int *)a, j = *(const int *)b;

	if (sorted_by[i] != sorted_by[j])
		return sorted_by[i] > sorted_by[j] ? -1 : 1;
	return i - j;
}

/* Ids 0 .. n - 1 that are not banned, by falling logit. */
static int sorted_ids(int *ids, const struct sampling_row *row)
{
	int n = 0;

	for (int i = 0; i < row->n; i++) {
		bool is_banned = false;
		for (int k = 0; k < row->n_banned; k++)
			is_banned |= row->banned[k] == i;
		if (!is_banned)
			ids[n++] = i;
	}
	sorted_by = row->logits;
	qsort(ids, (size_t)n, sizeof *ids, by_logit_then_id);
	return n;
}

/* The first of ids that stay; *close: rounding could decide otherwise. */
static int kept_by_sorting(const int *ids, int n, const float *z, const struct sampling *sampling,
			   bool *close)
{
	double total = 0, above = 0, max = (double)z[ids[0]];
	int end = n;

	*close = false;
	if (sampling->top_k > 0 && sampling->top_k < n)
		for (end = sampling->top_k; end < n && z[ids[end]] == z[ids[end - 1]]; end++)
			;
	for (int i = 0; i < end; i++)
		total += exp(((double)z[ids[i]] - max) / sampling->temperature);
	for (int i = 0; i < end; i++) {
		double weight = exp(((double)z[ids[i]] - max) / sampling->temperature);
		*close |= i > 0 && sampling->top_p < 1 &&
			  fabs(above / total - sampling->top_p) < 1e-6;
		*close |= i > 0 && sampling->min_p > 0 && weight < 1 &&
			  fabs(weight - sampling->min_p) < 1e-6;
		if (i > 0 && (weight < sampling->min_p ||
			      (sampling->top_p < 1 && above >= sampling->top_p * total)))
			return i;
		above += weight;
	}
	return end;
}

static int check_sorted(uint32_t key, int n, const struct sampling *sampling)
{
	float *z = random_floats((size_t)n, key, key % 3 ? 2.5 : 0.2);
	void *scratch = xmalloc(sampling_scratch_bytes(n));
	bool *kept = xcalloc((size_t)n, sizeof *kept), close;
	int *ids = xcalloc((size_t)n, sizeof *ids), expected, found = 0;
	const int32_t banned[] = {0, n / 2, n - 1};
	struct sampling_row row = {
		.logits = z, .n = n, .banned = banned, .n_banned = n > 3 && key % 2 ? 3 : 0};

	for (int i = 0; key % 5 == 0 && i < n; i++) /* equals */
		z[i] = floorf(z[i] * 4) / 4;
	expected = kept_by_sorting(ids, sorted_ids(ids, &row), z, sampling, &close);
	sampling_kept(kept, &row, sampling, scratch);
	for (int i = 0; i < n; i++)
		found += kept[i];
	if (!close) {
		assert_int_equal(found, expected);
		for (int i = 0; i < expected; i++)
			assert_true(kept[ids[i]]);
	}
	free(z);
	free(scratch);
	free(kept);
	free(ids);
	return !close;
}

static void sorted(void)
{
	static const int sizes[] = {1, 2, 40, 65, 700, 2048, 9001};
	static const double top_p[] = {1, 0.999, 0.9, 0.3, 1e-9};
	static const double min_p[] = {0, 0.02, 1};
	static const int top_k[] = {0, 1, 7, 64, 3000};
	uint32_t key = 0;
	int checked = 0;

	for (int s = 0; s < 7; s++)
		for (int p = 0; p < 5; p++)
			for (int m = 0; m < 3; m++) {
				struct sampling sampling = {.temperature = key % 2 ? 0.7 : 1.8,
							    .top_k = top_k[key % 5],
							    .top_p = top_p[p],
							    .min_p = min_p[m]};
				key++;
				checked += check_sorted(key, sizes[s], &sampling);
			}
	assert_true(checked > 90);
}

static void test_kept_ids_are_those_that_sorting_finds(void **state)
{
	(void)state;
	at_each_level(sorted);
}

static void infinities(void)
{
	const float z[] = {-INFINITY, 1, 1, -INFINITY, -0.0f, 0.0f, 1};
	struct sampling_row row = whole(z, 7);
	struct sampling sampling = {.temperature = 1, .top_k = 4, .top_p = 1};
	float scratch[5 * 7];
	bool kept[7];
	static const bool four[] = {0, 1, 1, 0, 1, 1, 1}, two[] = {0, 1, 1, 0, 0, 0, 0};

	assert_int_equal(sampling_scratch_bytes(7), sizeof scratch);
	sampling_kept(kept, &row, &sampling, scratch); /* zeros of both signs are equal */
	assert_memory_equal(kept, four, sizeof four);
	sampling.top_p = 0.4;
	sampling_kept(kept, &row, &sampling, scratch);
	assert_memory_equal(kept, two, sizeof two);
}

static void test_equals_at_the_end_go_by_the_rules(void **state)
{
	(void)state;
	at_each_level(infinities);
}

/* --- draws --- */

/* Chi-square of `draws` draws against the softmax over what may be drawn.  The seeds are
 * fixed, so the outcome is too; 99.9 % of seeds stay below n + 4.5 sqrt(n) + 10 for the
 * sizes used here. */
static void check_frequencies(int v, const int32_t *banned, int n_banned,
			      const struct sampling *sampling, int draws)
{
	float *z = random_floats((size_t)v, 9, 1.5);
	void *scratch = xmalloc(sampling_scratch_bytes(v));
	double *p = xcalloc((size_t)v, sizeof *p), total = 0, chi_square = 0;
	int *counts = xcalloc((size_t)v, sizeof *counts), freedom = -1;
	bool *kept = xcalloc((size_t)v, sizeof *kept);
	struct sampling_row row = {
		.logits = z, .n = v, .banned = banned, .n_banned = n_banned};

	sampling_kept(kept, &row, sampling, scratch);
	for (int i = 0; i < v; i++) {
		p[i] = kept[i] ? exp((double)z[i] / sampling->temperature) : 0;
		total += p[i];
	}
	for (int k = 0; k < draws; k++) {
		double u = rng_uniform(3, RNG_SAMPLE, (uint32_t)k, (uint32_t)v, 0, 0);
		counts[sampling_draw(&row, sampling, u, scratch)]++;
	}
	for (int i = 0; i < v; i++) {
		double expected = p[i] / total * draws;
		if (expected == 0)
			assert_int_equal(counts[i], 0);
		if (expected < 1)
			continue;
		freedom++;
		chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
	}
	if (chi_square > freedom + 4.5 * sqrt(freedom) + 10)
		fail_msg("chi-square %g with %d degrees of freedom", chi_square, freedom);
	free(z);
	free(scratch);
	free(p);
	free(counts);
	free(kept);
}

static void frequencies(void)
{
	const struct sampling cool = {.temperature = 0.7, .top_p = 1};
	const struct sampling cut = {.temperature = 0.9, .top_k = 60, .top_p = 0.9, .min_p = 0.01};
	int32_t banned[1500];
	int n_banned = ban(banned, 0, 100, 3);

	check_frequencies(5, NULL, 0, &plain, 20000);
	check_frequencies(100, banned, n_banned, &cool, 20000);
	check_frequencies(100, banned, n_banned, &cut, 20000);
	check_frequencies(4400, banned, n_banned, &plain, 3000);
	check_frequencies(4400, NULL, 0, &cut, 3000);
}

static void test_draws_follow_the_distribution(void **state)
{
	(void)state;
	at_each_level(frequencies);
}

/* Exact cuts: four equal weights. */
static void inversion(void)
{
	const float z[5] = {2, 2, -INFINITY, 2, 2};
	const double u[] = {0, 0.2499, 0.25, 0.4999, 0.5, 0.7499, 0.75, 1 - 0x1p-53};
	const int expected[] = {0, 0, 1, 1, 3, 3, 4, 4};

	for (int k = 0; k < 8; k++)
		assert_int_equal(draw(z, 5, NULL, 0, &plain, u[k]), expected[k]);
}

static void test_draw_inverts_the_cumulative_distribution(void **state)
{
	(void)state;
	at_each_level(inversion);
}

static void ends(void)
{
	enum { V = 6000 };
	float *z = random_floats(V, 4, 1);
	const double u[] = {0, 0x1p-60, 0.5, 1 - 0x1p-53};
	static int32_t banned[V];
	int n_banned;

	/* zero probability at both ends, and in whole blocks */
	for (int i = 0; i < V; i++)
		z[i] = i < 2100 || i >= 3000 ? -1e4f : z[i];
	for (int k = 0; k < 4; k++)
		assert_in_range(draw(z, V, NULL, 0, &plain, u[k]), 2100, 2999);
	assert_int_equal(draw(z, V, NULL, 0, &plain, 0), 2100);
	assert_int_equal(draw(z, V, NULL, 0, &plain, 1 - 0x1p-53), 2999);
	/* all banned but one that has almost no weight */
	n_banned = ban(banned, 0, 5000, 1);
	n_banned += ban(banned + n_banned, 5001, V, 1);
	for (int k = 0; k < 4; k++)
		assert_int_equal(draw(z, V, banned, n_banned, &plain, u[k]), 5000);
	assert_int_equal(draw(z, V, banned, n_banned, &greedy, 0), 5000);
	assert_int_equal(draw(z, 1, NULL, 0, &plain, 0.9), 0);
	free(z);
}

static void test_draw_never_takes_what_has_no_probability(void **state)
{
	(void)state;
	at_each_level(ends);
}

/* Block sums and the walk through a block round differently: whichever is larger, the
 * last draw must stop before the tail that has no weight. */
static void last_draw(void)
{
	enum { V = 1500 };

	for (uint32_t seed = 0; seed < 20; seed++) {
		float *z = random_floats(V, 200 + seed, 1);
		for (int i = 1000; i < V; i++)
			z[i] = -1e4f;
		assert_int_equal(draw(z, V, NULL, 0, &plain, 1 - 0x1p-53), 999);
		free(z);
	}
}

static void test_last_draw_stops_before_a_tail_without_weight(void **state)
{
	(void)state;
	at_each_level(last_draw);
}

static void greedy_draws(void)
{
	enum { V = 4100 };
	float *z = random_floats(V, 5, 1);
	const int32_t banned[] = {77};
	struct sampling cut = {.temperature = 0, .top_k = 3, .top_p = 0.5, .min_p = 0.5};

	z[77] = z[3000] = z[4099] = 9;
	assert_int_equal(draw(z, V, NULL, 0, &greedy, 0.9), 77);
	assert_int_equal(draw(z, V, NULL, 0, &cut, 0.9), 77);
	assert_int_equal(draw(z, V, banned, 1, &greedy, 0.9), 3000);
	assert_int_equal(draw(z, 1, NULL, 0, &greedy, 0), 0);
	assert_false(sampling_truncates(&cut));
	assert_false(sampling_truncates(&plain));
	free(z);
}

static void test_greedy_takes_the_first_of_the_largest(void **state)
{
	(void)state;
	at_each_level(greedy_draws);
}

/* One NaN, and nothing else: some index that may be drawn. */
static void check_nan(int nan_at, const struct sampling *sampling)
{
	enum { V = 300 };
	float *z = random_floats(V, 6, 1);
	const int32_t banned[] = {0};

	z[nan_at] = NAN;
	assert_in_range(draw(z, V - 10, banned, 1, sampling, 0.3), 1, V - 11);
	for (int i = 0; i < V; i++)
		z[i] = NAN;
	assert_int_equal(draw(z, V - 10, banned, 1, sampling, 0.3), 1);
	free(z);
}

static void nan_logits(void)
{
	const struct sampling cut = {.temperature = 0.9, .top_k = 60, .top_p = 0.9, .min_p = 0.01};
	const float infinite[] = {0, INFINITY, 1, -INFINITY};

	assert_int_equal(draw(infinite, 4, NULL, 0, &cut, 0.5), 1);

	for (int nan_at = 0; nan_at < 300; nan_at += 23) {
		check_nan(nan_at, &greedy);
		check_nan(nan_at, &plain);
		check_nan(nan_at, &cut);
	}
}

static void test_nan_logits_give_an_allowed_index(void **state)
{
	(void)state;
	at_each_level(nan_logits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_ids_are_those_of_transformers),
		cmocka_unit_test(test_kept_ids_are_those_that_sorting_finds),
		cmocka_unit_test(test_equals_at_the_end_go_by_the_rules),
		cmocka_unit_test(test_draws_follow_the_distribution),
		cmocka_unit_test(test_draw_inverts_the_cumulative_distribution),
		cmocka_unit_test(test_draw_never_takes_what_has_no_probability),
		cmocka_unit_test(test_last_draw_stops_before_a_tail_without_weight),
		cmocka_unit_test(test_greedy_takes_the_first_of_the_largest),
		cmocka_unit_test(test_nan_logits_give_an_allowed_index),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

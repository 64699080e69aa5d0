/* Attention against a naive version in double precision, and against itself:
 * the bits of a position's output must not depend on what surrounds it, on the
 * number of threads, or on whether it was decoded or computed with the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/pool.h"
#include "common/ops/attention.h"
#include "common/ops/isa.h"

static const struct attention_shape SHAPES[] = {
	{4, 2, 8, 0.35f, 0, 0},	    {2, 2, 64, 0.125f, 0, 0},  {3, 1, 5, 0.5f, 0, 0},
	{6, 3, 20, 0.22f, 0, 0},    {2, 1, 80, 0.11f, 0, 0},   {36, 2, 3, 0.6f, 0, 0},
	{1, 1, 256, 0.06f, 0, 0},   {4, 2, 8, 0.35f, 0, 5},    {2, 1, 64, 0.125f, 0, 64},
	{3, 1, 5, 0.5f, 0, 1},	    {2, 2, 16, 0.3f, 0, 100},  {2, 2, 20, 0.22f, 1.5f, 0},
	{2, 1, 12, 0.3f, 0.8f, 33}, {1, 1, 24, 0.2f, 50, 129},
};
enum { N_SHAPES = sizeof SHAPES / sizeof *SHAPES };

static int row_floats(const struct attention_shape *s)
{
	return (s->n_heads + 2 * s->n_kv_heads) * s->head_dim;
}

static int out_floats(const struct attention_shape *s)
{
	return s->n_heads * s->head_dim;
}

static float *random_floats(size_t n, uint64_t seed, float size)
{
	float *x = xaligned(n, sizeof *x);
	uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		x[i] = size * ((float)(state >> 40) / (float)(1 << 23) - 1.0f);
	}
	return x;
}

static float *random_qkv(const struct attention_shape *s, int t, uint64_t seed)
{
	return random_floats((size_t)t * row_floats(s), seed, 1.7f);
}

/* The whole of a test, once for each ISA level of this CPU and each shape. */
static void each_case(void (*check)(const struct attention_shape *shape))
{
	for (enum isa isa = ISA_PORTABLE; isa <= isa_best(); isa++) {
		isa_select(isa);
		for (int i = 0; i < N_SHAPES; i++)
			check(&SHAPES[i]);
	}
}

/* --- the reference --- */

/* One head: q, k, v, o, do and gradients are [t, d] in double. */
struct head {
	int t, d;
	double scale, cap;
	int window;
	double *q, *k, *v, *o;
	double *p; /* [t, t] */
};

static int first_key(const struct head *h, int i)
{
	return h->window && i >= h->window ? i - h->window + 1 : 0;
}

static double score(const struct head *h, int i, int j)
{
	double s = 0;

	for (int c = 0; c < h->d; c++)
		s += h->scale * h->q[i * h->d + c] * h->k[j * h->d + c];
	return h->cap > 0 ? h->cap * tanh(s / h->cap) : s;
}

static void naive_forward(const struct head *h)
{
	for (int i = 0; i < h->t; i++) {
		double *p = h->p + (size_t)i * h->t, max = -INFINITY, sum = 0;
		for (int j = first_key(h, i); j <= i; j++) {
			p[j] = score(h, i, j);
			max = fmax(max, p[j]);
		}
		for (int j = first_key(h, i); j <= i; j++)
			sum += p[j] = exp(p[j] - max);
		for (int c = 0; c < h->d; c++)
			h->o[i * h->d + c] = 0;
		for (int j = first_key(h, i); j <= i; j++) {
			p[j] /= sum;
			for (int c = 0; c < h->d; c++)
				h->o[i * h->d + c] += p[j] * h->v[j * h->d + c];
		}
	}
}

/* dq, dk, dv += the gradients of sum(dout o), after naive_forward. */
static void naive_backward(const struct head *h, const double *dout, double *dq, double *dk,
			   double *dv)
{
	for (int i = 0; i < h->t; i++) {
		const double *p = h->p + (size_t)i * h->t;
		double delta = 0;
		for (int c = 0; c < h->d; c++)
			delta += dout[i * h->d + c] * h->o[i * h->d + c];
		for (int j = first_key(h, i); j <= i; j++) {
			double dp = 0, ds;
			for (int c = 0; c < h->d; c++)
				dp += dout[i * h->d + c] * h->v[j * h->d + c];
			ds = p[j] * (dp - delta) * h->scale;
			if (h->cap > 0)
				ds *= 1 - pow(score(h, i, j) / h->cap, 2);
			for (int c = 0; c < h->d; c++) {
				dv[j * h->d + c] += p[j] * dout[i * h->d + c];
				dk[j * h->d + c] += ds * h->q[i * h->d + c];
				dq[i * h->d + c] += ds * h->k[j * h->d + c];
			}
		}
	}
}

static struct head head_create(int t, const struct attention_shape *s)
{
	size_t n = (size_t)t * s->head_dim;
	struct head h = {
		.t = t, .d = s->head_dim, .scale = s->scale, .cap = s->cap, .window = s->window};

	h.q = xcalloc(n, sizeof(double));
	h.k = xcalloc(n, sizeof(double));
	h.v = xcalloc(n, sizeof(double));
	h.o = xcalloc(n, sizeof(double));
	h.p = xcalloc((size_t)t * t, sizeof(double));
	return h;
}

static void head_destroy(struct head *h)
{
	free(h->q);
	free(h->k);
	free(h->v);
	free(h->o);
	free(h->p);
}

static void read_columns(double *to, const float *from, int stride, int t, int d)
{
	for (int i = 0; i < t; i++) {
		for (int c = 0; c < d; c++)
			to[i * d + c] = from[(size_t)i * stride + c];
	}
}

static void load_head(struct head *h, const float *qkv, int head, const struct attention_shape *s)
{
	int d = s->head_dim, group = head / (s->n_heads / s->n_kv_heads), row = row_floats(s);

	read_columns(h->q, qkv + head * d, row, h->t, d);
	read_columns(h->k, qkv + (s->n_heads + group) * d, row, h->t, d);
	read_columns(h->v, qkv + (s->n_heads + s->n_kv_heads + group) * d, row, h->t, d);
}

/* --- forward --- */

static float *forward(const float *qkv, int t, const struct attention_shape *s)
{
	int offsets[2] = {0, t};
	float *out = xaligned((size_t)t * out_floats(s), sizeof *out);

	attention_forward(out, NULL, qkv, offsets, 1, s, NULL);
	return out;
}

static void check_forward(const struct attention_shape *s)
{
	static const int lengths[] = {1, 2, 17, 63, 64, 65, 130};

	for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
		int t = lengths[l], d = s->head_dim;
		float *qkv = random_qkv(s, t, 7 + l), *out = forward(qkv, t, s);
		for (int head = 0; head < s->n_heads; head += 3) {
			struct head h = head_create(t, s);
			load_head(&h, qkv, head, s);
			naive_forward(&h);
			for (int i = 0; i < t * d; i++) {
				size_t at = (size_t)(i / d) * out_floats(s) + head * d + i % d;
				/* single precision: some 64 roundings of values near 1 */
				assert_true(fabs(out[at] - h.o[i]) < 1e-5);
			}
			head_destroy(&h);
		}
		free(qkv);
		free(out);
	}
}

static void test_forward_matches_naive_attention(void **state)
{
	(void)state;
	each_case(check_forward);
}

static void check_lse(const struct attention_shape *s)
{
	int t = 70, head = s->n_heads - 1, offsets[2] = {0, t};
	float *qkv = random_qkv(s, t, 3), *lse = xcalloc((size_t)t * s->n_heads, sizeof *lse);
	float *out = xaligned((size_t)t * out_floats(s), sizeof *out);
	struct head h = head_create(t, s);

	attention_forward(out, lse, qkv, offsets, 1, s, NULL);
	load_head(&h, qkv, head, s);
	for (int i = 0; i < t; i++) {
		double sum = 0;
		for (int j = first_key(&h, i); j <= i; j++)
			sum += exp(score(&h, i, j));
		assert_true(fabs(lse[i * s->n_heads + head] - log(sum)) < 1e-5);
	}
	head_destroy(&h);
	free(qkv);
	free(lse);
	free(out);
}

static void test_forward_keeps_log_sum_exp(void **state)
{
	(void)state;
	each_case(check_lse);
}

static void check_prefixes(const struct attention_shape *s)
{
	static const int lengths[] = {1, 2, 7, 16, 31, 33, 64, 65, 100, 128, 129, 199};
	float *qkv = random_qkv(s, 200, 1), *whole = forward(qkv, 200, s);

	for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
		float *out = forward(qkv, lengths[l], s);
		assert_memory_equal(out, whole, (size_t)lengths[l] * out_floats(s) * sizeof *out);
		free(out);
	}
	free(qkv);
	free(whole);
}

static void test_forward_of_a_prefix_has_the_same_bits(void **state)
{
	(void)state;
	each_case(check_prefixes);
}

static void check_ragged(const struct attention_shape *s)
{
	static const int offsets[] = {0, 1, 66, 66, 83, 211, 214};
	enum { N = sizeof offsets / sizeof *offsets - 1 };
	int t = offsets[N];
	float *qkv = random_qkv(s, t, 5), *out = xaligned((size_t)t * out_floats(s), sizeof *out);

	attention_forward(out, NULL, qkv, offsets, N, s, NULL);
	for (int b = 0; b < N; b++) {
		int length = offsets[b + 1] - offsets[b];
		float *alone = forward(qkv + (size_t)offsets[b] * row_floats(s), length, s);
		assert_memory_equal(out + (size_t)offsets[b] * out_floats(s), alone,
				    (size_t)length * out_floats(s) * sizeof *out);
		free(alone);
	}
	free(qkv);
	free(out);
}

static void test_sequences_do_not_see_each_other(void **state)
{
	(void)state;
	each_case(check_ragged);
}

/* --- decode --- */

struct memory {
	struct attention_cache cache;
	float **blocks;
	int n_blocks;
};

/* Blocks of three layers, of which the middle one is used.  Filled with NaN: what has
 * not been appended must not be used. */
static struct memory memory_create(int capacity, const struct attention_shape *s)
{
	size_t floats = attention_block_floats(s);
	struct memory m = {.n_blocks = (capacity + ATTENTION_KEY_BLOCK - 1) / ATTENTION_KEY_BLOCK};

	m.blocks = xcalloc((size_t)m.n_blocks, sizeof *m.blocks);
	for (int b = 0; b < m.n_blocks; b++) {
		m.blocks[b] = xaligned(3 * floats, sizeof(float));
		for (size_t i = 0; i < 3 * floats; i++)
			m.blocks[b][i] = NAN;
	}
	m.cache = (struct attention_cache){.blocks = m.blocks, .offset = floats};
	return m;
}

static void memory_destroy(struct memory *m)
{
	for (int b = 0; b < m->n_blocks; b++)
		free(m->blocks[b]);
	free(m->blocks);
}

/* Every position, decoded after a prefill, has the bits of `whole`. */
static void compare_decoding(const float *qkv, const float *whole, int prompt, int t,
			     const struct attention_shape *s)
{
	struct memory m = memory_create(t, s);
	float *out = xaligned((size_t)out_floats(s), sizeof *out);
	int middle = prompt / 2;

	/* the prompt in two pieces */
	attention_cache_append(&m.cache, qkv, (int[]){0, middle}, 1, s, NULL);
	m.cache.length = middle;
	attention_cache_append(&m.cache, qkv, (int[]){middle, prompt}, 1, s, NULL);
	for (int i = prompt; i < t; i++) {
		const float *row = qkv + (size_t)i * row_floats(s);
		m.cache.length = i;
		attention_decode(out, row, &m.cache, 1, s, NULL);
		assert_memory_equal(out, whole + (size_t)i * out_floats(s),
				    (size_t)out_floats(s) * sizeof *out);
	}
	memory_destroy(&m);
	free(out);
}

static void check_decode(const struct attention_shape *s)
{
	float *qkv = random_qkv(s, 200, 2), *whole = forward(qkv, 200, s);

	compare_decoding(qkv, whole, 0, 200, s);
	compare_decoding(qkv, whole, 97, 130, s);
	free(qkv);
	free(whole);
}

static void test_decode_has_the_bits_of_forward(void **state)
{
	(void)state;
	each_case(check_decode);
}

/* Scores far apart, so that exponentials and rescaling reach 0, and values that
 * are zeros of both signs or underflow. */
static void check_extremes(const struct attention_shape *s)
{
	int t = 150, row = row_floats(s), v = (s->n_heads + s->n_kv_heads) * s->head_dim;
	float *qkv = random_floats((size_t)t * row, 11, 40.0f), *whole;

	for (int i = 0; i < t; i++) {
		for (int c = v; c < row; c++) {
			static const float odd[] = {0.0f, -0.0f, -1e-44f, 1e-44f, -2.0f};
			if ((i * 31 + c * 17) % 7 < 5)
				qkv[(size_t)i * row + c] = odd[(i * 31 + c * 17) % 5];
		}
	}
	whole = forward(qkv, t, s);
	for (int i = 0; i < t * out_floats(s); i++)
		assert_true(isfinite(whole[i]));
	compare_decoding(qkv, whole, 0, t, s);
	free(qkv);
	free(whole);
}

static void test_decode_has_the_bits_of_forward_at_extremes(void **state)
{
	(void)state;
	each_case(check_extremes);
}

/* A cache of all but the last of t positions, whose row goes to `row`. */
static struct memory all_but_last(float *row, int t, uint64_t seed, const struct attention_shape *s,
				  struct pool *pool)
{
	float *qkv = random_qkv(s, t, seed);
	struct memory m = memory_create(t, s);

	attention_cache_append(&m.cache, qkv, (int[]){0, t - 1}, 1, s, pool);
	m.cache.length = t - 1;
	memcpy(row, qkv + (size_t)(t - 1) * row_floats(s), (size_t)row_floats(s) * sizeof *row);
	free(qkv);
	return m;
}

static void check_decode_batch(const struct attention_shape *s)
{
	enum { N = 8 };
	static const int lengths[N] = {1, 64, 65, 20, 130, 16, 17, 80};
	struct pool *pool = pool_create(2);
	struct attention_cache caches[N];
	struct memory together[N], apart[N];
	size_t width = (size_t)out_floats(s);
	float *rows = xaligned((size_t)N * row_floats(s), sizeof *rows);
	float *out = xaligned(N * width, sizeof *out), *alone = xaligned(width, sizeof *out);

	for (int b = 0; b < N; b++) {
		float *row = rows + (size_t)b * row_floats(s);
		together[b] = all_but_last(row, lengths[b], 20 + b, s, pool);
		apart[b] = all_but_last(row, lengths[b], 20 + b, s, NULL);
		caches[b] = together[b].cache;
	}
	attention_decode(out, rows, caches, N, s, pool);
	for (int b = 0; b < N; b++) {
		attention_decode(alone, rows + (size_t)b * row_floats(s), &apart[b].cache, 1, s,
				 NULL);
		assert_memory_equal(alone, out + (size_t)b * width, width * sizeof *out);
		memory_destroy(&together[b]);
		memory_destroy(&apart[b]);
	}
	pool_destroy(pool);
	free(rows);
	free(out);
	free(alone);
}

static void test_decode_does_not_depend_on_the_batch(void **state)
{
	(void)state;
	each_case(check_decode_batch);
}

/* --- backward --- */

/* Derivative of the naive forward in one element by central differences. */
static double slope(const struct head *h, const double *dout, double *x)
{
	const double step = 1e-5, kept = *x;
	double sum[2];

	for (int side = 0; side < 2; side++) {
		*x = kept + (side ? step : -step);
		naive_forward(h);
		sum[side] = 0;
		for (int i = 0; i < h->t * h->d; i++)
			sum[side] += dout[i] * h->o[i];
	}
	*x = kept;
	return (sum[1] - sum[0]) / (2 * step);
}

static void check_naive_gradients(struct attention_shape s)
{
	enum { T = 6, N = T * 3 };
	float *qkv = random_qkv(&s, T, 4), *weights = random_floats(N, 9, 1);
	double dout[N], gradient[3][N] = {{0}};
	struct head h = head_create(T, &s);
	double *inputs[3] = {h.q, h.k, h.v};

	load_head(&h, qkv, 0, &s);
	read_columns(dout, weights, 3, T, 3);
	naive_forward(&h);
	naive_backward(&h, dout, gradient[0], gradient[1], gradient[2]);
	for (int which = 0; which < 3; which++) {
		for (int i = 0; i < N; i++)
			/* the differences' own error: step^2 and rounding / step */
			assert_true(fabs(slope(&h, dout, &inputs[which][i]) - gradient[which][i]) <
				    1e-8);
	}
	head_destroy(&h);
	free(qkv);
	free(weights);
}

static void test_naive_gradients_match_finite_differences(void **state)
{
	(void)state;
	check_naive_gradients((struct attention_shape){1, 1, 3, 0.7f, 0, 0});
	check_naive_gradients((struct attention_shape){1, 1, 3, 0.7f, 0.9f, 2});
}

/* The gradient in double of everything that is in qkv. */
static double *naive_gradient(const float *qkv, const float *dout, int t,
			      const struct attention_shape *s)
{
	int d = s->head_dim, row = row_floats(s), per_group = s->n_heads / s->n_kv_heads;
	size_t n = (size_t)t * d;
	double *all = xcalloc((size_t)t * row, sizeof *all), *g = xcalloc(n, sizeof *g);

	for (int head = 0; head < s->n_heads; head++) {
		struct head h = head_create(t, s);
		double *part = xcalloc(3 * n, sizeof *part);
		int column[3] = {head * d, (s->n_heads + head / per_group) * d,
				 (s->n_heads + s->n_kv_heads + head / per_group) * d};

		load_head(&h, qkv, head, s);
		read_columns(g, dout + head * d, out_floats(s), t, d);
		naive_forward(&h);
		naive_backward(&h, g, part, part + n, part + 2 * n);
		for (size_t i = 0; i < 3 * n; i++)
			all[i % n / d * row + column[i / n] + i % d] += part[i];
		head_destroy(&h);
		free(part);
	}
	free(g);
	return all;
}

static float *backward(const float *qkv, const float *dout, const int *offsets, int n_seqs,
		       const struct attention_shape *s, struct pool *pool)
{
	int t = offsets[n_seqs];
	float *out = xaligned((size_t)t * out_floats(s), sizeof *out);
	float *lse = xaligned((size_t)t * s->n_heads, sizeof *lse);
	float *dqkv = xaligned((size_t)t * row_floats(s), sizeof *dqkv);

	for (size_t i = 0; i < (size_t)t * row_floats(s); i++)
		dqkv[i] = NAN;
	attention_forward(out, lse, qkv, offsets, n_seqs, s, pool);
	attention_backward(dqkv, dout, out, lse, qkv, offsets, n_seqs, s, pool);
	free(out);
	free(lse);
	return dqkv;
}

static void check_backward(const struct attention_shape *s)
{
	static const int offsets[] = {0, 1, 18, 82, 215};
	enum { N = sizeof offsets / sizeof *offsets - 1 };
	int t = offsets[N], row = row_floats(s);
	float *qkv = random_qkv(s, t, 6), *dout = random_floats((size_t)t * out_floats(s), 8, 1);
	float *dqkv = backward(qkv, dout, offsets, N, s, NULL);

	for (int b = 0; b < N; b++) {
		int first = offsets[b], length = offsets[b + 1] - first;
		double *expected = naive_gradient(qkv + (size_t)first * row,
						  dout + (size_t)first * out_floats(s), length, s);
		for (int i = 0; i < length * row; i++) {
			double got = dqkv[(size_t)first * row + i];
			/* sums over heads and queries; terms as large as dout v */
			assert_true(fabs(got - expected[i]) < 2e-5 + 2e-5 * fabs(expected[i]));
		}
		free(expected);
	}
	free(qkv);
	free(dout);
	free(dqkv);
}

static void test_backward_matches_naive_gradients(void **state)
{
	(void)state;
	each_case(check_backward);
}

static void check_threads(const struct attention_shape *s)
{
	static const int offsets[] = {0, 130, 131, 199};
	struct pool *pool = pool_create(2);
	size_t t = (size_t)offsets[3], row = (size_t)row_floats(s);
	float *qkv = random_qkv(s, (int)t, 12);
	float *dout = random_floats(t * (size_t)out_floats(s), 13, 1);
	float *out[2], *dqkv[2];

	for (int i = 0; i < 2; i++) {
		out[i] = xaligned(t * (size_t)out_floats(s), sizeof(float));
		attention_forward(out[i], NULL, qkv, offsets, 3, s, i ? pool : NULL);
		dqkv[i] = backward(qkv, dout, offsets, 3, s, i ? pool : NULL);
	}
	assert_memory_equal(out[0], out[1], t * (size_t)out_floats(s) * sizeof(float));
	assert_memory_equal(dqkv[0], dqkv[1], t * row * sizeof(float));
	for (int i = 0; i < 2; i++) {
		free(out[i]);
		free(dqkv[i]);
	}
	pool_destroy(pool);
	free(qkv);
	free(dout);
}

static void test_results_do_not_depend_on_threads(void **state)
{
	(void)state;
	each_case(check_threads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forward_matches_naive_attention),
		cmocka_unit_test(test_forward_keeps_log_sum_exp),
		cmocka_unit_test(test_forward_of_a_prefix_has_the_same_bits),
		cmocka_unit_test(test_sequences_do_not_see_each_other),
		cmocka_unit_test(test_decode_has_the_bits_of_forward),
		cmocka_unit_test(test_decode_has_the_bits_of_forward_at_extremes),
		cmocka_unit_test(test_decode_does_not_depend_on_the_batch),
		cmocka_unit_test(test_naive_gradients_match_finite_differences),
		cmocka_unit_test(test_backward_matches_naive_gradients),
		cmocka_unit_test(test_results_do_not_depend_on_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

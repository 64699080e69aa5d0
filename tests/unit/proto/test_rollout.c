/* Rollouts and their bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/die.h"
#include "proto/rollout.h"

/* Where fields lie in the bytes of a list whose first rollout is concerned. */
enum { LIST = 16, ROW = LIST + 24, N_PROMPT = LIST + 32, N_COMPLETION = LIST + 36 };
enum { FINISH = LIST + 40, JUDGED = LIST + 44, FLAGS = LIST + 52, IDS = LIST + 64 };

static struct rollout make(int row, int n_prompt, int n_completion)
{
	struct rollout r = {
		.step = 3,
		.row = row,
		.sample = row % 2,
		.prompt_index = INT64_C(1) << 40,
		.n_prompt = n_prompt,
		.n_completion = n_completion,
		.weights_version = 2,
		.ids = xcalloc((size_t)(n_prompt + n_completion), sizeof *r.ids),
	};
	for (int i = 0; i < n_prompt + n_completion; i++)
		r.ids[i] = 1000 * row + i;
	if (n_completion == 0)
		return r;
	r.finish = FINISH_LENGTH;
	r.logprob = xcalloc((size_t)n_completion, sizeof *r.logprob);
	for (int i = 0; i < n_completion; i++)
		r.logprob[i] = -0.5F * (float)(i + row);
	return r;
}

static void judge(struct rollout *r)
{
	r->judged = 1;
	r->score = 0.25F;
	r->ref_logprob = xcalloc((size_t)r->n_completion, sizeof *r->ref_logprob);
	for (int i = 0; i < r->n_completion; i++)
		r->ref_logprob[i] = -1.0F / (float)(i + 1);
}

/* One prompt alone, one with a completion, one judged. */
static struct rollouts example(void)
{
	struct rollouts list = {0};
	struct rollout r = make(2, 5, 0);
	rollouts_push(&list, &r);
	r = make(0, 3, 4);
	rollouts_push(&list, &r);
	r = make(1, 1, 7);
	judge(&r);
	rollouts_push(&list, &r);
	return list;
}

static void expect_same(const struct rollout *a, const struct rollout *b)
{
	size_t n = (size_t)a->n_completion;
	assert_int_equal(a->step, b->step);
	assert_int_equal(a->row, b->row);
	assert_int_equal(a->sample, b->sample);
	assert_int_equal(a->prompt_index, b->prompt_index);
	assert_int_equal(a->n_prompt, b->n_prompt);
	assert_int_equal(a->n_completion, b->n_completion);
	assert_int_equal(a->weights_version, b->weights_version);
	assert_int_equal(a->finish, b->finish);
	assert_int_equal(a->judged, b->judged);
	assert_memory_equal(&a->score, &b->score, sizeof a->score);
	assert_memory_equal(a->ids, b->ids, 4 * ((size_t)a->n_prompt + n));
	assert_int_equal(a->logprob == NULL, b->logprob == NULL);
	assert_int_equal(a->ref_logprob == NULL, b->ref_logprob == NULL);
	if (a->logprob)
		assert_memory_equal(a->logprob, b->logprob, 4 * n);
	if (a->ref_logprob)
		assert_memory_equal(a->ref_logprob, b->ref_logprob, 4 * n);
}

static void test_decode_gives_back_what_was_encoded(void **state)
{
	(void)state;
	struct rollouts list = example(), back;
	struct buf bytes = BUF_INIT;
	struct error err;
	rollouts_encode(&list, &bytes);
	assert_int_equal(rollouts_decode(&back, bytes.data, bytes.length, &err), STATUS_OK);
	assert_int_equal(back.n, list.n);
	for (size_t i = 0; i < list.n; i++)
		expect_same(&list.items[i], &back.items[i]);
	rollouts_release(&list);
	rollouts_release(&back);
	buf_release(&bytes);
}

static void test_an_empty_list_is_16_bytes(void **state)
{
	(void)state;
	struct rollouts list = {0}, back;
	struct buf bytes = BUF_INIT;
	struct error err;
	rollouts_encode(&list, &bytes);
	assert_int_equal(bytes.length, 16);
	assert_memory_equal(bytes.data, "RLHR\2\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(rollouts_decode(&back, bytes.data, bytes.length, &err), STATUS_OK);
	assert_int_equal(back.n, 0);
	rollouts_release(&back);
	buf_release(&bytes);
}

static void test_decode_rejects_every_truncation_and_one_byte_more(void **state)
{
	(void)state;
	struct rollouts list = example(), back;
	struct buf bytes = BUF_INIT;
	struct error err;
	rollouts_encode(&list, &bytes);
	for (size_t n = 0; n < bytes.length; n++) {
		/* A copy of its own size lets AddressSanitizer see a read past the end. */
		char *part = xmalloc(n);
		memcpy(part, bytes.data, n);
		assert_int_equal(rollouts_decode(&back, part, n, &err), STATUS_BAD_INPUT);
		assert_null(back.items);
		free(part);
	}
	buf_append_char(&bytes, '\0');
	assert_int_equal(rollouts_decode(&back, bytes.data, bytes.length, &err), STATUS_BAD_INPUT);
	assert_string_equal(err.text, "rollouts: 1 bytes after the last one, expected none");
	rollouts_release(&list);
	buf_release(&bytes);
}

/* The example judged rollout alone, with one 32-bit number changed. */
static void expect_refused(size_t at, int32_t value, const char *sentence)
{
	struct rollouts list = {0}, back;
	struct rollout r = make(1, 2, 3);
	judge(&r);
	rollouts_push(&list, &r);
	struct buf bytes = BUF_INIT;
	struct error err;
	rollouts_encode(&list, &bytes);
	memcpy(bytes.data + at, &value, sizeof value);
	assert_int_equal(rollouts_decode(&back, bytes.data, bytes.length, &err), STATUS_BAD_INPUT);
	if (strstr(err.text, sentence) == NULL)
		fail_msg("'%s' is not in '%s'", sentence, err.text);
	rollouts_release(&list);
	buf_release(&bytes);
}

static void test_decode_names_the_bad_field(void **state)
{
	(void)state;
	expect_refused(0, 7, "magic");
	expect_refused(8, 2, "2 announced, but 108 bytes hold at most 1");
	expect_refused(12, 1, "announced");
	expect_refused(LIST + 4, -1, "rollout 0: step is -");
	expect_refused(ROW, -1, "rollout 0: row is -1");
	expect_refused(N_PROMPT, -2, "n_prompt is -2");
	expect_refused(N_PROMPT, INT32_MAX, "n_completion is 3, expected 0 to 0");
	expect_refused(N_PROMPT, 1, "payload_bytes is 44, expected 40");
	expect_refused(N_COMPLETION, INT32_MAX, "n_completion is 2147483647");
	expect_refused(FINISH, 3, "finish is 3, expected 0 to 2");
	expect_refused(FINISH, 0, "does not fit a completion of 3 tokens");
	expect_refused(JUDGED, 2, "judged is 2, expected 0 to 1");
	expect_refused(FLAGS, 7, "flags is 7, expected 0 to 3");
	expect_refused(IDS + 8, -5, "ids[2] is -5");
}

static void test_sort_is_by_row_and_needs_no_order(void **state)
{
	(void)state;
	struct rollouts list = example();
	rollouts_sort(&list);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(list.items[i].row, i);
		assert_int_equal(list.items[i].ids[0], 1000 * i);
	}
	rollouts_release(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_gives_back_what_was_encoded),
		cmocka_unit_test(test_an_empty_list_is_16_bytes),
		cmocka_unit_test(test_decode_rejects_every_truncation_and_one_byte_more),
		cmocka_unit_test(test_decode_names_the_bad_field),
		cmocka_unit_test(test_sort_is_by_row_and_needs_no_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

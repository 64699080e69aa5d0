/* Generation by whole models of random weights, beside its bound, measured in the same
 * run: prompts of 64 ids and 64 new tokens at batch 1, 8 and 32, and a prompt of 512; with
 * weights in floats and in bfloat16.
 *
 *     bench_decode gpt2-124m|llama-1.1b [threads]
 *
 * One line each: what, batch, tokens/s, the bound, share of it.  A decoding step cannot
 * be faster than reading the weights of the products once, nor than their multiply-adds:
 *     max(4 W / bandwidth, 2 W B / multiply-adds) for a batch of B, 2 W in bfloat16
 * Attention, norms, softmax and sampling are not counted.  Each figure is the best of 3,
 * or of as many as begin in 15 seconds; the bound is measured in front of each line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/generator.h"
#include "common/base/die.h"
#include "common/model/hf_checkpoint.h"
#include "tests/bench/fma_limit.h"

enum { PROMPT = 64, NEW = 64, LONG_PROMPT = 512, BATCH_MAX = 32, REPEATS = 3 };
static const double enough_seconds = 15;

static const char gpt2_124m[] =
	"{\"architectures\": [\"GPT2LMHeadModel\"], \"model_type\": \"gpt2\", \"n_embd\": 768, "
	"\"n_head\": 12, \"n_layer\": 12, \"n_positions\": 1024, \"vocab_size\": 50257}";
static const char llama_1b[] =
	"{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", "
	"\"hidden_size\": 2048, \"intermediate_size\": 5632, \"num_hidden_layers\": 22, "
	"\"num_attention_heads\": 32, \"num_key_value_heads\": 4, "
	"\"max_position_embeddings\": 2048, \"vocab_size\": 32000, \"rms_norm_eps\": 1e-05, "
	"\"tie_word_embeddings\": false}";

/* Weights of the order of a trained model's, without the cost of normal numbers. */
static float *make_values(const struct param *param)
{
	size_t n = (size_t)param->rows * (size_t)param->cols;
	float *values = xmalloc(n * sizeof *values);
	uint32_t state = (uint32_t)(param->id * 64 + param->layer);

	for (size_t i = 0; i < n; i++) {
		state = state * 1664525u + 1013904223u;
		values[i] = ((float)(state >> 8) * 0x1p-23f - 1) * 0.03f;
	}
	return values;
}

static struct model *make_model(const char *text, enum weight_type type, struct pool *pool)
{
	struct model_config config;
	struct model *model;
	struct error err;

	if (hf_parse_config(&config, text, strlen(text), "bench_decode", &err) != STATUS_OK)
		die("%s", err.text);
	model = model_create_frozen(&config, false, type, NULL);
	for (int i = 0; i < model->layout.n; i++) {
		const struct param *param = &model->layout.items[i];
		float *values = make_values(param);

		if (param->packed_offset != SIZE_MAX)
			model_pack_rows(model, param, 0, param->rows, values, pool);
		else
			memcpy(model->weights + param->offset, values,
			       (size_t)param->rows * (size_t)param->cols * sizeof *values);
		free(values);
	}
	return model;
}

static double smaller(double a, double b)
{
	return a < b ? a : b;
}

/* --- limits --- */

struct reading {
	const float *x;
	size_t n; /* of each piece */
	float sums[256];
};

static void read_piece(void *args, int i, int thread)
{
	struct reading *reading = args;
	const float *x = reading->x + (size_t)i * reading->n;
	float sums[64] = {0};

	(void)thread;
	for (size_t k = 0; k < reading->n; k += 64)
		for (int j = 0; j < 64; j++)
			sums[j] += x[k + j];
	reading->sums[i % 256] = sums[0] + sums[17] + sums[63];
}

static size_t panel_floats(const struct model *model)
{
	return model_panel_floats(&model->layout, model->packed ? WEIGHTS_F32 : WEIGHTS_BF16);
}

/* Bytes a second that all threads read from memory. */
static double bandwidth(const struct model *model, struct pool *pool)
{
	const float *panels = model->packed ? model->packed : (const float *)model->packed_bf16;
	size_t floats = panel_floats(model);
	struct reading reading = {.x = panels, .n = floats / 64 / 64 * 64};
	double best = 1e9;

	for (int i = 0; i < 5; i++) {
		double began = clock_now();
		pool_run(pool, 64, read_piece, &reading);
		best = smaller(best, clock_now() - began);
	}
	return (double)reading.n * 64 * sizeof(float) / best;
}

/* --- generation --- */

static int32_t prompt_ids[BATCH_MAX][LONG_PROMPT];

/* When the last of a run's requests had its first token. */
static _Atomic double decoding_began;

static bool note_first(struct request *request)
{
	if (request->n_completion == 1)
		decoding_began = clock_now();
	return false;
}

/* Seconds of n requests: from their beginning to their first tokens, and from there on. */
struct seconds {
	double prefill, decode;
};

static struct seconds run(struct generator *generator, int n, int n_prompt, int n_new)
{
	static const struct stop_ids none = {.n = 0};
	struct generate_options options = {.max_new_tokens = n_new,
					   .sampling = {.temperature = 1, .top_p = 1},
					   .n_allowed = 1 << 30,
					   .stop = &none,
					   .token = note_first};
	struct request requests[BATCH_MAX];
	struct seconds best = {1e9, 1e9};
	double start = clock_now();

	for (int time = 0; time < REPEATS; time++) {
		double began = clock_now(), first;
		for (int i = 0; i < n; i++)
			requests[i] = (struct request){.prompt = prompt_ids[i],
						       .n_prompt = n_prompt,
						       .row = (uint32_t)i};
		generator_run(generator, requests, n, &options, NULL, NULL);
		first = decoding_began;
		best.prefill = smaller(best.prefill, first - began);
		best.decode = smaller(best.decode, clock_now() - first);
		for (int i = 0; i < n; i++)
			request_release(&requests[i]);
		if (clock_now() - start > enough_seconds)
			break;
	}
	return best;
}

static void print(const char *shape, const char *what, const char *type, int batch, double rate,
		  double bound)
{
	printf("%-11s %-8s %-4s %4d %9.1f tokens/s, bound %9.1f, %5.1f %% of it\n", shape, what,
	       type, batch, rate, bound, 100 * rate / bound);
	fflush(stdout);
}

/* Of the last layer. */
static double param_weights(const struct model *model, enum param_id id)
{
	const struct param *param = param_find(&model->layout, id, model->config.n_layers - 1);

	return (double)param->rows * param->cols;
}

static void bench(const char *shape, const char *text, enum weight_type weight_type,
		  struct pool *pool)
{
	static const int batches[] = {1, 8, 32};
	const char *type = weight_type == WEIGHTS_BF16 ? "bf16" : "f32";
	struct model *model = make_model(text, weight_type, pool);
	const struct model_config *config = &model->config;
	struct generator *generator =
		generator_create(model, BATCH_MAX, (size_t)4 << 30, pool);
	double weights = (double)model->layout.n_packed_floats;
	double flops, bound;
	struct seconds seconds;

	for (int i = 0; i < BATCH_MAX; i++)
		for (int k = 0; k < LONG_PROMPT; k++)
			prompt_ids[i][k] = (i * 7919 + k * 104729) % (config->n_vocab - 8) + 3;
	for (int i = 0; i < 3; i++) {
		int batch = batches[i];
		double bytes = (double)panel_floats(model) * sizeof(float);
		double step = bytes / bandwidth(model, pool), products;

		flops = fma_limit(pool, 200);
		products = 2 * weights * batch / flops;
		seconds = run(generator, batch, PROMPT, NEW + 1);
		bound = batch / (step > products ? step : products);
		print(shape, "decode", type, batch, batch * NEW / seconds.decode, bound);
	}
	/* Logits, and the last layer behind its attention, are needed of the last position
	 * alone. */
	weights -= (double)config->n_vocab * config->n_channels;
	weights -= param_weights(model, PARAM_O_WEIGHT) + param_weights(model, PARAM_UP_WEIGHT) +
		   param_weights(model, PARAM_DOWN_WEIGHT);
	flops = fma_limit(pool, 200);
	seconds = run(generator, 1, LONG_PROMPT, 1);
	print(shape, "prefill", type, LONG_PROMPT, LONG_PROMPT / seconds.prefill,
	      flops / (2 * weights));
	generator_destroy(generator);
	model_destroy(model);
}

static void bench_shape(const char *shape, const char *text, struct pool *pool)
{
	printf("%-11s %d threads\n", shape, pool_threads(pool));
	bench(shape, text, WEIGHTS_F32, pool);
	bench(shape, text, WEIGHTS_BF16, pool);
}

int main(int argc, char **argv)
{
	struct pool *pool = pool_create(argc > 2 ? atoi(argv[2]) : pool_cores());

	if (argc < 2)
		die("usage: bench_decode gpt2-124m|llama-1.1b [threads]");
	if (strcmp(argv[1], "gpt2-124m") == 0)
		bench_shape(argv[1], gpt2_124m, pool);
	else if (strcmp(argv[1], "llama-1.1b") == 0)
		bench_shape(argv[1], llama_1b, pool);
	else
		die("no shape %s: gpt2-124m, llama-1.1b", argv[1]);
	pool_destroy(pool);
	return 0;
}

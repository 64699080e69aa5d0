/* Hugging Face directories in and out.
 *
 * tests/golden/models were written by the reference implementation, so what is loaded
 * and saved must come back byte for byte.  Damaged directories are made here. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/model/hf_adapter.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/lora.h"
#include "common/model/safetensors.h"
#include "tests/unit/common/model/golden_models.h"
#include "tests/unit/common/model/made_checkpoints.h"

/* --- loading --- */

static bool is_old_buffer(const char *name)
{
	return strstr(name, ".attn.bias") || strstr(name, ".attention.bias") ||
	       strstr(name, ".masked_bias") || strstr(name, ".inv_freq");
}

static bool same_bytes(const struct tensor_view *a, const struct tensor_view *b)
{
	char *x = xmalloc(a->bytes), *y = xmalloc(b->bytes);
	struct error err;
	bool same;

	assert_int_equal(tensor_read_bytes(a, x, &err), STATUS_OK);
	assert_int_equal(tensor_read_bytes(b, y, &err), STATUS_OK);
	same = a->bytes == b->bytes && memcmp(x, y, a->bytes) == 0;
	free(x);
	free(y);
	return same;
}

/* Every tensor of a file of name, whose prefix may be missing, is in saved with the
 * same bytes, unless it is one of the buffers of old checkpoints. */
static void assert_tensors_saved(const char *name, const char *file,
				 const struct safetensors *found)
{
	struct safetensors original;
	struct error err;
	char path[200];

	snprintf(path, sizeof path, MODELS "%.80s/%.80s", name, file);
	if (safetensors_open(&original, path, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < original.n; i++) {
		const struct tensor_view *before = &original.tensors[i], *after;
		char with_prefix[200];

		snprintf(with_prefix, sizeof with_prefix, "transformer.%s", before->name);
		after = safetensors_find(found, before->name);
		if (!after)
			after = safetensors_find(found, with_prefix);
		if (!after && is_old_buffer(before->name))
			continue;
		if (!after || strcmp(before->dtype_name, after->dtype_name) != 0 ||
		    !same_bytes(before, after))
			fail_msg("%s: %s %s", path, before->name, after ? "differs" : "is lost");
	}
	safetensors_close(&original);
}

static void check_saving(const char *name, enum head_kind head)
{
	char from[200];
	struct hf_save_options options = {.source_dir = from};
	struct model *model;
	struct safetensors found;
	struct error err;
	struct dirent **files;
	char path[100];
	int n;

	snprintf(from, sizeof from, MODELS "%.100s", name);
	model = load(from, head);
	save(model, &options);
	assert_same_file(from, saved, "config.json");
	snprintf(path, sizeof path, "%s/model.safetensors", saved);
	assert_int_equal(safetensors_open(&found, path, &err), STATUS_OK);
	n = scandir(from, &files, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		const char *file = files[i]->d_name, *ending = strrchr(file, '.');

		if (strncmp(file, "model", 5) == 0 && strcmp(ending, ".safetensors") == 0)
			assert_tensors_saved(name, file, &found);
		/* Bytes of the whole file, where it is as we would write it. */
		if (strcmp(file, "model.safetensors") == 0 && !strstr(name, "-layout"))
			assert_same_file(from, saved, file);
		free(files[i]);
	}
	free(files);
	safetensors_close(&found);
	model_destroy(model);
}

static void check_saving_of_lm(const char *name)
{
	check_saving(name, HEAD_LM);
}

static void check_saving_of_classifier(const char *name)
{
	check_saving(name, HEAD_SCORE);
}

static void test_loading_and_saving_give_the_same_bytes(void **state)
{
	(void)state;
	assert_true(for_each_model(false, "config.json", check_saving_of_lm) > 0);
	assert_true(for_each_model(true, "config.json", check_saving_of_classifier) > 0);
}

/* Every shard is open until all is read. */
static void test_more_shards_than_files_may_be_open_are_loaded(void **state)
{
	struct rlimit usual, small;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
	small = usual;
	small.rlim_cur = 5; /* the standard streams and two more */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	model_destroy(load(MODELS "llama-gqa-sharded", HEAD_LM));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
}

static void test_a_sharded_checkpoint_is_the_same_as_a_single_file(void **state)
{
	struct model *single = load(MODELS "llama-gqa", HEAD_LM);
	struct model *sharded = load(MODELS "llama-gqa-sharded", HEAD_LM);

	(void)state;
	assert_same_weights(single, sharded);
	model_destroy(single);
	model_destroy(sharded);
}

static void test_describing_gives_the_model_that_loading_gives(void **state)
{
	struct hf_load_options options = {.head = HEAD_SCORE, .create_score = true};
	struct model_config config;
	struct model *model = NULL;
	struct error err;

	(void)state;
	assert_int_equal(hf_describe(&config, MODELS "gpt2", &options, &err), STATUS_OK);
	assert_int_equal(hf_load(&model, MODELS "gpt2", &options, NULL, &err), STATUS_OK);
	assert_int_equal(config.head, HEAD_SCORE);
	assert_int_equal(config.n_labels, 1);
	assert_int_equal(config.n_labels, model->config.n_labels);
	assert_int_equal(config.n_vocab, model->config.n_vocab);
	assert_int_equal(config.tied, model->config.tied);
	model_destroy(model);
}

/* A model's tensors as its base class saves them. */
static void read_bare_store(struct store *store, const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	read_store(store, name);
	for (int i = 0; i < store->n; i++) {
		char *stored = store->items[i].name;

		assert_memory_equal(stored, prefix, n);
		memmove(stored, stored + n, strlen(stored + n) + 1);
	}
}

/* As the first GPT-2 checkpoints are: no prefix, and masks among the weights. */
static void test_names_without_prefix_and_mask_buffers_load(void **state)
{
	static const int64_t mask_shape[] = {1, 1, 64, 64};
	struct model *expected = load(MODELS "gpt2", HEAD_LM), *model;
	uint8_t *mask = xcalloc(64, 64);
	float masked = -1e4f;
	struct store store;

	(void)state;
	read_bare_store(&store, "gpt2", "transformer.");
	append(&store, "h.0.attn.bias", "U8", 4, mask_shape, mask, (size_t)64 * 64);
	append(&store, "h.1.attn.bias", "BOOL", 4, mask_shape, mask, (size_t)64 * 64);
	append(&store, "h.1.attn.masked_bias", "F32", 0, NULL, &masked, sizeof masked);
	append(&store, "h.1.attn.embed_positions", "F32", 0, NULL, &masked, sizeof masked);
	copy("gpt2", "config.json");
	finish_store(&store);
	model = load(dir, HEAD_LM);
	assert_same_weights(expected, model);
	free(mask);
	model_destroy(expected);
	model_destroy(model);
}

/* As old checkpoints of Llama are, where one of the whole model has that name alone. */
static void test_frequencies_among_the_weights_are_no_weights(void **state)
{
	static const int64_t shape[] = {2};
	struct model *expected = load(MODELS "llama-yarn", HEAD_LM), *model;
	const float frequencies[2] = {1, 0.5F};
	struct store store;

	(void)state;
	read_bare_store(&store, "llama-yarn", "model.");
	append(&store, "layers.1.self_attn.rotary_emb.inv_freq", "F32", 1, shape, frequencies,
	       sizeof frequencies);
	append(&store, "rotary_emb.inv_freq", "F32", 1, shape, frequencies, sizeof frequencies);
	append(&store, "layers.0.self_attn.rotary_emb.cos_cached", "F32", 1, shape, frequencies,
	       sizeof frequencies);
	append(&store, "layers.0.self_attn.rotary_emb.sin_cached", "F32", 1, shape, frequencies,
	       sizeof frequencies);
	copy("llama-yarn", "config.json");
	finish_store(&store);
	model = load(dir, HEAD_LM);
	assert_same_weights(expected, model);
	model_destroy(expected);
	model_destroy(model);
}

/* As OPT's are that were converted from the files of its authors. */
static void test_a_version_among_the_weights_is_no_weight(void **state)
{
	static const char *const prefixes[] = {"", "model."};
	struct model *expected = load(MODELS "opt", HEAD_LM);
	const float version = 3;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct store store;
		struct model *model;

		read_bare_store(&store, "opt", prefixes[i]);
		append(&store, i ? "decoder.version" : "model.decoder.version", "F32", 0, NULL,
		       &version, sizeof version);
		copy("opt", "config.json");
		finish_store(&store);
		model = load(dir, HEAD_LM);
		assert_same_weights(expected, model);
		model_destroy(model);
	}
	model_destroy(expected);
}

/* Gemma 3's weights under a name that has prefix in place of "model.", and what sees images. */
static void write_with_images(const char *prefix, const char *images)
{
	static const int64_t shape[] = {2};
	const float pixels[2] = {1, 2};
	struct buf text, outer = BUF_INIT;
	struct store store;
	char name[160];

	read_bare_store(&store, "gemma3", "model.");
	for (int i = 0; i < store.n; i++) {
		snprintf(name, sizeof name, "%s%.100s", prefix, store.items[i].name);
		memcpy(store.items[i].name, name, sizeof name);
	}
	snprintf(name, sizeof name, "%svision_tower.patches.weight", images);
	append(&store, name, "F32", 1, shape, pixels, sizeof pixels);
	snprintf(name, sizeof name, "%smulti_modal_projector.norm.weight", images);
	append(&store, name, "F32", 1, shape, pixels, sizeof pixels);
	read_bytes(MODELS "gemma3", "config.json", &text);
	buf_printf(&outer,
		   "{\"architectures\": [\"Gemma3ForConditionalGeneration\"], "
		   "\"model_type\": \"gemma3\", \"text_config\": %s, \"vision_config\": {}}",
		   text.data);
	write_bytes(dir, "config.json", outer.data, outer.length);
	finish_store(&store);
	buf_release(&text);
	buf_release(&outer);
}

static void test_of_a_model_that_sees_images_the_language_model_loads(void **state)
{
	static const char *const names[][2] = {{"language_model.model.", ""},
					       {"model.language_model.", "model."}};
	struct model *expected = load(MODELS "gemma3", HEAD_LM);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct hf_save_options options = {.source_dir = dir};
		struct model *model;

		write_with_images(names[i][0], names[i][1]);
		model = load(dir, HEAD_LM);
		assert_same_weights(expected, model);
		save(model, &options);
		assert_same_file(MODELS "gemma3", saved, "model.safetensors");
		assert_same_file(MODELS "gemma3", saved, "config.json");
		model_destroy(model);
	}
	model_destroy(expected);
}

/* Members of the whole are the language model's where it has none. */
static void test_of_a_model_that_sees_images_ids_and_labels_are_kept(void **state)
{
	struct buf text = BUF_INIT, whole;
	struct json *config;
	struct error err;

	(void)state;
	write_with_images("language_model.model.", "");
	read_bytes(dir, "config.json", &whole);
	assert_int_equal(json_edit(&whole, "eos_token_id", "[1, 9]", &err), STATUS_OK);
	assert_int_equal(json_edit(&whole, "id2label", "{\"0\": \"bad\", \"1\": \"good\"}", &err),
			 STATUS_OK);
	assert_int_equal(json_edit(&whole, "hidden_size", "7", &err), STATUS_OK);
	write_bytes(dir, "config.json", whole.data, whole.length);
	assert_int_equal(hf_read_config_text(&text, dir, &err), STATUS_OK);
	config = json_parse(text.data, text.length, "config", &err);
	assert_non_null(config);
	assert_string_equal(json_string(json_get(json_get(config, "id2label"), "1"), NULL), "good");
	assert_int_equal(json_number(json_get(config, "eos_token_id")), 2); /* its own */
	assert_true(json_number(json_get(config, "hidden_size")) != 7);
	json_free(config);
	buf_release(&text);
	buf_release(&whole);
}

/* PEFT finds a module by its place in the whole, in which what sees images has layers of the
 * same last names. */
static void test_an_adapter_of_a_model_that_sees_images_has_names_of_the_whole(void **state)
{
#define LAYER "model.language_model.layers.%d.self_attn."
	struct json *norm = json_parse("\"el.norm\"", 9, "names", NULL);
	struct adapter_options options = {
		.r = 2, .lora_alpha = 4, .modules_to_save = norm, .base = "base", .seed = 3};
	struct hf_save_options how = {0};
	struct model *model, *again;
	struct safetensors file;
	struct buf text;
	struct json *config;
	struct error err = {""};
	char path[120], name[120];
	int layer = 0;

	(void)state;
	write_with_images("model.language_model.", "model.");
	model = load(dir, HEAD_LM);
	again = load(dir, HEAD_LM);
	assert_int_equal(hf_adapter_attach(model, &options, NULL, &err), STATUS_OK);
	save(model, &how);
	read_bytes(saved, "adapter_config.json", &text);
	config = json_parse(text.data, text.length, "config", &err);
	snprintf(path, sizeof path, "%s/adapter_model.safetensors", saved);
	assert_int_equal(safetensors_open(&file, path, &err), STATUS_OK);
	assert_int_equal(file.n, 4 * model->config.n_layers + 1); /* A and B of q and v */
	assert_non_null(
		safetensors_find(&file, "base_model.model.model.language_model.norm.weight"));
	assert_string_equal(json_string(json_first(json_get(config, "modules_to_save")), NULL),
			    "model.language_model.norm");
	for (const struct json *target = json_first(json_get(config, "target_modules")); target;
	     target = json_next(target), layer++) {
		snprintf(name, sizeof name, LAYER "%c_proj", layer / 2, layer % 2 ? 'v' : 'q');
		assert_string_equal(json_string(target, NULL), name);
		snprintf(name, sizeof name, "base_model.model." LAYER "%c_proj.lora_A.weight",
			 layer / 2, layer % 2 ? 'v' : 'q');
		assert_non_null(safetensors_find(&file, name));
	}
	assert_int_equal(layer, 2 * model->config.n_layers);
	if (hf_adapter_load(again, saved, NULL, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	assert_int_equal(again->lora->layout.n_floats, model->lora->layout.n_floats);
	assert_memory_equal(again->lora->values, model->lora->values,
			    model->lora->layout.n_floats * sizeof *model->lora->values);
	json_free(norm);
	json_free(config);
	buf_release(&text);
	safetensors_close(&file);
	model_destroy(again);
	model_destroy(model);
#undef LAYER
}

/* A number and what it is as BF16, F16 and F64, all exact. */
static void store_as(struct stored *item, const char *dtype)
{
	size_t n = item->bytes.length / 4;
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		uint32_t word;
		float value;
		memcpy(&word, item->bytes.data + 4 * i, sizeof word);
		word &= 0xffff0000;
		memcpy(&value, &word, sizeof value);
		if (strcmp(dtype, "BF16") == 0) {
			uint16_t half = (uint16_t)(word >> 16);
			buf_append(&out, &half, sizeof half);
		} else if (strcmp(dtype, "F16") == 0) {
			int exponent = (int)(word >> 23 & 255) - 112;
			uint16_t half = (uint16_t)(word >> 16 & 0x8000);
			if (exponent > 0) /* smaller ones become 0 */
				half |= (uint16_t)(exponent << 10 | (int)(word >> 13 & 0x3ff));
			buf_append(&out, &half, sizeof half);
		} else {
			double wide = (double)value;
			buf_append(&out, &wide, sizeof wide);
		}
	}
	buf_release(&item->bytes);
	item->bytes = out;
	snprintf(item->dtype, sizeof item->dtype, "%s", dtype);
}

static void test_weights_of_other_float_types_load_as_their_values(void **state)
{
	static const char *const dtypes[] = {"BF16", "F16", "F64"};
	struct model *whole = load(MODELS "llama-gqa", HEAD_LM);

	(void)state;
	for (int d = 0; d < 3; d++) {
		struct store store;
		struct model *model;

		read_store(&store, "llama-gqa");
		for (int i = 0; i < store.n; i++)
			store_as(&store.items[i], dtypes[d]);
		copy("llama-gqa", "config.json");
		finish_store(&store);
		model = load(dir, HEAD_LM);
		for (size_t i = 0; i < model->layout.n_floats; i++) {
			uint32_t word;
			float expected;
			memcpy(&word, &whole->weights[i], sizeof word);
			word &= 0xffff0000;
			memcpy(&expected, &word, sizeof expected);
			if (d == 1 && fabsf(expected) < 0x1p-14f)
				expected = 0;
			assert_true(model->weights[i] == expected);
		}
		model_destroy(model);
	}
	model_destroy(whole);
}

static void test_one_sentence_lists_every_wrong_tensor(void **state)
{
	struct store store;
	struct stored *item;
	int64_t one = 1;

	(void)state;
	copy("llama-gqa", "config.json");
	read_store(&store, "llama-gqa");
	drop(&store, "model.norm.weight");
	item = stored(&store, "model.layers.0.mlp.up_proj.weight");
	item->shape[0] = 32;
	item->shape[1] = 48;
	append(&store, "model.layers.2.input_layernorm.weight", "F32", 1, &one, "abcd", 4);
	item = stored(&store, "lm_head.weight");
	item->shape[1] = 31;
	item->bytes.length -= (size_t)97 * 4;
	item = stored(&store, "model.layers.1.input_layernorm.weight");
	snprintf(item->dtype, sizeof item->dtype, "I32");
	finish_store(&store);
	assert_refused(HEAD_LM, ": 5 tensors are wrong: ");
	assert_refused(HEAD_LM, "missing model.norm.weight");
	assert_refused(HEAD_LM, "shape of model.layers.0.mlp.up_proj.weight is [32, 48], "
				"expected [48, 32]");
	assert_refused(HEAD_LM, "shape of lm_head.weight is [97, 31], expected [97, 32]");
	assert_refused(HEAD_LM, "unexpected model.layers.2.input_layernorm.weight");
	assert_refused(HEAD_LM, "unsupported type of model.layers.1.input_layernorm.weight");
}

static void test_a_long_list_of_wrong_tensors_is_cut(void **state)
{
	struct store store;

	(void)state;
	copy("llama-gqa", "config.json");
	read_store(&store, "llama-gqa");
	for (int i = 0; i < store.n; i++)
		store.items[i].name[0] = 'M';
	finish_store(&store);
	assert_refused(HEAD_LM, ": 42 tensors are wrong: missing model.embed_tokens.weight, ");
	assert_refused(HEAD_LM, ", ...");
}

static void test_values_that_are_not_finite_are_refused_with_their_place(void **state)
{
	static const float values[] = {NAN, INFINITY, -INFINITY};

	(void)state;
	copy("llama-gqa", "config.json");
	for (int i = 0; i < 3; i++) {
		struct store store;
		struct stored *item;

		read_store(&store, "llama-gqa");
		item = stored(&store, "model.layers.1.self_attn.k_proj.weight");
		memcpy(item->bytes.data + (size_t)4 * 37, &values[i], 4);
		finish_store(&store);
		assert_refused(HEAD_LM, "model.safetensors: tensor "
					"\"model.layers.1.self_attn.k_proj.weight\": element 37");
	}
}

static void test_a_description_larger_than_the_files_is_refused_before_allocation(void **state)
{
	(void)state;
	copy("llama-gqa", "config.json");
	copy("llama-gqa", "model.safetensors");
	edit_config("vocab_size", "4194304");
	edit_config("hidden_size", "1048576");
	edit_config("head_dim", "8");
	edit_config("num_hidden_layers", "4096");
	assert_refused(HEAD_LM, "config.json describes");
}

static void test_a_directory_without_safetensors_is_refused(void **state)
{
	(void)state;
	assert_refused(HEAD_LM, "config.json");
	copy("llama-gqa", "config.json");
	write_text("pytorch_model.bin", "PK");
	assert_refused(HEAD_LM, "neither model.safetensors nor model.safetensors.index.json");
}

/* --- tied heads --- */

/* From F32. */
static void convert(struct stored *item, enum dtype dtype)
{
	size_t n = item->bytes.length / sizeof(float);
	char *bytes = xmalloc(n * dtype_bytes(dtype));

	dtype_from_float(dtype, (const float *)(const void *)item->bytes.data, n, bytes);
	item->bytes.length = 0;
	buf_append(&item->bytes, bytes, n * dtype_bytes(dtype));
	snprintf(item->dtype, sizeof item->dtype, "%s", dtype_name(dtype));
	free(bytes);
}

static void test_a_tied_head_that_is_stored_too_stays_tied_if_it_is_the_same(void **state)
{
	struct store store;
	struct stored *embedding;
	struct model *expected = load(MODELS "gpt2", HEAD_LM), *model;

	(void)state;
	copy("gpt2", "config.json");
	read_store(&store, "gpt2");
	embedding = stored(&store, "transformer.wte.weight");
	append(&store, "lm_head.weight", "F32", 2, embedding->shape, embedding->bytes.data,
	       embedding->bytes.length);
	finish_store(&store);
	model = load(dir, HEAD_LM);
	assert_true(model->config.tied);
	assert_same_weights(expected, model);
	model_destroy(model);
	model_destroy(expected);
}

static void test_a_tied_head_of_another_type_is_the_same_if_its_numbers_are(void **state)
{
	struct store store;
	struct stored *head;
	struct model *model;
	int64_t shape[2];

	(void)state;
	copy("gpt2", "config.json");
	read_store(&store, "gpt2");
	head = stored(&store, "transformer.wte.weight");
	memcpy(shape, head->shape, sizeof shape);
	for (size_t i = 0; i < head->bytes.length / 4; i++) /* to numbers that bfloat16 has */
		memset(head->bytes.data + 4 * i, 0, 2);
	head = append(&store, "lm_head.weight", "F32", 2, shape, head->bytes.data,
		      head->bytes.length);
	convert(head, DTYPE_BF16);
	finish_store(&store);
	model = load(dir, HEAD_LM);
	assert_true(model->config.tied);
	model_destroy(model);
}

/* As transformers 5 does; what is saved must then say so. */
static void check_untying(const char *name, const char *embedding_name)
{
	struct hf_save_options options = {.source_dir = dir};
	struct store store;
	struct stored *embedding, *head;
	struct model *model, *again;

	copy(name, "config.json");
	edit_config("tie_word_embeddings", "true");
	read_store(&store, name);
	if (strcmp(name, "gpt2") == 0) {
		embedding = stored(&store, embedding_name);
		head = append(&store, "lm_head.weight", "F32", 2, embedding->shape,
			      embedding->bytes.data, embedding->bytes.length);
		head->bytes.data[400] ^= 1;
	}
	finish_store(&store);
	model = load(dir, HEAD_LM);
	assert_false(model->config.tied);
	assert_non_null(model_view(model, model->weights, PARAM_LM_HEAD, -1));
	save(model, &options);
	again = load(saved, HEAD_LM);
	assert_false(again->config.tied);
	assert_same_weights(model, again);
	model_destroy(model);
	model_destroy(again);
}

static void test_a_tied_head_that_differs_is_kept_apart_for_good(void **state)
{
	(void)state;
	check_untying("gpt2", "transformer.wte.weight");
	check_untying("llama-gqa", "model.embed_tokens.weight");
}

static void test_a_missing_head_is_the_embedding_only_if_tied(void **state)
{
	struct store store;
	struct model *model;

	(void)state;
	copy("llama-gqa", "config.json");
	read_store(&store, "llama-gqa");
	drop(&store, "lm_head.weight");
	finish_store(&store);
	assert_refused(HEAD_LM, "1 tensor is wrong: missing lm_head.weight");
	edit_config("tie_word_embeddings", "true");
	model = load(dir, HEAD_LM);
	assert_true(model->config.tied);
	assert_null(model_view(model, model->weights, PARAM_LM_HEAD, -1));
	model_destroy(model);
}

/* --- the index --- */

static void write_index(const char *weight_map)
{
	struct buf text = BUF_INIT;

	buf_printf(&text, "{\"metadata\": {\"total_size\": 4}, \"weight_map\": %s}", weight_map);
	write_bytes(dir, "model.safetensors.index.json", text.data, text.length);
	buf_release(&text);
}

static void test_an_index_may_only_name_plain_files(void **state)
{
	static const char *const names[] = {"\"../model.safetensors\"",
					    "\"/etc/passwd\"",
					    "\"sub/x.safetensors\"",
					    "\"..\"",
					    "\"\"",
					    "7",
					    "null",
					    "\"a.safetensors\\u0000b\""};

	(void)state;
	copy("llama-gqa", "config.json");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char map[100];
		snprintf(map, sizeof map, "{\"t\": %s}", names[i]);
		write_index(map);
		assert_refused(HEAD_LM, "weight_map of \"t\" is not a plain file name");
	}
}

static void test_an_index_without_a_map_is_refused(void **state)
{
	(void)state;
	copy("llama-gqa", "config.json");
	write_index("[]");
	assert_refused(HEAD_LM, "weight_map is missing or not an object");
	write_text("model.safetensors.index.json", "{}");
	assert_refused(HEAD_LM, "weight_map is missing or not an object");
	write_text("model.safetensors.index.json", "[1]");
	assert_refused(HEAD_LM, "model.safetensors.index.json: an array, expected an object");
	write_text("model.safetensors.index.json", "{\"weight_map\": {");
	assert_refused(HEAD_LM, "model.safetensors.index.json");
	write_index("{\"t\": \"a\", \"t\": \"b\"}");
	assert_refused(HEAD_LM, "model.safetensors.index.json");
	write_index("{}");
	assert_refused(HEAD_LM, "21 tensors are wrong: missing");
}

static void copy_shards(void)
{
	copy("llama-gqa-sharded", "config.json");
	copy("llama-gqa-sharded", "model.safetensors.index.json");
	copy("llama-gqa-sharded", "model-00001-of-00003.safetensors");
	copy("llama-gqa-sharded", "model-00002-of-00003.safetensors");
	copy("llama-gqa-sharded", "model-00003-of-00003.safetensors");
}

/* Nobody reads the total. */
static void test_a_wrong_total_of_the_index_does_no_harm(void **state)
{
	static const char *const metadata[] = {"{\"total_size\": 1}", "{\"total_size\": \"x\"}",
					       "{\"total_size\": -5}", "{\"total_size\": 1e300}",
					       "{}", "null", NULL};
	struct model *expected = load(MODELS "llama-gqa", HEAD_LM);

	(void)state;
	for (int i = 0; i < 7; i++) {
		struct model *model;
		struct buf text;
		struct error err;

		copy_shards();
		read_bytes(dir, "model.safetensors.index.json", &text);
		assert_int_equal(json_edit(&text, "metadata", metadata[i], &err), STATUS_OK);
		write_bytes(dir, "model.safetensors.index.json", text.data, text.length);
		model = load(dir, HEAD_LM);
		assert_same_weights(model, expected);
		model_destroy(model);
		buf_release(&text);
	}
	model_destroy(expected);
}

/* As the cache of the Hugging Face hub keeps its files; other kinds of files are refused. */
static void test_weights_may_be_linked_but_must_be_a_file(void **state)
{
	char *path = path_join(dir, "model.safetensors"), *target = path_join(root, "blob");
	struct model *model;
	struct buf bytes;

	(void)state;
	copy("llama-gqa", "config.json");
	read_bytes(MODELS "llama-gqa", "model.safetensors", &bytes);
	write_bytes(root, "blob", bytes.data, bytes.length);
	assert_int_equal(symlink(target, path), 0);
	model = load(dir, HEAD_LM);
	model_destroy(model);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(HEAD_LM, "model.safetensors: is not a file, expected a regular file");
	assert_int_equal(unlink(target), 0);
	buf_release(&bytes);
	free(path);
	free(target);
}

static void test_quantised_weights_are_refused_by_name(void **state)
{
	static const int64_t shape[] = {32};
	char bytes[32] = {0};
	struct store store;

	(void)state;
	copy("llama-gqa", "config.json");
	read_store(&store, "llama-gqa");
	drop(&store, "model.norm.weight");
	append(&store, "model.norm.weight", "F8_E4M3", 1, shape, bytes, sizeof bytes);
	finish_store(&store);
	assert_refused(HEAD_LM, "unsupported type of model.norm.weight, F8_E4M3");
}

static void test_a_missing_shard_is_named(void **state)
{
	char path[200];

	(void)state;
	copy_shards();
	snprintf(path, sizeof path, "%s/model-00002-of-00003.safetensors", dir);
	assert_int_equal(unlink(path), 0);
	assert_refused(HEAD_LM, "model-00002-of-00003.safetensors: ");
}

static void test_a_tensor_in_two_shards_is_refused(void **state)
{
	struct store store;
	int64_t one = 1;

	(void)state;
	copy_shards();
	store.n = 0;
	append(&store, "model.norm.weight", "F32", 1, &one, "abcd", 4);
	write_store(&store, "extra.safetensors");
	release_store(&store);
	write_index("{\"model.norm.weight\": \"extra.safetensors\","
		    "\"lm_head.weight\": \"model-00003-of-00003.safetensors\"}");
	assert_refused(HEAD_LM, "tensor \"model.norm.weight\" is in two files");
}

static void test_a_tensor_must_be_in_the_file_that_the_index_names(void **state)
{
	(void)state;
	copy_shards();
	write_index("{\"lm_head.weight\": \"model-00001-of-00003.safetensors\","
		    "\"model.norm.weight\": \"model-00002-of-00003.safetensors\","
		    "\"x\": \"model-00003-of-00003.safetensors\"}");
	assert_refused(HEAD_LM, "tensor \"model.norm.weight\" is not in "
				"model-00002-of-00003.safetensors");
}

/* As indexes do that were made before tied tensors were left out. */
static void test_an_index_may_name_more_than_there_is(void **state)
{
	struct model *model;

	(void)state;
	copy_shards();
	write_index("{\"x\": \"model-00001-of-00003.safetensors\","
		    "\"y\": \"model-00002-of-00003.safetensors\","
		    "\"z\": \"model-00003-of-00003.safetensors\"}");
	model = load(dir, HEAD_LM);
	model_destroy(model);
	write_index("{\"x\": \"model-00001-of-00003.safetensors\","
		    "\"y\": \"model-00002-of-00003.safetensors\"}");
	assert_refused(HEAD_LM, "missing ");
}

/* --- score heads --- */

static void test_a_new_score_head_depends_on_the_seed_alone(void **state)
{
	struct model *a = load_new_score(MODELS "llama-gqa", 7);
	struct model *b = load_new_score(MODELS "llama-gqa", 7);
	struct model *c = load_new_score(MODELS "llama-gqa", 8);
	const float *head = model_view(a, a->weights, PARAM_SCORE_WEIGHT, -1);
	double sum = 0;

	(void)state;
	assert_int_equal(a->config.n_labels, 1);
	assert_same_weights(a, b);
	assert_memory_not_equal(head, model_view(c, c->weights, PARAM_SCORE_WEIGHT, -1),
				32 * sizeof *head);
	/* Variance 1/(C + 1): 32 squares are within a factor of 3 of that. */
	for (int i = 0; i < 32; i++)
		sum += (double)head[i] * (double)head[i];
	assert_true(sum / 32 > 1.0 / 33 / 3 && sum / 32 < 3.0 / 33);
	model_destroy(a);
	model_destroy(b);
	model_destroy(c);
}

static void test_a_score_model_made_of_a_language_model_saves_as_a_classifier(void **state)
{
	static const char *const edits[] = {"pad_token_id", "5", NULL};
	struct hf_save_options options = {.source_dir = MODELS "llama-gqa", .edits = edits};
	struct model *model = load_new_score(MODELS "llama-gqa", 7), *again;
	struct buf before, after;

	(void)state;
	save(model, &options);
	again = load(saved, HEAD_SCORE);
	assert_same_weights(model, again);
	assert_int_equal(again->config.pad_id, 5);
	assert_int_equal(again->config.n_labels, 1);
	read_bytes(MODELS "llama-gqa", "config.json", &before);
	read_bytes(saved, "config.json", &after);
	/* Up to the changed key the bytes are the same, and so are those after it. */
	assert_non_null(strstr(after.data, "\"architectures\": [\"LlamaForSequenceClassification\"]"
					   ",\n  \"attention_bias\": false"));
	assert_non_null(strstr(after.data, "  \"rms_norm_eps\": 1e-06,\n  \"rope_scaling\": null,\n"
					   "  \"rope_theta\": 10000.0,\n"));
	assert_non_null(strstr(after.data, "  \"vocab_size\": 97,\n"
					   "  \"id2label\": {\"0\": \"LABEL_0\"},\n"
					   "  \"label2id\": {\"LABEL_0\": 0},\n"
					   "  \"pad_token_id\": 5\n}\n"));
	assert_null(strstr(after.data, "num_labels"));
	buf_release(&before);
	buf_release(&after);
	model_destroy(model);
	model_destroy(again);
}

static void test_a_count_of_labels_beside_the_map_is_made_to_agree(void **state)
{
	struct hf_save_options options = {.source_dir = dir};
	struct model *model;
	struct buf text;

	(void)state;
	copy("gpt2", "config.json");
	copy("gpt2", "model.safetensors");
	edit_config("num_labels", "2");
	edit_config("id2label", "{\"0\": \"a\", \"1\": \"b\"}");
	model = load_new_score(dir, 1);
	save(model, &options);
	read_bytes(saved, "config.json", &text);
	assert_non_null(strstr(text.data, "\"num_labels\": 1"));
	assert_non_null(strstr(text.data, "\"id2label\": {\"0\": \"LABEL_0\"}"));
	buf_release(&text);
	model_destroy(model);
	/* A language model keeps the labels that its config came with. */
	model = load(dir, HEAD_LM);
	save(model, &options);
	assert_same_file(dir, saved, "config.json");
	model_destroy(model);
}

static void test_each_kind_of_head_is_refused_where_the_other_is_needed(void **state)
{
	struct store store;

	(void)state;
	copy("llama-gqa", "config.json");
	copy("llama-gqa", "model.safetensors");
	assert_refused(HEAD_SCORE, "not a reward model: the architecture is LlamaForCausalLM");
	copy("rm-llama", "config.json");
	copy("rm-llama", "model.safetensors");
	assert_refused(HEAD_LM, "a sequence classifier (LlamaForSequenceClassification)");
	read_store(&store, "rm-llama");
	drop(&store, "score.weight");
	finish_store(&store);
	assert_refused(HEAD_SCORE, "its head, score.weight, is missing");
}

static void test_a_bias_of_the_score_head_is_kept(void **state)
{
	struct hf_save_options options = {.source_dir = dir};
	int64_t one = 1;
	float bias = 1.5f;
	struct store store;
	struct model *model, *again;

	(void)state;
	copy("rm-llama", "config.json");
	read_store(&store, "rm-llama");
	append(&store, "score.bias", "F32", 1, &one, &bias, sizeof bias);
	finish_store(&store);
	model = load(dir, HEAD_SCORE);
	assert_true(*model_view(model, model->weights, PARAM_SCORE_BIAS, -1) == 1.5f);
	save(model, &options);
	again = load(saved, HEAD_SCORE);
	assert_same_weights(model, again);
	model_destroy(model);
	model_destroy(again);
}

static void test_a_stray_bias_does_not_join_a_new_score_head(void **state)
{
	struct hf_load_options options = {.head = HEAD_SCORE, .create_score = true};
	int64_t one = 1;
	struct store store;
	struct model *model = NULL;
	struct error err = {""};

	(void)state;
	copy("llama-gqa", "config.json");
	read_store(&store, "llama-gqa");
	append(&store, "score.bias", "F32", 1, &one, "abcd", 4);
	finish_store(&store);
	assert_int_equal(hf_load(&model, dir, &options, NULL, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "unexpected score.bias"));
}

/* --- saving --- */

static void test_saving_replaces_a_directory_and_leaves_nothing_beside_it(void **state)
{
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	struct hf_save_options options = {.source_dir = MODELS "gpt2", .tokenizer_dir = dir};
	char **names, *stale = path_join(saved, "model-00001-of-00002.safetensors");
	char slashed[100];
	size_t n;
	struct error err = {""};

	(void)state;
	write_text("tokenizer.json", "{\"any\": \"bytes\"}");
	write_text("generation_config.json", "{}\n");
	write_text("notes.txt", "not copied");
	for (int round = 0; round < 3; round++) {
		snprintf(slashed, sizeof slashed, "%s%s", saved, round == 2 ? "//" : "");
		if (hf_save(model, slashed, &options, &err) != STATUS_OK)
			fail_msg("%s", err.text);
		assert_int_equal(file_list(saved, &names, &n, &err), STATUS_OK);
		assert_int_equal(n, 4);
		assert_string_equal(names[0], "config.json");
		assert_string_equal(names[1], "generation_config.json");
		assert_string_equal(names[2], "model.safetensors");
		assert_string_equal(names[3], "tokenizer.json");
		for (size_t i = 0; i < n; i++)
			free(names[i]);
		free(names);
		assert_same_file(dir, saved, "tokenizer.json");
		assert_same_file(dir, saved, "generation_config.json");
		write_bytes(saved, "model-00001-of-00002.safetensors", "", 0);
	}
	assert_true(file_exists(stale));
	assert_int_equal(file_list(root, &names, &n, &err), STATUS_OK);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	free(stale);
	model_destroy(model);
}

static void test_saving_to_a_link_replaces_what_it_leads_to(void **state)
{
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	struct hf_save_options options = {.source_dir = MODELS "gpt2"};
	char *link = path_join(root, "link"), *config = path_join(saved, "config.json");
	struct error err = {""};

	(void)state;
	assert_int_equal(file_make_dirs(saved, &err), STATUS_OK);
	assert_int_equal(symlink(saved, link), 0);
	for (int round = 0; round < 2; round++) {
		if (hf_save(model, link, &options, &err) != STATUS_OK)
			fail_msg("%s", err.text);
		assert_true(file_exists(config));
		assert_int_equal(unlink(config), 0);
		assert_int_equal(unlink(link), 0); /* EISDIR if it is a directory now */
		assert_int_equal(symlink(saved, link), 0);
	}
	free(config);
	free(link);
	model_destroy(model);
}

static void test_saving_over_its_own_source_works(void **state)
{
	struct hf_save_options options = {.source_dir = saved, .tokenizer_dir = saved};
	struct model *model = load(MODELS "gpt2", HEAD_LM), *again;
	struct error err;

	(void)state;
	assert_int_equal(file_make_dirs(saved, &err), STATUS_OK);
	copy("gpt2", "config.json");
	{
		struct buf text;
		read_bytes(dir, "config.json", &text);
		write_bytes(saved, "config.json", text.data, text.length);
		buf_release(&text);
	}
	write_bytes(saved, "vocab.json", "{}", 2);
	model->weights[3] = 0.75f;
	save(model, &options);
	again = load(saved, HEAD_LM);
	assert_same_weights(model, again);
	assert_same_file(MODELS "gpt2", saved, "config.json");
	model_destroy(model);
	model_destroy(again);
}

static void test_a_save_that_fails_keeps_what_was_there(void **state)
{
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	struct hf_save_options good = {.source_dir = MODELS "gpt2"};
	struct hf_save_options bad = {.source_dir = "/nowhere"};
	char *temporary = xasprintf("%s.tmp", saved);
	struct error err = {""};

	(void)state;
	save(model, &good);
	assert_int_equal(hf_save(model, saved, &bad, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "/nowhere/config.json"));
	assert_false(file_exists(temporary));
	model->weights[0] = NAN;
	assert_int_equal(hf_save(model, saved, &good, &err), STATUS_FAILED);
	assert_false(file_exists(temporary));
	assert_same_file(MODELS "gpt2", saved, "model.safetensors");
	free(temporary);
	model_destroy(model);
}

/* Numbers keep their spelling, order and white space are as they were. */
static void test_config_text_is_kept_but_for_what_changed(void **state)
{
	static const char text[] =
		"{ \"model_type\":\"llama\" ,\t\"hidden_size\": 8,\"num_hidden_layers\":1,\n"
		"\"num_attention_heads\":2, \"intermediate_size\":4,\"vocab_size\": 5,\n"
		"  \"rms_norm_eps\": 1.00e-05, \"own_key\": [1.0, 30.0, {\"a\": "
		"12345678901234567}],\n"
		"\"dtype\": \"bfloat16\", \"architectures\": [\"LlamaModel\"] }";
	static const char expected[] =
		"{ \"model_type\":\"llama\" ,\t\"hidden_size\": 8,\"num_hidden_layers\":1,\n"
		"\"num_attention_heads\":2, \"intermediate_size\":4,\"vocab_size\": 5,\n"
		"  \"rms_norm_eps\": 1.00e-05, \"own_key\": [1.0, 30.0, {\"a\": "
		"12345678901234567}],\n"
		"\"dtype\": \"float32\", \"architectures\": [\"LlamaForCausalLM\"] }";
	struct hf_save_options options = {.config_text = text};
	struct model_config config;
	struct model *model, *again;
	struct error err;
	struct buf after;

	(void)state;
	assert_int_equal(hf_parse_config(&config, text, strlen(text), "text", &err), STATUS_OK);
	model = model_create(&config, false);
	model_init_random(model, 3, 0.02);
	save(model, &options);
	read_bytes(saved, "config.json", &after);
	assert_string_equal(after.data, expected);
	again = load(saved, HEAD_LM);
	assert_same_weights(model, again);
	buf_release(&after);
	model_destroy(model);
	model_destroy(again);
}

static void test_weights_that_are_not_finite_are_not_written(void **state)
{
	static const float values[] = {NAN, INFINITY, -INFINITY};
	struct hf_save_options options = {.source_dir = MODELS "gpt2"};
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	struct error err = {""};

	(void)state;
	for (int i = 0; i < 3; i++) {
		model->weights[1234] = values[i];
		assert_int_equal(hf_save(model, saved, &options, &err), STATUS_FAILED);
		assert_non_null(strstr(err.text, "weight 1234 of"));
		assert_false(file_exists(saved));
	}
	model_destroy(model);
}

/* --- types of the weights --- */

/* The golden model with all tensors stored in a type. */
static void write_as(enum dtype dtype, const char *dtype_key)
{
	struct store store;
	char value[20];

	copy("llama-gqa", "config.json");
	edit_config("torch_dtype", NULL);
	snprintf(value, sizeof value, "\"%s\"", dtype_config_name(dtype));
	if (dtype_key)
		edit_config(dtype_key, value);
	read_store(&store, "llama-gqa");
	for (int i = 0; i < store.n; i++)
		convert(&store.items[i], dtype);
	finish_store(&store);
}

/* All tensors of a file have that type, and the values of the model rounded to it. */
static void assert_stored_as(const struct model *model, enum dtype dtype)
{
	char *path = path_join(saved, "model.safetensors");
	struct safetensors file;
	struct error err;

	assert_int_equal(safetensors_open(&file, path, &err), STATUS_OK);
	assert_int_equal(file.n, hf_tensor_count(model));
	for (int i = 0; i < hf_tensor_count(model); i++) {
		struct hf_tensor tensor;
		const struct tensor_view *view;
		float *values;
		char *expected, *found;

		hf_tensor_describe(model, i, &tensor);
		view = safetensors_find(&file, tensor.name);
		assert_non_null(view);
		assert_int_equal(view->dtype, dtype);
		values = xmalloc(tensor.n_elements * sizeof *values);
		expected = xmalloc(view->bytes);
		found = xmalloc(view->bytes);
		hf_tensor_gather(model, i, model->weights, values);
		dtype_from_float(dtype, values, tensor.n_elements, expected);
		assert_int_equal(tensor_read_bytes(view, found, &err), STATUS_OK);
		assert_memory_equal(found, expected, view->bytes);
		free(values);
		free(expected);
		free(found);
	}
	safetensors_close(&file);
	free(path);
}

static void assert_config_says(const char *key, const char *value)
{
	char *path = path_join(saved, "config.json");
	struct error err;
	struct json *config = json_read_object(path, MAX_BYTES, &err);
	const struct json *found = json_get(config, key);

	assert_non_null(config);
	if (!value)
		assert_null(found);
	else
		assert_string_equal(json_string(found, NULL), value);
	json_free(config);
	free(path);
}

/* In the place of the system's: a disk that fails under the weights. */
static bool fails_to_sync_weights;

int fsync(int fd)
{
	char link[40], path[400] = "";

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	if (fails_to_sync_weights && readlink(link, path, sizeof path - 1) > 0 &&
	    strstr(path, "/model.safetensors")) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static void test_weights_that_cannot_be_synced_are_not_saved(void **state)
{
	struct hf_save_options options = {.source_dir = MODELS "gpt2"};
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	struct error err = {""};

	(void)state;
	fails_to_sync_weights = true;
	assert_int_equal(hf_save(model, saved, &options, &err), STATUS_BAD_INPUT);
	fails_to_sync_weights = false;
	assert_non_null(strstr(err.text, "model.safetensors: cannot be synced: "));
	assert_false(file_exists(saved));
	save(model, &options);
	assert_same_file(MODELS "gpt2", saved, "model.safetensors");
	model_destroy(model);
}

static void test_weights_are_saved_in_the_type_that_they_came_in(void **state)
{
	static const enum dtype dtypes[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_F64};
	static const char *const keys[] = {"dtype", "torch_dtype", NULL};
	struct hf_save_options options = {.source_dir = dir};

	(void)state;
	for (int i = 0; i < 4; i++)
		for (int k = 0; k < 3; k++) {
			struct model *model;

			write_as(dtypes[i], keys[k]);
			model = load(dir, HEAD_LM);
			assert_int_equal(model->dtype, dtypes[i]);
			save(model, &options);
			assert_stored_as(model, dtypes[i]);
			assert_same_file(dir, saved, "config.json");
			model_destroy(model);
		}
}

static void test_weights_are_saved_in_the_type_that_is_asked_for(void **state)
{
	static const struct {
		const char *name;
		enum dtype dtype;
	} cases[] = {{"f32", DTYPE_F32}, {"bf16", DTYPE_BF16}, {"loaded", DTYPE_F16}};
	struct hf_save_options options = {.source_dir = dir};
	struct model *model;

	(void)state;
	write_as(DTYPE_F16, "dtype");
	model = load(dir, HEAD_LM);
	for (int i = 0; i < 3; i++) {
		assert_true(hf_save_as_parse(cases[i].name, &options.as));
		save(model, &options);
		assert_stored_as(model, cases[i].dtype);
		assert_config_says("dtype", dtype_config_name(cases[i].dtype));
		assert_config_says(HF_DTYPE_KEY, NULL);
	}
	assert_false(hf_save_as_parse("f64", &options.as));
	model_destroy(model);
}

/* A run's state is F32, bit for bit, and its result is what it would have been. */
static void test_the_state_of_a_run_keeps_bits_and_remembers_the_type(void **state)
{
	struct hf_save_options options = {.source_dir = dir, .as = HF_SAVE_STATE};
	struct model *model, *again;

	(void)state;
	write_as(DTYPE_BF16, "dtype");
	model = load(dir, HEAD_LM);
	for (size_t i = 0; i < model->layout.n_floats; i += 7)
		model->weights[i] += 0x1p-20f;
	save(model, &options);
	assert_stored_as(model, DTYPE_F32);
	assert_config_says("dtype", "float32");
	assert_config_says(HF_DTYPE_KEY, "bfloat16");
	again = load(saved, HEAD_LM);
	assert_int_equal(again->dtype, DTYPE_BF16);
	model_destroy(model);
	model = again;
	options = (struct hf_save_options){.source_dir = saved};
	save(model, &options);
	assert_stored_as(model, DTYPE_BF16);
	assert_same_file(dir, saved, "config.json");
	model_destroy(model);
}

static void test_a_weight_too_large_for_the_type_is_not_saved(void **state)
{
	struct hf_save_options options = {.source_dir = dir};
	struct error err = {""};
	struct model *model;

	(void)state;
	write_as(DTYPE_F16, "dtype");
	model = load(dir, HEAD_LM);
	model->weights[5] = 65519;
	save(model, &options);
	model->weights[5] = 65520;
	assert_int_equal(hf_save(model, saved, &options, &err), STATUS_FAILED);
	assert_non_null(strstr(err.text, "model.embed_tokens.weight is 65520, too large for float16"));
	options.as = HF_SAVE_F32;
	save(model, &options);
	model_destroy(model);
}

/* The golden model with tensors of four types, most of them BF16, parts of one matrix among
 * them; embedding and output matrix are F16. */
static void write_mixed(const char *dtype)
{
	struct store store;

	copy("llama-gqa", "config.json");
	edit_config("torch_dtype", dtype);
	read_store(&store, "llama-gqa");
	for (int i = 0; i < store.n; i++) {
		struct stored *item = &store.items[i];

		if (strstr(item->name, "layers.") && item->rank == 2 &&
		    !strstr(item->name, "k_proj") && !strstr(item->name, "1.self_attn.v_proj"))
			convert(item, DTYPE_BF16);
	}
	convert(stored(&store, "model.embed_tokens.weight"), DTYPE_F16);
	convert(stored(&store, "lm_head.weight"), DTYPE_F16);
	convert(stored(&store, "model.layers.1.self_attn.v_proj.weight"), DTYPE_F64);
	finish_store(&store);
}

/* The tensors of two files are the same, types and bytes. */
static void assert_same_tensors(const char *a, const char *b)
{
	char *paths[2] = {path_join(a, "model.safetensors"), path_join(b, "model.safetensors")};
	struct safetensors files[2];
	struct error err;

	for (int f = 0; f < 2; f++)
		assert_int_equal(safetensors_open(&files[f], paths[f], &err), STATUS_OK);
	assert_int_equal(files[0].n, files[1].n);
	for (size_t i = 0; i < files[0].n; i++) {
		const struct tensor_view *view = &files[0].tensors[i];
		const struct tensor_view *other = safetensors_find(&files[1], view->name);

		assert_non_null(other);
		if (view->dtype != other->dtype || !same_bytes(view, other))
			fail_msg("%s: %s, expected %s and the same bytes", view->name,
				 other->dtype_name, view->dtype_name);
	}
	for (int f = 0; f < 2; f++) {
		safetensors_close(&files[f]);
		free(paths[f]);
	}
}

static void test_each_tensor_is_saved_in_the_type_that_it_came_in(void **state)
{
	/* Whatever config.json names; a type that no tensor has is put right. */
	static const char *const named[][2] = {{"\"bfloat16\"", "bfloat16"},
					       {"\"float32\"", "float32"},
					       {"\"int8\"", "bfloat16"}};

	(void)state;
	for (int k = 0; k < 3; k++) {
		struct hf_save_options options = {.source_dir = dir};
		struct model *model;

		write_mixed(named[k][0]);
		model = load(dir, HEAD_LM);
		save(model, &options);
		assert_same_tensors(dir, saved);
		assert_config_says("torch_dtype", named[k][1]);
		options.as = HF_SAVE_BF16;
		save(model, &options);
		assert_stored_as(model, DTYPE_BF16);
		assert_config_says("torch_dtype", "bfloat16");
		model_destroy(model);
	}
}

static void test_shards_keep_the_type_of_each_tensor(void **state)
{
	struct hf_save_options options = {.source_dir = dir, .max_shard_bytes = 5000};
	struct model *model, *again;

	(void)state;
	write_mixed("\"bfloat16\"");
	model = load(dir, HEAD_LM);
	save(model, &options);
	again = load(saved, HEAD_LM);
	options.max_shard_bytes = 0;
	save(again, &options);
	assert_same_tensors(dir, saved);
	model_destroy(again);
	model_destroy(model);
}

static void test_the_state_of_a_run_remembers_the_type_of_each_tensor(void **state)
{
	struct hf_save_options options = {.source_dir = dir, .as = HF_SAVE_STATE};
	struct model *model, *again;

	(void)state;
	write_mixed("\"float32\"");
	model = load(dir, HEAD_LM);
	save(model, &options);
	assert_stored_as(model, DTYPE_F32);
	assert_config_says("torch_dtype", "float32");
	again = load(saved, HEAD_LM);
	assert_same_weights(model, again);
	save(again, &options); /* a state of the state */
	model_destroy(again);
	model_destroy(model);
	model = load(saved, HEAD_LM);
	options = (struct hf_save_options){.source_dir = saved};
	save(model, &options);
	assert_same_tensors(dir, saved);
	assert_same_file(dir, saved, "config.json");
	model_destroy(model);
}

static void test_a_new_head_has_the_type_of_most_weights(void **state)
{
	struct model *model;

	(void)state;
	write_mixed("\"float32\"");
	model = load_new_score(dir, 1);
	for (int i = 0; i < hf_tensor_count(model); i++)
		if (hf_tensor_param(model, i)->id == PARAM_SCORE_WEIGHT)
			assert_int_equal(hf_tensor_dtype(model, i), DTYPE_BF16);
	model_destroy(model);
}

/* --- shards --- */

static size_t bytes_of_file(const char *name)
{
	struct buf bytes;
	size_t n;

	read_bytes(saved, name, &bytes);
	n = bytes.length;
	buf_release(&bytes);
	return n;
}

static void test_a_large_checkpoint_is_saved_in_shards(void **state)
{
	struct hf_save_options options = {.source_dir = MODELS "llama-gqa",
					  .max_shard_bytes = 20000};
	struct model *model = load(MODELS "llama-gqa", HEAD_LM), *again;
	size_t n_files, n_shards = 0;
	char **names;
	struct error err;
	struct buf index;

	(void)state;
	save(model, &options);
	assert_int_equal(file_list(saved, &names, &n_files, &err), STATUS_OK);
	for (size_t i = 0; i < n_files; i++) {
		if (strncmp(names[i], "model-", 6) == 0) {
			char expected[60];

			n_shards++;
			snprintf(expected, sizeof expected, "model-%05zu-of-%05zu.safetensors",
				 n_shards, n_files - 2);
			assert_string_equal(names[i], expected);
			assert_true(bytes_of_file(names[i]) < 20000 + 2000); /* and a header */
		}
		free(names[i]);
	}
	free(names);
	assert_true(n_shards > 2);
	assert_int_equal(n_files, n_shards + 2);
	read_bytes(saved, "model.safetensors.index.json", &index);
	assert_memory_equal(index.data, "{\n  \"metadata\": {\n    \"total_parameters\": ", 42);
	assert_non_null(strstr(index.data, "  \"weight_map\": {\n    \"lm_head.weight\": \"model-0"));
	assert_string_equal(index.data + index.length - 7, "\n  }\n}\n");
	buf_release(&index);
	again = load(saved, HEAD_LM);
	assert_same_weights(model, again);
	/* One file again: the shards and the index are gone. */
	options.max_shard_bytes = 0;
	save(model, &options);
	assert_int_equal(file_list(saved, &names, &n_files, &err), STATUS_OK);
	assert_int_equal(n_files, 2);
	for (size_t i = 0; i < n_files; i++)
		free(names[i]);
	free(names);
	model_destroy(model);
	model_destroy(again);
}

static void test_a_tensor_larger_than_a_shard_has_one_of_its_own(void **state)
{
	struct hf_save_options options = {.source_dir = MODELS "gpt2", .max_shard_bytes = 1};
	struct model *model = load(MODELS "gpt2", HEAD_LM), *again;
	char name[60];

	(void)state;
	save(model, &options);
	snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", hf_tensor_count(model),
		 hf_tensor_count(model));
	assert_true(bytes_of_file(name) > 0);
	again = load(saved, HEAD_LM);
	assert_same_weights(model, again);
	model_destroy(model);
	model_destroy(again);
}

/* --- what is replaced and what is copied --- */

/* Names that belong to a checkpoint, but not there, and what lies beside it. */
static void test_nothing_of_somebody_else_is_removed(void **state)
{
	static const char *const foreign[] = {
		"in.old/thesis.txt",	     "in.tmp/notes.txt",
		"in/model/thesis.txt",	     "in/additional_chat_templates/notes.txt",
		"in/config.json/thesis.txt", "in/model/config.json/thesis.txt",
	};
	struct hf_save_options options = {.source_dir = MODELS "gpt2"};
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	struct error err = {""};
	(void)state;

	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
		char *home = path_join(root, "home"), *path = path_join(home, foreign[i]);
		char *target = path_join(home, "in"), *parent = xstrdup(path);

		*strrchr(parent, '/') = '\0';
		assert_int_equal(file_make_dirs(parent, &err), STATUS_OK);
		assert_int_equal(file_replace(path, "x", 1, &err), STATUS_OK);
		assert_int_equal(hf_save(model, target, &options, &err), STATUS_BAD_INPUT);
		if (!strstr(err.text, "which is no file of a checkpoint"))
			fail_msg("%s: %s", foreign[i], err.text);
		assert_true(file_exists(path));
		assert_int_equal(file_remove_tree(home, &err), STATUS_OK);
		free(home);
		free(path);
		free(target);
		free(parent);
	}
	model_destroy(model);
}

/* What a save leaves behind that was killed is taken for what it is. */
static void test_what_is_left_of_a_killed_save_is_replaced(void **state)
{
	static const char *const left[] = {
		"in.tmp/config.json.tmp", "in.tmp/model.safetensors", "in.old/config.json",
		"in.tmp/additional_chat_templates/tool.jinja.tmp", "in.tmp/model/config.json"};
	struct hf_save_options options = {.source_dir = MODELS "gpt2"};
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	char *home = path_join(root, "home"), *target = path_join(home, "in"), **names;
	struct error err = {""};
	size_t n;
	(void)state;

	for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
		char *path = path_join(home, left[i]), *parent = xstrdup(path);

		*strrchr(parent, '/') = '\0';
		assert_int_equal(file_make_dirs(parent, &err), STATUS_OK);
		assert_int_equal(file_replace(path, "x", 1, &err), STATUS_OK);
		free(path);
		free(parent);
	}
	if (hf_save(model, target, &options, &err) != STATUS_OK)
		fail_msg("%s", err.text);
	assert_int_equal(file_list(home, &names, &n, &err), STATUS_OK);
	assert_int_equal(n, 1);
	free(names[0]);
	free(names);
	assert_int_equal(file_remove_tree(home, &err), STATUS_OK);
	free(home);
	free(target);
	model_destroy(model);
}

static void test_a_directory_of_something_else_is_not_replaced(void **state)
{
	static const char *const foreign[] = {"notes.txt", "model-1-of-x.safetensors", "step-3",
					      "model-00001-of-00002.safetensors.bak"};
	struct hf_save_options options = {.source_dir = MODELS "gpt2"};
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	struct error err = {""};

	(void)state;
	for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
		char *path = path_join(saved, foreign[i]), *weights;

		save(model, &options);
		weights = path_join(saved, "model.safetensors");
		write_bytes(saved, foreign[i], "x", 1);
		assert_int_equal(hf_save(model, saved, &options, &err), STATUS_BAD_INPUT);
		assert_non_null(strstr(err.text, foreign[i]));
		assert_true(file_exists(path) && file_exists(weights));
		assert_int_equal(unlink(path), 0);
		free(path);
		free(weights);
	}
	assert_int_equal(file_remove_tree(saved, &err), STATUS_OK);
	write_bytes(root, "out", "a file", 6);
	assert_int_equal(hf_save(model, saved, &options, &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "is a file, expected a new directory"));
	model_destroy(model);
}

static void test_files_that_go_with_a_model_are_copied(void **state)
{
	static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
					    "special_tokens_map.json", "added_tokens.json",
					    "vocab.json", "merges.txt", "tokenizer.model",
					    "chat_template.jinja", "chat_template.json",
					    "generation_config.json",
					    "additional_chat_templates/rag.jinja"};
	struct hf_save_options options = {.source_dir = MODELS "gpt2", .tokenizer_dir = dir};
	struct model *model = load(MODELS "gpt2", HEAD_LM);
	char *templates = path_join(dir, "additional_chat_templates");
	char *other = path_join(root, "other");
	struct error err;

	(void)state;
	assert_int_equal(file_make_dirs(templates, &err), STATUS_OK);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		write_bytes(dir, names[i], names[i], strlen(names[i]) - i % 2);
	/* What else is with the templates is not: the second round could not replace it. */
	write_bytes(dir, "additional_chat_templates/README.md", "-", 1);
	for (int round = 0; round < 2; round++) {
		save(model, &options);
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			assert_same_file(dir, saved, names[i]);
	}
	/* End ids are the model's own, with another's tokenizer and with none. */
	assert_int_equal(file_make_dirs(other, &err), STATUS_OK);
	write_bytes(other, "generation_config.json", "{\"eos_token_id\": [3, 4]}", 24);
	options.generation_dir = other;
	for (int round = 0; round < 2; round++) {
		save(model, &options);
		assert_same_file(other, saved, "generation_config.json");
		options.tokenizer_dir = NULL;
	}
	free(other);
	free(templates);
	model_destroy(model);
}

static void test_one_label_is_not_a_choice_among_classes(void **state)
{
	struct hf_save_options options = {.source_dir = dir};
	struct model *model;
	struct buf text;

	(void)state;
	copy("rm-llama", "config.json");
	copy("rm-llama", "model.safetensors");
	edit_config("problem_type", "\"single_label_classification\"");
	model = load(dir, HEAD_SCORE);
	save(model, &options);
	read_bytes(saved, "config.json", &text);
	assert_non_null(strstr(text.data, "\"problem_type\": null"));
	buf_release(&text);
	/* A name of its own stays. */
	edit_config("problem_type", "\"regression\"");
	edit_config("id2label", "{\"0\": \"quality\"}");
	edit_config("label2id", "{\"quality\": 0}");
	save(model, &options);
	assert_same_file(dir, saved, "config.json");
	model_destroy(model);
}

static void test_labels_that_the_config_does_not_name_are_named(void **state)
{
	static const int64_t shape[] = {3, 32};
	struct hf_save_options options = {.source_dir = dir};
	float head[3 * 32] = {0};
	struct store store;
	struct model *model;
	struct buf text;

	(void)state;
	copy("rm-llama", "config.json");
	edit_config("id2label", NULL);
	edit_config("label2id", NULL);
	read_store(&store, "rm-llama");
	drop(&store, "score.weight");
	append(&store, "v_head.weight", "F32", 2, shape, head, sizeof head);
	finish_store(&store);
	model = load(dir, HEAD_SCORE);
	save(model, &options);
	model_destroy(model);
	read_bytes(saved, "config.json", &text);
	assert_non_null(strstr(text.data, "\"id2label\": {\"0\": \"LABEL_0\", \"1\": "
					  "\"LABEL_1\", \"2\": \"LABEL_2\"}"));
	assert_non_null(strstr(text.data, "\"label2id\": {\"LABEL_0\": 0, "));
	buf_release(&text);
	model = load(saved, HEAD_SCORE);
	assert_int_equal(model->config.n_labels, 3);
	model_destroy(model);
}

/* --- the numbers of parameters of published models --- */

static size_t parameters_of(const char *text)
{
	struct model model = {0};
	struct error err = {""};
	size_t n = 0;

	if (hf_parse_config(&model.config, text, strlen(text), "text", &err) != STATUS_OK)
		fail_msg("%s", err.text);
	param_layout_init(&model.layout, &model.config, false);
	for (int i = 0; i < hf_tensor_count(&model); i++) {
		struct hf_tensor tensor;

		hf_tensor_describe(&model, i, &tensor);
		n += tensor.n_elements;
	}
	param_layout_release(&model.layout);
	return n;
}

#define SIZES(type, c, l, h, f, v)                                                                 \
	"{\"model_type\":\"" type "\",\"hidden_size\":" #c ",\"num_hidden_layers\":" #l            \
	",\"num_attention_heads\":" #h ",\"intermediate_size\":" #f ",\"vocab_size\":" #v

static void test_published_models_have_their_parameters(void **state)
{
	static const struct {
		size_t n;
		const char *text;
	} published[] = {
		{124439808, "{\"model_type\":\"gpt2\"}"},
		{354823168,
		 "{\"model_type\":\"gpt2\",\"n_embd\":1024,\"n_layer\":24,\"n_head\":16}"},
		{70426624, SIZES("gpt_neox", 512, 6, 8, 2048, 50304) "}"},
		{1011781632, SIZES("gpt_neox", 2048, 16, 8, 8192, 50304) "}"},
		{6857302016, SIZES("gpt_neox", 4096, 32, 32, 16384, 50432) "}"},
		{1235814400,
		 SIZES("llama", 2048, 16, 32, 8192, 128256) ",\"num_key_value_heads\":8,"
							    "\"tie_word_embeddings\":true}"},
		{1100048384,
		 SIZES("llama", 2048, 22, 32, 5632, 32000) ",\"num_key_value_heads\":4}"},
		{6738415616, "{\"model_type\":\"llama\"}"},
		{7241732096, "{\"model_type\":\"mistral\"}"},
		{494032768,
		 SIZES("qwen2", 896, 24, 14, 4864, 151936) ",\"num_key_value_heads\":2,"
							   "\"tie_word_embeddings\":true}"},
		{596049920,
		 SIZES("qwen3", 1024, 28, 16, 3072, 151936) ",\"num_key_value_heads\":8,"
							    "\"tie_word_embeddings\":true}"},
		{2779683840, SIZES("phi", 2560, 32, 32, 10240, 51200) "}"},
		{3821079552, "{\"model_type\":\"phi3\"}"},
		{2614341888, "{\"model_type\":\"gemma2\"}"},
		{999885952,
		 SIZES("gemma3_text", 1152, 26, 4, 6912, 262144) ",\"num_key_value_heads\":1}"},
		{125239296, "{\"model_type\":\"opt\"}"},
		{331196416,
		 "{\"model_type\":\"opt\",\"hidden_size\":1024,\"num_hidden_layers\":24,"
		 "\"num_attention_heads\":16,\"ffn_dim\":4096,\"word_embed_proj_dim\":512,"
		 "\"do_layer_norm_before\":false}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof published / sizeof *published; i++)
		assert_int_equal(parameters_of(published[i].text), published[i].n);
}

/* --- positions --- */

static void test_learned_positions_bound_sequences(void **state)
{
	struct model *gpt2 = load(MODELS "gpt2", HEAD_LM);
	struct model *llama = load(MODELS "llama-gqa", HEAD_LM);
	struct model *phi3 = load(MODELS "phi3-longrope", HEAD_LM);
	struct error err = {""};

	(void)state;
	assert_int_equal(model_check_positions(&gpt2->config, 64, "dir", &err), STATUS_OK);
	assert_int_equal(model_check_positions(&gpt2->config, 65, "dir", &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "dir: the model has 64 learned positions"));
	assert_int_equal(model_check_positions(&llama->config, 200, "dir", &err), STATUS_OK);
	assert_int_equal(model_generation_limit(&gpt2->config), 64);
	assert_int_equal(model_generation_limit(&llama->config), 64);
	assert_string_equal(model_limit_name(&llama->config), "positions");
	assert_int_equal(phi3->config.max_positions, 64);
	assert_int_equal(model_generation_limit(&phi3->config), 24);
	assert_non_null(strstr(model_limit_name(&phi3->config), "depend on the length"));
	model_destroy(gpt2);
	model_destroy(llama);
	model_destroy(phi3);
}

static void test_a_model_larger_than_the_machine_is_refused(void **state)
{
	struct model_config config;
	struct error err = {""};
	const char *text = "{\"model_type\":\"llama\",\"hidden_size\":4194304,"
			   "\"num_attention_heads\":32768,\"intermediate_size\":4194304,"
			   "\"num_hidden_layers\":4096}";

	(void)state;
	assert_int_equal(hf_parse_config(&config, text, strlen(text), "text", &err), STATUS_OK);
	assert_int_equal(model_check_memory(&config, "dir", &err), STATUS_BAD_INPUT);
	assert_non_null(strstr(err.text, "dir: the weights take "));
	assert_non_null(strstr(err.text, "GiB of this machine"));
	text = "{\"model_type\":\"llama\",\"hidden_size\":32,\"num_attention_heads\":4,"
	       "\"num_hidden_layers\":1,\"intermediate_size\":8,\"vocab_size\":9}";
	assert_int_equal(hf_parse_config(&config, text, strlen(text), "text", &err), STATUS_OK);
	assert_int_equal(model_check_memory(&config, "dir", &err), STATUS_OK);
}

#define CASE(f) cmocka_unit_test_setup(f, start_afresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_loading_and_saving_give_the_same_bytes),
		CASE(test_a_sharded_checkpoint_is_the_same_as_a_single_file),
		CASE(test_more_shards_than_files_may_be_open_are_loaded),
		CASE(test_describing_gives_the_model_that_loading_gives),
		CASE(test_names_without_prefix_and_mask_buffers_load),
		CASE(test_frequencies_among_the_weights_are_no_weights),
		CASE(test_a_version_among_the_weights_is_no_weight),
		CASE(test_of_a_model_that_sees_images_the_language_model_loads),
		CASE(test_of_a_model_that_sees_images_ids_and_labels_are_kept),
		CASE(test_an_adapter_of_a_model_that_sees_images_has_names_of_the_whole),
		CASE(test_weights_of_other_float_types_load_as_their_values),
		CASE(test_one_sentence_lists_every_wrong_tensor),
		CASE(test_a_long_list_of_wrong_tensors_is_cut),
		CASE(test_values_that_are_not_finite_are_refused_with_their_place),
		CASE(test_a_description_larger_than_the_files_is_refused_before_allocation),
		CASE(test_a_directory_without_safetensors_is_refused),
		CASE(test_a_tied_head_that_is_stored_too_stays_tied_if_it_is_the_same),
		CASE(test_a_tied_head_of_another_type_is_the_same_if_its_numbers_are),
		CASE(test_a_tied_head_that_differs_is_kept_apart_for_good),
		CASE(test_a_missing_head_is_the_embedding_only_if_tied),
		CASE(test_an_index_may_only_name_plain_files),
		CASE(test_an_index_without_a_map_is_refused),
		CASE(test_a_wrong_total_of_the_index_does_no_harm),
		CASE(test_weights_may_be_linked_but_must_be_a_file),
		CASE(test_quantised_weights_are_refused_by_name),
		CASE(test_a_missing_shard_is_named),
		CASE(test_a_tensor_in_two_shards_is_refused),
		CASE(test_a_tensor_must_be_in_the_file_that_the_index_names),
		CASE(test_an_index_may_name_more_than_there_is),
		CASE(test_a_new_score_head_depends_on_the_seed_alone),
		CASE(test_a_score_model_made_of_a_language_model_saves_as_a_classifier),
		CASE(test_a_count_of_labels_beside_the_map_is_made_to_agree),
		CASE(test_each_kind_of_head_is_refused_where_the_other_is_needed),
		CASE(test_a_bias_of_the_score_head_is_kept),
		CASE(test_a_stray_bias_does_not_join_a_new_score_head),
		CASE(test_saving_replaces_a_directory_and_leaves_nothing_beside_it),
		CASE(test_saving_to_a_link_replaces_what_it_leads_to),
		CASE(test_saving_over_its_own_source_works),
		CASE(test_a_save_that_fails_keeps_what_was_there),
		CASE(test_config_text_is_kept_but_for_what_changed),
		CASE(test_weights_that_are_not_finite_are_not_written),
		CASE(test_weights_that_cannot_be_synced_are_not_saved),
		CASE(test_weights_are_saved_in_the_type_that_they_came_in),
		CASE(test_weights_are_saved_in_the_type_that_is_asked_for),
		CASE(test_the_state_of_a_run_keeps_bits_and_remembers_the_type),
		CASE(test_a_weight_too_large_for_the_type_is_not_saved),
		CASE(test_each_tensor_is_saved_in_the_type_that_it_came_in),
		CASE(test_shards_keep_the_type_of_each_tensor),
		CASE(test_the_state_of_a_run_remembers_the_type_of_each_tensor),
		CASE(test_a_new_head_has_the_type_of_most_weights),
		CASE(test_a_large_checkpoint_is_saved_in_shards),
		CASE(test_a_tensor_larger_than_a_shard_has_one_of_its_own),
		CASE(test_a_directory_of_something_else_is_not_replaced),
		CASE(test_nothing_of_somebody_else_is_removed),
		CASE(test_what_is_left_of_a_killed_save_is_replaced),
		CASE(test_files_that_go_with_a_model_are_copied),
		CASE(test_one_label_is_not_a_choice_among_classes),
		CASE(test_labels_that_the_config_does_not_name_are_named),
		CASE(test_published_models_have_their_parameters),
		CASE(test_learned_positions_bound_sequences),
		CASE(test_a_model_larger_than_the_machine_is_refused),
	};
	return cmocka_run_group_tests(tests, make_root, remove_root);
}

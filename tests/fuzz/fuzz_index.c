/* Any bytes as a model.safetensors.index.json, beside three small files: a.safetensors
 * holds a whole model, b.safetensors nothing, c.safetensors one of a's tensors. */
#include <stdint.h>
#include <string.h>

#include "common/model/hf_checkpoint.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dir;

static void make_files(void)
{
	static const char config_text[] =
		"{\"model_type\":\"llama\",\"hidden_size\":4,\"num_hidden_layers\":1,"
		"\"num_attention_heads\":1,\"intermediate_size\":4,\"vocab_size\":4,"
		"\"max_position_embeddings\":8}";
	static const char nothing[] = "\2\0\0\0\0\0\0\0{}";
	static const char header[] =
		"{\"lm_head.weight\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}";
	struct hf_save_options options = {.config_text = config_text};
	struct model_config config;
	struct model *model;
	char one[8 + sizeof header] = {sizeof header - 1}, from[100], to[100];
	struct error err;

	dir = scratch_make("model");
	if (hf_parse_config(&config, config_text, strlen(config_text), "config", &err) != STATUS_OK)
		die("%s", err.text);
	model = model_create(&config, false);
	if (hf_save(model, dir, &options, &err) != STATUS_OK)
		die("%s", err.text);
	model_destroy(model);
	snprintf(from, sizeof from, "%s/model.safetensors", dir);
	snprintf(to, sizeof to, "%s/a.safetensors", dir);
	if (rename(from, to) != 0)
		die("%s cannot be renamed", from);
	scratch_write(dir, "b.safetensors", nothing, 10);
	memcpy(one + 8, header, sizeof header - 1);
	scratch_write(dir, "c.safetensors", one, 8 + sizeof header - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_load_options options = {.head = HEAD_LM};
	struct model *model = NULL;
	struct error err = {""};

	if (!dir)
		make_files();
	scratch_write(dir, "model.safetensors.index.json", data, size);
	if (hf_load(&model, dir, &options, NULL, &err) != STATUS_OK &&
	    strncmp(err.text, dir, strlen(dir)) != 0)
		abort();
	model_destroy(model);
	return 0;
}

/* Any bytes as a model.safetensors.index.json, beside three small files: a.safetensors
 * holds a whole model, b.safetensors nothing, c.safetensors one of a's tensors. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/model/hf_checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[] = "/tmp/rlhf-fuzz-index-XXXXXX";
static char dir[60];

static void remove_root(void)
{
	struct error err;

	file_remove_tree(root, &err);
}

/* Not synced: thousands of inputs are written. */
static void write_file(const char *name, const void *bytes, size_t n)
{
	char *path = path_join(dir, name);
	struct error err;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || file_write_at(fd, bytes, n, 0, path, &err) != STATUS_OK)
		die("%s cannot be written", path);
	close(fd);
	free(path);
}

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

	snprintf(dir, sizeof dir, "%s/model", mkdtemp(root));
	atexit(remove_root);
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
	write_file("b.safetensors", nothing, 10);
	memcpy(one + 8, header, sizeof header - 1);
	write_file("c.safetensors", one, 8 + sizeof header - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_load_options options = {.head = HEAD_LM};
	struct model *model = NULL;
	struct error err = {""};

	if (!*dir)
		make_files();
	write_file("model.safetensors.index.json", data, size);
	if (hf_load(&model, dir, &options, NULL, &err) != STATUS_OK &&
	    strncmp(err.text, dir, strlen(dir)) != 0)
		abort();
	model_destroy(model);
	return 0;
}

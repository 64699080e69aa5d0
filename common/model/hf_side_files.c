/* The small files of a checkpoint; see hf_side_files.h. */
#include "common/model/hf_side_files.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/hash.h"

const char *const hf_copied_files[HF_COPIED_FILES] = {
	"tokenizer.json",
	"tokenizer_config.json",
	"special_tokens_map.json",
	"added_tokens.json",
	"vocab.json",
	"merges.txt",
	"tokenizer.model",
	"chat_template.jinja",
	"chat_template.json",
};
static const char *const own_files[] = {"config.json", "generation_config.json",
					"adapter_config.json", "adapter_model.safetensors"};

static void add_file(struct sha256 *sha, const char *dir, const char *name)
{
	char *path = path_join(dir, name), hex[65];
	uint64_t bytes;

	if (file_exists(path) && file_sha256(path, &bytes, hex, NULL) == STATUS_OK) {
		sha256_update(sha, name, strlen(name) + 1);
		sha256_update(sha, hex, sizeof hex);
	}
	free(path);
}

void hf_side_files_sha256(const char *dir, char hex[65])
{
	struct sha256 sha;

	sha256_init(&sha);
	for (size_t i = 0; i < sizeof own_files / sizeof *own_files; i++)
		add_file(&sha, dir, own_files[i]);
	for (int i = 0; i < HF_COPIED_FILES; i++)
		add_file(&sha, dir, hf_copied_files[i]);
	sha256_final_hex(&sha, hex);
}

/* Any bytes as each of the files beside a tokenizer.json, and of those in its place: refused
 * with a sentence that names one of them, or a tokenizer that gives only ids that it has. */
#include <stdint.h>
#include <string.h>

#include "common/text/tokenizer.h"
#include "tests/fuzz/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char TOKENIZER[] =
	"{\"added_tokens\": [{\"id\": 3, \"content\": \"<s>\", \"special\": true}], "
	"\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"ab\": 2}, "
	"\"merges\": [\"a b\"]}}";
static const char VOCABULARY[] = "{\"a\": 0, \"b\": 1, \"ab\": 2}", MERGES[] = "a b\n";

/* What loads gives only ids that it has. */
static void try_load(const char *dir)
{
	static const char text[] = "ab<s> <x> <pad>a";
	struct tokenizer *tokenizer;
	struct ids ids = {0};
	struct error err = {""};

	if (tokenizer_load(&tokenizer, dir, &err) != STATUS_OK) {
		if (strncmp(err.text, dir, strlen(dir)) != 0)
			abort();
		return;
	}
	tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids);
	for (size_t i = 0; i < ids.n; i++)
		if (ids.data[i] < 0 || ids.data[i] >= tokenizer_size(tokenizer))
			abort();
	ids_release(&ids);
	tokenizer_destroy(tokenizer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json",
					    "added_tokens.json"};
	static char *dir, *pair, *pieces;

	if (!dir) {
		dir = scratch_make("model");
		pair = scratch_make("pair");
		pieces = scratch_make("pieces");
		scratch_write(dir, "tokenizer.json", TOKENIZER, sizeof TOKENIZER - 1);
	}
	for (int i = 0; i < 3; i++)
		scratch_write(dir, names[i], data, size);
	try_load(dir);
	scratch_write(pair, "vocab.json", VOCABULARY, sizeof VOCABULARY - 1);
	scratch_write(pair, "merges.txt", data, size);
	try_load(pair);
	scratch_write(pair, "vocab.json", data, size);
	scratch_write(pair, "merges.txt", MERGES, sizeof MERGES - 1);
	try_load(pair);
	scratch_write(pieces, "tokenizer.model", data, size);
	try_load(pieces);
	return 0;
}

/* Writes a random checkpoint of any shape for the benchmarks.
 *
 *     make_model DIR CONFIG.json SEED
 *
 * CONFIG.json is a config of Hugging Face's kind: a causal model or a sequence
 * classifier with one label. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/model/hf_checkpoint.h"

int main(int argc, char **argv)
{
	struct model_config config;
	struct model *model = NULL;
	struct buf text = BUF_INIT;
	struct error err = {""};
	enum status status;

	if (argc != 4) {
		fprintf(stderr, "usage: make_model DIR CONFIG.json SEED\n");
		return STATUS_BAD_INPUT;
	}
	status = file_read(argv[2], 1 << 20, &text, &err);
	if (status == STATUS_OK)
		status = hf_parse_config(&config, text.data, text.length, argv[2], &err);
	if (status == STATUS_OK) {
		struct hf_save_options options = {.config_text = text.data};

		model = model_create(&config, false);
		model_init_random(model, (uint64_t)atoll(argv[3]), 0.02);
		status = hf_save(model, argv[1], &options, &err);
	}
	if (status != STATUS_OK)
		fprintf(stderr, "make_model: %s\n", err.text);
	model_destroy(model);
	buf_release(&text);
	return status;
}

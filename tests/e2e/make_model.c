/* Writes a tiny random checkpoint for the end-to-end tests.
 *
 *     make_model DIR lm|reward VOCAB SEED [zero-head|bf16|mixed]
 *
 * Llama's kind, 2 layers of 32 or 64 channels, 128 positions, no tokenizer, end
 * token VOCAB - 1.  zero-head: the output matrix is zero, so that every next token
 * has the same probability.  bf16: weights are stored as bfloat16; mixed: matrices are, norms are
 * float32. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/die.h"
#include "common/model/hf_checkpoint.h"

static void describe(struct buf *text, bool is_reward, int vocab)
{
	buf_printf(text,
		   "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"llama\",\n"
		   "  \"hidden_size\": 32,\n  \"intermediate_size\": 64,\n"
		   "  \"num_hidden_layers\": 2,\n  \"num_attention_heads\": 4,\n"
		   "  \"num_key_value_heads\": 2,\n  \"max_position_embeddings\": 128,\n"
		   "  \"vocab_size\": %d,\n  \"eos_token_id\": %d,\n  \"bos_token_id\": 0,\n"
		   "  \"rms_norm_eps\": 1e-05,\n  \"tie_word_embeddings\": false%s\n}\n",
		   is_reward ? "LlamaForSequenceClassification" : "LlamaForCausalLM", vocab,
		   vocab - 1, is_reward ? ",\n  \"id2label\": {\"0\": \"LABEL_0\"}" : "");
}

static void mix_types(struct model *model)
{
	int n = hf_tensor_count(model);

	model->dtypes = xcalloc((size_t)n, sizeof *model->dtypes);
	for (int i = 0; i < n; i++) {
		struct hf_tensor tensor;

		hf_tensor_describe(model, i, &tensor);
		model->dtypes[i] = tensor.rank > 1 ? DTYPE_BF16 : DTYPE_F32;
	}
}

int main(int argc, char **argv)
{
	struct model_config config;
	struct model *model = NULL;
	struct buf text = BUF_INIT;
	struct error err = {""};
	struct hf_save_options options = {0};
	bool is_reward;
	enum status status;

	if (argc < 5) {
		fprintf(stderr,
			"usage: make_model DIR lm|reward VOCAB SEED [zero-head|bf16|mixed]\n");
		return 2;
	}
	is_reward = strcmp(argv[2], "reward") == 0;
	describe(&text, is_reward, atoi(argv[3]));
	status = hf_parse_config(&config, text.data, text.length, "make_model", &err);
	if (status == STATUS_OK) {
		config.head = is_reward ? HEAD_SCORE : HEAD_LM;
		config.n_labels = is_reward;
		model = model_create(&config, false);
		model_init_random(model, (uint64_t)atoi(argv[4]), 0.2);
		if (argc > 5 && strcmp(argv[5], "bf16") == 0) {
			options.as = HF_SAVE_BF16;
		} else if (argc > 5 && strcmp(argv[5], "mixed") == 0) {
			mix_types(model);
		} else if (argc > 5) {
			const struct param *head = param_find(&model->layout, PARAM_LM_HEAD, -1);
			memset(model->weights + head->offset, 0,
			       (size_t)head->rows * (size_t)head->cols * sizeof(float));
		}
		options.config_text = text.data;
		status = hf_save(model, argv[1], &options, &err);
	}
	if (status != STATUS_OK)
		fprintf(stderr, "make_model: %s\n", err.text);
	model_destroy(model);
	buf_release(&text);
	return status;
}

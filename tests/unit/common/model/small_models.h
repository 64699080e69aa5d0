/* Models described by the text of a config.json, their weights zero. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/model/hf_checkpoint.h"

static inline struct model *described_model(const char *text)
{
	struct model_config config;
	struct error err = {""};

	if (hf_parse_config(&config, text, strlen(text), "small model", &err) != STATUS_OK)
		fail_msg("%s", err.text);
	return model_create(&config, false);
}

/* The family of GPT-2: learned positions and layer norms. */
static inline struct model *small_gpt2(int n_layers, int n_ff, int n_vocab, int n_positions)
{
	char text[300];

	snprintf(text, sizeof text,
		 "{\"model_type\":\"gpt2\",\"n_embd\":32,\"n_head\":2,\"n_layer\":%d,\"n_inner\":%d,"
		 "\"vocab_size\":%d,\"n_positions\":%d}",
		 n_layers, n_ff, n_vocab, n_positions);
	return described_model(text);
}

/* Llama's: rotary positions, grouped heads, the head tied. */
static inline struct model *small_llama(int n_layers, int n_channels, int n_vocab, int n_positions)
{
	char text[400];

	snprintf(text, sizeof text,
		 "{\"model_type\":\"llama\",\"hidden_size\":%d,\"num_attention_heads\":4,"
		 "\"num_key_value_heads\":2,\"num_hidden_layers\":%d,\"intermediate_size\":48,"
		 "\"vocab_size\":%d,\"max_position_embeddings\":%d,\"tie_word_embeddings\":true}",
		 n_channels, n_layers, n_vocab, n_positions);
	return described_model(text);
}

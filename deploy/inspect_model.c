/* rlhf inspect on a checkpoint: its description, its tokenizer, and what deserves a warning
 * in its config.json.  See inspection.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/model/hf_checkpoint.h"
#include "common/model/hf_examine.h"
#include "common/model/hf_labels.h"
#include "common/model/stop_ids.h"
#include "common/text/chat.h"
#include "common/text/tokenizer.h"
#include "deploy/inspection.h"

enum { MAX_LABELS_SHOWN = 8 };

/* --- parameters --- */

/* Totals of published models. */
static const char *known_model(size_t n_parameters)
{
	static const struct {
		size_t n;
		const char *name;
	} known[] = {
		{124439808, "gpt2"},	      {354823168, "gpt2-medium"},
		{81912576, "distilgpt2"},     {70426624, "pythia-70m"},
		{162322944, "pythia-160m"},   {405334016, "pythia-410m"},
		{1011781632, "pythia-1b"},    {1414647808, "pythia-1.4b"},
		{2775208960, "pythia-2.8b"},  {6857302016, "pythia-6.9b"},
		{1235814400, "Llama-3.2-1B"}, {1100048384, "TinyLlama-1.1B"},
		{6738415616, "Llama-2-7B"},   {7241732096, "Mistral-7B"},
		{494032768, "Qwen2.5-0.5B"},  {596049920, "Qwen3-0.6B"},
		{134515008, "SmolLM2-135M"},  {361821120, "SmolLM2-360M"},
		{125239296, "opt-125m"},      {331196416, "opt-350m"},
		{2779683840, "phi-2"},	      {3821079552, "Phi-3-mini"},
		{2614341888, "gemma-2-2b"},   {999885952, "gemma-3-1b"},
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].n == n_parameters)
			return known[i].name;
	return NULL;
}

/* --- description --- */

static void describe_shape(struct inspection *in, const struct model_config *c)
{
	inspection_line(in, "shape",
			"%d layers, %d channels, %d query and %d key/value heads of %d, "
			"feed-forward %d",
			c->n_layers, c->n_channels, c->n_heads, c->n_kv_heads, c->head_dim,
			c->n_ff);
	inspection_member(in, "shape",
			  "{\"layers\": %d, \"channels\": %d, \"heads\": %d, \"kv_heads\": %d, "
			  "\"head_dim\": %d, \"feed_forward\": %d, \"vocabulary\": %d, "
			  "\"positions\": %d}",
			  c->n_layers, c->n_channels, c->n_heads, c->n_kv_heads, c->head_dim,
			  c->n_ff, c->n_vocab, model_position_limit(c));
}

static void describe_positions(struct inspection *in, const struct model_config *c)
{
	static const char *const kinds[] = {
		[ROTARY_DEFAULT] = "default", [ROTARY_LINEAR] = "linear",
		[ROTARY_DYNAMIC] = "dynamic", [ROTARY_LLAMA3] = "llama3",
		[ROTARY_YARN] = "yarn",	      [ROTARY_LONGROPE] = "longrope",
	};
	int n_windowed = 0;

	for (int layer = 0; layer < c->n_layers; layer++)
		n_windowed += config_has_window(c, layer);
	if (c->position == POSITION_LEARNED) {
		inspection_line(in, "positions", "%d, learned", c->max_positions);
		inspection_member(in, "position_kind", "\"learned\"");
	} else {
		inspection_line(in, "positions",
				"%d, rotary, %s, theta %g, %d of %d elements of a "
				"head",
				model_position_limit(c), kinds[c->rotary.kind], c->rotary.theta,
				c->rotary_dim, c->head_dim);
		inspection_member(in, "position_kind", "\"rotary\"");
		inspection_member(in, "rope_type", "\"%s\"", kinds[c->rotary.kind]);
		inspection_member(in, "rope_theta", "%.17g", c->rotary.theta);
	}
	if (n_windowed > 0)
		inspection_line(in, "window", "%d, in %d of the layers", c->window, n_windowed);
	inspection_member(in, "window", "%d", n_windowed > 0 ? c->window : 0);
}

static void describe_labels(struct inspection *in, const struct hf_examination *found,
			    const char *dir)
{
	struct buf names = BUF_INIT, shown = BUF_INIT;
	struct hf_labels labels;
	struct error err;

	if (found->config.head != HEAD_SCORE)
		return;
	if (hf_labels_read(&labels, dir, found->config.n_labels, &err) != STATUS_OK) {
		hf_problems_add(&in->problems, "%s", err.text);
		hf_labels_release(&labels);
		return;
	}
	for (int i = 0; i < labels.n; i++) {
		if (i < MAX_LABELS_SHOWN)
			buf_printf(&shown, "%s%.60s", i ? ", " : "", labels.names[i]);
		if (i > 0)
			buf_append_string(&names, ", ");
		json_write_string(&names, labels.names[i], strlen(labels.names[i]));
	}
	inspection_line(in, "labels", "%d: %s%s", labels.n, shown.data,
			labels.n > MAX_LABELS_SHOWN ? ", ..." : "");
	inspection_member(in, "labels", "[%s]", names.data);
	buf_release(&names);
	buf_release(&shown);
	hf_labels_release(&labels);
}

static void describe_head(struct inspection *in, const struct hf_examination *found,
			  const char *dir)
{
	const struct model_config *c = &found->config;
	const char *name = found->head_name;

	if (c->head == HEAD_LM)
		inspection_line(in, "head", "next token%s%s%s",
				c->tied ? ", tied to the embedding" : "",
				*name ? "; beside it a score head, " : "", name);
	else
		inspection_line(in, "head", "scores, %s", *name ? name : "missing");
	inspection_member(in, "head", "\"%s\"", c->head == HEAD_LM ? "lm" : "score");
	inspection_member(in, "tied", "%s", c->tied ? "true" : "false");
	if (*name) {
		struct buf json = BUF_INIT;

		json_write_string(&json, name, strlen(name));
		inspection_member(in, "score_head", "%s", json.data);
		buf_release(&json);
	}
	describe_labels(in, found, dir);
}

static void describe_parameters(struct inspection *in, const struct hf_examination *found)
{
	const char *known = known_model(found->n_parameters);

	inspection_line(in, "parameters", "%zu%s%s", found->n_parameters,
			known ? ", as many as " : "", known ? known : "");
	inspection_member(in, "parameters", "%zu", found->n_parameters);
	if (known)
		inspection_text(in, "published", known);
}

/* How many tensors there are of each type. */
static void describe_types(struct inspection *in, const struct hf_store *store)
{
	struct buf text = BUF_INIT, json = BUF_INIT;

	for (size_t i = 0; i < store->n; i++) {
		const char *type = store->views[i]->dtype_name;
		size_t n = 0;
		bool is_first = true;

		for (size_t k = 0; k < store->n; k++) {
			bool is_same = strcmp(store->views[k]->dtype_name, type) == 0;

			is_first = is_first && !(is_same && k < i);
			n += is_same;
		}
		if (is_first) {
			buf_printf(&text, "%s%zu %s", text.length ? ", " : "", n, type);
			buf_printf(&json, "%s\"%s\": %zu", json.length ? ", " : "", type, n);
		}
	}
	inspection_line(in, "tensors", "%zu: %s", store->n, text.data ? text.data : "none");
	inspection_member(in, "dtypes", "{%s}", json.data ? json.data : "");
	buf_release(&text);
	buf_release(&json);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void describe_files(struct inspection *in, const struct hf_store *store)
{
	struct buf json = BUF_INIT;

	describe_types(in, store);
	for (size_t i = 0; i < store->n_files; i++) {
		const struct safetensors *file = &store->files[i];

		inspection_line(in, i ? "" : "files", "%s, %" PRIu64 " bytes, %zu tensors",
				base_name(file->path), file->bytes, file->n);
		buf_append_string(&json, i ? ", {\"name\": " : "{\"name\": ");
		json_write_string(&json, base_name(file->path), strlen(base_name(file->path)));
		buf_printf(&json, ", \"bytes\": %" PRIu64 ", \"tensors\": %zu}", file->bytes,
			   file->n);
	}
	inspection_member(in, "files", "[%s]", json.data ? json.data : "");
	buf_release(&json);
}

/* --- special ids --- */

static void describe_ids(struct inspection *in, const struct model_config *config, const char *dir)
{
	struct buf text = BUF_INIT;
	struct stop_ids stop;
	struct error err;

	if (stop_ids_read(&stop, dir, config, &err) != STATUS_OK) {
		hf_problems_add(&in->problems, "%s", err.text);
		stop.n = 0;
	}
	for (int i = 0; i < stop.n; i++)
		buf_printf(&text, "%s%d", i ? ", " : "", stop.ids[i]);
	inspection_line(in, "special ids", "bos %d, eos %d, pad %d; a completion ends at %s",
			config->bos_id, config->eos_id, config->pad_id,
			stop.n ? text.data : "its greatest length");
	inspection_member(in, "special_ids",
			  "{\"bos\": %d, \"eos\": %d, \"pad\": %d, \"stop\": [%s]}", config->bos_id,
			  config->eos_id, config->pad_id, stop.n ? text.data : "");
	buf_release(&text);
}

static void warn_of_id(struct inspection *in, const char *dir, const char *key,
		       const struct json *id, int n_vocab)
{
	int64_t n;

	if (json_int64(id, &n) && (n >= n_vocab || n < -1))
		hf_problems_add(&in->warnings,
				"%s/config.json: %s %" PRId64 " is outside the vocabulary of %d "
				"and never matches",
				dir, key, n, n_vocab);
}

static void warn_of_ids(struct inspection *in, const struct hf_examination *found,
			const struct json *root, const char *dir)
{
	static const char *const keys[] = {"bos_token_id", "eos_token_id", "pad_token_id"};
	const struct model_config *config = &found->config;

	for (int i = 0; i < 3; i++) {
		const struct json *id = json_get(root, keys[i]);

		if (id && json_type(id) == JSON_ARRAY)
			for (id = json_first(id); id; id = json_next(id))
				warn_of_id(in, dir, keys[i], id, config->n_vocab);
		else if (id)
			warn_of_id(in, dir, keys[i], id, config->n_vocab);
	}
	if (config->head != HEAD_SCORE)
		return;
	if (config->pad_id >= 0 && config->pad_id == config->eos_id)
		hf_problems_add(&in->warnings,
				"%s: pad_token_id equals eos_token_id: the score is read before a "
				"final end token, not at it; --pooling last reads it there",
				dir);
	if (config->pad_id < 0)
		hf_problems_add(&in->warnings,
				"%s: no pad_token_id: transformers scores its texts one at a time",
				dir);
}

/* --- other warnings --- */

static void warn_of_dropout(struct inspection *in, const struct json *root, const char *dir)
{
	static const char *const keys[] = {"embd_pdrop",     "attn_pdrop",	  "resid_pdrop",
					   "hidden_dropout", "attention_dropout", "dropout",
					   "layerdrop",	     "classifier_dropout"};

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		const struct json *value = json_get(root, keys[i]);

		if (value && json_type(value) == JSON_NUMBER && json_number(value) != 0)
			hf_problems_add(&in->warnings,
					"%s/config.json: %s is %g; nothing is dropped here", dir,
					keys[i], json_number(value));
	}
}

static void warn_of_head(struct inspection *in, const struct hf_examination *found, const char *dir)
{
	if (found->config.head == HEAD_SCORE && found->has_head_bias)
		hf_problems_add(&in->warnings,
				"%s: the head has a bias, which transformers' sequence classifiers "
				"have not: saved here, their scores lack it",
				dir);
}

/* --- tokenizer --- */

static void describe_chat(struct inspection *in, const struct tokenizer *tokenizer, const char *dir)
{
	struct chat *chat = NULL;
	struct error err;

	if (chat_load(&chat, "auto", dir, tokenizer, &err) != STATUS_OK)
		hf_problems_add(&in->problems, "%s", err.text);
	else if (chat_name(chat))
		inspection_text(in, "chat_format", chat_name(chat));
	chat_destroy(chat);
}

static void describe_tokenizer(struct inspection *in, const struct model_config *config,
			       const char *dir)
{
	struct tokenizer *tokenizer = NULL;
	struct error err;

	if (!tokenizer_exists(dir)) {
		inspection_line(in, "tokenizer", "none: ids only");
		inspection_member(in, "tokenizer", "null");
		return;
	}
	if (tokenizer_load(&tokenizer, dir, &err) != STATUS_OK) {
		hf_problems_add(&in->problems, "%s", err.text);
		return;
	}
	inspection_line(in, "tokenizer", "%s, %d ids, bos %d, eos %d, pad %d, identity %.12s",
			tokenizer_algorithm(tokenizer), tokenizer_size(tokenizer),
			tokenizer_bos(tokenizer), tokenizer_eos(tokenizer),
			tokenizer_pad(tokenizer), tokenizer_identity(tokenizer));
	inspection_member(in, "tokenizer",
			  "{\"kind\": \"%s\", \"size\": %d, \"bos\": %d, \"eos\": %d, \"pad\": %d, "
			  "\"identity\": \"%s\"}",
			  tokenizer_algorithm(tokenizer), tokenizer_size(tokenizer),
			  tokenizer_bos(tokenizer), tokenizer_eos(tokenizer),
			  tokenizer_pad(tokenizer), tokenizer_identity(tokenizer));
	describe_chat(in, tokenizer, dir);
	if (tokenizer_size(tokenizer) > config->n_vocab)
		hf_problems_add(&in->problems,
				"%s: the tokenizer has ids up to %d, the model %d vocabulary rows",
				dir, tokenizer_size(tokenizer) - 1, config->n_vocab);
	tokenizer_destroy(tokenizer);
}

/* --- all of it --- */

static void describe_config(struct inspection *in, const struct hf_examination *found,
			    const struct json *root, const char *dir)
{
	const struct model_config *config = &found->config;
	const char *architecture = json_string_or_null(json_first(json_get(root, "architectures")));

	inspection_text(in, "family", hf_family_name(config->family));
	inspection_text(in, "architecture", architecture ? architecture : "not said");
	describe_parameters(in, found);
	describe_shape(in, config);
	describe_positions(in, config);
	inspection_line(in, "vocabulary", "%d rows", config->n_vocab);
	describe_head(in, found, dir);
	describe_ids(in, config, dir);
	describe_tokenizer(in, config, dir);
	warn_of_ids(in, found, root, dir);
	warn_of_head(in, found, dir);
	warn_of_dropout(in, root, dir);
}

void inspect_model(struct inspection *in, const char *dir)
{
	struct hf_examination found;
	struct buf text = BUF_INIT;
	struct json *root = NULL;

	hf_examine(&found, dir, NULL);
	inspection_text(in, "kind", "model");
	inspection_text(in, "directory", dir);
	if (found.has_config && hf_read_config_text(&text, dir, NULL) == STATUS_OK)
		root = json_parse(text.data, text.length, dir, NULL);
	if (root)
		describe_config(in, &found, root, dir);
	describe_files(in, &found.store);
	if (in->lists_tensors)
		inspect_tensors(in, found.store.files, found.store.n_files);
	inspection_move(&in->problems, &found.problems);
	inspection_move(&in->warnings, &found.warnings);
	hf_examination_release(&found);
	json_free(root);
	buf_release(&text);
}

/* Any bytes as text, for each kind of tokenizer; a byte-level one gives valid text
 * back as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/die.h"
#include "common/text/tokenizer.h"
#include "common/text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_KINDS = 6 }; /* the first gives every text back */
static const char *const DIRS[N_KINDS] = {
	"tests/golden/tokenizers/byte_level",	 "tests/golden/tokenizers/llama3",
	"tests/golden/tokenizers/digits",	 "tests/golden/tokenizers/splits",
	"tests/golden/tokenizers/byte_fallback", "tests/golden/tokenizers/metaspace"};

static const struct tokenizer *tokenizer_of(int kind)
{
	static struct tokenizer *tokenizers[N_KINDS];
	struct error err;

	if (!tokenizers[kind] && tokenizer_load(&tokenizers[kind], DIRS[kind], &err) != STATUS_OK)
		die("%s", err.text);
	return tokenizers[kind];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	for (int kind = 0; kind < N_KINDS; kind++) {
		const struct tokenizer *tokenizer = tokenizer_of(kind);
		struct ids ids = {0};
		struct buf again = BUF_INIT;
		tokenizer_encode(tokenizer, text, size, true, &ids);
		for (size_t i = 0; i < ids.n; i++)
			if (ids.data[i] < 0 || ids.data[i] >= tokenizer_size(tokenizer))
				abort();
		tokenizer_decode(tokenizer, ids.data, ids.n, false, &again);
		if (!utf8_is_valid(again.data, again.length))
			abort();
		if (kind == 0 && utf8_is_valid(text, size) &&
		    (again.length != size || (size > 0 && memcmp(again.data, text, size) != 0)))
			abort();
		ids_release(&ids);
		buf_release(&again);
	}
	return 0;
}

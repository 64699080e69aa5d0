/* Any bytes as a tokenizer.json: what loads encodes and decodes a nasty text, and
 * gives only ids that it has. */
#include <stdint.h>
#include <stdlib.h>

#include "common/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char TEXT[] =
	"a  b's \n\n\t1234 \xc3\xa9 e\xcc\x81 \xe2\x96\x81 \xf0\x9f\x90\x9f\xff\0"
	"<s> <|endoftext|> abababababababababababababababababababababababab";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tokenizer *tokenizer;
	struct ids ids = {0};
	struct buf text = BUF_INIT;
	struct error err;

	if (tokenizer_parse(&tokenizer, (const char *)data, size, "input", &err) != STATUS_OK)
		return 0;
	tokenizer_encode(tokenizer, TEXT, sizeof TEXT - 1, true, &ids);
	for (size_t i = 0; i < ids.n; i++)
		if (ids.data[i] < 0 || ids.data[i] >= tokenizer_size(tokenizer))
			abort();
	tokenizer_decode(tokenizer, ids.data, ids.n, false, &text);
	if (ids.n > 0)
		tokenizer_decode_completion(tokenizer, ids.data, ids.n / 2, ids.data + ids.n / 2,
					    ids.n - ids.n / 2, &text);
	ids_release(&ids);
	buf_release(&text);
	tokenizer_destroy(tokenizer);
	return 0;
}

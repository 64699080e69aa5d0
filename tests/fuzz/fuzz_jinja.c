/* Any bytes as a chat template: text, or an end of it. */
#include <stdint.h>

#include "common/text/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct jinja_message messages[] = {
		{"system", " s\n"}, {"user", "\xc3\xa9"}, {"assistant", "<think>a</think>b"}};
	static const struct tm today = {.tm_mday = 26, .tm_mon = 6, .tm_year = 124};
	const struct jinja_input input = {.messages = messages,
					  .n = 3,
					  .add_generation_prompt = size % 2,
					  .bos = "<s>",
					  .eos = NULL,
					  .now = &today};
	struct buf out = BUF_INIT;

	jinja_render((const char *)data, size, &input, &out);
	buf_release(&out);
	return 0;
}

/* The table of chat formats. */
#include "common/text/chat_format.h"

#include <string.h>

#define LLAMA3_HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"

/* What the variants of a format have in common. */
#define CHATML                                                                                     \
	.before_system = "<|im_start|>system\n", .after_system = "<|im_end|>\n",                   \
	.before_user = "<|im_start|>user\n", .after_user = "<|im_end|>\n",                         \
	.header = "<|im_start|>assistant\n", .end = "<|im_end|>", .rest = "\n",                    \
	.markers = {"<|im_start|>", "<|im_end|>"}

#define LLAMA3                                                                                     \
	.begin = "\1", .after_system = "<|eot_id|>", .before_user = LLAMA3_HEADER("user"),         \
	.after_user = "<|eot_id|>", .header = LLAMA3_HEADER("assistant"), .end = "<|eot_id|>",     \
	.trims_system = true, .trims_user = true, .trims_assistant = true,                         \
	.markers = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}

#define GEMMA                                                                                      \
	.begin = "\1", .before_user = "<start_of_turn>user\n", .after_user = "<end_of_turn>\n",    \
	.header = "<start_of_turn>model\n", .end = "<end_of_turn>", .rest = "\n",                  \
	.trims_user = true, .trims_assistant = true, .must_alternate = true,                       \
	.markers = {"<start_of_turn>", "<end_of_turn>"}

static const struct chat_format FORMATS[] = {
	{.name = "chatml", CHATML},
	{.name = "qwen2.5",
	 CHATML,
	 .default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
	{.name = "qwen3", CHATML, .think = CHAT_THINK_QWEN3},
	{.name = "qwen3-thinking", CHATML, .think = CHAT_THINK_QWEN3, .opening = "<think>\n"},
	{.name = "qwen3-nothink",
	 CHATML,
	 .think = CHAT_THINK_OFF,
	 .opening = "<think>\n\n</think>\n\n"},
	{.name = "llama-3", LLAMA3, .before_system = LLAMA3_HEADER("system")},
	/* Newer releases of this family take the date from the clock; a run has to be
	 * the same tomorrow. */
	{.name = "llama-3.1",
	 LLAMA3,
	 .before_system = LLAMA3_HEADER("system") "Cutting Knowledge Date: December 2023\n"
						  "Today Date: 26 Jul 2024\n\n",
	 .default_system = ""},
	{.name = "llama-2",
	 .before_system = "<<SYS>>\n",
	 .after_system = "\n<</SYS>>\n\n",
	 .before_user = "\1[INST] ",
	 .after_user = " [/INST]",
	 .lead = " ",
	 .gap = " ",
	 .end = "\2",
	 .system = CHAT_SYSTEM_FIRST,
	 .trims_user = true,
	 .trims_assistant = true,
	 .trims_together = true,
	 .must_alternate = true},
	{.name = "mistral",
	 .begin = "\1",
	 .before_user = "[INST] ",
	 .after_user = " [/INST]",
	 .end = "\2",
	 .system = CHAT_SYSTEM_REFUSED,
	 .must_alternate = true,
	 .markers = {"[INST]", "[/INST]"}},
	{.name = "mistral-v1",
	 .begin = "\1",
	 .after_system = "\n\n",
	 .before_user = " [INST] ",
	 .after_user = " [/INST]",
	 .lead = " ",
	 .end = "\2",
	 .system = CHAT_SYSTEM_FIRST,
	 .must_alternate = true,
	 .markers = {"[INST]", "[/INST]"}},
	{.name = "mistral-v3",
	 .begin = "\1",
	 .after_system = "\n\n",
	 .before_user = "[INST] ",
	 .after_user = "[/INST]",
	 .lead = " ",
	 .end = "\2",
	 .system = CHAT_SYSTEM_FIRST,
	 .trims_assistant = true,
	 .must_alternate = true,
	 .markers = {"[INST]", "[/INST]"}},
	{.name = "mistral-tekken",
	 .begin = "\1",
	 .after_system = "\n\n",
	 .before_user = "[INST]",
	 .after_user = "[/INST]",
	 .end = "\2",
	 .system = CHAT_SYSTEM_LAST,
	 .must_alternate = true,
	 .markers = {"[INST]", "[/INST]"}},
	{.name = "mistral-v7",
	 .begin = "\1",
	 .before_system = "[SYSTEM_PROMPT] ",
	 .after_system = "[/SYSTEM_PROMPT]",
	 .before_user = "[INST] ",
	 .after_user = "[/INST]",
	 .lead = " ",
	 .end = "\2",
	 .must_alternate = true,
	 .markers = {"[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"}},
	{.name = "mistral-v7-tekken",
	 .begin = "\1",
	 .before_system = "[SYSTEM_PROMPT]",
	 .after_system = "[/SYSTEM_PROMPT]",
	 .before_user = "[INST]",
	 .after_user = "[/INST]",
	 .end = "\2",
	 .must_alternate = true,
	 .markers = {"[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"}},
	{.name = "gemma", GEMMA, .system = CHAT_SYSTEM_REFUSED},
	{.name = "gemma-3", GEMMA, .after_system = "\n\n", .system = CHAT_SYSTEM_FIRST},
	{.name = "phi-3",
	 .before_system = "<|system|>\n",
	 .after_system = "<|end|>\n",
	 .before_user = "<|user|>\n",
	 .after_user = "<|end|>\n",
	 .header = "<|assistant|>\n",
	 .end = "<|end|>",
	 .rest = "\n",
	 .tail = "\2",
	 .markers = {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}},
	{.name = "phi-4",
	 .before_system = "<|im_start|>system<|im_sep|>",
	 .after_system = "<|im_end|>",
	 .before_user = "<|im_start|>user<|im_sep|>",
	 .after_user = "<|im_end|>",
	 .header = "<|im_start|>assistant<|im_sep|>",
	 .end = "<|im_end|>",
	 .markers = {"<|im_start|>", "<|im_sep|>", "<|im_end|>"}},
	{.name = "phi-4-mini",
	 .before_system = "<|system|>",
	 .after_system = "<|end|>",
	 .before_user = "<|user|>",
	 .after_user = "<|end|>",
	 .header = "<|assistant|>",
	 .end = "<|end|>",
	 .tail = "\2",
	 .markers = {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}},
	{.name = "tulu",
	 .before_system = "<|system|>\n",
	 .after_system = "\n",
	 .before_user = "<|user|>\n",
	 .after_user = "\n",
	 .header = "<|assistant|>\n",
	 .end = "\2",
	 .rest = "\n",
	 .rests_between = true,
	 .markers = {"<|system|>", "<|user|>", "<|assistant|>"}},
	{.name = "deepseek",
	 .begin = "\1",
	 .after_system = "\n\n",
	 .before_user = "User: ",
	 .after_user = "\n\n",
	 .header = "Assistant:",
	 .lead = " ",
	 .end = "\2"},
	{.name = "deepseek-r1",
	 .begin = "\1",
	 .before_user = "<｜User｜>",
	 .header = "<｜Assistant｜>",
	 .opening = "<think>\n",
	 .end = "\2",
	 .think = CHAT_THINK_DROP,
	 .markers = {"<｜User｜>", "<｜Assistant｜>"}},
	{.name = "openchat",
	 .begin = "\1",
	 .before_system = "GPT4 Correct System: ",
	 .after_system = "<|end_of_turn|>",
	 .before_user = "GPT4 Correct User: ",
	 .after_user = "<|end_of_turn|>",
	 .header = "GPT4 Correct Assistant:",
	 .lead = " ",
	 .end = "<|end_of_turn|>",
	 .markers = {"<|end_of_turn|>"}},
	{.name = "zephyr",
	 .before_system = "<|system|>\n",
	 .after_system = "\2\n",
	 .before_user = "<|user|>\n",
	 .after_user = "\2\n",
	 .header = "<|assistant|>\n",
	 .end = "\2",
	 .rest = "\n",
	 .markers = {"<|system|>", "<|user|>", "<|assistant|>"}},
	{.name = "hh",
	 .before_user = "\n\nHuman: ",
	 .header = "\n\nAssistant:",
	 .lead = " ",
	 .end = "\2",
	 .ends_once = true,
	 .adds_prefix = true},
	{.name = "vicuna",
	 .after_system = " ",
	 .before_user = "USER: ",
	 .after_user = " ",
	 .header = "ASSISTANT:",
	 .lead = " ",
	 .end = "\2",
	 .adds_prefix = true},
	{.name = "alpaca",
	 .after_system = "\n\n",
	 .before_user = "### Instruction:\n",
	 .after_user = "\n\n",
	 .header = "### Response:\n",
	 .end = "\2",
	 .rest = "\n\n",
	 .adds_prefix = true},
};

enum { N_FORMATS = sizeof FORMATS / sizeof *FORMATS };

bool chat_format_named(struct chat_format *format, const char *name)
{
	for (int i = 0; i < N_FORMATS; i++) {
		if (strcmp(FORMATS[i].name, name) == 0) {
			*format = FORMATS[i];
			return true;
		}
	}
	return false;
}

const char *chat_format_name(int i)
{
	return i >= 0 && i < N_FORMATS ? FORMATS[i].name : NULL;
}

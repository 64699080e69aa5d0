#!/usr/bin/env python3
"""Golden texts and ids of chat formats, computed by transformers' apply_chat_template.

Made with transformers 5.23.0 (and 5.24.0: the same), tokenizers 0.23.3, jinja2 3.1.6 and Python 3.11:
    python tests/golden/make_chat.py
The templates are this project's own: each writes what its format is described to be, in
the expressions that its kind uses.  chat/<name>.jinja is a template; chat/conversations.jsonl
holds messages, and chat/golden.jsonl, for each template and number of a conversation, the
text and some ids without a generation prompt, or with one where the user speaks last.  Messages
that a template refuses have neither.
Tokenizers: chat/bytes (byte-level, every marker a special token) and chat/pieces (byte
fallback, Llama 2's kind; markers swallow the space behind them, as Phi-3's do).
"""
import json
from pathlib import Path

from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).parent / "chat"
BASES = Path(__file__).parent / "tokenizers"
DATE = "26 Jul 2024"
MARKERS = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
           "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]",
           "<|system|>", "<|user|>", "<|assistant|>", "<|end|>",
           "<|im_sep|>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<|end_of_turn|>",
           "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>"]

ALTERNATE = ("{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
             "{{ raise_exception('Turns must alternate') }}{% endif %}")
SPLIT_SYSTEM = ("{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}"
                "{%- set loop_messages = messages[1:] %}{%- else %}{%- set loop_messages = messages %}"
                "{%- endif %}{{- bos_token }}")


def instruct(opened, closed, lead="", trim="", place=None):
    """A template of Mistral's kind; place: when the system message is put in."""
    user = f"{{{{- '{opened}' + message['content'] + '{closed}' }}}}"
    if place:
        user = (f"{{%- if {place} and system_message is defined %}}"
                f"{{{{- '{opened}' + system_message + '\\n\\n' + message['content'] + '{closed}' }}}}"
                f"{{%- else %}}{user}{{%- endif %}}")
        start, loop = SPLIT_SYSTEM, "loop_messages"
    else:
        start, loop = "{{ bos_token }}", "messages"
    answer = f"'{lead}' + " if lead else ""
    return (f"{start}{{%- set user_messages = {loop} | selectattr('role', 'equalto', 'user') | list %}}"
            f"{{%- for message in {loop} %}}{ALTERNATE}{{%- if message['role'] == 'user' %}}{user}"
            f"{{%- elif message['role'] == 'assistant' %}}"
            f"{{{{- {answer}message['content']{trim} + eos_token }}}}{{%- endif %}}{{%- endfor %}}")


CHATML_TURN = "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
CHATML_PROMPT = "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
HEADER = "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
LLAMA3_PROMPT = ("{% if add_generation_prompt %}"
                 "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")

QWEN3 = """\
{%- set ns = namespace(last_query_index=messages|length - 1) %}
{%- for message in messages %}
    {%- if message.role == "user" and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.last_query_index = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role != "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- else %}
        {%- set reasoning_content = '' %}
        {%- if '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
"""

TEMPLATES = {
    # name: (format it is, tokenizer, template)
    "chatml": ("chatml", "bytes",
               "{%- for message in messages %}\n    " + CHATML_TURN + "\n{%- endfor %}\n" + CHATML_PROMPT),
    "chatml-bos": ("chatml", "bytes",
                   "{{ bos_token }}{% for message in messages %}" + CHATML_TURN + "{% endfor %}" + CHATML_PROMPT),
    "qwen2.5": ("qwen2.5", "bytes",
                "{%- if messages[0]['role'] != 'system' %}\n"
                "    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
                "assistant.<|im_end|>\\n' }}\n{%- endif %}\n"
                "{%- for message in messages %}\n    " + CHATML_TURN + "\n{%- endfor %}\n" + CHATML_PROMPT),
    "qwen3": ("qwen3", "bytes", QWEN3 + """\
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""),
    "qwen3-thinking": ("qwen3-thinking", "bytes", QWEN3 + """\
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n<think>\\n' }}
{%- endif %}
"""),
    "llama-3": ("llama-3", "bytes",
                "{% for message in messages %}{% set content = " + HEADER + " + message['content'] | trim "
                "+ '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
                "{{ content }}{% endfor %}" + LLAMA3_PROMPT),
    "llama-3.1": ("llama-3.1", "bytes",
                  "{{- bos_token }}\n{%- if messages[0]['role'] == 'system' %}\n"
                  "    {%- set system_message = messages[0]['content'] | trim %}\n"
                  "    {%- set messages = messages[1:] %}\n{%- else %}\n"
                  "    {%- set system_message = '' %}\n{%- endif %}\n"
                  "{%- if not date_string is defined %}\n    {%- set date_string = '26 Jul 2024' %}\n{%- endif %}\n"
                  "{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}\n"
                  "{{- 'Cutting Knowledge Date: December 2023\\n' }}\n"
                  "{{- 'Today Date: ' + date_string + '\\n\\n' }}\n"
                  "{{- system_message + '<|eot_id|>' }}\n"
                  "{%- for message in messages %}\n    {{- " + HEADER + " + message['content'] | trim "
                  "+ '<|eot_id|>' }}\n{%- endfor %}\n" + LLAMA3_PROMPT),
    "llama-2": ("llama-2", "pieces",
                "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
                "{% set system_message = messages[0]['content'] %}{% else %}"
                "{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
                "{% for message in loop_messages %}" + ALTERNATE +
                "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + "
                "system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}"
                "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
                "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
                "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"),
    "mistral": ("mistral", "pieces",
                "{{ bos_token }}{% for message in messages %}" + ALTERNATE + "{% if message['role'] == 'user' %}"
                "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}"
                "{{ message['content'] + eos_token }}{% endif %}{% endfor %}"),
    "mistral-v1": ("mistral-v1", "pieces", instruct(" [INST] ", " [/INST]", " ", place="loop.first")),
    "mistral-v3": ("mistral-v3", "pieces", instruct("[INST] ", "[/INST]", " ", "|trim", place="loop.first")),
    "mistral-tekken": ("mistral-tekken", "bytes",
                       instruct("[INST]", "[/INST]", place="message == user_messages[-1]")),
    "gemma": ("gemma", "pieces",
              "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
              "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}" + ALTERNATE +
              "{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}"
              "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + "
              "message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}"
              "{{ '<start_of_turn>model\\n' }}{% endif %}"),
    "gemma-3": ("gemma-3", "pieces",
                "{{ bos_token }}\n{%- if messages[0]['role'] == 'system' -%}\n"
                "    {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}\n"
                "    {%- set loop_messages = messages[1:] -%}\n{%- else -%}\n"
                "    {%- set first_user_prefix = '' -%}\n    {%- set loop_messages = messages -%}\n{%- endif -%}\n"
                "{%- for message in loop_messages -%}" + ALTERNATE +
                "{%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}\n"
                "{{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else '') }}"
                "{{- message['content'] | trim }}{{- '<end_of_turn>\\n' }}\n{%- endfor -%}\n"
                "{%- if add_generation_prompt -%}\n    {{ '<start_of_turn>model\\n' }}\n{%- endif -%}"),
    "phi-3": ("phi-3", "pieces",
              "{% for message in messages %}{{ '<|' + message['role'] + '|>' + '\\n' + message['content'] + "
              "'<|end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}"
              "{{ eos_token }}{% endif %}"),
    "zephyr": ("zephyr", "pieces",
               "{% for message in messages %}\n" + "".join(
                   "{% " + word + " message['role'] == '" + role + "' %}\n{{ '<|" + role +
                   "|>\\n' + message['content'] + eos_token }}\n"
                   for word, role in (("if", "user"), ("elif", "system"), ("elif", "assistant"))) +
               "{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
               "{% endfor %}"),
    "mistral-v7": ("mistral-v7", "bytes",
                   "{{- bos_token }}{%- for message in messages %}{%- if message['role'] == 'user' %}"
                   "{{- '[INST] ' + message['content'] + '[/INST]' }}{%- elif message['role'] == 'system' %}"
                   "{{- '[SYSTEM_PROMPT] ' + message['content'] + '[/SYSTEM_PROMPT]' }}{%- else %}"
                   "{{- ' ' + message['content'] + eos_token }}{%- endif %}{%- endfor %}"),
    "mistral-v7-tekken": ("mistral-v7-tekken", "bytes",
                          "{{- bos_token }}{%- for message in messages %}{%- if message['role'] == 'user' %}"
                          "{{- '[INST]' + message['content'] + '[/INST]' }}{%- elif message['role'] == 'system' %}"
                          "{{- '[SYSTEM_PROMPT]' + message['content'] + '[/SYSTEM_PROMPT]' }}{%- else %}"
                          "{{- message['content'] + eos_token }}{%- endif %}{%- endfor %}"),
    "phi-4": ("phi-4", "bytes",
              "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '<|im_sep|>' + "
              "message['content'] + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}"
              "{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"),
    "phi-4-mini": ("phi-4-mini", "bytes",
                   "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
                   "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}"
                   "{% endif %}"),
    "tulu": ("tulu", "bytes",
             "{% for message in messages %}{% if message['role'] == 'assistant' %}"
             "{{ '<|assistant|>\\n' + message['content'] + eos_token + ('' if loop.last else '\\n') }}{% else %}"
             "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '\\n' }}{% endif %}{% endfor %}"
             "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"),
    "deepseek": ("deepseek", "bytes",
                 "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
                 "{{ 'User: ' + message['content'] + '\\n\\n' }}{% elif message['role'] == 'assistant' %}"
                 "{{ 'Assistant: ' + message['content'] + eos_token }}{% else %}{{ message['content'] + '\\n\\n' }}"
                 "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"),
    "deepseek-r1": ("deepseek-r1", "bytes",
                    "{% set ns = namespace(system='') %}{% for message in messages %}"
                    "{% if message['role'] == 'system' %}{% set ns.system = message['content'] %}{% endif %}{% endfor %}"
                    "{{ bos_token }}{{ ns.system }}{% for message in messages %}{% if message['role'] == 'user' %}"
                    "{{ '<\uff5cUser\uff5c>' + message['content'] }}{% endif %}"
                    "{% if message['role'] == 'assistant' and message['content'] is not none %}"
                    "{% set content = message['content'] %}{% if '</think>' in content %}"
                    "{% set content = content.split('</think>')[-1] %}{% endif %}"
                    "{{ '<\uff5cAssistant\uff5c>' + content + eos_token }}{% endif %}{% endfor %}"
                    "{% if add_generation_prompt %}{{ '<\uff5cAssistant\uff5c><think>\\n' }}{% endif %}"),
    "openchat": ("openchat", "bytes",
                 "{{ bos_token }}{% for message in messages %}{{ 'GPT4 Correct ' + message['role'].title() + ': ' + "
                 "message['content'] + '<|end_of_turn|>' }}{% endfor %}{% if add_generation_prompt %}"
                 "{{ 'GPT4 Correct Assistant:' }}{% endif %}"),
    # No checkpoint brings these; what they are is said here, they are chosen by name, and
    # their ids are those of plain text, with the BOS that the tokenizer adds.
    "hh": (None, "bytes",
           "{% for message in messages %}{% if message['role'] == 'user' %}{{ '\\n\\nHuman: ' + message['content'] }}"
           "{% elif message['role'] == 'assistant' %}{{ '\\n\\nAssistant: ' + message['content'] }}"
           "{% if loop.last %}{{ eos_token }}{% endif %}{% else %}{{ message['content'] }}{% endif %}{% endfor %}"
           "{% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}"),
    "vicuna": (None, "pieces",
               "{% for message in messages %}{% if message['role'] == 'user' %}"
               "{{ 'USER: ' + message['content'] + ' ' }}{% elif message['role'] == 'assistant' %}"
               "{{ 'ASSISTANT: ' + message['content'] + '</s>' }}{% else %}{{ message['content'] + ' ' }}{% endif %}"
               "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"),
    "alpaca": (None, "bytes",
               "{% for message in messages %}{% if message['role'] == 'user' %}{{ '### Instruction:\\n' + "
               "message['content'] + '\\n\\n' }}{% elif message['role'] == 'assistant' %}{{ '### Response:\\n' + "
               "message['content'] + eos_token + '\\n\\n' }}{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}"
               "{% endfor %}{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}"),
}


def turns(*texts, system=None):
    """user, assistant, user, ... behind a system message."""
    roles = ["user", "assistant"]
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return ([{"role": "system", "content": system}] if system is not None else []) + messages


CONVERSATIONS = [
    turns("How many crates?"),
    turns("How many crates?", "Twenty-three."),
    turns("How many crates?", "Twenty-three.", "And gulls?"),
    turns("How many crates?", "Twenty-three.", "And gulls?", "None at all, I think."),
    turns("Say it.", "It.", system="You are short."),
    turns("Say it.", "It.", "Again!", system="You are short."),
    turns("  spaces  ", " around \n", "\n\nand lines\n", "\t tabs\t", system=" here too "),
    turns("", "", "x", ""),
    turns("", "", system=""),
    turns("caf\u00e9 \u6771\u4eac", "\U0001f41f e\u0301", "a\n\nb", "1,250 kilos\n\n- one\n- two\n"),
    turns("why?", "<think>\nLet me see.\n</think>\n\nBecause.", "and?", "<think>\n\n</think>\n\nThat's all."),
    turns("why?", "<think>one</think>two</think>\n\nthree", "and?", "no thoughts <think> here"),
    turns("That's \\ \"quoted\" {{ braces }} {% too %}", "it's 'fine'"),
]
WITH_IDS = range(3, 9)
# The generation prompt without thoughts, of qwen3 alone.
SECOND = {"qwen3": {"enable_thinking": False}}


def tokenizers():
    """Writes the two tokenizers."""
    for name, base, rstrip in (("bytes", "byte_level", False), ("pieces", "byte_fallback", True)):
        t = json.loads((BASES / base / "tokenizer.json").read_text())
        n = max([*t["model"]["vocab"].values(), *(a["id"] for a in t["added_tokens"])]) + 1
        more = MARKERS if name == "bytes" else [m for m in MARKERS if "im_" not in m and "_id|" not in m]
        if name == "pieces":  # spelled out, as in Llama 2 and the first Mistral
            more = [m for m in more if "INST" not in m and "\uff5c" not in m]
        for i, content in enumerate(more):
            t["added_tokens"].append(dict(id=n + i, content=content, single_word=False, lstrip=False,
                                          rstrip=rstrip and content.startswith("<|"), normalized=False,
                                          special=content != "<start_of_turn>"))
        folder = HERE / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(
            json.dumps(t, ensure_ascii=False, separators=(",", ":")) + "\n")
        ends = ("<|endoftext|>",) * 2 if name == "bytes" else ("<s>", "</s>")
        (folder / "tokenizer_config.json").write_text(
            json.dumps({"bos_token": ends[0], "eos_token": ends[1]}) + "\n")
        yield name, PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"),
                                            bos_token=ends[0], eos_token=ends[1])


def rows(name, kind, tokenizer, template):
    for number, messages in enumerate(CONVERSATIONS):
        row = {"template": name, "is_known": kind is not None, "conversation": number}
        options = dict(chat_template=template, date_string=DATE,
                       add_generation_prompt=messages[-1]["role"] == "user")
        try:
            row["text"] = tokenizer.apply_chat_template(messages, tokenize=False, **options)
            if number in WITH_IDS:
                row["ids"] = (tokenizer.apply_chat_template(messages, return_dict=False, **options)
                              if kind else tokenizer(row["text"]).input_ids)
            if name in SECOND and options["add_generation_prompt"]:
                row["nothink"] = tokenizer.apply_chat_template(messages, tokenize=False, **options, **SECOND[name])
        except Exception:  # what raise_exception throws
            pass
        yield row


def write(out, row):
    out.write(json.dumps(row, separators=(",", ":")) + "\n")


def main():
    with open(HERE / "conversations.jsonl", "w", newline="\n") as out:
        for messages in CONVERSATIONS:
            write(out, {"messages": messages})
    known = dict(tokenizers())
    with open(HERE / "golden.jsonl", "w", newline="\n") as out:
        for name, (kind, tokenizer, template) in TEMPLATES.items():
            if kind:
                (HERE / f"{name}.jinja").write_text(template)
            for row in rows(name, kind, known[tokenizer], template):
                write(out, dict(row, tokenizer=tokenizer))
    print((HERE / "golden.jsonl").stat().st_size, "bytes")


if __name__ == "__main__":
    main()

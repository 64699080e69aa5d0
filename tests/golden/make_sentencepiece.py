#!/usr/bin/env python3
"""Golden ids and texts of tokenizer.model, by SentencePiece itself.

Made with sentencepiece 0.2.3, transformers 5.24.0 and Python 3.11.7:
    python tests/golden/make_sentencepiece.py
    python tests/golden/make_sentencepiece.py --compare SEED COUNT [--rlhf build/rlhf]

The first trains sentencepiece/<name>/tokenizer.model on tokenizers/training.txt with the options
of Llama 2 and of Gemma, and writes golden.jsonl beside it: a text, its ids with the BOS that
transformers adds, and what SentencePiece makes of the ids; "first", of Llama's, are the ids
where tokenizer_config.json says "legacy": false, by transformers.  The texts have none of the
control pieces, which SentencePiece does not look for in texts and transformers does.  The
second compares random texts with `rlhf tokenize` and prints what differs.
"""
import argparse
import json
import random
import subprocess
import tempfile
from pathlib import Path

import sentencepiece
from transformers import LlamaTokenizer

HERE = Path(__file__).parent
TRAINING = HERE / "tokenizers" / "training.txt"
COMMON = dict(model_type="bpe", vocab_size=600, byte_fallback=True, split_digits=True, character_coverage=1.0,
              normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1,
              allow_whitespace_only_pieces=True, minloglevel=2)
MODELS = {
    "llama": dict(add_dummy_prefix=True),
    "gemma": dict(add_dummy_prefix=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>",
                  bos_piece="<bos>", user_defined_symbols=["<start_of_turn>", "<end_of_turn>", "\n\n", "\n", "<b>"]),
}
CONFIGS = {"llama": {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True},
           "gemma": {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True}}
CONTROL = ["<s>", "</s>", "<unk>", "<pad>", "<eos>", "<bos>"]
ALPHABET = list("abcdeh the ' s re 12,-.\n\t_") + ["the ", " harbour", "\u00e9", "\u2581", "\u6771", "\U0001f41f", "\n\n",
                                                   "<b>", "<start_of_turn>", "<0x41>", "  ", "\u00a0", "\u0301"]


def texts():
    rows = (json.loads(line) for line in (HERE / "tokenizers" / "texts.jsonl").read_text().splitlines())
    found = [row["text"] for row in rows] + ["<start_of_turn>user\nhi<end_of_turn>\n", "a<b>b", " <b> ", "\n\n\n", "<start_of_turn"]
    return [t for t in found if "\0" not in t and not any(c in t for c in CONTROL)]


def train(name):
    folder = HERE / "sentencepiece" / name
    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(input=str(TRAINING), model_prefix=str(folder / "tokenizer"),
                                             **COMMON, **MODELS[name])
    (folder / "tokenizer.vocab").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIGS[name]) + "\n")
    return folder


def first(folder):
    with tempfile.TemporaryDirectory() as copy:
        (Path(copy) / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes())
        config = dict(CONFIGS["llama"], legacy=False)
        (Path(copy) / "tokenizer_config.json").write_text(json.dumps(config))
        return LlamaTokenizer.from_pretrained(copy)


def write():
    for name in MODELS:
        folder = train(name)
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        other = first(folder) if name == "llama" else None
        with open(folder / "golden.jsonl", "w", newline="\n") as out:
            for text in texts():
                ids = model.encode(text)
                row = {"text": text, "ids": [model.bos_id(), *ids], "decoded": model.decode(ids)}
                if other:
                    row["first"] = other(text).input_ids
                out.write(json.dumps(row, separators=(",", ":")) + "\n")


def compare(seed, count, rlhf):
    rng = random.Random(seed)
    for name in MODELS:
        folder = HERE / "sentencepiece" / name
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        rows = ["".join(rng.choices(ALPHABET, k=rng.randrange(40))) for _ in range(count)]
        done = subprocess.run([rlhf, "tokenize", "--model", str(folder), "--input", "-"], text=True, check=True,
                              input="".join(json.dumps({"text": t}) + "\n" for t in rows), capture_output=True)
        found = [json.loads(line)["input_ids"] for line in done.stdout.splitlines()]
        for text, ids in zip(rows, found, strict=True):
            if ids != [model.bos_id(), *model.encode(text)]:
                print(name, repr(text), ids, model.encode(text))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare", nargs=2, type=int)
    parser.add_argument("--rlhf", default="build/rlhf")
    options = parser.parse_args()
    if options.compare:
        compare(*options.compare, options.rlhf)
    else:
        write()


if __name__ == "__main__":
    main()

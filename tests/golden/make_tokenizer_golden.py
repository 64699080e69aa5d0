#!/usr/bin/env python3
"""Golden ids for the tokenizer, computed by the Hugging Face tokenizers library.

Made with tokenizers 0.23.3 and Python 3.11.7:
    python tests/golden/make_tokenizer_golden.py
byte_level/ was written by tokenizer_train from training.txt (400 ids); the other
tokenizers are put together here so that every supported component is met once.
Each line of golden.jsonl: text; ids, with what the post-processor adds; decoded,
their text without special tokens; whole, their text with them.  These two are left
out where the ids hold an added token whose content changes when it is normalised:
this version of the library decodes it to the changed content, in which it no longer
knows special tokens; earlier ones and we give the content itself.
"""
import copy
import json
import random
from pathlib import Path

from tokenizers import Tokenizer

HERE = Path(__file__).parent / "tokenizers"

COMPOSED = "\u1ecd\u0301"  # what NFC makes of the added token o, acute, dot below

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

TEXTS = [
    "", " ", "  ", "a  b", "    ", "hello ", "\n\n\n", "\n\nHuman: hi\n\nAssistant:", "a\n b", "\t\tx",
    "a\r\n\r\nb", "I'm you're he'LL DON'T", "\u2019s", "'\u017f", "1234567", "1,234.56",
    "x2\xb2\xbd\u2167\u0663", "cafe\u0301", "\u212b", "\u1100\u1161", "\ufb01", "e\u0301\u0301",
    "\u0939\u093f\u0928\u094d\u0926\u0940", "\u65e5\u672c\u8a9e\u30c6\u30b9\u30c8", "\xa0a\xa0b",
    "\u3000y", "\x85z", " \u180e ", "a\u200bb", "\ufeffhi", "a\x00b",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001d4b3", "\U0010ffff",
    "<|endoftext|>", " <|endoftext|> ", "<|endoftext", "a<s>b", "</s>x", "<0x0A>", "a\u2581b", "\u0120",
    "_foo_bar__", "    def f(x):\n        return x", "a" * 40, "the harbour " * 8, "a" * 300,
    "q\u0323\u0307", "q\u0307\u0323", "\u0130stanbul", "the \u0f77 sign", "x" + "\u0301\u0323" * 30,
    "The gulls don't mind.", "twenty-three crates, 1,250 kilos", "a-b--c,,d , e", "-1-2--3",
    "<mask>", "a <mask> b", "a  <mask>  b", "word<w>word", "word <w> word", "<w>", "x<trim> \n y",
    " \u2581 \u2581x", "o\u0323\u0301 o\u0301\u0323 \u1ecd\u0301", "<unk>", "\U0001f41f", "\u20ac5",
]
ALPHABET = list("ab the ' s t re 12 ,-. \n \r\t_") + [
    "\u0301", "\u0323", "\xe9", "\u3000", "\x85", "\u180e", "\u2028", "\u200b", "\u6771", "\U0001f41f", "\xbd",
    "\u0663", "\u1ecd\u0301", "<|endoftext|>", "<s>", "</s>", "<mask>", "<w>", "<trim>", "\u2581", "'S", "\u017f", "\x00", "\u0130",
]


def texts(seed):
    rng = random.Random(seed)
    more = ["".join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, 60))) for _ in range(60)]
    return TEXTS + more


def added(ident, content, **flags):
    token = dict(id=ident, content=content, single_word=False, lstrip=False, rstrip=False,
                 normalized=False, special=True)
    token.update(flags)
    return token


def template(ident, content):
    a = {"Sequence": {"id": "A", "type_id": 0}}
    b = {"Sequence": {"id": "B", "type_id": 1}}
    bos = {"SpecialToken": {"id": content, "type_id": 0}}
    return {"type": "TemplateProcessing", "single": [bos, a], "pair": [bos, a, bos, b],
            "special_tokens": {content: {"id": content, "ids": [ident], "tokens": [content]}}}


def byte_level(**more):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True,
            **more}


def llama3(base):
    """Llama 3's split and post-processor, pieces looked up whole."""
    t = copy.deepcopy(base)
    t["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
        byte_level(use_regex=False)]}
    bos = t["added_tokens"][0]
    t["post_processor"] = {"type": "Sequence",
                           "processors": [byte_level(), template(bos["id"], bos["content"])]}
    t["model"]["ignore_merges"] = True
    t["model"]["merges"] = t["model"]["merges"][:60]
    return t


def digits(base):
    """SmolLM's split, NFC, and added tokens with every flag."""
    t = copy.deepcopy(base)
    n = t["added_tokens"][0]["id"]
    t["normalizer"] = {"type": "NFC"}
    t["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, byte_level()]}
    t["post_processor"] = None
    t["added_tokens"] += [
        added(n + 1, "    ", normalized=True, special=False),
        added(n + 2, "  ", normalized=True, special=False),
        added(n + 3, "<mask>", lstrip=True),
        added(n + 4, "<w>", single_word=True, special=False),
        added(n + 5, "<trim>", rstrip=True),
        added(n + 6, "o\u0301\u0323", normalized=True, special=False)]
    return t


def splits(base):
    """Every behaviour of Split, a prefix space, BERT's kind of ends."""
    def split(pattern, behavior, invert=False):
        return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}

    t = copy.deepcopy(base)
    n = t["added_tokens"][0]["id"]
    t["added_tokens"].append(added(n + 1, "<s>"))
    t["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        split({"String": ","}, "MergedWithPrevious"),
        split({"Regex": "-"}, "MergedWithNext"),
        split({"Regex": r"\d"}, "Contiguous"),
        split({"Regex": r"[^\s]+"}, "Removed", True),
        {"type": "Digits", "individual_digits": False},
        byte_level(add_prefix_space=True)]}
    t["post_processor"] = {"type": "RobertaProcessing", "cls": ["<s>", n + 1],
                           "sep": ["<|endoftext|>", n], "trim_offsets": True,
                           "add_prefix_space": False}
    return t


def pieces_of(words, alphabet):
    """A vocabulary and merges that build each word from the left."""
    vocab, merges = list(alphabet), []
    for word in words:
        for i in range(2, len(word) + 1):
            if word[:i] not in vocab:
                vocab.append(word[:i])
                merges.append([word[:i - 1], word[i - 1]])
    return vocab, merges


def byte_fallback():
    """Llama 2's kind, legacy: the whole text is one piece."""
    words = ["\u2581the", "\u2581harbour", "\u2581a", "aa", "\u2581\u2581", "er", "ou", "\u2581s", "\u2581b",
             "\u2581co", "\u2581gull", "in", "on", "\u2581h"]
    vocab, merges = pieces_of(words, "\u2581abcdefghijklmnopqrstuvwxyzTHI,.'\u6771")
    vocab += ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    vocab = vocab[-259:] + vocab[:-259]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "pre_tokenizer": None,
        "post_processor": template(1, "<s>"),
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
                  "byte_fallback": True, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(vocab)}, "merges": merges},
    }


def metaspace():
    """Characters without byte fallback, Metaspace, a chain of normalisers."""
    t = byte_fallback()
    t["normalizer"] = {"type": "Sequence", "normalizers": [
        {"type": "NFKC"}, {"type": "Lowercase"},
        {"type": "Strip", "strip_left": False, "strip_right": True}]}
    t["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first",
                          "split": True}
    t["decoder"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first",
                    "split": True}
    t["model"]["byte_fallback"] = False
    t["model"]["merges"] = [" ".join(merge) for merge in t["model"]["merges"]]
    del t["model"]["type"]
    return t


def write(name, tokenizer, seed):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    if tokenizer is not None:
        text = json.dumps(tokenizer, ensure_ascii=False, indent=None, separators=(",", ":"))
        (folder / "tokenizer.json").write_text(text + "\n")
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with open(folder / "golden.jsonl", "w", newline="\n") as out:
        for text in texts(seed):
            ids = library.encode(text).ids
            row = {"text": text, "ids": ids}
            if not any(library.id_to_token(i) == COMPOSED for i in ids):
                row["decoded"] = library.decode(ids)
                row["whole"] = library.decode(ids, skip_special_tokens=False)
            out.write(json.dumps(row) + "\n")
    print(name, library.get_vocab_size())


def main():
    base = json.loads((HERE / "byte_level" / "tokenizer.json").read_text())
    write("byte_level", None, 1)
    write("llama3", llama3(base), 2)
    write("digits", digits(base), 3)
    write("splits", splits(base), 4)
    write("byte_fallback", byte_fallback(), 5)
    write("metaspace", metaspace(), 6)


if __name__ == "__main__":
    main()

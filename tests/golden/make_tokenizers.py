#!/usr/bin/env python3
"""Tokenizers of every family, small ones, with golden ids and texts by the Hugging Face
tokenizers library.

Made with tokenizers 0.23.3 and Python 3.11.7:
    python tests/golden/make_tokenizers.py
Each family's tokenizer is trained here with the pipeline of the real ones, their patterns,
flags and special tokens; others are put together so that every component is met.
byte_level/ was written by tokenizer_train from training.txt (400 ids).

tokenizers/texts.jsonl holds the texts; line i of a tokenizer's golden.jsonl belongs to text
i: ids, with what the post-processor adds; decoded, their text without special tokens; whole,
their text with them; these two only where they are not the text itself.  decoded is null
where the library keeps special tokens in the text because the normaliser changes their
content (the program leaves out what is special), and whole for all but the first texts.
"""
import copy
import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from compare_tokenizers import BLOOM, CORPUS, DIGITS, KIMI, LLAMA3, QWEN2, TEKKEN, Comparison, random_text

HERE = Path(__file__).parent / "tokenizers"

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
MORE = [
    "He said: 'Don't!' \u2014 I'LL WE'VE they'RE it'D 'tis", "l'\u00e9t\u00e9 aujourd'hui", "''''", "'s", " 's 't",
    "1", "12", "123", "1234", "12345678901234567890", "3.14159", "1e-5", "0x41", "\u0661\u0662\u0663\u0664",
    "\u2460\u2461 \u216b", "\n", "\n\n", "\r", "\r\n", " \n", "\n ", " \n \n ", "\t", " \t \t", "a \n\n b", "x\n\n\n\ny",
    "\x0b\x0c", "a\u2028b\u2029c", "\x00", "\x01\x02\x1f", "\x7f", "\x80\x9f", "\ufffe\uffff", "\ufffd", "\u00ad soft",
    "\u200e\u200f\u202a\u202e", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "abc \u05d0\u05d1\u05d2 123",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "\u4f60\u597d\uff0c\u4e16\u754c\uff01",
    "\u3053\u3093\u306b\u3061\u306f\u3002\u304c \u304b\u3099", "\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f1eb\U0001f1f7\U0001f1ef\U0001f1f5", "\u2764\ufe0f", "1\ufe0f\u20e3", "\U0001f600\U0001f601\U0001f602",
    "Z\u0351\u036b\u0343\u036a\u0302a\u0323\u0301l\u0334\u0335g\u0489o", "\u1e9b\u0323", "\u0344", "\u0958", "\uac00\u11a8",
    "\u2126\u212a", "\u00b5\u03bc", "\u01c4\u01c5\u01c6", "\u00df\u1e9e \u03a3\u03c3\u03c2", "\u01f0", "\ufb03", "\u00bc\u00bd",
    "\u00aa\u00ba", "\u2120\u2122", "\uff21\uff11", "http://example.org/a_b?c=d&e=%20#f", "a@b.co", "C:\\path\\file.txt",
    '{"key": [1, 2.5, null]}', "<html><body/></html>", "$x^2_1$", "snake_case camelCase PascalCase",
    "for(int i=0;i<n;++i){\n\tsum+=a[i];\n}\n", 'def f(self):\n    """doc"""\n    return -1', "- a\n  - b\n    - c",
    "a,b;c:d.e!f?g", "...", "--", "***", "=====", "a/b/c", "/\n//\r\n", "supercalifragilisticexpialidocious" * 3, "ab" * 120,
    " " * 100, "\n" * 50, "\u6771" * 60, "\U0001f41f" * 30, "!" * 70, "1" * 90, " leading", "trailing ", "  two  spaces  ",
    "   three", "tab\there", "\u00a0nbsp\u00a0", "\u3000wide", "a\u00a0 b", " \u2003 ", "<s>", "<s> a", "a</s>", "<s></s><s>",
    "< s>", "<unk>a", "<|endoftext|><|endoftext|>", "x<|endoftext|>y", "<|im_start|>user\nhi<|im_end|>\n",
    "<|begin_of_text|>a", "[INST] hi [/INST]", "<bos>a<eos>", "<think>\nhm\n</think>", "<pad>", "<0xE2><0x96><0x81>",
    "\u0120a\u010ab", "\u2581a \u2581", "a\u2581\u2581b", "<|user|>\n hi<|end|>\n<|assistant|>\n",
    "\U00031350\U0001e4d0\U00010d40", "\ua7cb\U00010d50", "\U000e0041", "\u0378",
]
N_WHOLE = 90
SPACES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def texts():
    rng = random.Random(1)
    more = ["".join(rng.choice(ALPHABET) for _ in range(rng.randrange(1, 40))) for _ in range(40)]
    return list(dict.fromkeys(TEXTS + MORE + more + [random_text(rng)[:60] for _ in range(40)]))


def lines():
    return (HERE / "training.txt").read_text().splitlines(keepends=True) + CORPUS


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


# --- families ---

def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), BYTES])


def train(tokenizer, size, specials, alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=specials,
                                  initial_alphabet=list(alphabet))
    tokenizer.train_from_iterator(lines(), trainer)


def bos_first(token, tokenizer):
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A {token}:1 $B:1",
                                         special_tokens=[(token, tokenizer.token_to_id(token))])


def special(*contents, **flags):
    return [AddedToken(content, normalized=False, special=True, **flags) for content in contents]


def of_bytes(pre_tokenizer, normalizer=None, size=420, first=(), last=("<|endoftext|>",)):
    """A byte-level tokenizer; special tokens in front of the vocabulary or behind it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    train(tokenizer, size, list(first), pre_tokenizers.ByteLevel.alphabet())
    tokenizer.add_special_tokens(special(*last))
    return tokenizer


def of_pieces(normalizer=None, pre_tokenizer=None, size=560):
    """Llama 2's kind: characters, with bytes to fall back on; spaces are U+2581."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trained.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, limit_alphabet=80,
                                  special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)])
    trained.train_from_iterator(lines(), trainer)
    text = json.loads(trained.to_str())
    text["added_tokens"] = [t for t in text["added_tokens"] if not t["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(text))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.post_processor = bos_first("<s>", tokenizer)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                                           decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def gpt2():
    tokenizer = of_bytes(SPACES)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def gpt_neox():
    tokenizer = of_bytes(SPACES, normalizers.NFC(), first=["<|endoftext|>", "<|padding|>"], last=[])
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True, special=False) for n in range(24, 1, -1)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def llama3():
    tokenizer = of_bytes(split(LLAMA3), last=["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>",
                                              "<|end_header_id|>", "<|eot_id|>"])
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
                                                    bos_first("<|begin_of_text|>", tokenizer)])
    text = json.loads(tokenizer.to_str())
    text["model"]["ignore_merges"] = True
    # Tokens that no merges make, as the real ones have: only ignore_merges finds them.
    text["model"]["merges"] = text["model"]["merges"][:-25]
    return text


def qwen2():
    tokenizer = of_bytes(split(QWEN2), normalizers.NFC(), last=["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def smollm2():
    pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), SPACES])
    return of_bytes(pre, first=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], last=[])


def starcoder():
    text = json.loads(smollm2().to_str())
    text["model"]["merges"] = [" ".join(pair) for pair in text["model"]["merges"]]
    text["pre_tokenizer"]["pretokenizers"][1].pop("use_regex")  # older files leave it out
    del text["model"]["type"]
    return text


def opt():
    tokenizer = of_bytes(SPACES, first=["<s>", "<pad>", "</s>", "<unk>"], last=["<mask>"])
    tokenizer.post_processor = bos_first("</s>", tokenizer)
    return tokenizer


def phi():
    tokenizer = of_bytes(SPACES)
    tokenizer.add_tokens([AddedToken(" " * n, normalized=False) for n in range(31, 1, -1)]
                         + [AddedToken("\t" * n, normalized=False) for n in range(9, 1, -1)])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def falcon():
    """What comes behind ByteLevel sees the characters that stand for bytes."""
    return of_bytes(pre_tokenizers.Sequence([
        pre_tokenizers.Punctuation("contiguous"), SPACES, pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]))


def tekken():
    tokenizer = of_bytes(split(TEKKEN), first=["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], last=[])
    tokenizer.post_processor = bos_first("<s>", tokenizer)
    text = json.loads(tokenizer.to_str())
    text["model"]["ignore_merges"] = True
    return text


def kimi():
    """Classes within classes, and what is in both."""
    return of_bytes(split(KIMI))


def bloom():
    return of_bytes(split(BLOOM), normalizers.NFC())


def tiny_aya():
    """Digits by threes from the right, up to where a word ends."""
    return of_bytes(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(DIGITS), "isolated"), split(KIMI)]))


def llama2_legacy():
    return of_pieces(normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]))


def llama2_metaspace(scheme):
    return lambda: of_pieces(None, pre_tokenizers.Metaspace("\u2581", prepend_scheme=scheme, split=False))


def mistral():
    tokenizer = llama2_metaspace("first")()
    tokenizer.add_special_tokens(special("[INST]", "[/INST]"))
    return tokenizer


def phi3():
    """Llama 2's kind with markers that swallow what is behind them."""
    tokenizer = llama2_legacy()
    tokenizer.add_special_tokens(special("<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>", rstrip=True))
    return tokenizer


def gemma():
    tokenizer = of_pieces(normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split(" ", "merged_with_previous"))
    tokenizer.add_special_tokens(special("<bos>", "<eos>"))
    tokenizer.post_processor = bos_first("<bos>", tokenizer)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def clip():
    """Words that end in a mark."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "),
                                                 normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(True)])
    trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"],
                                  end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(lines(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1), False, False)
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return tokenizer


FAMILIES = {
    "gpt2": gpt2, "gpt_neox": gpt_neox, "llama3": llama3, "qwen2": qwen2, "smollm2": smollm2, "starcoder": starcoder,
    "opt": opt, "phi": phi, "falcon": falcon, "tekken": tekken, "kimi": kimi, "bloom": bloom, "tiny_aya": tiny_aya, "llama2_legacy": llama2_legacy,
    "llama2_first": llama2_metaspace("first"), "llama2_always": llama2_metaspace("always"),
    "llama2_never": llama2_metaspace("never"), "mistral": mistral, "phi3": phi3, "gemma": gemma, "clip": clip,
}


# --- components ---

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


def marks():
    """Every piece begins with a mark, so that pieces can be told from ids."""
    t = byte_fallback()
    t["normalizer"] = json.loads(normalizers.Sequence([normalizers.StripAccents(), normalizers.Lowercase()])
                                 .__getstate__())
    pre = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"\p{L}+|x*"), "isolated"),
        pre_tokenizers.Split("-", "merged_with_next", invert=True), pre_tokenizers.Punctuation("merged_with_previous"),
        pre_tokenizers.Digits(False), pre_tokenizers.Metaspace("\u2581", prepend_scheme="always", split=False)])
    t["pre_tokenizer"] = json.loads(pre.__getstate__())
    return t


def strips():
    """What white space is swallowed by, and what is then the beginning."""
    t = byte_fallback()
    t["normalizer"] = {"type": "Strip", "strip_left": True, "strip_right": False}
    t["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
    n = len(t["model"]["vocab"])
    t["added_tokens"] += [added(n, "    ", lstrip=True, rstrip=True), added(n + 1, "the", single_word=True)]
    return t


# --- writing ---

def write_tokenizer(name, tokenizer):
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(tokenizer, Tokenizer):
        tokenizer = json.loads(tokenizer.to_str())
    text = json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text + "\n")


def write_golden(name):
    folder = HERE / name
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    kept = Comparison.kept_specials(library)
    with open(folder / "golden.jsonl", "w", newline="\n") as out:
        for i, text in enumerate(texts()):
            ids = library.encode(text).ids
            row = {"ids": ids}
            for key, skip in (("decoded", True), ("whole", False)):
                decoded = library.decode(ids, skip_special_tokens=skip)
                if (skip and kept & set(ids)) or (not skip and i >= N_WHOLE):
                    row[key] = None
                elif decoded != text:
                    row[key] = decoded
            out.write(json.dumps(row, separators=(",", ":")) + "\n")
    print(name, library.get_vocab_size(), (folder / "tokenizer.json").stat().st_size,
          (folder / "golden.jsonl").stat().st_size)


def main():
    with open(HERE / "texts.jsonl", "w", newline="\n") as out:
        for text in texts():
            out.write(json.dumps({"text": text}, separators=(",", ":")) + "\n")
    base = json.loads((HERE / "byte_level" / "tokenizer.json").read_text())
    for name, family in FAMILIES.items():
        write_tokenizer(name, family())
    for name, tokenizer in (("digits", digits(base)), ("splits", splits(base)), ("byte_fallback", byte_fallback()),
                            ("metaspace", metaspace()), ("marks", marks()), ("strips", strips())):
        write_tokenizer(name, tokenizer)
    for name in ["byte_level", "digits", "splits", "byte_fallback", "metaspace", "marks", "strips", *FAMILIES]:
        write_golden(name)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Random tokenizers and random texts: ids and decoded texts of `rlhf tokenize` against the
Hugging Face tokenizers library.

    python tests/golden/compare_tokenizers.py [--rlhf build/rlhf] [--seed 1] [--pipelines 50]
        [--texts 400] [--only DIR] [--keep DIR]
    python tests/golden/compare_tokenizers.py --classes

Each pipeline is drawn from all components that the program reads, trained on a few lines,
and given many texts; every difference is printed and the exit code is 1.  --only compares
one tokenizer's directory instead of random ones; --classes compares every character of
Unicode in everything that depends on what a character is.  Written for tokenizers 0.23.3.
Left out: the text without special tokens of special tokens whose content the normaliser
changes.  The library leaves those in; the program leaves out what is special.
"""
import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
O200K = TEKKEN.replace(r"+|[^\r", r"+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r", 1).replace(
    r"*|\p{N}|", r"*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|")
KIMI = r"[\p{Han}]+|" + O200K.replace(r"\p{M}]", r"\p{M}&&[^\p{Han}]]").replace("[\\r\\n/]*", "[\\r\\n]*")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
DIGITS = r"\d{1,3}(?=(?:\d{3})*\b)"
PATTERNS = [GPT2, LLAMA3, QWEN2, TEKKEN, r"\s+", r"\S+", r"\d", r"\d{3}", r"\p{P}", r"[^\w\s]+|\w+", r"[a-c]+|\n", r"\p{L}", r"'",
            r"(?:ab|a)b", r"[\p{M}\p{N}]", r" ?\S", r"x*", r"$", r"(?=b)", r"[\s\p{P}]+", r"\W", r"[^\w\d]+", r"^a",
            r"\p{Han}", r"[一-鿿]+", r"\D+", O200K, KIMI, BLOOM, DIGITS, r"\b", r"\B\w", r"(?<!\s)\p{L}", r"(?<=^|[^\d])(?=(\d{3})*\d)",
            r"(?:ab|\d){1,2}+", r"\d{2}?", r"[a-c]{1,2}?b", r"[a[bc\s]]+", r"[\w&&\D&&[^a]]+"]
STRINGS = [" ", ",", "▁", "ab", "\n", "e", "́", "  ", "'", ""]
BEHAVIOURS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]

CORPUS = [
    "The harbour master counted twenty-three crates, 1,250 kilos in all, and the gulls didn't mind.",
    "the cat sat on the mat; the dog didn't. I'M you're he'LL DON'T we've",
    "def f(x):\n        return x + 1\n\n\nprint(f(12345))\n\tdone\r\n",
    "naïve café Ångström ﬁn 東京都 テスト 한국어 हिन्दी Ελληνικά русский العربية עברית",
    "👩‍👩‍👧‍👦 👍🏽 🇫🇷 é é ½ ² Ⅷ ٣",
    "aaaa aaaaaaaa abababab bababa  spaces   here    and     there",
]


def all_points():
    """Code points by category, as this Python knows them."""
    table = {}
    for c in range(0x110000):
        if not 0xD800 <= c <= 0xDFFF:
            table.setdefault(unicodedata.category(chr(c)), []).append(c)
    return table


POINTS = all_points()
COMMON = list("ab the' stre12 ,-.\n \r\t_ABXYZ!?()<>|/") + [
    "'s", "'LL", "'ſ", "’s", "don't", "I'M", "123", "1,234.5", "\r\n", "\n\n", "\n\n\n", "    ", "\t\t", "é", "é",
    "ệ", "ṩ", "각", "각", "ﬁ", "½", "Ⅷ", "٣", "Å", "İ", "ß", "ẞ", "Σ", "ς", "\u200b", "\u200d", "\u00a0", "\u3000", "\x85",
    "\u180e", "\u2028", "\ufeff", "\x00", "\x1c", "▁", "Ġ", "Ċ", "東京", "日本語テスト", "हिन्दी", "العربية", "👩‍👩‍👧‍👦", "👍🏽", "🇫🇷", "\U0010ffff",
    "<s>", "</s>", "<unk>", "<|endoftext|>", "<mask>", "<pad>", "<w>", "<0x0A>", "<0x41>", "aaaaaaaa", "the harbour ",
]


def random_text(rng):
    kind = rng.random()
    if kind < 0.02:
        return ""
    if kind < 0.05:
        return rng.choice(COMMON) * rng.randrange(1, 200)
    pieces = []
    for _ in range(rng.randrange(1, 40)):
        if rng.random() < 0.75:
            pieces.append(rng.choice(COMMON))
        else:
            pieces.append(chr(rng.choice(POINTS[rng.choice(list(POINTS))])) * rng.choice([1, 1, 1, 2, 5]))
    return "".join(pieces)


def split(rng):
    pattern = Regex(rng.choice(PATTERNS)) if rng.random() < 0.8 else rng.choice(STRINGS)
    return pre_tokenizers.Split(pattern, rng.choice(BEHAVIOURS), invert=rng.random() < 0.3)


def metaspace(rng, schemes=("always", "never")):
    return pre_tokenizers.Metaspace("▁", prepend_scheme=rng.choice(schemes), split=rng.random() < 0.6)


def random_pre_tokenizers(rng):
    makers = [split, split, metaspace,
              lambda r: pre_tokenizers.Digits(individual_digits=r.random() < 0.5),
              lambda r: pre_tokenizers.Punctuation(r.choice(BEHAVIOURS)),
              lambda r: pre_tokenizers.Whitespace(),
              lambda r: pre_tokenizers.WhitespaceSplit()]
    items = [rng.choice(makers)(rng) for _ in range(rng.choice([0, 0, 1, 1, 1, 2, 3]))]
    if rng.random() < 0.2:  # "first" means what it says only where nothing was put in front before
        items = [metaspace(rng, ["first"])] + items[:1]
    return items


def random_normalizers(rng):
    makers = [normalizers.NFC, normalizers.NFD, normalizers.NFKC, normalizers.NFKD, normalizers.Lowercase,
              normalizers.StripAccents, normalizers.Nmt,
              lambda: normalizers.Strip(left=rng.random() < 0.5, right=rng.random() < 0.5),
              lambda: normalizers.Prepend(rng.choice(["▁", "ab", " "])),
              lambda: normalizers.Replace(rng.choice(STRINGS[:-1]), rng.choice(["▁", "", "xy"])),
              # What it inserts where nothing matches at the front, the library encodes twice.
              lambda: normalizers.Replace(Regex(rng.choice([p for p in PATTERNS if p not in ("x*", "$", "(?=b)")])),
                                          rng.choice(["▁", "", "xy"]))]
    return [rng.choice(makers)() for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3]))]


def sequence(kind, items):
    return items[0] if len(items) == 1 else kind.Sequence(items)


def random_added(rng, normalizer):
    contents = ["<s>", "</s>", "<unk>", "<mask>", "<w>", "<|endoftext|>", "    ", "  ", "ệ", "the", "ab ", "Ab"]
    tokens = []
    for content in rng.sample(contents, rng.randrange(0, 8)):
        def flag(chance=0.2):
            return rng.random() < chance
        tokens.append(AddedToken(content, single_word=flag(), lstrip=flag(), rstrip=flag(), normalized=flag(0.3),
                                 special=flag(0.6)))
    # The library never ends where a token is nothing once it is normalised.
    return [t for t in tokens if not t.normalized or not normalizer or normalizer.normalize_str(t.content)]


def random_tokenizer(rng):
    is_bytes = rng.random() < 0.5
    options = {}
    if not is_bytes:
        options = {"fuse_unk": rng.random() < 0.5, "byte_fallback": rng.random() < 0.5}
        if rng.random() < 0.8:
            options["unk_token"] = "<unk>"
        if rng.random() < 0.15:
            options["end_of_word_suffix"] = "</w>"
        if rng.random() < 0.1:
            options["continuing_subword_prefix"] = "##"
    tokenizer = Tokenizer(models.BPE(**options))
    normal = random_normalizers(rng)
    if normal:
        tokenizer.normalizer = sequence(normalizers, normal)
    pre = random_pre_tokenizers(rng)
    if is_bytes:
        pre.append(pre_tokenizers.ByteLevel(add_prefix_space=rng.random() < 0.3, use_regex=rng.random() < 0.5))
        if rng.random() < 0.1:
            pre.append(rng.choice([pre_tokenizers.Digits(True), split(rng)]))
    if pre:
        tokenizer.pre_tokenizer = sequence(pre_tokenizers, pre)
    specials = [] if is_bytes else ["<unk>"]
    if options.get("byte_fallback"):
        specials += [f"<0x{i:02X}>" for i in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=rng.randrange(300, 700), show_progress=False, special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if is_bytes else [],
        **{key: value for key, value in options.items() if key in ("continuing_subword_prefix", "end_of_word_suffix")})
    tokenizer.train_from_iterator(CORPUS, trainer)
    add_ends(rng, tokenizer)
    add_decoder(rng, tokenizer, is_bytes)
    text = json.loads(tokenizer.to_str())
    if options.get("byte_fallback") and rng.random() < 0.7:  # byte tokens are plain members of the vocabulary
        text["added_tokens"] = [t for t in text["added_tokens"] if not t["content"].startswith("<0x")]
    text["model"]["ignore_merges"] = rng.random() < 0.3
    if rng.random() < 0.5:
        text["model"]["merges"] = [" ".join(m) for m in text["model"]["merges"]
                                   if " " not in m[0] + m[1]]
    elif rng.random() < 0.3:
        text["model"]["merges"] = text["model"]["merges"][: rng.randrange(50)]
    return json.dumps(text, ensure_ascii=False)


def add_ends(rng, tokenizer):
    tokenizer.add_tokens(random_added(rng, tokenizer.normalizer))
    known = [t for t in ("<s>", "</s>", "<mask>") if tokenizer.token_to_id(t) is not None]
    ids = [(t, tokenizer.token_to_id(t)) for t in known]
    makers = [lambda: processors.ByteLevel(trim_offsets=rng.random() < 0.5)]
    if known:
        makers += [lambda: processors.TemplateProcessing(
            single=f"{rng.choice(known)} $A" + (f" {rng.choice(known)}:1" if rng.random() < 0.5 else ""),
            pair=f"{known[0]} $A $B:1", special_tokens=ids)]
        makers += [lambda: processors.RobertaProcessing(ids[0], ids[-1], rng.random() < 0.5, rng.random() < 0.5),
                   lambda: processors.BertProcessing(ids[0], ids[-1])]
    items = [rng.choice(makers)() for _ in range(rng.choice([0, 1, 1, 2]))]
    if items:
        tokenizer.post_processor = sequence(processors, items)


def add_decoder(rng, tokenizer, is_bytes):
    makers = [lambda: decoders.Replace("▁", " "), decoders.ByteFallback, decoders.Fuse,
              lambda: decoders.Strip(" ", rng.randrange(3), rng.randrange(2)),
              lambda: decoders.Metaspace("▁", prepend_scheme=rng.choice(["first", "always", "never"])),
              lambda: decoders.BPEDecoder("</w>"), decoders.ByteLevel,
              lambda: decoders.Replace(Regex(rng.choice(PATTERNS)), rng.choice(["", "x"]))]
    kind = rng.random()
    if kind < 0.2:
        return
    if kind < 0.6 and is_bytes:
        tokenizer.decoder = decoders.ByteLevel()
    elif kind < 0.6:
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                               decoders.Strip(" ", 1, 0)])
    else:
        tokenizer.decoder = sequence(decoders, [rng.choice(makers)() for _ in range(rng.choice([1, 1, 2, 3]))])


def run(rlhf, folder, rows, *options):
    """Rows through rlhf tokenize; the lines, or the sentence of a refusal."""
    source = Path(folder) / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run([rlhf, "tokenize", "--model", folder, "--input", source, *options],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, done.stderr.strip()
    return [json.loads(line) for line in done.stdout.split("\n") if line], None


def unless_it_panics(function, *arguments):
    """What the library gives; None where it breaks."""
    try:
        return function(*arguments)
    except BaseException as error:  # pyo3's PanicException is no Exception
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            return None
        raise


def draw(rng, path):
    """Writes a random tokenizer that the library can load."""
    path.write_text(random_tokenizer(rng))
    return Tokenizer.from_file(str(path))


class Comparison:
    def __init__(self, rlhf, keep):
        self.rlhf, self.keep = rlhf, keep
        self.texts = self.different = self.refused = 0

    def report(self, name, folder, what, theirs, ours):
        self.different += 1
        print(f"DIFFERENT {name}: {what}\n  expected {theirs}\n  found    {ours}")
        if self.keep:
            target = Path(self.keep) / name
            target.mkdir(parents=True, exist_ok=True)
            (target / "tokenizer.json").write_text((Path(folder) / "tokenizer.json").read_text())

    @staticmethod
    def kept_specials(library):
        """Special tokens that the library does not know as such when it decodes."""
        def changes(token):
            return (token.normalized and library.normalizer is not None
                    and library.normalizer.normalize_str(token.content) != token.content)
        return {i for i, token in library.get_added_tokens_decoder().items() if token.special and changes(token)}

    def compare(self, name, folder, texts, rng):
        library = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        rows, why = run(self.rlhf, folder, [{"text": text} for text in texts])
        if rows is None:
            self.refused += 1
            print(f"refused {name}: {why}")
            return
        bad = 0
        lists = []
        for text, row in zip(texts, rows, strict=True):
            encoding = unless_it_panics(library.encode, text)
            if encoding is None:
                continue
            ids = encoding.ids
            lists.append(ids)
            self.texts += 1
            if ids != row["input_ids"] and (bad := bad + 1) <= 2:
                self.report(name, folder, f"ids of {text!r}", ids, row["input_ids"])
        size = library.get_vocab_size()
        kept = self.kept_specials(library)
        lists += [[rng.randrange(size + 3) for _ in range(rng.randrange(12))] for _ in range(len(texts) // 4)]
        for options, skip in ((["--decode"], False), (["--decode", "--no-special"], True)):
            rows, why = run(self.rlhf, folder, [{"input_ids": [i for i in ids if i < size]} for ids in lists], *options)
            if rows is None:
                print(f"refused {name}: {why}")
                return
            bad = 0
            for ids, row in zip(lists, rows, strict=True):
                theirs = unless_it_panics(library.decode, [i for i in ids if i < size], skip)
                if theirs is None or (skip and kept & set(ids)):
                    continue
                if theirs != row["text"] and (bad := bad + 1) <= 2:
                    self.report(name, folder, f"text of {ids}", repr(theirs), repr(row["text"]))


def class_tokenizer(normalizer=None, pre_tokenizer=None):
    """Characters as bytes, and each piece with a mark in front."""
    vocab = {"\u2581": 256, "a": 257, **{f"<0x{i:02X}>": i for i in range(256)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    mark = pre_tokenizers.Metaspace("\u2581", prepend_scheme="always", split=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizer, mark]) if pre_tokenizer else mark
    return tokenizer


def class_tokenizers():

    for name in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "Strip"]:
        yield name, class_tokenizer(normalizer=getattr(normalizers, name)())
    yield "Digits", class_tokenizer(pre_tokenizer=pre_tokenizers.Digits(True))
    for name in ["Punctuation", "Whitespace", "WhitespaceSplit", "BertPreTokenizer"]:
        yield name, class_tokenizer(pre_tokenizer=getattr(pre_tokenizers, name)())
    for pattern in [r"\p{L}", r"\p{N}", r"\s", r"\S", r"\d", r"\D", r"\w", r"\W", r"\p{Lu}", r"\p{Ll}", r"\p{Lt}",
                    r"\p{Lm}", r"\p{Lo}", r"\p{M}", r"\p{P}", r"\p{S}", r"\p{Z}", r"\p{Han}", r"[^\s\p{L}\p{N}]",
                    r"(?i:s)", r"(?i:k)", r"(?i:\u00E5)", r"."]:
        yield pattern, class_tokenizer(pre_tokenizer=pre_tokenizers.Split(Regex(pattern), "removed"))


def compare_classes(rlhf):
    """All characters, each between two letters a; those that differ."""
    points = [c for category in POINTS.values() for c in category if c < 0xD800 or c > 0xDFFF]
    chunks = [points[i:i + 64] for i in range(0, len(points), 64)]
    differences = 0
    for name, tokenizer in class_tokenizers():
        wrong = []
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(str(Path(folder) / "tokenizer.json"))

            def ours(texts):
                rows, why = run(rlhf, folder, [{"text": text} for text in texts])
                if rows is None:
                    sys.exit(why)
                return [row["input_ids"] for row in rows]

            texts = ["a" + "a".join(map(chr, chunk)) + "a" for chunk in chunks]
            for chunk, text, ids in zip(chunks, texts, ours(texts), strict=True):
                if tokenizer.encode(text).ids != ids:
                    texts = [f"a{chr(c)}a" for c in chunk]
                    wrong += [c for c, text, ids in zip(chunk, texts, ours(texts), strict=True)
                              if tokenizer.encode(text).ids != ids]
        differences += len(wrong)
        assigned = [c for c in wrong if unicodedata.category(chr(c)) != "Cn"]
        print(f"{name}: {len(wrong)} characters differ, {len(assigned)} of them in Unicode {unicodedata.unidata_version}: "
              + " ".join(f"{c:04X}" for c in (assigned or wrong)[:12]), flush=True)
    return differences


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rlhf", default="build/rlhf")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pipelines", type=int, default=50)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--only")
    parser.add_argument("--keep")
    parser.add_argument("--classes", action="store_true")
    args = parser.parse_args()
    if args.classes:
        sys.exit(compare_classes(args.rlhf) > 0)
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # of the machine the library could take all
    comparison = Comparison(args.rlhf, args.keep)
    for number in range(1 if args.only else args.pipelines):
        rng = random.Random(f"{args.seed}/{number}")
        texts = [random_text(rng) for _ in range(args.texts)]
        with tempfile.TemporaryDirectory() as folder:
            if args.only:
                (Path(folder) / "tokenizer.json").write_text((Path(args.only) / "tokenizer.json").read_text())
                comparison.compare(args.only, folder, texts, rng)
                continue
            if unless_it_panics(draw, rng, Path(folder) / "tokenizer.json"):
                comparison.compare(f"{args.seed}-{number}", folder, texts, rng)
    print(f"{comparison.texts} texts, {comparison.different} differences, {comparison.refused} tokenizers refused")
    sys.exit(comparison.different > 0)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What the files beside tokenizer.json change of it, by transformers.

Made with transformers 5.24.0 and Python 3.11.7:
    python tests/golden/make_tokenizer_configs.py
    python tests/golden/make_tokenizer_configs.py --compare SEED COUNT [--rlhf build/rlhf]

The first writes tokenizers/configs.jsonl: a tokenizer of this folder, whether vocab.json and
merges.txt stand in its place, the files put beside it, ids of bos, eos and pad, and texts with their ids and what these decode to without
special tokens and with them.  The second compares random files with `rlhf tokenize` and
prints what differs.  Version 4 differs only where two
places name one token with other flags, in members called ..._token of no known name, and in
add_bos_token and add_eos_token (common/text/tokenizer_config.c).
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
from transformers import AutoTokenizer  # noqa: E402

HERE = Path(__file__).parent / "tokenizers"
NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]


def token(content, **flags):
    return dict(content=content, lstrip=False, rstrip=False, single_word=False, normalized=False, special=True) | flags


def base(name):
    return json.loads((HERE / name / "tokenizer.json").read_text())


def listed(name):
    """added_tokens_decoder as transformers writes it, and the next id."""
    t = base(name)
    known = {str(a["id"]): {k: v for k, v in a.items() if k != "id"} for a in t["added_tokens"]}
    return known, max([*t["model"]["vocab"].values(), *(a["id"] for a in t["added_tokens"])]) + 1


TEXTS = ["x<new> y <m1>\n <m2>  <e1> <PAD>z", "the <|endoftext|>  a</s> b<s>", "<new>the<PAD>", " x  the "]


def cases():
    """A tokenizer and what stands beside it."""
    known, n = listed("gpt2")
    fast, ends = {"tokenizer_class": "PreTrainedTokenizerFast"}, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}

    def config(name="gpt2", files=None, **more):
        return name, {"tokenizer_config.json": {**fast, **more}, **(files or {})}

    yield config()
    yield config(**ends)
    yield config(**ends, added_tokens_decoder={**known, str(n + 1): token("<m1>"), str(n): token("<new>", rstrip=True)})
    yield config(**ends, added_tokens_decoder={**known, str(n): token("<new>", special=False, normalized=True)})
    yield config(added_tokens_decoder={str(n + 7): token("<new>")})
    yield config(added_tokens_decoder={i: dict(t, rstrip=True, special=False) for i, t in known.items()})
    yield config(**ends, additional_special_tokens=["<m2>", "<m1>"])
    yield config(**ends, extra_special_tokens=["<m2>", "<|endoftext|>", "<m1>"])
    yield config(**ends, extra_special_tokens={"b_token": "<m1>", "a_token": "<e1>"}, additional_special_tokens=["<m2>"])
    yield config(**ends, additional_special_tokens=["<m2>"], extra_special_tokens=["<m1>"])
    yield config(**ends, pad_token="<PAD>")
    yield config(**ends, pad_token="the", unk_token=None, additional_special_tokens=[""])
    yield config(**ends, pad_token={"__type": "AddedToken", "content": "<PAD>", "lstrip": True, "normalized": True,
                                    "special": False})
    yield config(bos_token="<m2>", eos_token="<m1>", pad_token="<PAD>", mask_token="<new>", sep_token="<e1>",
                 additional_special_tokens=["<x>"], added_tokens_decoder={**known, str(n): token("<PAD>", special=False)})
    yield config(**ends, image_token="<e1>")
    yield config(**ends, files={"special_tokens_map.json": {"pad_token": "<PAD>", "bos_token": {
        "content": "<m1>", "lstrip": False, "rstrip": True, "normalized": True, "single_word": False}}})
    yield config(**ends, added_tokens_decoder=known, files={"special_tokens_map.json": {"pad_token": "<PAD>"}})
    yield config(pad_token="<m1>", files={"special_tokens_map.json": {"pad_token": "<PAD>"}})
    yield config(pad_token="<m1>", files={"added_tokens.json": {"<m1>": n + 1, "<new>": n}})
    yield config("strips", files={"added_tokens.json": {"<new>": 320, "the": 321}})
    yield config(**ends, split_special_tokens=True)
    yield config("qwen2", split_special_tokens=True, eos_token="<|endoftext|>")
    yield config("llama2_first", add_bos_token=False, bos_token="<s>", additional_special_tokens=["<m1>"])
    yield config("llama2_legacy", bos_token="<s>", eos_token="</s>", pad_token="<PAD>", add_eos_token=True)
    yield config("opt", add_bos_token=False, add_eos_token=True, bos_token="</s>", eos_token="</s>", pad_token="<pad>")
    for name in ("GPT2Tokenizer", "CodeGenTokenizer"):
        for space in ({}, {"add_prefix_space": True}, {"add_prefix_space": False}):
            yield config(**ends, tokenizer_class=name, added_tokens_decoder=known, **space)
    yield config(**ends, add_prefix_space=True)
    yield config("gpt_neox", **ends, tokenizer_class="GPTNeoXTokenizer", add_prefix_space=True,
                 added_tokens_decoder=listed("gpt_neox")[0])
    for name, of in (("gpt2", "GPT2Tokenizer"), ("gpt_neox", "GPTNeoXTokenizerFast"), ("qwen2", "Qwen2Tokenizer"),
                     ("llama2_first", "LlamaTokenizerFast"), ("gemma", "GemmaTokenizer")):
        yield config(name, tokenizer_class=of)
        yield config(name, tokenizer_class=of, bos_token=None, eos_token="<m1>")
    yield "gpt2", {"special_tokens_map.json": {"eos_token": "<|endoftext|>", "pad_token": "<PAD>"}}


def pairs():
    """The same where there is no tokenizer.json."""
    def config(name, of, **more):
        return name, {"tokenizer_config.json": {"tokenizer_class": of, **more}}

    ends = {key: "</s>" for key in ("bos_token", "eos_token", "unk_token")}
    yield config("opt", "GPT2Tokenizer", **ends, pad_token="<pad>", add_bos_token=True, add_prefix_space=False)
    yield config("opt", "GPT2Tokenizer", **ends, pad_token={"__type": "AddedToken", **token("<pad>", normalized=True)}, add_bos_token=False)
    yield "opt", {"config.json": {"model_type": "opt"}, "special_tokens_map.json": {**ends, "pad_token": "<pad>"}}
    yield "gpt2", {"config.json": {"model_type": "gpt2"}}
    yield "gpt2", {"config.json": {"model_type": "gpt2"}, "tokenizer_config.json": {"model_max_length": 1024}}
    yield config("gpt2", "GPT2TokenizerFast", add_prefix_space=True, bos_token="<m1>")
    yield config("phi", "CodeGenTokenizer", added_tokens_decoder={})


def place(folder, name, files, is_pair=False):
    """Writes the files and gives the tokenizer that transformers makes of them."""
    if is_pair:
        model = base(name)["model"]
        merges = (m if isinstance(m, str) else " ".join(m) for m in model["merges"])
        (Path(folder) / "vocab.json").write_text(json.dumps(model["vocab"]))
        (Path(folder) / "merges.txt").write_text("#version: 0.2\n" + "".join(m + "\n" for m in merges))
    else:
        (Path(folder) / "tokenizer.json").write_text((HERE / name / "tokenizer.json").read_text())
    for file, value in files.items():
        (Path(folder) / file).write_text(json.dumps(value))
    return AutoTokenizer.from_pretrained(folder)


def write():
    with open(HERE / "configs.jsonl", "w", newline="\n") as out:
        every = [(*case, False) for case in cases()] + [(*case, True) for case in pairs()]
        for name, files, is_pair in every:
            with tempfile.TemporaryDirectory() as folder:
                library = place(folder, name, files, is_pair)
            rows = []
            for text in TEXTS:
                ids = library(text).input_ids
                rows.append({"text": text, "ids": ids, "decoded": library.decode(ids, skip_special_tokens=True),
                             "whole": library.decode(ids)})
            ids = [-1 if i is None else i for i in (library.bos_token_id, library.eos_token_id, library.pad_token_id)]
            out.write(json.dumps({"tokenizer": name, **({"is_pair": True} if is_pair else {}), "files": files,
                                  "names": ids, "rows": rows}, separators=(",", ":")) + "\n")


# --- random files ---

NEW = ["<new>", "<m1>", "<m2>", "<e1>", "<PAD>", "<B>", "<E>", "  x", "the", "\u00e9", "[UNK]"]
MORE = [f"<more{i}>" for i in range(9)]
ALPHABET = ["a", "b", " ", "  ", "\n", "the", " the", "\u00e9", "x", "1"]


def random_token(rng, content):
    if rng.random() < 0.5:
        return content
    flags = {"lstrip": rng.random() < 0.3, "rstrip": rng.random() < 0.3, "single_word": rng.random() < 0.2}
    for key, chance in (("normalized", 0.4), ("special", 0.6)):
        if rng.random() < 0.7:
            flags[key] = rng.random() < chance
    return dict(content=content, __type="AddedToken", **flags)


def random_decoder(rng, name, pool):
    known, n = listed(name)
    entries = {}
    for ident, entry in known.items() if rng.random() < 0.7 else ():
        entries[ident] = dict(entry, rstrip=entry["rstrip"] ^ (rng.random() < 0.2),
                              special=entry["special"] ^ (rng.random() < 0.1))
    for _ in range(rng.randrange(4)):
        entry = random_token(rng, rng.choice(pool))
        entry = {"content": entry} if isinstance(entry, str) else {k: v for k, v in entry.items() if k != "__type"}
        if all(entry["content"] != other["content"] for other in entries.values()):
            entries[str(n + rng.randrange(8))] = entry
    return entries


def random_files(rng, name):
    pool = NEW + MORE + [a["content"] for a in base(name)["added_tokens"]]
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    unnamed = rng.sample(pool, len(pool))  # the library keeps a form of what was named otherwise before
    for key in NAMES:
        if rng.random() < 0.3:
            config[key] = random_token(rng, unnamed.pop())
    if rng.random() < 0.5:
        config["added_tokens_decoder"] = random_decoder(rng, name, pool)
    for key in ("additional_special_tokens", "extra_special_tokens"):
        if rng.random() < 0.3:
            config[key] = [random_token(rng, unnamed.pop()) for _ in range(rng.randrange(4))]
    if rng.random() < 0.15:
        config["extra_special_tokens"] = {f"k{i}_token": unnamed.pop() for i in range(rng.randrange(3))}
    for key, chance in (("split_special_tokens", 0.15), ("add_bos_token", 0.3), ("add_eos_token", 0.3)):
        if rng.random() < chance:
            config[key] = rng.random() < 0.6
    if rng.random() < 0.2:
        config["image_token"] = unnamed.pop()
    files = {"tokenizer_config.json": config}
    if rng.random() < 0.3:
        files["special_tokens_map.json"] = {key: rng.choice(pool) for key in NAMES if rng.random() < 0.3}
    if rng.random() < 0.2:
        for key, value in config.items():  # transformers does not see that one with flags is named
            if isinstance(value, dict) and "content" in value:
                config[key] = value["content"]
            elif isinstance(value, list):
                config[key] = [t if isinstance(t, str) else t["content"] for t in value]
        n = listed(name)[1]
        files["added_tokens.json"] = {c: n + i for i, c in enumerate(rng.sample(NEW, rng.randrange(4)))}
    return files, pool


def hidden(library):
    """Special tokens that the normaliser changes: they stay when the library skips them."""
    normal = library.backend_tokenizer.normalizer
    return {i for i, t in library.added_tokens_decoder.items()
            if t.normalized and normal is not None and normal.normalize_str(t.content) != t.content}


def ours(rlhf, folder, rows, *options):
    (Path(folder) / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run([rlhf, "tokenize", "--model", folder, "--input", f"{folder}/rows.jsonl", *options],
                          capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else done.stderr


def differences(rlhf, folder, library, texts):
    """Yields what differs; the first of texts, then the first of each way to decode."""
    lists = [library(text).input_ids for text in texts]
    found = ours(rlhf, folder, [{"text": text} for text in texts])
    if isinstance(found, str):
        yield "refused", found, ""
        return
    for text, ids, row in zip(texts, lists, found, strict=True):
        if row["input_ids"] != ids:
            yield repr(text), ids, row["input_ids"]
            return
    odd = hidden(library)
    lists = [[i for i in ids if i not in odd] for ids in lists]
    for options, skip in (((), False), (("--no-special",), True)):
        for ids, row in zip(lists, ours(rlhf, folder, [{"input_ids": ids} for ids in lists], "--decode", *options),
                            strict=True):
            text = library.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)
            if text != row["text"]:
                yield f"{ids}", text, row["text"]
                break


def compare(rlhf, seed, count):
    names = sorted(p.parent.name for p in HERE.glob("*/tokenizer.json"))
    n_texts = n_different = 0
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        name = rng.choice(names)
        files, pool = random_files(rng, name)
        texts = ["".join(rng.choice(ALPHABET + pool) for _ in range(rng.randrange(1, 14))) for _ in range(40)]
        with tempfile.TemporaryDirectory() as folder:
            try:
                library = place(folder, name, files)
                found = list(differences(rlhf, folder, library, texts))
            except BaseException as error:  # the library's own, which is no Exception
                if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                    continue
                raise
        n_texts += len(texts)
        n_different += bool(found)
        for what, theirs, mine in found:
            print(f"DIFFERENT {seed}/{number} {name}: {what}\n  expected {theirs}\n  found    {mine}\n  {json.dumps(files)}")
    print(f"{n_texts} texts, {n_different} sets of files with differences")
    return n_different


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--compare", nargs=2, metavar=("SEED", "COUNT"))
    parser.add_argument("--rlhf", default="build/rlhf")
    args = parser.parse_args()
    if args.compare:
        sys.exit(compare(args.rlhf, args.compare[0], int(args.compare[1])) > 0)
    write()


if __name__ == "__main__":
    main()

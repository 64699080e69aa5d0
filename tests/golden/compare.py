#!/usr/bin/env python3
"""Random small models of every family: rlhf against transformers.

    python tests/golden/compare.py                       20 models of each family
    python tests/golden/compare.py llama phi3 --cases 100 --seed 7
    python tests/golden/compare.py --only gemma2:13      one model again, and keep its files

Needs transformers 5 and torch (seen with 5.23 and 2.15) and build/rlhf, or $RLHF; not part of
make test, whose golden values are in models/ (see make_models.py).

Each case draws a config (sizes that are no powers of two, key/value heads, head sizes,
biases, tied or not, kinds of rotary positions, windows, caps, norms), weights, a type of
stored numbers and a layout of files, writes it by save_pretrained, sometimes with
config.json in the dialect of transformers 4, reads it back in float64, and checks:

    logprob    rlhf logprobs on sequences of ids of many lengths: within 5e-5, for logits
               larger than 10 in proportion
    greedy     rlhf generate --temperature 0: the same ids, up to where the two likeliest
               are less than 1e-4 apart
    gradient   one step of rlhf pretrain by SGD moves each tensor by minus the rate times
               its gradient: within 1e-4 of its norm
    saved      final/ of a small step, read by transformers, gives the logprobs that rlhf
               gives: within 5e-5
    score      rlhf score on a sequence classifier: within 1e-5, larger ones in proportion

Some models magnify rounding.  Where transformers in float32 is itself further than that
from transformers in float64, rlhf may be eight times as far.  Prints the worst difference
of each check within the fixed limits.  Exit code 1 if a check failed or rlhf refused a
model.
"""
import argparse
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import (AutoModelForCausalLM, AutoModelForSequenceClassification,
                          CONFIG_MAPPING, logging)

sys.path.insert(0, str(Path(__file__).parent))
from make_models import dialect4, fill, gradients_by_stored_name  # noqa: E402

RLHF = os.environ.get("RLHF") or Path(__file__).parents[2] / "build" / "rlhf"
CHECKS = ("logprob", "greedy", "gradient", "saved", "score")
HAS_DIALECTS = ("gpt_neox", "llama", "mistral", "qwen2", "qwen3", "phi", "phi3", "gemma", "gemma2",
                "gemma3_text")


class Failure(Exception):
    pass


# --- configs ---

def heads(r, family, config):
    """Heads that divide nothing in particular where the family lets them."""
    head_dim = r.choice([4, 6, 8, 10, 12, 20, 34])
    config["num_key_value_heads"] = r.choice([1, 2, 3])
    config["num_attention_heads"] = config["num_key_value_heads"] * r.choice([1, 2, 3])
    has_own = family in ("llama", "mistral", "qwen3", "gemma", "gemma2", "gemma3_text")
    if has_own and r.random() < 0.6:
        config["head_dim"] = head_dim
        config["hidden_size"] = config["num_attention_heads"] * r.choice([4, 5, 6, 8])
    else:
        config["hidden_size"] = config["num_attention_heads"] * head_dim
        if has_own:
            config["head_dim"] = head_dim
    return head_dim


def rope(r, positions, head_dim, fraction=None):
    """Rotary positions of some kind."""
    kind = r.choice(["default", "default", "linear", "dynamic", "llama3", "yarn"])
    out = dict(rope_type=kind, rope_theta=r.choice([50.0, 1000.0, 10000.0, 500000.0]))
    if kind != "default":
        out["factor"] = r.choice([1.5, 2.0, 4.0, 8.0])
    if kind == "llama3":
        out.update(low_freq_factor=1.0, high_freq_factor=r.choice([2.0, 4.0]),
                   original_max_position_embeddings=positions // 2)
    if kind == "yarn":
        out["original_max_position_embeddings"] = positions // 2
        if r.random() < 0.5:
            out.update(beta_fast=r.choice([2.0, 8.0]), beta_slow=r.choice([0.25, 0.5]))
        if r.random() < 0.3:
            out["attention_factor"] = 0.8
        elif r.random() < 0.5:
            out.update(mscale=r.choice([0.7, 1.0]), mscale_all_dim=r.choice([0.5, 1.0]))
        if r.random() < 0.4:
            out["truncate"] = False
    if kind == "dynamic" and int(head_dim * (fraction or 1)) <= 2:  # it divides by their count - 2
        out = dict(rope_type="default", rope_theta=out["rope_theta"])
    if fraction is not None:
        out["partial_rotary_factor"] = fraction
    return out


def fraction_of(r, head_dim, step=2):
    """A part of a head that is a whole number of elements."""
    return r.choice([n / head_dim for n in range(2, head_dim + 1, step)
                     if int(n / head_dim * head_dim) == n])


def activation(r, usual):
    return r.choice([usual] * 4 + ["gelu", "gelu_new", "gelu_pytorch_tanh", "silu", "relu",
                                   "quick_gelu", "sigmoid", "tanh", "relu2"])


def windows(r, config, switch=False):
    config["sliding_window"] = r.choice([1, 2, 3, 5, 8, 70])
    if switch:
        config["use_sliding_window"] = r.random() < 0.7
        config["max_window_layers"] = r.randrange(0, 4)


def layer_types(r, config):
    if r.random() < 0.4:
        config["layer_types"] = [r.choice(["sliding_attention", "full_attention"])
                                 for _ in range(config["num_hidden_layers"])]


def draw_gpt2(r, c, positions):
    n_head = r.choice([1, 2, 3, 4])
    width = n_head * r.choice([4, 5, 6, 8, 10, 33])
    c.update(n_embd=width, n_head=n_head, n_layer=c.pop("num_hidden_layers"),
             n_positions=positions, n_inner=r.choice([None, 13, 40]),
             activation_function=activation(r, "gelu_new"),
             layer_norm_epsilon=c.pop("eps"), scale_attn_weights=r.random() < 0.8,
             scale_attn_by_inverse_layer_idx=r.random() < 0.3)
    for key in ("max_position_embeddings", "intermediate_size"):
        c.pop(key)


def draw_gpt_neox(r, c, positions):
    n = r.choice([1, 2, 3, 4])
    head_dim = r.choice([4, 6, 8, 10])
    fraction = fraction_of(r, head_dim, 1)
    rotary = rope(r, positions, head_dim, fraction)
    if rotary["rope_type"] == "yarn" and int(head_dim * fraction) % 2:  # it has no odd one
        rotary["partial_rotary_factor"] = fraction_of(r, head_dim)
    c.update(num_attention_heads=n, hidden_size=n * head_dim, layer_norm_eps=c.pop("eps"),
             hidden_act=activation(r, "gelu"), use_parallel_residual=r.random() < 0.6,
             attention_bias=r.random() < 0.8, rope_parameters=rotary)


def draw_gptj(r, c, positions):
    n_head = r.choice([1, 2, 3])
    head_dim = r.choice([4, 6, 8, 10])
    c.update(n_embd=n_head * head_dim, n_head=n_head, n_layer=c.pop("num_hidden_layers"),
             n_positions=positions, n_inner=r.choice([None, 21]),
             rotary_dim=r.randrange(2, head_dim + 1, 2), layer_norm_epsilon=c.pop("eps"),
             activation_function=activation(r, "gelu_new"))
    for key in ("max_position_embeddings", "intermediate_size"):
        c.pop(key)


def draw_llama(r, c, positions):
    head_dim = heads(r, "llama", c)
    c.update(rms_norm_eps=c.pop("eps"), hidden_act=activation(r, "silu"),
             attention_bias=r.random() < 0.3, mlp_bias=r.random() < 0.3,
             rope_parameters=rope(r, positions, head_dim))


def draw_mistral(r, c, positions):
    head_dim = heads(r, "mistral", c)
    c.update(rms_norm_eps=c.pop("eps"), hidden_act=activation(r, "silu"),
             rope_parameters=rope(r, positions, head_dim))
    windows(r, c)
    if r.random() < 0.3:
        c["sliding_window"] = None


def draw_qwen2(r, c, positions):
    head_dim = heads(r, "qwen2", c)
    c.update(rms_norm_eps=c.pop("eps"), hidden_act=activation(r, "silu"),
             rope_parameters=rope(r, positions, head_dim))
    windows(r, c, switch=True)
    if c["use_sliding_window"]:
        layer_types(r, c)


def draw_qwen3(r, c, positions):
    head_dim = heads(r, "qwen3", c)
    c.update(rms_norm_eps=c.pop("eps"), hidden_act=activation(r, "silu"),
             attention_bias=r.random() < 0.3, rope_parameters=rope(r, positions, head_dim))
    windows(r, c, switch=True)
    if c["use_sliding_window"]:
        layer_types(r, c)


def draw_phi(r, c, positions):
    head_dim = heads(r, "phi", c)
    fraction = fraction_of(r, head_dim)
    c.update(layer_norm_eps=c.pop("eps"), hidden_act=activation(r, "gelu_new"),
             qk_layernorm=r.random() < 0.3,
             rope_parameters=rope(r, positions, head_dim, fraction))


def draw_phi3(r, c, positions):
    head_dim = heads(r, "phi3", c)
    fraction = fraction_of(r, head_dim)
    original = r.choice([positions // 2, positions // 4])
    c.update(rms_norm_eps=c.pop("eps"), hidden_act=activation(r, "silu"),
             original_max_position_embeddings=original,
             rope_parameters=dict(rope_type="default", rope_theta=10000.0,
                                  partial_rotary_factor=fraction))
    if r.random() < 0.5:
        n = int(head_dim * fraction) // 2
        c["rope_parameters"].update(
            rope_type="longrope", short_factor=[1 + r.random() for _ in range(n)],
            long_factor=[1 + 4 * r.random() for _ in range(n)])
        if r.random() < 0.2:
            c["rope_parameters"]["attention_factor"] = 1.3
    windows(r, c)
    if r.random() < 0.5:
        c["sliding_window"] = None


def draw_gemma(r, c, positions):
    head_dim = heads(r, "gemma", c)
    c.update(rms_norm_eps=c.pop("eps"), attention_bias=r.random() < 0.2,
             hidden_act=r.choice(["gelu", "gelu_pytorch_tanh"]),
             rope_parameters=rope(r, positions, head_dim))


def draw_gemma2(r, c, positions):
    head_dim = heads(r, "gemma2", c)
    c.update(rms_norm_eps=c.pop("eps"), attention_bias=r.random() < 0.2,
             hidden_activation=activation(r, "gelu_pytorch_tanh"),
             query_pre_attn_scalar=r.choice([4, 9, 30]),
             attn_logit_softcapping=r.choice([None, 1.0, 5.0, 50.0]),
             final_logit_softcapping=r.choice([None, 3.0, 30.0]),
             rope_parameters=rope(r, positions, head_dim))
    windows(r, c)
    layer_types(r, c)


def draw_gemma3(r, c, positions):
    head_dim = heads(r, "gemma3_text", c)
    while c["hidden_size"] % c["num_attention_heads"] != 0:
        head_dim = heads(r, "gemma3_text", c)
    full = rope(r, positions, head_dim)
    if full["rope_type"] != "linear":
        full = dict(rope_type="default", rope_theta=full["rope_theta"])
    c.update(rms_norm_eps=c.pop("eps"), attention_bias=r.random() < 0.2,
             hidden_activation=activation(r, "gelu_pytorch_tanh"),
             query_pre_attn_scalar=r.choice([4, 9, 30]),
             attn_logit_softcapping=r.choice([None, None, 5.0]),
             final_logit_softcapping=r.choice([None, None, 3.0]),
             sliding_window_pattern=r.choice([1, 2, 3]),
             rope_parameters=dict(full_attention=full,
                                  sliding_attention=dict(rope_type="default",
                                                         rope_theta=r.choice([10.0, 1e4]))))
    windows(r, c)


def draw_opt(r, c, positions):
    n = r.choice([1, 2, 3])
    width = n * r.choice([4, 6, 8])
    c.update(num_attention_heads=n, hidden_size=width, ffn_dim=c.pop("intermediate_size"),
             activation_function=activation(r, "relu"), dropout=0.0,
             do_layer_norm_before=r.random() < 0.6, enable_bias=r.random() < 0.8,
             word_embed_proj_dim=r.choice([width, width, width - 2, width + 5]),
             layer_norm_elementwise_affine=r.random() < 0.8)
    if r.random() < 0.2:
        c["_remove_final_layer_norm"] = True
    c.pop("eps")


FAMILIES = {"gpt2": draw_gpt2, "gpt_neox": draw_gpt_neox, "gptj": draw_gptj, "llama": draw_llama,
            "mistral": draw_mistral, "qwen2": draw_qwen2, "qwen3": draw_qwen3, "phi": draw_phi,
            "phi3": draw_phi3, "gemma": draw_gemma, "gemma2": draw_gemma2,
            "gemma3_text": draw_gemma3, "opt": draw_opt}


def draw_config(r, family):
    positions = r.choice([16, 24, 40, 64, 150])
    config = dict(vocab_size=r.choice([29, 48, 61, 97]), num_hidden_layers=r.randrange(1, 5),
                  max_position_embeddings=positions, intermediate_size=r.choice([7, 16, 24, 33]),
                  eps=r.choice([1e-6, 1e-5, 1e-3]), bos_token_id=1, eos_token_id=2,
                  pad_token_id=r.choice([None, 0, 3]))
    if r.random() < 0.3:
        config["eos_token_id"] = r.choice([None, [2, 5]])
    if r.random() < 0.5:  # or as the family does
        config["tie_word_embeddings"] = r.random() < 0.5
    FAMILIES[family](r, config, positions)
    return config, positions


# --- running ---

def run(*arguments):
    done = subprocess.run([str(RLHF), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        message = done.stderr.strip()
        raise Failure(f"rlhf {arguments[0]}: exit {done.returncode}: {message}")
    return done.stdout


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def distance(found, expected):
    return (found - expected).abs().max().item()


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def within(what, found, limit, rounding):
    """found and rounding are distances of rlhf and of float32 from float64."""
    if not found <= max(limit, 8 * rounding):
        raise Failure(f"{what}: off by {found:.3g}, expected at most "
                      f"{max(limit, 8 * rounding):.3g}")
    return found if found <= limit else 0.0


class Case:
    def __init__(self, family, seed, index, where):
        self.family, self.where = family, where
        self.r = random.Random(f"{seed} {family} {index}")
        self.config, self.positions = draw_config(self.r, family)
        self.gen = torch.Generator().manual_seed(self.r.randrange(1 << 30))
        self.is_plain = self.r.random() < 0.25  # weights as transformers draws them
        self.dtype = self.r.choice([torch.float32] * 3 + [torch.bfloat16, torch.float16])
        self.shard_size = self.r.choice(["1GB", "1GB", "8KB"])
        self.is_old = family in HAS_DIALECTS and self.r.random() < 0.4
        self.vocab = self.config["vocab_size"]
        self.has_special = self.r.random() < 0.4  # padding and the end among the ids

    def write(self, name, auto, **more):
        """A model as save_pretrained writes it, and what anybody reads back."""
        config = CONFIG_MAPPING[self.family](**copy.deepcopy(dict(self.config, **more)))
        if self.is_plain:
            config.initializer_range = config.init_std = self.r.choice([0.02, 0.2])
        model = auto.from_config(config, attn_implementation="eager").eval()
        if not self.is_plain:
            fill(model, self.gen, config.hidden_size)
        where = self.where / name
        model.to(self.dtype).save_pretrained(where, max_shard_size=self.shard_size)
        if self.is_old:
            path = where / "config.json"
            path.write_text(json.dumps(dialect4(json.loads(path.read_text()), self.family)))
        return where, self.read(where, auto)

    def read(self, where, auto):
        """The model in float64, and in float32 to know how it rounds."""
        return [auto.from_pretrained(where, attn_implementation="eager", dtype=dtype).eval()
                for dtype in (torch.float64, torch.float32)]

    def ids(self, n):
        low = 0 if self.has_special or self.vocab <= 4 else 4
        return [self.r.randrange(low, self.vocab) for _ in range(n)]

    def longest(self):
        """Learned positions end; rotary ones can go on."""
        is_learned = self.family in ("gpt2", "gptj", "opt")
        return self.positions if is_learned else self.positions + self.r.choice([0, 0, 9])


def next_logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    logprobs = logits.log_softmax(-1)[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
    return logprobs, logits.abs().max().item()


def worst_logprob(case, where, models, sequences):
    path = case.where / "ids.jsonl"
    write_lines(path, [{"input_ids": ids} for ids in sequences])
    worst, rounding = 0.0, 0.0
    for row, ids in zip(json_lines(run("logprobs", "--model", where, "--input", path)), sequences):
        if len(ids) == 1:
            continue
        expected, size = next_logprobs(models[0], ids)
        rough, _ = next_logprobs(models[1], ids)
        found = torch.tensor(row["logprobs"][1:])
        worst = max(worst, distance(found, expected) / max(1, size / 10))
        rounding = max(rounding, distance(rough, expected) / max(1, size / 10))
    return within("a sequence", worst, 5e-5, rounding)


def greedy_of(model, prompt, n, eos):
    """Up to the first end token, or to where two ids are about as likely."""
    ids = list(prompt)
    for _ in range(n):
        with torch.no_grad():
            top = model(torch.tensor([ids]), use_cache=False).logits[0, -1].topk(2)
        if top.values[0] - top.values[1] < 1e-4:
            return ids[len(prompt):], False
        ids.append(top.indices[0].item())
        if ids[-1] in eos:
            break
    return ids[len(prompt):], True


def follows_length(config):
    """Whether rotations change with the sequence's length beyond the original one."""
    parameters = config.get("rope_parameters") or {}
    return parameters.get("rope_type") in ("dynamic", "longrope")


def generation_limit(case):
    """Where rlhf generate ends: at those that a scaling stretches the original ones to."""
    parameters = case.config.get("rope_parameters") or {}
    if follows_length(case.config):
        return case.config.get("original_max_position_embeddings", case.positions)
    if parameters.get("rope_type") not in ("linear", "yarn"):
        return case.positions
    original = parameters.get("original_max_position_embeddings", case.positions)
    return max(case.positions, int(original * parameters["factor"]))


def check_greedy(case, where, models):
    limit = min(generation_limit(case), 100)  # what transformers makes in a second or two
    prompts = [case.ids(n) for n in (1, 3, max(1, limit // 2))]
    n_new = limit - max(map(len, prompts))
    eos = case.config["eos_token_id"]
    eos = set() if eos is None else set(eos) if isinstance(eos, list) else {eos}
    path = case.where / "prompts.jsonl"
    write_lines(path, [{"prompt_ids": ids} for ids in prompts])
    rows = json_lines(run("generate", "--model", where, "--input", path, "--temperature", 0,
                          "--max-new-tokens", n_new))
    for row, prompt in zip(rows, prompts):
        expected, is_whole = greedy_of(models[0], prompt, n_new, eos)
        found = row["completion_ids"]
        if (found if is_whole else found[:len(expected)]) != expected:
            raise Failure(f"greedy: {found}, expected {expected} after {prompt}")
    return 0.0


def gradients(model, sequences):
    """Of the mean over all targets."""
    model.zero_grad()
    total = sum(len(ids) - 1 for ids in sequences)
    for ids in sequences:
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]),
                                                 reduction="sum")
        (loss / total).backward()
    return gradients_by_stored_name(model)


def tensors_of(where):
    out = {}
    for path in where.glob("*.safetensors"):
        out.update(load_file(path))
    return out


def train_one_step(case, where, sequences, rate, out):
    """By gradient descent; returns the directory of the result."""
    data, path = case.where / "train.jsonl", case.where / "pretrain.json"
    write_lines(data, [{"input_ids": ids} for ids in sequences])
    path.write_text(json.dumps(dict(
        run=dict(dir=str(case.where / out)), model=dict(path=str(where)),
        data=dict(train=str(data), append_eos=False, max_length=max(map(len, sequences))),
        train=dict(steps=1, batch_size=len(sequences)),
        optimizer=dict(name="sgd", learning_rate=rate, max_grad_norm=0))))
    run("pretrain", path)
    return case.where / out / "final"


def check_gradient(case, where, models, sequences):
    rate = 64.0  # so large that little of the step is lost in the weight's rounding
    final = train_one_step(case, where, sequences, rate, "far")
    before, after = tensors_of(where), tensors_of(final)
    if before.keys() != after.keys():
        raise Failure(f"saved tensors differ: {sorted(before.keys() ^ after.keys())}")
    expected, rough = (gradients(model, sequences) for model in models)
    whole = sum(g.square().sum() for g in expected.values() if g is not None).sqrt().item()
    worst = 0.0
    for name, old in before.items():
        new, g = after[name], expected[name]
        if new.dtype != old.dtype:
            raise Failure(f"{name} is saved as {new.dtype}, loaded as {old.dtype}")
        ours = (old.double() - new.double()) / rate
        # What a rounded weight cannot show, and what cancels to nothing.
        unit = torch.finfo(old.dtype).eps / rate
        slack = unit * torch.maximum(old.double().abs(), new.double().abs()).norm().item()
        slack += 1e-6 * whole
        norm = max(g.norm().item(), 1e-12)
        error = max(0.0, (ours - g).norm().item() - slack)
        worst = max(worst, within(name, error / norm, 1e-4,
                                  (rough[name].double() - g).norm().item() / norm))
    return worst


def check_saved(case, where, training, sequences):
    final = train_one_step(case, where, training, 0.01, "near")
    return worst_logprob(case, final, case.read(final, AutoModelForCausalLM), sequences)


def check_score(case):
    n_labels = case.r.choice([1, 1, 2, 4])
    where, models = case.write("classifier", AutoModelForSequenceClassification,
                              num_labels=n_labels)
    rows = [case.ids(case.r.randrange(1, case.positions)) for _ in range(4)]
    if case.config["pad_token_id"] is not None:
        rows[1] = rows[1][:5] + [case.config["pad_token_id"]] * 3
    else:
        for model in models:
            model.config.pad_token_id = -100  # the last position speaks
    path = case.where / "score.jsonl"
    write_lines(path, [{"input_ids": ids} for ids in rows])
    worst, rounding = 0.0, 0.0
    for row, ids in zip(json_lines(run("score", "--model", where, "--input", path)), rows):
        with torch.no_grad():
            expected, rough = (model(torch.tensor([ids])).logits[0] for model in models)
        found = torch.tensor(row["logits"] if n_labels > 1 else [row["score"]])
        scale = max(1, expected.abs().max().item())
        worst = max(worst, distance(found, expected) / scale)
        rounding = max(rounding, distance(rough, expected) / scale)
    return within("a sequence", worst, 1e-5, rounding)


def run_case(case, worst):
    """Runs the checks; returns what failed."""
    where, models = case.write("model", AutoModelForCausalLM)
    lengths = [1, 2, 3, case.r.randrange(4, case.positions), case.longest()]
    sequences = [case.ids(n) for n in lengths]
    training = [ids for ids in sequences if 1 < len(ids) <= case.positions]
    checks = dict(logprob=lambda: worst_logprob(case, where, models, sequences),
                  greedy=lambda: check_greedy(case, where, models),
                  gradient=lambda: check_gradient(case, where, models, training),
                  saved=lambda: check_saved(case, where, training, sequences),
                  score=lambda: check_score(case))
    failed = []
    for name, check in checks.items():
        try:
            worst[name].append(check())
        except Failure as failure:
            failed.append(f"{name}: {failure}")
            if "supported" in str(failure):  # nor will the other checks find more
                break
    return failed


def print_table(results, n_failed):
    print(f"{'family':12} " + " ".join(f"{check:>14}" for check in CHECKS) + "   failed")
    for family, worst in results.items():
        cells = (f"{max(worst[c]):8.1e} of {len(worst[c]):<3}" if worst[c] else "-" for c in CHECKS)
        print(f"{family:12} " + " ".join(f"{cell:>14}" for cell in cells)
              + f" {n_failed[family]:8}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("families", nargs="*", default=list(FAMILIES), metavar="FAMILY")
    parser.add_argument("--cases", type=int, default=20, help="of each family")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="FAMILY:N", help="one case; its files are kept")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    chosen = [(family, i) for family in args.families for i in range(args.cases)]
    if args.only:
        family, number = args.only.split(":")
        chosen = [(family, int(number))]
    results, n_failed = defaultdict(lambda: defaultdict(list)), defaultdict(int)
    for family, i in chosen:
        where = Path(tempfile.mkdtemp(prefix="rlhf-compare-"))
        case = Case(family, args.seed, i, where)
        results[family]  # a row of the table even if nothing works
        failed = run_case(case, results[family])
        n_failed[family] += len(failed) > 0
        for sentence in failed:
            print(f"{family}:{i}: {sentence}", flush=True)
        if args.only:
            print(f"files: {where}\n{case.config}")
        else:
            shutil.rmtree(where)
    print_table(results, n_failed)
    sys.exit(1 if sum(n_failed.values()) else 0)


if __name__ == "__main__":
    main()

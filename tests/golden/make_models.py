#!/usr/bin/env python3
"""Tiny random checkpoints of every supported family, with golden values of transformers.

Made with transformers 5.23.0, torch 2.15.0 and Python 3.11.7, on a CPU in float32:
    python tests/golden/make_models.py [NAME ...]
(gpt_neox-odd-rotary, llama-linear-long, llama-pad and llama-yarn-long were made with 5.24.0.
gpt2, llama-gqa, llama-gqa-sharded, rm-gpt2 and rm-llama were made with transformers 4.45 and
are not made again by this script.)

models/NAME/ holds config.json and model.safetensors as save_pretrained writes them, where
noted also config4.json, the same config in the dialect of transformers 4, and
golden.safetensors:

    input_ids            I64 [2, T]     no id is that of padding, but for llama-pad
    logits               F32 [2, T, V]
    loss                 F32 [1]        mean cross-entropy of the next id
    next_token_logprobs  F32 [2, T - 1]
    greedy               I64 [8 + 16]   the first 8 ids of row 0 and their most likely
                                        continuation (no cache; left out where positions
                                        change with the sequence's length)
    grad.TENSOR          F32            gradient of loss, for every stored tensor; in
                                        variants of a family that is there already only
                                        outside the layers and in layer 0

and of sequence classifiers (score-*):

    input_ids, attention_mask  I64 [4, T]   padded on the right
    pooled_logits              F32 [4, n_labels]

Weights are drawn so that everything matters: norms are not 1, biases are not 0, attention
is not uniform.  Each option that a directory is named after is switched off once, and the
logits must change.
"""
import copy
import json
import shutil
import sys
import zlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification,
                          CONFIG_MAPPING)

HERE = Path(__file__).parent / "models"
VOCAB, HIDDEN, FF = 61, 16, 24
SPECIAL = dict(bos_token_id=1, eos_token_id=2, pad_token_id=0)

LLAMA = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FF, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32, **SPECIAL)
TIED = dict(LLAMA, tie_word_embeddings=True)
NEOX = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FF, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=32, rotary_pct=0.5,
            rotary_emb_base=100, **SPECIAL)
GPT2 = dict(vocab_size=VOCAB, n_embd=HIDDEN, n_layer=2, n_head=2, n_positions=26, n_inner=FF,
            embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0, **SPECIAL)
GPTJ = dict(vocab_size=VOCAB, n_embd=HIDDEN, n_layer=2, n_head=2, n_positions=32, n_inner=FF,
            rotary_dim=4, **SPECIAL)
OPT = dict(vocab_size=VOCAB, hidden_size=HIDDEN, ffn_dim=FF, num_hidden_layers=2,
           num_attention_heads=2, max_position_embeddings=26, dropout=0.0, **SPECIAL)
GEMMA = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=FF, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2, head_dim=6,
             max_position_embeddings=32, **SPECIAL)
PHI3 = dict(LLAMA, sliding_window=None)
LONGROPE = dict(PHI3, tie_word_embeddings=True, max_position_embeddings=64,
                original_max_position_embeddings=24,
                rope_parameters=dict(rope_type="longrope", rope_theta=100.0,
                                     short_factor=[1.1, 1.3], long_factor=[1.5, 3.0]))


def rope(kind, theta=100.0, **numbers):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **numbers))


def default_rope(config):
    return dict(rope_parameters=dict(rope_type="default",
                                     rope_theta=config["rope_parameters"]["rope_theta"]))


# name: (model_type, config, {what is switched off: changes}, further settings)
#   some_grads: only of tensors outside the layers and in layer 0
#   has_pad: some of the ids are that of padding, whose embedding is not learnt from them
#   no_grads, no_greedy, length, dtype, shard_size, layout, dialect4
LM = {
    "gpt2-inverse-layer": ("gpt2", dict(GPT2, scale_attn_by_inverse_layer_idx=True,
                                        activation_function="relu"),
                           {"scale": dict(scale_attn_by_inverse_layer_idx=False)},
                           dict(some_grads=True)),
    "gpt_neox": ("gpt_neox", NEOX, {"parallel": dict(use_parallel_residual=False)},
                 dict(dialect4=True)),
    "gpt_neox-sequential": ("gpt_neox", dict(NEOX, use_parallel_residual=False,
                                             attention_bias=False, hidden_act="gelu_new"),
                            {"parallel": dict(use_parallel_residual=True)},
                            dict(some_grads=True)),
    "gpt_neox-odd-rotary": ("gpt_neox", dict(NEOX, rope_parameters=dict(
        rope_type="linear", rope_theta=100.0, factor=2.0, partial_rotary_factor=0.4)),
        {"rotary": dict(rope_parameters=dict(rope_type="linear", rope_theta=100.0, factor=2.0,
                                             partial_rotary_factor=0.5))},
        dict(some_grads=True, dialect4=True)),
    "gptj": ("gptj", GPTJ, {"rotary": dict(rotary_dim=8)}, {}),
    "llama-linear": ("llama", dict(TIED, **rope("linear", factor=2.5)), {"rope": default_rope},
                     dict(some_grads=True, dialect4=True)),
    "llama-dynamic": ("llama", dict(TIED, **rope("dynamic", factor=3.0)), {},
                      dict(some_grads=True)),
    "llama-dynamic-long": ("llama", dict(TIED, max_position_embeddings=8,
                                         **rope("dynamic", factor=3.0)), {"rope": default_rope},
                           dict(some_grads=True, no_greedy=True)),
    "llama-llama3": ("llama", dict(TIED, num_attention_heads=2, num_key_value_heads=1,
                                   max_position_embeddings=256,
                                   **rope("llama3", factor=8.0, low_freq_factor=1.0,
                                          high_freq_factor=4.0,
                                          original_max_position_embeddings=64)),
                     {"rope": default_rope}, dict(some_grads=True, dialect4=True)),
    "llama-yarn": ("llama", dict(TIED, num_attention_heads=2, num_key_value_heads=2,
                                 max_position_embeddings=256,
                                 **rope("yarn", factor=4.0, beta_fast=4.0, beta_slow=0.5,
                                        original_max_position_embeddings=64)),
                   {"rope": default_rope}, dict(some_grads=True)),
    "llama-linear-long": ("llama", dict(TIED, max_position_embeddings=8,
                                        **rope("linear", factor=3.0)), {"rope": default_rope},
                          dict(some_grads=True, dialect4=True)),
    "llama-yarn-long": ("llama", dict(TIED, num_attention_heads=2, num_key_value_heads=1,
                                      max_position_embeddings=16,
                                      **rope("yarn", factor=4.0, beta_fast=4.0, beta_slow=0.5,
                                             original_max_position_embeddings=16)),
                        {"rope": default_rope}, dict(some_grads=True, dialect4=True, length=20)),
    "llama-bias": ("llama", dict(LLAMA, attention_bias=True, mlp_bias=True, head_dim=6,
                                 num_key_value_heads=1), {}, dict(some_grads=True, dialect4=True)),
    "llama-pad": ("llama", dict(TIED, rms_norm_eps=0.0), {}, dict(some_grads=True, has_pad=True)),
    "mistral-window": ("mistral", dict(LLAMA, sliding_window=5),
                       {"window": dict(sliding_window=None)}, dict(some_grads=True)),
    "qwen2-window": ("qwen2", dict(TIED, use_sliding_window=True, sliding_window=4,
                                   max_window_layers=1),
                     {"window": dict(layer_types=["full_attention"] * 2),
                      "layers": dict(layer_types=["sliding_attention"] * 2)},
                     dict(dialect4=True)),
    "qwen3": ("qwen3", dict(TIED, head_dim=8), {}, dict(shard_size=9000)),
    "phi": ("phi", dict(LLAMA, num_key_value_heads=4, partial_rotary_factor=0.5),
            {"rotary": dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0,
                                                 partial_rotary_factor=1.0))},
            dict(dialect4=True)),
    "phi-qk-norm": ("phi", dict(LLAMA, num_attention_heads=2, num_key_value_heads=1,
                                partial_rotary_factor=0.25, qk_layernorm=True), {},
                    dict(some_grads=True)),
    "phi3": ("phi3", PHI3, {}, {}),
    "phi3-window": ("phi3", dict(TIED, num_attention_heads=2, num_key_value_heads=1,
                                 sliding_window=5, partial_rotary_factor=0.75),
                    {"window": dict(sliding_window=None),
                     "rotary": dict(partial_rotary_factor=1.0)}, dict(some_grads=True)),
    "phi3-longrope": ("phi3", LONGROPE, {"rope": default_rope},
                      dict(some_grads=True, dialect4=True)),
    "phi3-longrope-long": ("phi3", LONGROPE, {"rope": default_rope},
                           dict(some_grads=True, no_greedy=True, length=28)),
    "gemma": ("gemma", GEMMA, {}, {}),
    "gemma2": ("gemma2", dict(GEMMA, sliding_window=5, query_pre_attn_scalar=9,
                              attn_logit_softcapping=2.0, final_logit_softcapping=5.0),
               {"window": dict(sliding_window=64), "scale": dict(query_pre_attn_scalar=6),
                "attention cap": dict(attn_logit_softcapping=None),
                "final cap": dict(final_logit_softcapping=None)}, dict(dialect4=True)),
    "gemma3": ("gemma3_text",
               dict(GEMMA, num_hidden_layers=3, sliding_window=4, query_pre_attn_scalar=9,
                    sliding_window_pattern=2,
                    rope_parameters=dict(
                        full_attention=dict(rope_type="linear", factor=2.0, rope_theta=1000.0),
                        sliding_attention=dict(rope_type="default", rope_theta=50.0))),
               {"window": dict(sliding_window=64), "scale": dict(query_pre_attn_scalar=6),
                "theta": dict(rope_parameters=dict(
                    full_attention=dict(rope_type="default", rope_theta=50.0),
                    sliding_attention=dict(rope_type="default", rope_theta=50.0)))},
               dict(dialect4=True, some_grads=True)),
    "opt": ("opt", OPT, {}, {}),
    "opt-post-norm": ("opt", dict(OPT, do_layer_norm_before=False, word_embed_proj_dim=12),
                      {"order": dict(do_layer_norm_before=True)}, {}),
    "gpt2-hub-layout": ("gpt2", GPT2, {}, dict(no_grads=True, layout="gpt2")),
    "gpt_neox-pythia-layout": ("gpt_neox", NEOX, {}, dict(no_grads=True, dtype=torch.float16,
                                                          layout="gpt_neox")),
    "qwen2-bf16": ("qwen2", TIED, {}, dict(no_grads=True, dtype=torch.bfloat16)),
}
SCORE = {  # name: (model_type, config, number of labels)
    "score-gpt2": ("gpt2", GPT2, 3),
    "score-gpt_neox": ("gpt_neox", NEOX, 1),
    "score-gptj": ("gptj", GPTJ, 1),
    "score-llama": ("llama", LLAMA, 3),
    "score-qwen2": ("qwen2", TIED, 1),
    "score-qwen3": ("qwen3", dict(LLAMA, head_dim=8), 3),
    "score-mistral": ("mistral", dict(LLAMA, sliding_window=4), 1),
    "score-phi": ("phi", dict(LLAMA, num_key_value_heads=4), 1),
    "score-phi3": ("phi3", PHI3, 3),
    "score-gemma2": ("gemma2", dict(GEMMA, sliding_window=5, query_pre_attn_scalar=9), 1),
    "score-gemma3": ("gemma3_text", dict(GEMMA, sliding_window=5, query_pre_attn_scalar=9), 1),
    "score-opt": ("opt", dict(OPT, do_layer_norm_before=False, word_embed_proj_dim=12), 3),
}


def generator(name, attempt=0):
    return torch.Generator().manual_seed(zlib.crc32(f"{name} {attempt}".encode()))


def fill(model, gen, width=HIDDEN):
    """Weights that make every part matter."""
    zero_centred = "gemma" in model.config.model_type
    for name, param in model.named_parameters():
        noise = torch.randn(param.shape, generator=gen)
        if param.dim() == 1 and "norm" in name.lower() or ".ln_" in name:
            centre = 0.0 if name.endswith("bias") or zero_centred else 1.0
            value = centre + 0.3 * noise
        elif param.dim() == 1:
            value = 0.3 * noise
        elif any(k in name for k in ("embed", "wte", "wpe", "lm_head")):
            value = 0.5 * noise
        else:
            # Queries and keys larger than the rest, so that attention has preferences.
            gain = 2.0 if any(k in name for k in ("q_proj", "k_proj", "qkv", "query_key",
                                                  "c_attn")) else 1.2
            value = gain * noise / width ** 0.5
        param.data.copy_(value)


def build(model_type, options, auto=AutoModelForCausalLM):
    config = CONFIG_MAPPING[model_type](**copy.deepcopy(options))
    return auto.from_config(config, attn_implementation="eager").eval()


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids, use_cache=False).logits


def dialect4(config, model_type):
    """config.json as transformers 4 would have written it."""
    old = {k: v for k, v in config.items() if k not in ("rope_parameters", "dtype",
                                                        "layer_types")}
    old["torch_dtype"] = config["dtype"]
    old["transformers_version"] = "4.45.0"
    parameters = copy.deepcopy(config.get("rope_parameters") or {})
    if model_type == "gemma3_text":
        full = parameters["full_attention"]
        old["rope_theta"] = full.pop("rope_theta")
        old["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        old["rope_scaling"] = full
        return old
    theta = parameters.pop("rope_theta", None)
    fraction = parameters.pop("partial_rotary_factor", None)
    if model_type == "gpt_neox":
        old["rotary_emb_base"], old["rotary_pct"] = theta, fraction
    else:
        old["rope_theta"] = theta
        if fraction is not None:
            old["partial_rotary_factor"] = fraction
    if model_type == "phi3":
        old["original_max_position_embeddings"] = parameters.pop(
            "original_max_position_embeddings", 4096)
    if parameters.get("rope_type", "default") == "default":
        old["rope_scaling"] = None
    else:
        if model_type == "phi3":  # its old spelling
            parameters["type"] = parameters.pop("rope_type")
        old["rope_scaling"] = parameters
    return old


def old_layout(tensors, kind, positions, dtype):
    """Files of the hub: without prefix, and with buffers that are no weights."""
    if kind == "gpt2":
        tensors = {k.removeprefix("transformer."): v for k, v in tensors.items()}
        mask = torch.ones(positions, positions).tril().view(1, 1, positions, positions)
        for layer in range(2):
            tensors[f"h.{layer}.attn.bias"] = mask.clone()
            tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
        return tensors
    mask = torch.ones(1, 1, positions, positions, dtype=torch.uint8).tril()
    for layer in range(2):
        prefix = f"gpt_neox.layers.{layer}.attention."
        tensors[prefix + "bias"] = mask.clone()
        tensors[prefix + "masked_bias"] = torch.tensor(-1e4, dtype=dtype)
        tensors[prefix + "rotary_emb.inv_freq"] = torch.tensor([1.0, 0.1], dtype=dtype)
    return tensors


def greedy(model, prompt):
    ids, gap = prompt.clone(), 1e9
    for _ in range(16):
        top = logits_of(model, ids[None])[0, -1].topk(2)
        gap = min(gap, (top.values[0] - top.values[1]).item())
        ids = torch.cat([ids, top.indices[:1]])
    return ids, gap


def gradients_by_stored_name(model):
    """GPT-NeoX's output matrix has a name in files and another in memory."""
    names = {"gpt_neox": {"lm_head.weight": "embed_out.weight"}}.get(model.config.model_type, {})
    return {names.get(name, name): p.grad for name, p in model.named_parameters()
            if p.grad is not None}


def is_kept(name, settings):
    if settings.get("no_grads"):
        return False
    digits = [part for part in name.split(".") if part.isdigit()]
    return not settings.get("some_grads") or not digits or digits[0] == "0"


def make_lm(name, model_type, options, without, settings):
    dtype = settings.get("dtype", torch.float32)
    length = settings.get("length", 12)
    for attempt in range(100):
        gen = generator(name, attempt)
        model = build(model_type, options)
        fill(model, gen)
        model = model.to(dtype).float()  # what the file will hold
        ids = torch.randint(3, VOCAB, (2, length), generator=gen)
        if settings.get("has_pad"):
            ids[0, 2:4] = ids[1, 9] = options["pad_token_id"]
        if settings.get("no_greedy"):
            break
        continuation, gap = greedy(model, ids[0, :8])
        if gap > 0.01:
            break
    where = HERE / name
    shutil.rmtree(where, ignore_errors=True)
    model = model.to(dtype)
    model.save_pretrained(where, max_shard_size=settings.get("shard_size", "1GB"))
    (where / "generation_config.json").unlink(missing_ok=True)
    if "layout" in settings:
        path = where / "model.safetensors"
        positions = options.get("n_positions", 32)
        save_file(old_layout(load_file(path), settings["layout"], positions, dtype), path,
                  metadata={"format": "pt"})

    # The golden values come from a model that is read back, as anybody would.
    model = AutoModelForCausalLM.from_pretrained(where, attn_implementation="eager",
                                                 dtype=torch.float32).eval()
    logits = model(ids, use_cache=False).logits
    logprobs = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
    loss = -logprobs.mean()
    golden = dict(input_ids=ids, logits=logits.detach(), loss=loss.detach()[None],
                  next_token_logprobs=logprobs.detach().contiguous())
    if not settings.get("no_greedy"):
        golden["greedy"], gap = greedy(model, ids[0, :8])
    loss.backward()
    stored = set()
    for path in where.glob("model*.safetensors"):
        stored |= set(load_file(path))
    for key, param in gradients_by_stored_name(model).items():
        if key not in stored:
            assert settings.get("layout") == "gpt2", (name, key)
        elif is_kept(key, settings):
            golden["grad." + key] = param.contiguous()
    save_file(golden, where / "golden.safetensors")

    size = logits.detach().std().item()
    for what, changes in without.items():
        changes = changes(options) if callable(changes) else changes
        other = build(model_type, dict(options, **changes))
        other.load_state_dict(model.state_dict(), strict=False)
        change = (logits_of(other, ids) - logits.detach()).abs().max().item()
        assert change > 1e-2, (name, what, change)
    if settings.get("dialect4"):
        config = json.loads((where / "config.json").read_text())
        old = dialect4(config, model_type)
        (where / "config4.json").write_text(json.dumps(old, indent=2, sort_keys=True) + "\n")
        other = AutoModelForCausalLM.from_pretrained(
            where, config=AutoConfig.from_pretrained(where / "config4.json"),
            attn_implementation="eager", dtype=torch.float32).eval()
        assert torch.equal(logits_of(other, ids), logits.detach()), name
    bytes_ = sum(path.stat().st_size for path in where.iterdir())
    print(f"{name:24} {bytes_:7} bytes, logits of size {size:.2f} "
          f"(at most {logits.abs().max().item():.1f}), loss {loss.item():.3f}, "
          f"attempt {attempt}")


def make_score(name, model_type, options, n_labels):
    gen = generator(name)
    model = build(model_type, dict(options, num_labels=n_labels),
                  AutoModelForSequenceClassification)
    fill(model, gen)
    where = HERE / name
    shutil.rmtree(where, ignore_errors=True)
    model.save_pretrained(where)
    model = AutoModelForSequenceClassification.from_pretrained(
        where, attn_implementation="eager").eval()
    ids = torch.randint(3, VOCAB, (4, 10), generator=gen)
    mask = torch.ones_like(ids)
    for row, length in enumerate((10, 7, 1, 4)):
        ids[row, length:] = model.config.pad_token_id
        mask[row, length:] = 0
    with torch.no_grad():
        pooled = model(ids, attention_mask=mask, use_cache=False).logits
    save_file(dict(input_ids=ids, attention_mask=mask, pooled_logits=pooled),
              where / "golden.safetensors")
    bytes_ = sum(path.stat().st_size for path in where.iterdir())
    print(f"{name:24} {bytes_:7} bytes, scores {pooled.flatten().tolist()[:4]}")


def main():
    wanted = sys.argv[1:]
    for name, arguments in LM.items():
        if not wanted or name in wanted:
            make_lm(name, *arguments)
    for name, arguments in SCORE.items():
        if not wanted or name in wanted:
            make_score(name, *arguments)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Frequencies of rotary positions as transformers computes them, into rotary.jsonl.

Made with transformers 5.24.0, torch 2.15.0 and Python 3.11.7, on a CPU in float32:
    python tests/golden/make_rotary.py

One object a line: config, the members of a config.json of a published size; length, of the
sequence; frequencies; factor, of cosines and sines; for Gemma 3 also local, the frequencies of
layers with a window.
"""
import json
from pathlib import Path

import torch
from transformers import CONFIG_MAPPING
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXRotaryEmbedding
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi.modeling_phi import PhiRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

CLASSES = dict(llama=LlamaRotaryEmbedding, qwen2=LlamaRotaryEmbedding, gpt_neox=GPTNeoXRotaryEmbedding,
               phi=PhiRotaryEmbedding, phi3=Phi3RotaryEmbedding, gemma3_text=Gemma3RotaryEmbedding)


def llama(positions, theta, head_dim, **scaling):
    return dict(model_type="llama", hidden_size=4 * head_dim, num_attention_heads=4,
                max_position_embeddings=positions, rope_theta=theta, rope_scaling=scaling or None)


LLAMA3 = dict(rope_type="llama3", low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=8192)
PHI3 = dict(model_type="phi3", hidden_size=384, num_attention_heads=4, max_position_embeddings=131072,
            original_max_position_embeddings=4096,
            rope_scaling=dict(type="longrope", short_factor=[1 + i / 50 for i in range(48)],
                              long_factor=[1 + i * i / 37 for i in range(48)]))
CASES = [
    (llama(2048, 10000.0, 128), 1),
    (llama(131072, 500000.0, 128, **LLAMA3, factor=8.0), 1),
    (llama(131072, 500000.0, 64, **LLAMA3, factor=32.0), 1),
    (llama(16384, 10000.0, 128, type="linear", factor=4.0), 1),
    (llama(4096, 10000.0, 128, type="dynamic", factor=2.0), 4096),
    (llama(4096, 10000.0, 128, type="dynamic", factor=2.0), 9000),
    (llama(131072, 1000000.0, 128, rope_type="yarn", factor=4.0,
           original_max_position_embeddings=32768), 1),
    (llama(163840, 10000.0, 64, rope_type="yarn", factor=40.0, beta_fast=32.0, beta_slow=1.0,
           mscale=0.707, mscale_all_dim=1.0, original_max_position_embeddings=4096), 1),
    (llama(65536, 10000.0, 96, rope_type="yarn", factor=16.0, truncate=False,
           original_max_position_embeddings=4096, attention_factor=1.3), 1),
    (dict(model_type="gpt_neox", hidden_size=512, num_attention_heads=8, rotary_pct=0.25,
          rotary_emb_base=10000), 1),
    (llama(131072, 500000.0, 128, **dict(LLAMA3, low_freq_factor=4.0), factor=8.0), 1),
    (llama(131072, 500000.0, 128, **dict(LLAMA3, low_freq_factor=8.0), factor=8.0), 1),
    (llama(32768, 10000.0, 128, **dict(LLAMA3, original_max_position_embeddings=4096), factor=8.0), 1),
    (llama(163840, 10000.0, 64, rope_type="yarn", factor=40.0, mscale=1.0, mscale_all_dim=0,
           beta_fast=0, original_max_position_embeddings=4096), 1),
    (dict(model_type="gpt_neox", hidden_size=600, num_attention_heads=10, rotary_pct=0.25), 1),
    (dict(model_type="phi", hidden_size=2560, num_attention_heads=32, partial_rotary_factor=0.4), 1),
    (PHI3, 4096),
    (PHI3, 4097),
    (dict(model_type="gemma3_text", hidden_size=2560, num_attention_heads=8, head_dim=256,
          num_hidden_layers=6, rope_scaling=dict(rope_type="linear", factor=8.0)), 1),
]


def digits(values):
    """As many as tell floats apart."""
    return [float(f"{x:.9g}") for x in values.tolist()]


def measure(members, length):
    kind = members["model_type"]
    config = CONFIG_MAPPING[kind](**{k: v for k, v in members.items() if k != "model_type"})
    rotary = CLASSES[kind](config)
    positions, x = torch.arange(length)[None], torch.zeros(1)
    out = dict(config=members, length=length)
    if kind == "gemma3_text":
        out.update(frequencies=digits(rotary.full_attention_inv_freq),
                   factor=rotary.full_attention_attention_scaling,
                   local=digits(rotary.sliding_attention_inv_freq))
    else:
        rotary(x, positions)
        out.update(frequencies=digits(rotary.inv_freq), factor=rotary.attention_scaling)
    return out


def main():
    path = Path(__file__).parent / "rotary.jsonl"
    with path.open("w") as out:
        for case in CASES:
            out.write(json.dumps(measure(*case)) + "\n")


main()

#!/usr/bin/env python3
"""Which ids transformers keeps for sampling: sampling.tsv.

Made with transformers 5.23.0, torch 2.15.0 and Python 3.11.7, its warpers on doubles:
    python tests/golden/make_sampling.py

A line: V, seed, kind (these give the logits, see logits()), temperature, top_k, top_p,
min_p, number of ids kept, and FNV-1a (64 bits) of them as 32-bit numbers.  Where top-p
cuts through equal logits, of which transformers keeps any, the lowest ids stand for
them.  Rows that a rounding error would decide are left out.
"""
import itertools
from pathlib import Path

import torch
from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

MASK = 0xFFFFFFFF


def logits(v, seed, kind):
    """Exact in single precision, so that C computes the same."""
    row = []
    for i in range(v):
        h = ((i + 1) * 2654435761 + seed * 2246822519) & MASK
        h ^= h >> 15
        h = (h * 3266489917) & MASK
        h ^= h >> 13
        if kind == 0:  # spread
            z = (h % 8191 - 4095) / 512
        elif kind == 1:  # many equals
            z = (h % 9 - 4) / 2
        elif kind == 2:  # a few large ones
            a = h % 4095 - 2047
            z = a * abs(a) / 524288
        else:  # nearly flat
            z = (h % 8191) / 65536
        row.append(z)
    return row


def margin(scores, option, p):
    """How far the decision of top-p or min-p is from turning."""
    probs = torch.softmax(scores, -1)[0]
    if option == "min_p":
        return (probs / probs.max() - p).abs().min().item()
    ordered = probs.sort().values.cumsum(0)
    return (ordered - (1 - p)).abs().min().item()


def kept(v, seed, kind, temperature, top_k, top_p, min_p):
    z = torch.tensor([logits(v, seed, kind)], dtype=torch.float64)
    scores = TemperatureLogitsWarper(temperature)(None, z)
    if top_k > 0:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        if margin(scores, "top_p", top_p) < 1e-5:
            return None
        scores = TopPLogitsWarper(top_p)(None, scores)
    if min_p > 0:
        if margin(scores, "min_p", min_p) < 1e-5:
            return None
        scores = MinPLogitsWarper(min_p)(None, scores)
    mask = torch.isfinite(scores[0])
    least = z[0][mask].min()
    ties = (z[0] == least).nonzero().flatten()
    n_ties = int((mask & (z[0] == least)).sum())
    mask[ties] = False
    mask[ties[:n_ties]] = True
    return mask.nonzero().flatten().tolist()


def fnv(ids):
    h = 0xCBF29CE484222325
    for i in ids:
        for byte in int(i).to_bytes(4, "little"):
            h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def main():
    options = list(itertools.product([1.0, 0.7, 2.5], [0, 1, 3, 40], [1.0, 0.91, 0.5, 0.03], [0.0, 0.07, 0.6]))
    seed, lines = 0, []
    for v in (2, 61, 700, 5003):
        for kind in range(4):
            for k in range(36):
                temperature, top_k, top_p, min_p = options[(seed * 31 + k) % len(options)]
                seed += 1
                ids = kept(v, seed, kind, temperature, top_k, top_p, min_p)
                if ids is not None:
                    row = (v, seed, kind, temperature, top_k, top_p, min_p, len(ids), f"{fnv(ids):016x}")
                    lines.append("\t".join(map(str, row)) + "\n")
    (Path(__file__).parent / "sampling.tsv").write_text("".join(lines))


main()

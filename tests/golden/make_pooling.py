#!/usr/bin/env python3
"""Positions that each rule pools, computed with torch from the rules' own definitions.

Made with torch 2.15.0 and Python 3.11.7:
    python tests/golden/make_pooling.py > tests/golden/pooling.jsonl

A line holds ids (of one sequence, without padding around it), the lengths and ids that the
rules need (-1: none), and by rule the position whose score speaks for the sequence:

    last-non-pad  transformers from 4.49 on, ...ForSequenceClassification
    last          OpenRLHF: the last position that the attention mask holds
    first-pad     TRL's get_reward: before the first pad at or behind the prompt
    eos           the last end token, or the last position
"""
import json

import torch

torch.manual_seed(1)


def last_non_pad(ids, pad):
    if pad < 0:
        return len(ids) - 1
    kept = (ids != pad).to(torch.int32)
    return (torch.arange(len(ids), dtype=torch.int32) * kept).argmax(-1).item()


def last(ids):
    mask = torch.ones_like(ids)
    return mask.size(-1) - 1 - mask.flip(-1).argmax(-1).item()


def first_true(bools):
    n = bools.size(-1)
    return (n * (~bools).long() + bools.long() * torch.arange(n)).min(-1).values.item()


def first_pad(ids, n_prompt, pad):
    """Scores are taken by scores[:, position]: position -1 is the last."""
    if n_prompt == len(ids):
        return len(ids) - 1
    position = first_true(ids[n_prompt:] == pad) - 1 + n_prompt
    return torch.arange(len(ids))[position].item()


def eos(ids, end):
    found = (ids == end).nonzero()
    return found[-1].item() if len(found) else len(ids) - 1


for case in range(96):
    n = torch.randint(1, 9, ()).item()
    ids = torch.randint(0, 3 if case % 2 else 6, (n,))
    n_prompt = torch.randint(0, n + 1, ()).item()
    pad = [0, 1, -1][case % 3]
    end = [2, 1, -1, 0][case % 4]
    print(json.dumps({"ids": ids.tolist(), "n_prompt": n_prompt, "pad": pad, "end": end,
                      "last-non-pad": last_non_pad(ids, pad), "last": last(ids),
                      "first-pad": first_pad(ids, n_prompt, pad), "eos": eos(ids, end)},
                     separators=(",", ":")))

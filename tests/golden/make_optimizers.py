#!/usr/bin/env python3
"""Golden optimizer steps of torch and learning-rate schedules of transformers.

Made with torch 2.15.0, transformers 5.23.0 and Python 3.11.7:
    python tests/golden/make_optimizers.py
optimizers.safetensors, all F32:

    start               [N]
    gradients           [STEPS, N]
    adamw, sgd, ...     [STEPS, N]   weights after each step at a rate of 0.01
    schedule.NAME       [T]          factor of the rate at each of T steps, of which the
                                     first 4 are warm-up; schedule.NAME.plain without
"""
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import get_scheduler

N, STEPS, T, WARMUP = 64, 5, 20, 4
OPTIMIZERS = {
    "adamw": (torch.optim.AdamW, dict(betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)),
    "adamw.decay": (torch.optim.AdamW, dict(betas=(0.8, 0.99), eps=1e-5, weight_decay=0.1)),
    "sgd": (torch.optim.SGD, dict()),
    "sgd.momentum": (torch.optim.SGD, dict(momentum=0.9)),
    "sgd.decay": (torch.optim.SGD, dict(momentum=0.5, weight_decay=0.1)),
}
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}

torch.manual_seed(1)
start = torch.randn(N)
gradients = torch.randn(STEPS, N) * torch.logspace(-4, 1, N)
golden = {"start": start, "gradients": gradients}
for name, (kind, options) in OPTIMIZERS.items():
    weights = torch.nn.Parameter(start.clone())
    optimizer = kind([weights], lr=0.01, **options)
    after = []
    for gradient in gradients:
        weights.grad = gradient.clone()
        optimizer.step()
        after.append(weights.detach().clone())
    golden[name] = torch.stack(after)
for name, kind in SCHEDULES.items():
    for warmup in (WARMUP, 0):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = get_scheduler(kind, optimizer, warmup, T)
        factors = []
        for _ in range(T):
            factors.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        golden[f"schedule.{name}" + ("" if warmup else ".plain")] = torch.tensor(factors)
save_file(golden, Path(__file__).parent / "optimizers.safetensors")

#!/usr/bin/env python3
"""Golden losses of the training commands: torch, transformers, and TRL's formulas.

Made with torch 2.15.0, transformers 5.23.0 and Python 3.11.7, on a CPU in float32; the
formulas are those of trl 1.6.0 (dpo_trainer.py, experimental/kto, reward_trainer.py), and of
Mitchell 2023 for the smoothed DPO loss:
    python tests/golden/make_losses.py
losses/ holds rows of ids (ROWS.jsonl) and expected.txt: for each case a line

    case NAME COMMAND ROWS MODEL KEY=VALUE ...

whose keys are config keys, and for each of STEPS steps of plain gradient descent over all rows

    STEP METRIC VALUE

so that losses after the first step depend on the gradients before.
"""
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

HERE = Path(__file__).parent
MODELS, OUT = HERE / "models", HERE / "losses"
POLICY, REFERENCE, STEPS = "llama-bias", "gpt2-hub-layout", 3
SCORER, CLASSIFIER = "rm-llama", "score-llama"
VOCAB = 61
generator = torch.Generator().manual_seed(7)


def ids(n, first=3):
    return torch.randint(first, VOCAB, (n,), generator=generator).tolist()


def write(name, rows):
    (OUT / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


# --- rows ---

prompts = [ids(n) for n in (3, 1, 5, 2, 4, 6)]
chosen = [ids(n) for n in (4, 6, 2, 7, 1, 5)]
rejected = [ids(n) for n in (5, 2, 3, 7, 6, 1)]
margins = [0.5, 0, 1.25, -0.5, 0, 2]
wanted = [True, False, True, True, False, True]
examples = []
for i, (p, c) in enumerate(zip(prompts, chosen)):
    whole = p + c
    if i % 3 == 0:
        examples.append({"prompt_ids": p, "completion_ids": c})
    elif i % 3 == 1:
        examples.append({"input_ids": whole, "prompt_length": len(p)})
    else:
        labels = [-100] * len(p) + c[:-1] + [-100]
        examples.append({"input_ids": whole, "labels": labels})
pairs = [{"prompt_ids": p, "chosen_ids": c, "rejected_ids": r, "margin": m}
         for p, c, r, m in zip(prompts, chosen, rejected, margins)]
labelled = [{"input_ids": p + c, "label": label}
            for p, c, label in zip(prompts, chosen, ["LABEL_2", 0, 1, 0, "LABEL_0", 2])]
judged = [{"prompt_ids": p, "completion_ids": c, "label": w}
          for p, c, w in zip(prompts, chosen, wanted)]


def labels_of(row):
    if "labels" in row:
        return row["labels"]
    if "prompt_length" in row:
        n = row["prompt_length"]
        return [-100] * n + row["input_ids"][n:]
    return [-100] * len(row["prompt_ids"]) + row["completion_ids"]


# --- forward passes, one row at a time ---

def logits_of(model, row_ids):
    return model(torch.tensor([row_ids])).logits[0]


def logprob(model, prompt, completion):
    z = logits_of(model, prompt + completion)[len(prompt) - 1:-1]
    return F.log_softmax(z, -1).gather(1, torch.tensor(completion)[:, None]).sum()


def scores(model, row_ids):
    return model(torch.tensor([row_ids])).logits[0]


# --- losses: model -> (loss, {metric: value}) ---

def sft(model):
    loss = entropy = right = n = 0
    for row in examples:
        labels = torch.tensor(labels_of(row))[1:]
        z = logits_of(model, row.get("input_ids") or row["prompt_ids"] + row["completion_ids"])
        kept = labels != -100
        lp = F.log_softmax(z[:-1][kept], -1)
        loss = loss - lp.gather(1, labels[kept][:, None]).sum()
        entropy = entropy - (lp.exp() * lp).sum()
        right = right + (lp.argmax(-1) == labels[kept]).sum()
        n += int(kept.sum())
    return loss / n, {"entropy": entropy / n, "mean_token_accuracy": right / n}


def classify(model):
    names = [row["label"] for row in labelled]
    labels = torch.tensor([int(str(name).removeprefix("LABEL_")) for name in names])
    z = torch.stack([scores(model, row["input_ids"]) for row in labelled])
    return F.cross_entropy(z, labels), {"accuracy": (z.argmax(-1) == labels).float().mean()}


def reward(model, center):
    loss = accuracy = margin = 0
    for p, c, r, m in zip(prompts, chosen, rejected, margins):
        a, b = scores(model, p + c), scores(model, p + r)
        loss = loss - F.logsigmoid(a - b - m).sum() + center * ((a + b) ** 2).sum()
        accuracy += (a > b).float().sum()
        margin = margin + (a - b).sum()
    n = len(pairs)
    return loss / n, {"accuracy": accuracy / n, "margin": margin / n}


def dpo(model, reference, kind, beta, smoothing=0.0, norm=True):
    sums = dict.fromkeys(["loss", "accuracies", "margins", "chosen", "rejected", "lc", "lr"], 0)
    for p, c, r in zip(prompts, chosen, rejected):
        with torch.no_grad():
            ref = [logprob(reference, p, y) for y in (c, r)]
        lp = [logprob(model, p, y) for y in (c, r)]
        h = [new - old for new, old in zip(lp, ref)]
        x = beta * (h[0] - h[1])
        right, wrong = -F.logsigmoid(x), -F.logsigmoid(-x)
        if kind == "sigmoid":
            loss = (1 - smoothing) * right + smoothing * wrong
        elif kind == "robust":
            loss = ((1 - smoothing) * right - smoothing * wrong) / (1 - 2 * smoothing)
        elif kind == "hinge":
            loss = torch.relu(1 - x)
        elif kind == "ipo":
            by = [len(c), len(r)] if norm else [1, 1]
            loss = (h[0] / by[0] - h[1] / by[1] - 1 / (2 * beta)) ** 2
        for key, value in zip(sums, [loss, (h[0] > h[1]).float(), x, beta * h[0], beta * h[1],
                                     lp[0], lp[1]]):
            sums[key] = sums[key] + value
    mean = {key: value / len(pairs) for key, value in sums.items()}
    return mean["loss"], {
        "rewards/accuracies": mean["accuracies"], "rewards/margins": mean["margins"],
        "rewards/chosen": mean["chosen"], "rewards/rejected": mean["rejected"],
        "logps/chosen": mean["lc"], "logps/rejected": mean["lr"]}


def kto(model, reference, beta, desirable, undesirable):
    n = len(judged)
    with torch.no_grad():
        mismatched = [(p, chosen[(i + 1) % n]) for i, p in enumerate(prompts)]
        gaps = [logprob(model, p, y) - logprob(reference, p, y) for p, y in mismatched]
        kl = (sum(gaps) / n).clamp(min=0)
        ref = [logprob(reference, p, c) for p, c in zip(prompts, chosen)]
    loss, rewards, logps = 0, {True: [], False: []}, {True: [], False: []}
    for p, c, w, old in zip(prompts, chosen, wanted, ref):
        new = logprob(model, p, c)
        h = new - old
        loss = loss + (desirable * (1 - torch.sigmoid(beta * (h - kl))) if w
                       else undesirable * (1 - torch.sigmoid(beta * (kl - h))))
        rewards[w].append(beta * h)
        logps[w].append(new)
    mean = lambda values: sum(values) / len(values)
    return loss / n, {
        "kl": kl, "rewards/chosen": mean(rewards[True]), "rewards/rejected": mean(rewards[False]),
        "rewards/margins": mean(rewards[True]) - mean(rewards[False]),
        "logps/chosen": mean(logps[True]), "logps/rejected": mean(logps[False])}


# --- descent ---

lines = []


def case(name, command, rows, model_name, rate, loss_of, **keys):
    kind = (AutoModelForSequenceClassification if model_name in (SCORER, CLASSIFIER)
            else AutoModelForCausalLM)
    model = kind.from_pretrained(MODELS / model_name, dtype=torch.float32).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    keys = {"optimizer.learning_rate": rate, **{k.replace("__", "."): v for k, v in keys.items()}}
    settings = " ".join(f"{key}={json.dumps(value)}" for key, value in keys.items())
    lines.append(f"case {name} {command} {rows} {model_name} {settings}")
    for step in range(STEPS):
        optimizer.zero_grad()
        loss, metrics = loss_of(model)
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()
                                              if p.grad is not None])
        for key, value in {"loss": loss, "grad_norm": norm, **metrics}.items():
            lines.append(f"{step + 1} {key} {float(value):.9g}")
        optimizer.step()


OUT.mkdir(exist_ok=True)
write("examples", examples)
write("pairs", pairs)
write("judged", judged)
write("labelled", labelled)
reference = AutoModelForCausalLM.from_pretrained(MODELS / REFERENCE, dtype=torch.float32).eval()
ref = {"reference__path": REFERENCE}
case("sft", "sft", "examples", POLICY, 0.5, sft)
case("classify", "classify", "labelled", CLASSIFIER, 0.05, classify)
case("reward", "reward-train", "pairs", SCORER, 0.02, lambda m: reward(m, 0.0))
case("reward-centered", "reward-train", "pairs", SCORER, 0.02, lambda m: reward(m, 0.125),
     reward_train__center_rewards_coefficient=0.125)
for name, kind, beta, options in [
        ("dpo", "sigmoid", 0.1, {}), ("dpo-smoothed", "sigmoid", 0.5, {"label_smoothing": 0.25}),
        ("robust", "robust", 0.2, {"label_smoothing": 0.125}), ("hinge", "hinge", 0.125, {}),
        ("ipo", "ipo", 0.5, {}), ("ipo-sums", "ipo", 0.5, {"ipo_length_norm": False})]:
    case(name, "dpo", "pairs", POLICY, {"ipo": 0.05, "ipo-sums": 5e-4}.get(name, 0.25),
         lambda m: dpo(m, reference, kind, beta, options.get("label_smoothing", 0.0),
                       options.get("ipo_length_norm", True)),
         dpo__loss_type=kind, dpo__beta=beta, **ref,
         **{f"dpo__{key}": value for key, value in options.items()})
case("kto", "dpo", "judged", POLICY, 0.5, lambda m: kto(m, reference, 0.25, 1.5, 0.75),
     dpo__loss_type="kto", dpo__beta=0.25, dpo__desirable_weight=1.5,
     dpo__undesirable_weight=0.75, **ref)
(OUT / "expected.txt").write_text("\n".join(lines) + "\n")

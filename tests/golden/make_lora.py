#!/usr/bin/env python3
"""Golden LoRA adapters and their gradients, by PEFT.

Made with peft 0.21.2, transformers 5.23.0, torch 2.15.0 and Python 3.11.7:
    python tests/golden/make_lora.py
adapters/NAME/ holds adapter_config.json and adapter_model.safetensors as save_pretrained
writes them, for the model of tests/golden/models that base_model_name_or_path names, with
A and B drawn at random, and golden.safetensors:

    input_ids      I64 [2, T]
    logits         F32 [2, T, V], or [2, n_labels] of a classifier
    loss           F32 [1]     mean cross-entropy of the next id, or mean of the logits
    grad.TENSOR    F32         gradient of loss for every tensor of the adapter
    merged.TENSOR  F32         matrices of the first layer after merge_and_unload
"""
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

HERE = Path(__file__).parent
ADAPTERS = {
    "gpt2-all-linear": ("gpt2", dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "llama-rslora": ("llama-gqa", dict(
        r=3, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "v_proj", "up_proj", "o_proj"],
        rank_pattern={"v_proj": 2}, alpha_pattern={"layers.1.self_attn.q_proj": 7})),
    "gpt_neox-fused": ("gpt_neox", dict(
        r=4, lora_alpha=8, target_modules=["query_key_value", "dense_4h_to_h"])),
    "gptj-interleaved": ("gptj", dict(r=2, lora_alpha=4, target_modules=["q_proj", "k_proj", "fc_in"])),
    "phi3-fused": ("phi3", dict(r=2, lora_alpha=4, target_modules=["qkv_proj", "gate_up_proj"])),
    "score-llama": ("score-llama", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
}

for name, (base, options) in ADAPTERS.items():
    torch.manual_seed(1)
    where = HERE / "adapters" / name
    shutil.rmtree(where, ignore_errors=True)
    is_score = base.startswith("score")
    kind = AutoModelForSequenceClassification if is_score else AutoModelForCausalLM
    model = kind.from_pretrained(HERE / "models" / base, dtype=torch.float32)
    config = LoraConfig(task_type="SEQ_CLS" if is_score else "CAUSAL_LM", **options)
    model = get_peft_model(model, config).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    base_golden = load_file(HERE / "models" / base / "golden.safetensors")
    ids = base_golden["input_ids"][:2]
    golden = {"input_ids": ids.clone()}
    if is_score:
        mask = base_golden["attention_mask"][:2]
        golden["attention_mask"] = mask.clone()
        logits = model(input_ids=ids, attention_mask=mask).logits
        loss = logits.mean()
    else:
        output = model(input_ids=ids, labels=ids)
        logits, loss = output.logits, output.loss
    loss.backward()
    golden["logits"] = logits.detach().clone()
    golden["loss"] = loss.detach().reshape(1)
    gradients = {key.replace(".default", ""): value.grad for key, value in model.named_parameters()
                 if value.grad is not None}
    model.peft_config["default"].base_model_name_or_path = f"tests/golden/models/{base}"
    model.save_pretrained(where)
    (where / "README.md").unlink(missing_ok=True)
    for key in load_file(where / "adapter_model.safetensors"):
        golden["grad." + key] = gradients[key.replace("model.score.", "model.score.modules_to_save.")].clone()
    merged = model.merge_and_unload().state_dict()
    for key, value in merged.items():
        if ".0." in key and key.endswith("weight") and value.dim() == 2:
            golden["merged." + key] = value.detach().clone()
    save_file(golden, where / "golden.safetensors")

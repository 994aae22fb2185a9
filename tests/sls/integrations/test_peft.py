"""LoRA adapters of peft: they alone move, and are merged afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import sls
from tests.sls.integrations.tiny import batches, gpt2, texts

peft = pytest.importorskip("peft", reason="needs the extra frameworks")

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

BATCH = batches(texts(32), 32)[0]


def adapted() -> Any:
    adapters = peft.LoraConfig(r=4, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    return peft.get_peft_model(gpt2(), adapters)


def by_loop(model: Any, kind: str) -> float:
    """Train all parameters that there are; return the last loss."""
    optimizer = getattr(sls, kind)(model.parameters())
    return [float(optimizer.step(lambda: model(**BATCH).loss)) for _ in range(60)][-1]


@pytest.mark.parametrize("kind", ["PeakSLS", "ALSALS"])
def test_adapters_move_and_the_model_below_stays(kind: str) -> None:
    model = adapted()
    before = {name: param.detach().clone() for name, param in model.named_parameters()}
    first = model(**BATCH).loss.item()
    assert by_loop(model, kind) < 0.97 * first
    moved = {name for name, param in model.named_parameters() if not param.equal(before[name])}
    assert moved == {name for name in before if "lora_" in name}


def test_the_merged_model_computes_the_same() -> None:
    model = adapted()
    by_loop(model, "ALSALS")
    with torch.no_grad():
        adapters = model(**BATCH).logits
        merged = model.merge_and_unload()(**BATCH).logits
    torch.testing.assert_close(merged, adapters, rtol=1e-4, atol=1e-5)


def test_the_trainer_moves_adapters_and_resumes_them(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from sls.integrations.transformers import LineSearchTrainer

    args = transformers.TrainingArguments(
        str(tmp_path), max_steps=8, save_steps=4, report_to="none", use_cpu=True, disable_tqdm=True
    )
    make: Callable[[], Any] = lambda: LineSearchTrainer(adapted(), args, train_dataset=texts(32))  # noqa: E731
    whole, resumed = make(), make()
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    base = gpt2().transformer.h[0].attn.c_attn.weight
    layer = whole.model.base_model.model.transformer.h[0].attn.c_attn
    assert torch.equal(layer.base_layer.weight, base)
    found: list[tuple[Tensor, Tensor]] = list(
        zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
    )
    assert all(torch.equal(mine, theirs) for mine, theirs in found)
    assert layer.lora_B["default"].weight.detach().abs().max() > 0

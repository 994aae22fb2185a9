"""A tiny GPT-2 and made-up texts of several lengths, for tests of frameworks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

transformers = pytest.importorskip("transformers", reason="needs the extra frameworks")

VOCABULARY, LENGTH = 24, 12
Example = dict[str, Tensor]


def gpt2(*, dropout: float = 0.0) -> transformers.GPT2LMHeadModel:
    """One layer, 16 wide, from the same seed every time."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=LENGTH,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        use_cache=False,
        loss_type="ForCausalLM",
    )
    return transformers.GPT2LMHeadModel(config)


def texts(n: int) -> list[Example]:
    """Texts that count upwards; the labels of a random number of their tokens are masked."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for i in range(n):
        tokens = (torch.arange(LENGTH) + 5 * i) % VOCABULARY
        labels = tokens.clone()
        labels[int(torch.randint(4, LENGTH + 1, (), generator=generator)) :] = -100
        found.append({"input_ids": tokens, "labels": labels})
    return found


def batches(examples: list[Example], size: int) -> list[Example]:
    """Batches in order."""
    parts = [examples[i : i + size] for i in range(0, len(examples), size)]
    return [{name: torch.stack([x[name] for x in part]) for name in part[0]} for part in parts]


def parameters(model: torch.nn.Module) -> list[Tensor]:
    """Copies of the parameters."""
    return [param.detach().clone() for param in model.parameters()]

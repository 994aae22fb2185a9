"""Train a small GPT-2 on the bytes of a text, in a loop of your own with Accelerate.

    pip install accelerate transformers
    python examples/accelerate_loop.py       # or: accelerate launch examples/accelerate_loop.py

15 seconds on one core: the loss falls from 5.6 to below 3.3 in 80 steps. The text is
tinyshakespeare/input.txt in SLS_DATA_ROOT; any text will do.
"""

import os
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import GPT2Config, GPT2LMHeadModel

import sls

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"
TEXT = Path(os.environ.get("SLS_DATA_ROOT", BESIDE)) / "tinyshakespeare" / "input.txt"
STEPS, MICRO_BATCHES = 80, 2


def main() -> list[float]:
    """Train, and return the loss of every step."""
    torch.manual_seed(0)
    accelerator = Accelerator()
    text = torch.frombuffer(bytearray(TEXT.read_bytes()), dtype=torch.uint8).long()
    blocks: Any = [text[i : i + 64] for i in range(0, len(text) - 64, 64)]
    loader: DataLoader[Tensor] = DataLoader(blocks, batch_size=8, shuffle=True)
    size = {"vocab_size": 256, "n_positions": 64, "n_embd": 64, "n_layer": 2, "n_head": 4}
    model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0))
    optimizer = sls.PeakSLS(model.parameters(), total_steps=STEPS, max_grad_norm=1.0)

    # What is prepared is saved by `accelerator.save_state`. Steps are the optimizer's own: they
    # return the loss, run backward, clip, and scale the loss for float16.
    model, _, loader = accelerator.prepare(model, optimizer, loader)

    def loss_of(tokens: Tensor) -> Tensor:
        loss: Tensor = model(input_ids=tokens, labels=tokens).loss
        return loss

    losses, micro_batches = [], iter(loader)
    for k in range(STEPS):
        closure = sls.accumulate(loss_of, islice(micro_batches, MICRO_BATCHES))
        losses.append(float(optimizer.step(closure, scaler=accelerator.scaler)))
        if k % 10 == 9:
            step_size = optimizer.param_groups[0]["lr"]
            accelerator.print(f"{k + 1} steps: loss {losses[-1]:.3f}, step size {step_size:.1e}")
    return losses


if __name__ == "__main__":
    main()

"""A run of `LineSearchTrainer` under torchrun; rank 0 writes what happened, as JSON.

torchrun --nproc-per-node 2 -m tests.sls.integrations.in_processes FOLDER BATCH
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from sls.integrations.transformers import LineSearchTrainer
from tests.sls.integrations.tiny import gpt2, texts, transformers


def main(folder: Path, batch: int) -> None:
    """Train on mini-batches of `batch` texts on each rank, two to a step."""
    args = transformers.TrainingArguments(
        str(folder),
        max_steps=8,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=2,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        train_sampling_strategy="sequential",
    )
    trainer = LineSearchTrainer(gpt2(), args, train_dataset=texts(64), line_search="alsals")
    trainer.train()
    weights = torch.cat([param.detach().flatten() for param in trainer.model.parameters()])
    equal = all(
        torch.equal(weights, part) for part in trainer.accelerator.gather(weights[None]).unbind()
    )
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if trainer.is_world_process_zero():
        result = {"ranks": args.world_size, "equal": equal, "losses": losses}
        (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

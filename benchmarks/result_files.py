"""What benchmarks share: clock and machine, and their files in `benchmarks/results/`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).resolve().parent / "results"


def now(device: torch.device) -> float:
    """Seconds, after all that the device was asked to do is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def machine(device: torch.device) -> dict[str, Any]:
    """The machine of a measurement: the name of the GPU, or the number of threads."""
    if device.type == "cuda":
        return {"device": torch.cuda.get_device_name(device), "torch": torch.__version__}
    return {"threads": torch.get_num_threads()}


def title_on(device: torch.device, name: str) -> str:
    """The name of a benchmark's files: that of the CPU's is plain."""
    return name if device.type == "cpu" else f"{name}_{device.type}"


def write(name: str, record: dict[str, Any], page: str, picture: Figure | None = None) -> None:
    """Write `name.json`, `name.md` and, where there is a picture, `name.png`."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(page)
    if picture is not None:
        picture.savefig(RESULTS / f"{name}.png", dpi=110)


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table: names in the first column, numbers in the others."""
    rule = ("---", *["--:"] * (len(header) - 1))
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]

"""The files of a benchmark in `benchmarks/results/`: numbers, a page of the site, a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).resolve().parent / "results"


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

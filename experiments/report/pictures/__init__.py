"""Stand-in until the report's pictures are merged: there are none."""

from __future__ import annotations

from experiments.report.document import Picture
from experiments.report.records import Results


def pictures(results: Results) -> dict[str, tuple[Picture, ...]]:
    """No pictures."""
    del results
    return {}

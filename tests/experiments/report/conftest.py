"""Reports with small pictures."""

from __future__ import annotations

import pytest

from experiments.report.figures import panels


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the pixels, which saves a quarter of the time."""
    monkeypatch.setattr(panels, "DPI", 50)

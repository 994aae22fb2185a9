"""Pairs of parameters of a test, of which the normal run takes a third."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def pairs(ones: Sequence[str], others: Sequence[str]) -> list[Any]:
    """All pairs; those outside of every third diagonal are slow.

    Every one of either still meets a third of the others in the normal run, and `ones[0]` all.
    """
    return [
        pytest.param(one, other, marks=[] if i == 0 or (i + j) % 3 == 0 else pytest.mark.slow)
        for i, one in enumerate(ones)
        for j, other in enumerate(others)
    ]

"""Assertions about what the ranks saw, for DDP and FSDP2 alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def assert_nan_moves_nothing(ranks: Sequence[Any], case: str) -> None:
    """On any rank, where the loss of one was NaN."""
    for rank in ranks:
        seen = rank[case]
        assert seen["statuses"] == ["nonfinite_loss"]
        assert seen["params"] == seen["before"]


def assert_refused(ranks: Sequence[Any], case: str, words: str) -> None:
    """With an error on every rank that has these words."""
    for rank in ranks:
        assert words in rank[case]["error"]


def assert_goes_on(
    ranks: Sequence[Any], whole: str, resumed: str, numbers: str, first: int
) -> None:
    """The resumed run equals the whole one, to the bit.

    Args:
        ranks: what every rank saw.
        whole: the case of the whole run.
        resumed: that of the resumed one.
        numbers: which numbers of every step are compared, besides the last parameters.
        first: the first step of the resumed run.
    """
    for rank in ranks:
        assert rank[resumed]["params"] == rank[whole]["params"]
        assert rank[resumed][numbers] == rank[whole][numbers][first:]

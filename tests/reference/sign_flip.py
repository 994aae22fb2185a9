"""The slow, obvious twins of the report's statistics: every sign, every resample, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product


def sign_flip_p(values: Sequence[Fraction]) -> Fraction:
    """The share of all ways to put signs to `values` whose sum is as far from 0 as theirs."""
    far = abs(sum(values))
    ways = list(product((-1, 1), repeat=len(values)))
    hits = sum(abs(sum(s * v for s, v in zip(way, values, strict=True))) >= far for way in ways)
    return Fraction(hits, len(ways))


def resampled_means(values: Sequence[Fraction]) -> list[Fraction]:
    """The mean of every resample of `values` with replacement, sorted; nⁿ of them."""
    n = len(values)
    return sorted(sum(drawn, Fraction(0)) / n for drawn in product(values, repeat=n))

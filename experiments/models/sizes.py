"""Sizes that must fit each other."""

from __future__ import annotations

from experiments.errors import UserError


def require_divisible(width: int, heads: int) -> None:
    """Raise `UserError` unless the attention heads share the width evenly."""
    if width % heads:
        raise UserError(f"model.heads is {heads}; it must divide model.width, {width}")

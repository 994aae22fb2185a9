"""What torchrun tells the processes that it starts, by their environment. No libraries."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from experiments.errors import SaidElsewhereError, UserError


@dataclass(frozen=True)
class Place:
    """A process among those of its run: its number among all, and among this machine's."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1


def place() -> Place:
    """The place of this process; that of a single one without torchrun."""
    # Clusters set RANK and WORLD_SIZE too; this one is torchrun's own.
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Place()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return Place(*(int(os.environ[name]) for name in names))


@contextmanager
def first_speaks() -> Iterator[None]:
    """Within, an error is the same in every process, and the first one says it."""
    try:
        yield
    except UserError as error:
        if place().rank > 0:
            raise SaidElsewhereError(error.exit_code) from error
        raise


def refuse_several(program: str) -> None:
    """Raise `UserError`, in the first of them, if torchrun has started several processes."""
    count = place().count
    if count > 1:
        with first_speaks():
            raise UserError(
                f"{program} is one process, but torchrun has started {count}; start it by python "
                "(main.py alone shares a run among processes)"
            )

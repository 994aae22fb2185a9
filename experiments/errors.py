"""Errors that the command line prints in one line, its exit codes, and the nearest valid name."""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Iterable

OK, FAILED = 0, 1


class UserError(Exception):
    """An error that the user can correct: what is wrong, where, and the nearest valid name.

    The command line prints its message in one line and ends with the class's exit code.
    """

    exit_code = 2


class MissingError(UserError):
    """Missing data, or a missing model; the command line adds the command that fetches them."""


class BusyError(UserError):
    """Another process works in the run's folder; waiting helps."""

    exit_code = 3


class SaidElsewhereError(Exception):
    """The end of a process whose run has failed in another one, which says why.

    The command line prints nothing and ends with the exit code of that process.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process of this run has failed")
        self.exit_code = exit_code


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest known name, or all known names if none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(names)}" if names else ""


def reason_of(error: BaseException) -> str:
    """The message of an exception in one line; the name of its class if it has none.

    Where torch refuses a file because it would run code, its advice to load it all the same is
    left out.
    """
    lines = str(error).splitlines()
    if isinstance(error, pickle.UnpicklingError):
        kept = [line for line in lines if not _ADVICE.intersection(line.replace("`", "").split())]
        if len(kept) < len(lines):
            lines = ["it holds more than numbers and is not loaded.", *kept]
    return " ".join(" ".join(lines).split()) or type(error).__name__


_ADVICE = {"weights_only", "weights_only=True", "weights_only=False", "torch.load"}

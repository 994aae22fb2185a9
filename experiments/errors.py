"""What the command line prints as a single line, and the nearest right name."""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Iterable


class UserError(Exception):
    """Something that the user can mend: what is wrong, where, and the nearest right thing.

    The command line prints its message on one line and leaves with the class's exit code.
    """

    exit_code = 2


class MissingError(UserError):
    """Data or a model that is not on this machine and may be fetched with a network.

    The command line adds the command that fetches it.
    """


class BusyError(UserError):
    """A run's folder that another process works in; to wait helps."""

    exit_code = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the known name nearest to `name`, or all of them if none is near.

    Returns the empty string when nothing is known.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; known: {', '.join(names)}" if names else ""


def reason_of(error: BaseException) -> str:
    """The message of an exception on one line; the name of its class where it has none.

    Where torch refuses a file for what it would run, its advice to load it all the same is left
    out, and only what it objects to is kept.
    """
    lines = str(error).splitlines()
    if isinstance(error, pickle.UnpicklingError):
        refused = [
            line for line in lines if not _ADVICE.intersection(line.replace("`", "").split())
        ]
        if len(refused) < len(lines):
            lines = ["it holds more than numbers and is not loaded.", *refused]
    return " ".join(" ".join(lines).split()) or type(error).__name__


_ADVICE = {"weights_only", "weights_only=True", "weights_only=False", "torch.load"}

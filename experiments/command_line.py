"""What every command line here shares: exit codes, errors in one line, flags. No libraries."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence

from experiments.errors import UserError, did_you_mean
from experiments.stopping import exit_code_of, line_of, signal_of
from experiments.streams import forgiving_streams

OK, FAILED = 0, 1
# What a disk says of itself, whichever file it was about; Python says the first of a machine whose
# folders for temporary files are all full.
_OF_DISKS = (errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def guarded(answer: Callable[[list[str]], int], argv: Sequence[str] | None) -> int:
    """The exit code of `answer`; errors of the user and of disks are told in one line.

    `argv` is without the program's name; None: this process's. Every exception but these and what
    Ctrl-C or SIGTERM have caused is a bug and goes on. Within, printing never fails.
    """
    with forgiving_streams():
        try:
            return answer(list(sys.argv[1:] if argv is None else argv))
        except BaseException as error:
            number = signal_of(error)
            if number is not None:
                sys.stderr.write(f"{line_of(number)}\n")
                return exit_code_of(number)
            if isinstance(error, UserError):
                return _refused(str(error), error.exit_code)
            if isinstance(error, OSError) and _is_of_a_disk(error):
                where = "" if error.filename is None else f"{error.filename}: "
                return _refused(f"{where}{error.strerror}", UserError.exit_code)
            raise


def _is_of_a_disk(error: OSError) -> bool:
    return error.errno is not None and (error.filename is not None or error.errno in _OF_DISKS)


def _refused(message: str, exit_code: int) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return exit_code


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags, and the rest."""
    flags = [argument for argument in arguments if argument.startswith("-")]
    return flags, [argument for argument in arguments if not argument.startswith("-")]


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether `-h` or `--help` is among them, whatever the others are."""
    return "-h" in arguments or "--help" in arguments


def require_known(flags: Sequence[str], known: Sequence[str]) -> None:
    """Raises `UserError` for the first flag that is not known."""
    for flag in flags:
        if flag not in known:
            raise UserError(f"{flag!r} (command line): unknown flag{did_you_mean(flag, known)}")

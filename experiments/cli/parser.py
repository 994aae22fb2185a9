"""What every command line shares: errors in one line, exit codes, flags and `key=value` words."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from experiments.errors import OK, SaidElsewhereError, UserError, did_you_mean
from experiments.stopping import exit_code_of, line_of, signal_of
from experiments.streams import forgiving_streams

# Errors of a disk, whichever file they are about; Python reports the first of a machine whose
# folders for temporary files are all full.
_DISK_ERRORS = (errno.ENOENT, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def guarded(answer: Callable[[list[str]], int], argv: Sequence[str] | None) -> int:
    """The exit code of `answer`; errors of the user and of disks become one line on stderr.

    `argv` is without the program's name; None: this process's. Every exception but these and those
    caused by Ctrl-C or SIGTERM is a bug and goes on. Within, printing never fails.
    """
    with forgiving_streams():
        try:
            return answer(list(sys.argv[1:] if argv is None else argv))
        except BaseException as error:
            if isinstance(error, SystemExit) and error.code == OK:
                return OK  # argparse has printed the help
            if isinstance(error, SaidElsewhereError):
                return error.exit_code
            number = signal_of(error)
            if number is not None:
                sys.stderr.write(f"{line_of(number)}\n")
                return exit_code_of(number)
            if isinstance(error, UserError):
                return _refused(str(error), error.exit_code)
            if isinstance(error, OSError) and (error.filename or error.errno in _DISK_ERRORS):
                where = f"{error.filename}: " if error.filename else ""
                return _refused(f"{where}{error.strerror}", UserError.exit_code)
            raise


def _refused(message: str, exit_code: int) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    return exit_code


class Parser(argparse.ArgumentParser):
    """A parser whose errors are `UserError`s, and whose flags and `key=value` words mix freely."""

    def __init__(self, *, notes: Callable[[], str] | None = None, **texts: Any) -> None:
        """`notes` gives the help's last part, and is called only where help is asked for."""
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **texts
        )
        self._notes = notes

    def format_help(self) -> str:
        if self._notes is not None:
            self.epilog = self._notes()
        return super().format_help()

    def add_pairs(self) -> None:
        """Accept `key=value` words, as the list `pairs`."""
        self.add_argument("pairs", nargs="*", metavar="key=value", help="see below")

    def add_folder(self) -> None:
        """Require a folder, as the path `folder`."""
        self.add_argument("folder", type=folder_path, metavar="FOLDER")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """The options; `key=value` words after a flag, which argparse leaves over, are added."""
        options, words = super().parse_known_args(args, namespace)
        for word in words:
            if word.startswith("-"):
                near = did_you_mean(word, self._option_string_actions)
                raise UserError(f"{word!r} (command line): unknown flag{near}")
            if "pairs" not in options:
                self.error(f"{word!r} is one argument too many")
            options.pairs.append(word)
        return options, []

    def error(self, message: str) -> NoReturn:
        """Raise, where argparse would print the usage and exit."""
        raise UserError(f"{message} (command line); see {self.prog} --help")


class Once(argparse.Action):
    """Store a value; a second one is an error."""

    def __call__(self, _parser: Any, options: Any, value: Any, _flag: str | None = None) -> None:
        if getattr(options, self.dest) is not None:
            raise argparse.ArgumentError(self, "given twice")
        setattr(options, self.dest, value)


def folder_path(text: str) -> Path:
    """The folder that an argument names, `~` included."""
    if not text:
        raise argparse.ArgumentTypeError("needs a folder")

    from experiments.settings import with_home

    return Path(with_home(text, "command line"))

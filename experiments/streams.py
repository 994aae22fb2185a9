"""Standard output and error that never stop a program: text that cannot be written is dropped."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """Let writing to standard output and error never raise.

    Characters outside the encoding are written as escapes. If nothing can be written any more (the
    reader has gone, the disk is full), the rest is dropped, with one warning on standard error.
    """
    _claim_closed()
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # None: it is closed
        error = _Forgiving(before[1] or nowhere, "standard error")
        output = _Forgiving(before[0] or nowhere, "standard output", error)
        sys.stdout, sys.stderr = output, error
        try:
            yield
        finally:
            output.flush()
            error.flush()
            sys.stdout, sys.stderr = before


class _Forgiving:
    """A text stream that writes to another without errors."""

    def __init__(self, stream: TextIO, name: str, warnings: _Forgiving | None = None) -> None:
        self._stream: Any = stream
        self._name = name
        self._warnings = warnings
        self._is_lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write the text, escaped where needed, or drop it."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            escaped = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            return self.write(escaped) if escaped != text else len(text)
        except (OSError, ValueError) as error:  # the second: it is closed
            self._lose(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, or drop the text that is not written yet."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        # The stream's buffer would fail again when the interpreter ends.
        with suppress(OSError, ValueError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), self._stream.fileno())
        if self._warnings is not None:
            reason = getattr(error, "strerror", None) or error
            self._warnings.write(
                f"warning: {self._name} cannot be written ({reason}); the rest is not shown\n"
            )


def _claim_closed() -> None:
    """Open the closed ones of the first three descriptors, so that no file gets their numbers.

    Libraries write warnings to number 2, whatever it is.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest that is free

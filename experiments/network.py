"""A quick test whether a server answers; the libraries that fetch try for minutes."""

from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

SECONDS = 5.0

Answer = TypeVar("Answer")


def within(ask: Callable[[], Answer], seconds: float = 2 * SECONDS) -> Answer:
    """The result or exception of `ask`; `TimeoutError` if it takes longer.

    A library's own timeout counts for each address of a server, and never for the look-up of its
    name.
    """
    answers: list[Answer] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:
            errors.append(error)

    # A daemon: the end of the process does not wait for it.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return answers[0]


def require_answer(*urls: str) -> None:
    """Raise `OSError` unless one of the URLs' servers answers, be it with an error.

    Uses urllib, and therefore the environment's proxies.
    """
    failures = []
    for url in urls:
        try:
            within(lambda url=url: _ask(url))  # type: ignore[misc]
        except OSError as error:
            failures.append(f"{url}: {error}")
        else:
            return
    raise OSError(f"no answer from {', '.join(failures)}")


def _ask(url: str) -> None:
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310
        urllib.request.urlopen(request, timeout=SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        error.close()
    except urllib.error.URLError as error:
        # A certificate that is not trusted is an answer; the fetch itself reports what is wrong.
        if not isinstance(error.reason, ssl.SSLError):
            raise

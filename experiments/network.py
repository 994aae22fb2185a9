"""A quick test whether a server answers, since the libraries that fetch try for minutes."""

from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import TypeVar

SECONDS = 5.0

Answer = TypeVar("Answer")


def within(ask: Callable[[], Answer], seconds: float = 2 * SECONDS) -> Answer:
    """The result or exception of `ask`; `TimeoutError` if it takes longer.

    A library's own timeout counts for each address of a server, and never for the look-up of its
    name.
    """
    answer: Future[Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:
            answer.set_exception(error)

    # A daemon: the end of the process does not wait for it.
    threading.Thread(target=run, daemon=True).start()
    if not wait([answer], seconds).done:
        raise TimeoutError(f"no answer within {seconds:g} seconds")
    return answer.result()


def require_on_hub(kind: str, name: str, revision: str | None = None) -> None:
    """Raise within seconds where the hub's libraries would retry for minutes.

    `kind` is `model` or `dataset`.
    """
    from huggingface_hub import HfApi

    within(lambda: HfApi().repo_info(name, repo_type=kind, revision=revision, timeout=SECONDS))


def require_answer(*urls: str) -> None:
    """Raise `OSError` unless one of the URLs' servers answers, be it with an error.

    Uses urllib, and therefore the environment's proxies.
    """
    failures = []
    for url in urls:
        try:
            within(partial(_ask, url))
            return
        except OSError as error:
            failures.append(f"{url}: {error}")
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

"""A server answers, or is given up within seconds."""

from __future__ import annotations

import ssl
import time
import urllib.error
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from experiments.network import require_answer, within


def test_within_gives_and_raises_what_is_asked() -> None:
    assert within(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within(lambda: 1 // 0)


def test_within_does_not_wait_for_ever() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.05 seconds"):
        within(lambda: time.sleep(20), 0.05)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.HTTPError("https://a", 405, "no HEAD here", Message(), None),
        urllib.error.URLError(ssl.SSLError("certificate")),
    ],
)
def test_a_refusal_is_an_answer(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_arguments: Any, **_settings: Any) -> None:
        raise error

    monkeypatch.setattr("urllib.request.urlopen", answer)
    require_answer("https://a")


def test_one_of_several_servers_is_enough(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    require_answer((tmp_path / "none").as_uri(), (tmp_path / "there").as_uri())
    with pytest.raises(OSError, match=r"no answer from file:.*/none: .*, file:.*/nothing"):
        require_answer((tmp_path / "none").as_uri(), (tmp_path / "nothing").as_uri())

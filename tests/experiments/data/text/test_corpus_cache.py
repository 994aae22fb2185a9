"""Tokens on disk: written once, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experiments.data.text.blocks import Tokens
from experiments.data.text.corpus_cache import cached_tokens, file_bytes
from experiments.errors import UserError
from tests.experiments.data.locations import REPOSITORY

CHUNKS = [np.array([1, 2, 3], np.uint16), np.array([], np.uint16), np.array([65535], np.uint16)]

# Writes without end, and says so once something is on the disk.
WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from experiments.data.text.corpus_cache import cached_tokens

def chunks():
    yield np.zeros(1 << 20, np.uint16)
    print("writing", flush=True)
    time.sleep(60)

cached_tokens(Path(sys.argv[1]), "text", {"source": "a"}, np.uint16, chunks)
"""


def cached(
    folder: Path,
    source: str = "a",
    chunks: Callable[[], Iterator[NDArray[Any]]] = lambda: iter(CHUNKS),
) -> Tokens:
    return cached_tokens(folder, "text", {"source": source}, np.uint16, chunks)


def unexpected() -> Iterator[NDArray[Any]]:
    raise AssertionError("the tokens were made again")


def visible(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*"))


def test_the_array_is_that_of_the_chunks(tmp_path: Path) -> None:
    tokens = cached(tmp_path / "deep" / "cache")
    array = tokens.open()
    assert isinstance(array, np.memmap)
    assert (array.dtype, array.tolist(), len(tokens)) == (np.uint16, [1, 2, 3, 65535], 4)
    (path,) = visible(tmp_path / "deep" / "cache")
    assert np.load(path).tolist() == [1, 2, 3, 65535]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_tokens_are_made_once(tmp_path: Path) -> None:
    cached(tmp_path)
    assert cached(tmp_path, chunks=unexpected).open().tolist() == [1, 2, 3, 65535]
    cached(tmp_path, source="b")
    assert len(visible(tmp_path)) == 2


def test_a_writer_that_fails_leaves_nothing_to_read(tmp_path: Path) -> None:
    def broken() -> Iterator[NDArray[Any]]:
        yield CHUNKS[0]
        raise UserError("line 7")

    with pytest.raises(UserError, match="line 7"):
        cached(tmp_path, chunks=broken)
    assert not visible(tmp_path)
    assert not list(tmp_path.glob("*.tmp"))
    assert len(cached(tmp_path)) == 4


def test_a_killed_writer_leaves_nothing_to_read(tmp_path: Path) -> None:
    """And its lock is free, and what it left behind is deleted."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        assert len(list(tmp_path.glob(".*.tmp"))) == 1
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert not visible(tmp_path)
    assert cached(tmp_path).open().tolist() == [1, 2, 3, 65535]
    assert len(visible(tmp_path)) == 1
    assert not list(tmp_path.glob(".*.tmp"))


def test_of_two_processes_one_writes_and_the_other_waits(tmp_path: Path) -> None:
    code = WRITER.replace("time.sleep(60)", "time.sleep(0.5)")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        start = time.monotonic()
        assert len(cached(tmp_path, chunks=unexpected)) == 1 << 20
        assert time.monotonic() - start > 0.1


def test_a_cut_file_is_named(tmp_path: Path) -> None:
    cached(tmp_path)
    (path,) = visible(tmp_path)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError) as raised:
        cached(tmp_path)
    assert str(raised.value).startswith(f"{path} is broken")


def test_no_tokens_at_all_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="empty"):
        cached(tmp_path, chunks=lambda: iter([]))
    (tmp_path / "empty.txt").touch()
    with pytest.raises(UserError, match="empty"):
        file_bytes(tmp_path / "empty.txt")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"cache_dir: .*file/cache \(Not a directory\); set it to a folder"
    ):
        cached(tmp_path / "file" / "cache")


def test_a_lock_is_no_link_to_somebody_elses_file(tmp_path: Path) -> None:
    cached(tmp_path)
    (tmp_path / "victim").write_text("of somebody")
    for array in tmp_path.glob("*.npy"):
        lock = array.with_name(f".{array.name}.lock")
        array.unlink()
        lock.unlink()
        lock.symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="symbolic links"):
        cached(tmp_path)
    assert (tmp_path / "victim").read_text() == "of somebody"

"""Files appear whole or not at all, whoever else writes them."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from experiments.files.atomic import DiskError, atomic_file, replace_together


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write(path: Path, data: bytes = b"new") -> None:
    with atomic_file(path) as file:
        file.write(data)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may become larger than 64 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_file(path) as first:
        first.write(b"first")
        write(path, b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == {"file"}


def test_a_new_file_has_the_rights_of_any_other(tmp_path: Path) -> None:
    write(tmp_path / "file")
    (tmp_path / "other").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_an_error_of_the_writer_is_not_taken_for_the_disks(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), atomic_file(tmp_path / "file") as file:
        file.write(bytes(1 // 0))
    assert names(tmp_path) == set()


def test_a_full_disk_is_told_with_the_path_and_leaves_nothing(
    tmp_path: Path, small_disk: None
) -> None:
    with pytest.raises(DiskError, match=rf"^{tmp_path}/file: File too large$"):
        write(tmp_path / "file", bytes(100_000))
    assert names(tmp_path) == set()


def test_a_full_disk_is_told_although_torch_raises_something_else(
    tmp_path: Path, small_disk: None
) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(DiskError, match=r"checkpoint\.pt: File too large$"), atomic_file(path) as f:
        torch.save(torch.zeros(100_000), f)
    assert names(tmp_path) == set()


def test_a_full_disk_that_shows_at_the_end_only_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="file: No space left on device"):
        write(tmp_path / "file")
    assert names(tmp_path) == {"file"}
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "Is a directory"),
        ("nowhere/file", "No such file or directory"),
        ("file/file", "Not a directory"),
        ("n" * 300, "File name too long"),
    ],
)
def test_what_is_in_the_way_is_told(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match=f"{name}: {reason}"):
        write(tmp_path / name)
    assert names(tmp_path) == {"folder", "file"}


def test_links_under_the_names_of_temporary_files_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"of somebody")
    for name in (".file.tmp", ".file.0123456789abcdef.tmp"):
        (tmp_path / name).symlink_to(tmp_path / "victim")
    write(tmp_path / "file")
    assert (tmp_path / "victim").read_bytes() == b"of somebody"


@pytest.mark.parametrize("name", [".file.tmp", ".file.0123456789abcdef.tmp"])
def test_what_a_killed_process_left_is_deleted_and_what_a_living_one_writes_is_not(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch()
    (tmp_path / ".other.0123456789abcdef.tmp").touch()
    with (tmp_path / name).open("wb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        write(tmp_path / "file")
        assert names(tmp_path) == {"file", name, ".other.0123456789abcdef.tmp"}
    write(tmp_path / "file")
    assert names(tmp_path) == {"file", ".other.0123456789abcdef.tmp"}


def test_a_fifo_among_the_leftovers_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".file.0123456789abcdef.tmp")
    write(tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_several_files_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    write(tmp_path / "one", b"old")
    (tmp_path / "two").mkdir()
    with pytest.raises(DiskError, match="two: Is a directory"):
        replace_together({tmp_path / "one": b"new", tmp_path / "two": b"new"})
    assert (tmp_path / "one").read_bytes() == b"old"
    (tmp_path / "two").rmdir()
    replace_together({tmp_path / "one": b"new", tmp_path / "two": b"new"})
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"new"}
    assert names(tmp_path) == {"one", "two"}

"""Set-ups of the table: what lies in the working directory before a row is typed.

Each is a function of a `Workshop`, registered by its name.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.config.yaml_files import CONFIG_ROOT
from tests.experiments.data.locations import bert_folder

RUN = "model.width=4 trainer.max_steps=3 optimizer=adam"
"""What is typed for the run of `Workshop.finished`."""

NOBODY = 65534
_ROOMS = (
    "experiments.run",
    "experiments.tasks.glue",
    "experiments.tasks.language",
    "experiments.report.build",
    "experiments.sweep.conduct",
    "transformers.models.bert.modeling_bert",
    "datasets",
    "scipy.stats",
    "numpy.f2py",
)


@dataclass(frozen=True)
class Workshop:
    """The working directory of a row, and what is undone after it."""

    place: Path
    undo: ExitStack
    waits: list[str] = field(default_factory=list)
    """The pipes that somebody waited for."""

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, making the folders above it."""
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def folder(self, name: str) -> Path:
        """Make a folder and those above it."""
        path = self.place / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def pictures(self, *folders: str, number: int = 4, size: int = 8) -> None:
        """Grey pictures, evenly bright, in each of the folders."""
        for level, name in enumerate(folders):
            folder = self.folder(name)
            for index in range(number):
                pixels = np.full((size, size), (40 * level + index) % 255, np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")

    def config(self, **files: str) -> None:
        """The shipped config, with the files (`task__digits`: task/digits.yaml) given."""
        if not (self.place / "config").exists():
            shutil.copytree(CONFIG_ROOT, self.place / "config")
        for name, text in files.items():
            self.write(f"config/{name.replace('__', '/')}.yaml", text)

    def finished(self) -> Path:
        """The folder of a finished run, below results/."""
        shutil.copytree(_finished_results(), self.place / "results", dirs_exist_ok=True)
        (folder,) = (self.place / "results").glob("*/*/*/s*")
        return folder

    def stopped(self) -> Path:
        """The same before its summary was written."""
        folder = self.finished()
        (folder / "summary.json").unlink()
        return folder

    def bert(self) -> Path:
        """A copy of the small pretrained BERT, named bert/, its weights linked."""
        folder = self.folder("bert")
        for file in bert_folder().iterdir():
            if file.is_file() and file.suffix in (".json", ".txt"):
                shutil.copy(file, folder)
            elif file.is_file():
                (folder / file.name).symlink_to(file)
        return folder

    def without_rights(self, name: str, mode: int) -> None:
        """Take the rights to one thing away, from the superuser by being somebody else."""
        path = self.place / name
        for other in (self.place, *self.place.rglob("*")):
            if not other.is_symlink():
                other.chmod(0o777 if other.is_dir() else 0o666)
        old = path.stat().st_mode
        path.chmod(mode)
        self.undo.callback(path.chmod, old)
        if os.geteuid() == 0:
            for above in (self.place, *self.place.parents):
                if above.stat().st_uid == 0 and not above.stat().st_mode & 1:
                    self.undo.callback(above.chmod, above.stat().st_mode)
                    above.chmod(above.stat().st_mode | 0o55)
            # Somebody else may be unable to read Python's own library, and Python remembers it.
            for room in _ROOMS:
                importlib.import_module(room)
            self.undo.callback(importlib.invalidate_caches)
            os.seteuid(NOBODY)
            self.undo.callback(os.seteuid, 0)

    def pipe(self, name: str) -> None:
        """A pipe that nobody writes to; whoever waits for it is freed, and told of in `waits`."""
        path = self.place / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(path, over), daemon=True)
        watcher.start()
        self.undo.callback(watcher.join)
        self.undo.callback(over.set)

    def _watch(self, path: Path, over: threading.Event) -> None:
        while not over.wait(0.1):
            if _somebody_reads(path, over) or _somebody_writes(path, over):
                self.waits.append(path.name)


def _somebody_reads(path: Path, over: threading.Event) -> bool:
    """Whether somebody waits for what is written, who is freed; not one who only looked."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    over.wait(0.5)
    try:
        return os.write(file, b"\n") == 1
    except OSError:
        return False
    finally:
        os.close(file)


def _somebody_writes(path: Path, over: threading.Event) -> bool:
    """Whether somebody waits for a reader, who is freed."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    over.wait(0.1)
    try:
        return os.read(file, 1) != b""
    except BlockingIOError:
        return True
    finally:
        os.close(file)


SETUPS: dict[str, Callable[[Workshop], Any]] = {}


def setup(make: Callable[[Workshop], Any]) -> Callable[[Workshop], Any]:
    """Register a set-up by its function's name."""
    assert make.__name__ not in SETUPS, f"two set-ups are called {make.__name__}"
    SETUPS[make.__name__] = make
    return make


def setups(**made: Callable[[Workshop], Any]) -> None:
    """Register small ones by their keywords."""
    for name, make in made.items():
        assert name not in SETUPS, f"two set-ups are called {name}"
        SETUPS[name] = make


@cache
def _finished_results() -> Path:
    """The results of one small run, made once a process."""
    from experiments.cli.main import main

    folder = Path(tempfile.mkdtemp()) / "results"
    assert main([*RUN.split(), f"results_dir={folder}", "logger.console=false"]) == 0
    return folder

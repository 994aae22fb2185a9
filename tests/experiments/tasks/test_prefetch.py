"""`python -m experiments prefetch`: what is there is checked, what is not is fetched or named."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from torchvision import datasets

from experiments.cli.commands import command
from experiments.cli.main import main
from tests.experiments.data.glue.glue_folders import write_hub, write_hub_cache
from tests.experiments.data.images.test_torchvision import idx
from tests.experiments.data.locations import REPOSITORY, bert_folder
from tests.experiments.data.test_tables import put_openml

SMALL = ["task=mnist", "model=resnet", "model.width=4"]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any, **_settings: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("sklearn.datasets._openml.urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", refuse)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", refuse)


@pytest.fixture
def mnist_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A server on this machine in the place of MNIST's; it has 20 and 10 pictures."""
    folder = tmp_path / "server"
    folder.mkdir()
    numbers = np.random.default_rng(0)
    resources = []
    for part, count in (("train", 20), ("t10k", 10)):
        pixels = numbers.integers(0, 256, (count, 28, 28))
        for kind, values in (("images-idx3", pixels), ("labels-idx1", np.arange(count) % 10)):
            file = folder / f"{part}-{kind}-ubyte.gz"
            file.write_bytes(gzip.compress(idx(values)))
            resources.append((file.name, hashlib.md5(file.read_bytes()).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_arguments: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server
        server.shutdown()


def test_what_is_missing_is_fetched_and_reported_and_then_only_checked(
    mnist_server: ThreadingHTTPServer, tmp_path: Path, capsys: Captured
) -> None:
    arguments = [*SMALL, f"data_root={tmp_path / 'my data'}"]
    assert command(["prefetch", *arguments]) == 0
    folder = tmp_path / "my data" / "MNIST" / "raw"
    first, checked, offline = capsys.readouterr().out.splitlines()
    words = first.split()
    assert words[0] == "data"
    assert str(folder) in first
    assert first.endswith(f"({words[1]} kB new)")
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert float(words[1]) == pytest.approx(size / 1000, abs=0.06)
    assert checked.startswith("checked    20 training, 10 validation examples; a model of ")
    assert offline.endswith(
        "HF_HUB_OFFLINE=1 python main.py task=mnist model=resnet model.width=4 "
        f"'data_root={tmp_path / 'my data'}'"
    )
    mnist_server.shutdown()
    mnist_server.server_close()
    assert command(["prefetch", *arguments]) == 0
    assert "new" not in capsys.readouterr().out.splitlines()[0]


@pytest.mark.usefixtures("no_network")
def test_an_openml_set_that_is_there_needs_no_network(tmp_path: Path, capsys: Captured) -> None:
    put_openml(tmp_path / "scikit_learn_data", "iris", 61, 61, "iris.arff")
    arguments = ["task=openml", "task.dataset=iris", "task.version=1", f"data_root={tmp_path}"]
    assert command(["prefetch", *arguments]) == 0
    printed = capsys.readouterr().out
    assert str(tmp_path / "scikit_learn_data" / "openml") in printed
    assert "120 training, 30 validation examples" in printed


MISSING: list[tuple[list[str], Callable[[Path], str]]] = [
    (["task=mnist"], lambda root: f"mnist: could not be downloaded to {root}/MNIST/raw"),
    (
        ["task=covertype"],
        lambda root: f"covertype: could not be downloaded to {root}/scikit_learn_data/covertype",
    ),
    (["task=openml"], lambda root: f"downloaded to {root}/scikit_learn_data/openml: no answer"),
    (["task=glue/rte", "task.source=hub"], lambda root: f"or the cache {root}/cache ("),
    (["task=lm/wikitext", "task.tokenizer=bytes"], lambda _root: "task.hub_name: split 'train'"),
    (["task=lm/wikitext"], lambda _root: "task.tokenizer: 'openai-community/gpt2' is not a folder"),
]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("arguments", "message"), MISSING, ids=[" ".join(arguments) for arguments, _ in MISSING]
)
def test_what_is_missing_without_a_network_is_named_with_its_place(
    arguments: list[str],
    message: Callable[[Path], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    arguments = [*arguments, f"data_root={tmp_path}", f"results_dir={tmp_path / 'a b'}"]
    assert command(["prefetch", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message(tmp_path) in printed.err
    assert printed.err.count("\n") == 1
    assert "python -m experiments" not in printed.err
    # An ordinary run names the command that fetches it, ready for a shell.
    assert main(arguments) == 2
    quoted = f"{' '.join(arguments[:-1])} 'results_dir={tmp_path / 'a b'}'\n"
    assert capsys.readouterr().err.endswith(f"python -m experiments prefetch {quoted}")
    assert not (tmp_path / "a b").exists()


def test_from_the_hubs_caches_and_without_a_network(tmp_path: Path) -> None:
    """In a process of its own: the caches' places are read when the packages are imported."""
    model = tmp_path / "home" / "hub" / "models--some--bert"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("0123abcd")
    shutil.copytree(bert_folder(), model / "snapshots" / "0123abcd")
    write_hub_cache(tmp_path / "home" / "datasets", write_hub(tmp_path / "hub", ["rte"]), "rte")
    arguments = ["task=glue/rte", "task.source=hub", "model=bert", "model.name=some/bert"]
    arguments += ["model.layers=1", f"cache_dir={tmp_path / 'tokens'}"]
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "prefetch", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    places = ["datasets/nyu-mll___glue/rte", "hub/models--some--bert"]
    for place in [*(tmp_path / "home" / place for place in places), tmp_path / "tokens"]:
        assert str(place) in done.stdout
    assert "12 training, 12 validation examples" in done.stdout


def test_help_names_the_command(capsys: Captured) -> None:
    assert command(["--help"]) == 0
    assert "prefetch fetch and check" in " ".join(capsys.readouterr().out.split())
    assert command(["prefetch", "nonsense", "-h"]) == 0
    assert capsys.readouterr().out.startswith("usage: python -m experiments prefetch")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            [],
            "error: the following arguments are required: {prefetch,landscape,report,status,pack,u",
        ),
        (["prefetsch"], "unknown command; did you mean 'prefetch'?\n"),
        (["task=mnist"], "error: 'task=mnist' (command line): unknown command; known: "),
        (["prefetch", "--hlp"], "unknown flag; did you mean '--help'?\n"),
        (["prefetch", "taks=mnist"], "did you mean 'task'?\n"),
    ],
)
def test_wrong_arguments_end_with_two_and_one_line(
    arguments: list[str], line: str, capsys: Captured
) -> None:
    assert command(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert line in printed.err
    assert printed.err.count("\n") == 1

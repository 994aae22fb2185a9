"""Files that would run code where they are loaded carelessly: none runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

from tests.attack.inputs.row import DOORS
from tests.attack.inputs.workshop import RUN, Workshop

pytestmark = [pytest.mark.attack, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SIGN = "payload-ran"


class Payload:
    """Pickled, it makes a folder of the name `SIGN` where it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (SIGN,)


def _zipped(payload: bytes) -> bytes:
    """A checkpoint in torch's format whose pickle is the payload."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


PICKLE = pickle.dumps(Payload(), protocol=2)
SAVED = io.BytesIO()
torch.save({"model": Payload()}, SAVED)
NPY = io.BytesIO()
np.save(NPY, np.array([Payload()], dtype=object), allow_pickle=True)
YAML = f"!!python/object/apply:os.mkdir ['{SIGN}']\n"
SCRIPT = f"<script>document.title='{SIGN}'</script>"

Attack = tuple[str, Callable[[Workshop], Any]]


def _run_file(stage: str, name: str, content: bytes | str) -> Callable[[Workshop], None]:
    def make(workshop: Workshop) -> None:
        folder = workshop.finished() if stage == "finished" else workshop.stopped()
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)

    return make


def _model(name: str, content: bytes | str) -> Callable[[Workshop], None]:
    def make(workshop: Workshop) -> None:
        text = "sentence\tlabel\n" + "".join(f"a film {n}\t{n % 2}\n" for n in range(8))
        workshop.write("glue/SST-2/train.tsv", text)
        workshop.write("glue/SST-2/dev.tsv", text)
        folder = workshop.bert()
        if name.endswith(".bin"):
            (folder / "model.safetensors").unlink()
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def _code_of_a_model(workshop: Workshop) -> None:
    """A config that asks for code of the folder itself."""
    _model("mine.py", f"import os\nos.mkdir({SIGN!r})\n")(workshop)
    file = workshop.place / "bert" / "config.json"
    asked = {"auto_map": {"AutoConfig": "mine.C", "AutoModel": "mine.M"}, "model_type": "mine"}
    file.write_text(json.dumps(json.loads(file.read_text()) | asked))


def _covertype(workshop: Workshop) -> None:
    for name in ("samples_py3", "targets_py3", "samples", "targets"):
        path = workshop.write(f"scikit_learn_data/covertype/{name}", b"")
        joblib.dump(Payload(), path)


def _hub_script(workshop: Workshop) -> None:
    code = f"import os\nos.mkdir({SIGN!r})\n"
    workshop.write("hub/hub.py", code)
    workshop.write("hub/sst2.py", code)
    workshop.write("hub/sst2/sst2.py", code)


def _cached(content: bytes) -> Callable[[Workshop], None]:
    """Whatever is asked of the cache of tokens, it holds the payload."""

    def make(workshop: Workshop) -> None:
        workshop.write("text.txt", "words and words\n" * 200)
        DOORS["main.py"](LM.split())
        files = [path for path in (workshop.place / ".sls_cache").rglob("*") if path.is_file()]
        assert files, "nothing is cached"
        for file in files:
            file.write_bytes(content)

    return make


LM = (
    "task=lm/shakespeare task.file=text.txt data_root=. task.tokenizer=bert task.block=8 "
    "model=gpt2_small model.width=16 model.heads=2 model.layers=1 trainer.max_steps=1 "
    "trainer.batch_size=2 results_dir=first"
)
BERT = "task=glue/sst2 data_root=. model=bert model.name=bert model.layers=1 task.max_tokens=8"
ATTACKS: dict[str, Attack] = {
    "checkpoint, plain pickle": (f"main.py {RUN}", _run_file("stopped", "checkpoint.pt", PICKLE)),
    "checkpoint, archive": (
        f"main.py {RUN}",
        _run_file("stopped", "checkpoint.pt", _zipped(PICKLE)),
    ),
    "checkpoint, torch.save": (
        f"main.py {RUN}",
        _run_file("stopped", "checkpoint.pt", SAVED.getvalue()),
    ),
    "best.pt": (f"main.py {RUN}", _run_file("stopped", "best.pt", _zipped(PICKLE))),
    "config.yaml of a run, report": (
        "experiments report results",
        _run_file("finished", "config.yaml", YAML),
    ),
    "config.yaml of a run, resumed": (
        f"main.py {RUN}",
        _run_file("stopped", "config.yaml", f"seed: {YAML}"),
    ),
    "config.yaml of a run, landscape": (
        "experiments landscape results/default/digits-resnet/adam/RUN",
        _run_file("finished", "config.yaml", YAML),
    ),
    "config file": ("config", lambda w: w.config(task__digits=YAML)),
    "sweep file": ("sweep", lambda w: w.config(sweep__mine=f"seeds: {YAML}")),
    "value of the command line": (f"main.py seed={YAML.strip()}", lambda _w: None),
    "pytorch_model.bin, plain pickle": (f"main.py {BERT}", _model("pytorch_model.bin", PICKLE)),
    "pytorch_model.bin, archive": (
        f"main.py {BERT}",
        _model("pytorch_model.bin", _zipped(PICKLE)),
    ),
    "pytorch_model.bin, torch.save": (
        f"main.py {BERT}",
        _model("pytorch_model.bin", SAVED.getvalue()),
    ),
    "code in a model's folder": (f"main.py {BERT}", _code_of_a_model),
    "script in a hub's folder": (
        f"main.py {BERT} task.source=hub task.hub_name=hub",
        lambda w: (w.bert(), _hub_script(w)),
    ),
    "covertype's cache": ("main.py task=covertype data_root=.", _covertype),
    "covertype's cache, prefetch": (
        "experiments prefetch task=covertype data_root=.",
        _covertype,
    ),
    "tokens as .npy": (f"main.py {LM}2", lambda w: (w.bert(), _cached(NPY.getvalue())(w))),
    "tokens as a pickle": (f"main.py {LM}2", lambda w: (w.bert(), _cached(PICKLE)(w))),
    "CIFAR-10 in pickles": (
        "main.py task=cifar10 model=resnet data_root=.",
        lambda w: [
            w.write(f"cifar-10-batches-py/{name}", PICKLE)
            for name in ("data_batch_1", "test_batch", "batches.meta")
        ],
    ),
    "${oc.env} and resolvers": (
        "main.py data_root=${oc.create:os.mkdir} seed=${eval:1}",
        lambda _w: None,
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("title", ATTACKS)
def test_no_payload_runs(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLS_DATA_ROOT", raising=False)
    typed, make = ATTACKS[title]
    with ExitStack() as undo:
        make(Workshop(tmp_path, undo))
        runs = [path.name for path in tmp_path.glob("results/*/*/*/s*")]
        door, *words = typed.replace("RUN", runs[0] if runs else "").split(" ", 1)
        words = [word.replace("\0", " ") for word in _split(words)]
        with suppress(Exception):  # a traceback is another row's fault
            DOORS[door](words)
    assert not (tmp_path / SIGN).exists(), f"the payload of {title} ran"


def _split(words: list[str]) -> list[str]:
    text = words[0] if words else ""
    if "!!" in text:
        return [text]
    return text.split()


def test_the_payload_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLE)
    assert (tmp_path / SIGN).is_dir()


NAMES = (
    SCRIPT,
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "]]><script>",
    "=cmd|' /C x'!A0",
)


@pytest.mark.parametrize("name", NAMES)
def test_names_in_a_report_are_text(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of rows, optimizers and scores, and a reason, written into every file of the report."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as undo:
        folder = Workshop(tmp_path, undo).finished()
    for file in ("config.yaml", "summary.json", "metrics.jsonl", "env.json"):
        text = (folder / file).read_text()
        quoted = json.dumps(name)[1:-1]
        for word in ("accuracy", "digits", "resnet"):
            text = text.replace(f": {word}\n", f": {json.dumps(name)}\n")
            text = text.replace(f'"{word}"', f'"{quoted}"')
        (folder / file).write_text(text)
    assert DOORS["experiments"](["report", "results"]) == 0
    html = (tmp_path / "results" / "report" / "report.html").read_text()
    assert "<script>document" not in html
    assert "<img src=x" not in html
    assert 'href="javascript:' not in html
    assert "]]><script>" not in html
    cells = (tmp_path / "results" / "report" / "runs.csv").read_text().replace("\n", ",").split(",")
    assert not [cell for cell in cells if cell.strip('"').startswith(("=", "@"))]

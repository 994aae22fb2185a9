"""Folders of results: damaged files, wrong rights, links, pipes; and the commands that read them.

A run whose state is lost is refused; what is only shown never stops a run, a report or a status.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.attack.inputs.row import refused, told
from tests.attack.inputs.workshop import RUN, Workshop, setup, setups

DEEP = "[" * 100_000
_HUGE = '{"status": "finished", "steps": 1' + "0" * 5000 + "}"

JSON_DAMAGE: dict[str, str | bytes] = {
    "empty": "",
    "torn": '{"status": "fini',
    "a_list": "[1, 2]",
    "null": "null",
    "text": '"finished"',
    "zeros": bytes(200),
    "in_utf_16": '{"status": "finished"}'.encode("utf-16"),
    "nested_deeply": DEEP,
    "of_a_huge_number": _HUGE,
}
"""What can stand in a JSON file instead of an object."""


def replace(path: Path, content: str | bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _made(of: str, file: str, name: str, content: str | bytes) -> str:
    """Register a set-up: a finished or stopped run with one file replaced."""

    def make(workshop: Workshop) -> None:
        folder = workshop.finished() if of == "finished" else workshop.stopped()
        replace(folder / file, content)

    make.__name__ = f"{of}_with_{file.replace('.', '_')}_{name}"
    setup(make)
    return make.__name__


def make_kind(workshop: Workshop, path: Path, kind: str) -> None:
    """Make something else of a file: a folder, a pipe or a circle of links."""
    path.unlink()
    if kind == "a_folder":
        path.mkdir()
    elif kind == "a_pipe":
        workshop.pipe(str(path.relative_to(workshop.place)))
    else:
        path.symlink_to(path.name)


def _no_file(of: str, file: str, kind: str) -> str:
    """Register a set-up: the file is a folder, a pipe, a circle of links, or not ours to read."""

    def make(workshop: Workshop) -> None:
        folder = workshop.finished() if of == "finished" else workshop.stopped()
        path = folder / file
        if kind == "not_ours":
            workshop.without_rights(str(path.relative_to(workshop.place)), 0o000)
            return
        make_kind(workshop, path, kind)

    make.__name__ = f"{of}_with_{file.replace('.', '_')}_{kind}"
    setup(make)
    return make.__name__


# ----------------------------------------------------------------------------- the run goes on


def _checkpoint(change: Callable[[dict[str, Any]], Any]) -> Callable[[Workshop], None]:
    """A stopped run whose checkpoint says something else."""

    def make(workshop: Workshop) -> None:
        path = workshop.stopped() / "checkpoint.pt"
        state = torch.load(path, weights_only=True)
        changed = change(state)
        torch.save(state if changed is None else changed, path)

    return make


def _flipped(place: float) -> Callable[[Workshop], None]:
    """One bit of a stopped run's checkpoint is another; `place` is the share of bytes before it."""

    def make(workshop: Workshop) -> None:
        path = workshop.stopped() / "checkpoint.pt"
        data = bytearray(path.read_bytes())
        data[int(len(data) * place)] ^= 16
        path.write_bytes(bytes(data))

    return make


def _of_a_number() -> bytes:
    file = io.BytesIO()
    torch.save(3, file)
    return file.getvalue()


@setup
def stopped_before_any_row(workshop: Workshop) -> None:
    (workshop.stopped() / "metrics.jsonl").write_bytes(b"")


@setup
def stopped_without_rows(workshop: Workshop) -> None:
    (workshop.stopped() / "metrics.jsonl").unlink()


@setup
def stopped_with_half_the_rows(workshop: Workshop) -> None:
    path = workshop.stopped() / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:300])


@setup
def stopped_run_of_another_length(workshop: Workshop) -> None:
    plan = workshop.stopped() / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"total_steps": 2}))


@setup
def stopped_and_not_ours_to_write(workshop: Workshop) -> None:
    folder = workshop.stopped()
    workshop.without_rights(str(folder.relative_to(workshop.place)), 0o555)


@setup
def locked_by_a_folder(workshop: Workshop) -> None:
    folder = workshop.stopped()
    (folder / ".lock").unlink()
    (folder / ".lock").mkdir()


@setup
def locked_by_a_pipe(workshop: Workshop) -> None:
    folder = workshop.stopped()
    make_kind(workshop, folder / ".lock", "a_pipe")


@setup
def run_folder_is_a_file(workshop: Workshop) -> None:
    folder = workshop.finished()
    shutil.rmtree(folder)
    folder.write_text("")


@setup
def run_folder_is_a_circle(workshop: Workshop) -> None:
    folder = workshop.finished()
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)


@setup
def results_lead_nowhere(workshop: Workshop) -> None:
    (workshop.place / "results").symlink_to("gone/deeper")


def _step(value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda state: state["progress"].update(step=value)


def _rate(state: dict[str, Any]) -> None:
    state["optimizer"]["param_groups"][0]["lr"] = float("nan")


def _weights(state: dict[str, Any]) -> None:
    state["model"] = {name: value.flatten()[:1] for name, value in state["model"].items()}


setups(
    checkpoint_of_a_list=_checkpoint(lambda _s: [1, 2]),
    checkpoint_of_nothing=_checkpoint(lambda _s: {}),
    checkpoint_of_another_format=_checkpoint(lambda s: s.update(format=99)),
    checkpoint_without_optimizer=_checkpoint(lambda s: s.pop("optimizer") and None),
    checkpoint_of_another_model=_checkpoint(_weights),
    checkpoint_of_a_negative_step=_checkpoint(_step(-5)),
    checkpoint_of_half_a_step=_checkpoint(_step(1.5)),
    checkpoint_of_a_step_in_words=_checkpoint(_step("three")),
    checkpoint_beyond_the_end=_checkpoint(_step(10**6)),
    checkpoint_with_nan_as_rate=_checkpoint(_rate),
    checkpoint_of_a_negative_length=_checkpoint(lambda s: s.update(metrics_length=-1)),
    checkpoint_of_a_length_in_words=_checkpoint(lambda s: s.update(metrics_length="all")),
    checkpoint_with_unknown_progress=_checkpoint(lambda s: s["progress"].update(luck=1)),
    checkpoint_with_a_short_random_state=_checkpoint(
        lambda s: s["random"].update(cpu=torch.zeros(3, dtype=torch.uint8))
    ),
    checkpoint_flipped_early=_flipped(0.2),
    checkpoint_flipped_in_the_middle=_flipped(0.5),
    checkpoint_flipped_late=_flipped(0.7),
)

_CHECKPOINT = "checkpoint.pt"
RESUMED = refused(
    "main.py",
    *(
        ("", "summary.json", _made("finished", "summary.json", name, content))
        for name, content in JSON_DAMAGE.items()
    ),
    ("", "summary.json", _made("finished", "summary.json", "without_status", "{}")),
    ("", "summary.json", _made("finished", "summary.json", "of_no_end", '{"status": "half"}')),
    ("", "summary.json", _made("finished", "summary.json", "of_a_list", '{"status": [1]}')),
    ("", "summary.json", _no_file("finished", "summary.json", "a_folder")),
    ("", "summary.json", _no_file("finished", "summary.json", "a_pipe")),
    ("", "summary.json", _no_file("finished", "summary.json", "a_circle")),
    ("", "summary.json", _no_file("finished", "summary.json", "not_ours")),
    ("", _CHECKPOINT, _made("stopped", _CHECKPOINT, "empty", b"")),
    ("", _CHECKPOINT, _made("stopped", _CHECKPOINT, "text", b"not a checkpoint")),
    ("", _CHECKPOINT, _made("stopped", _CHECKPOINT, "zeros", bytes(5000))),
    ("", _CHECKPOINT, _made("stopped", _CHECKPOINT, "an_empty_archive", b"PK\5\6" + bytes(18))),
    ("", _CHECKPOINT, _made("stopped", _CHECKPOINT, "of_a_number", _of_a_number())),
    ("", _CHECKPOINT, _no_file("stopped", _CHECKPOINT, "a_folder")),
    ("", _CHECKPOINT, _no_file("stopped", _CHECKPOINT, "a_pipe")),
    ("", _CHECKPOINT, _no_file("stopped", _CHECKPOINT, "not_ours")),
    ("", _CHECKPOINT, "checkpoint_of_a_list"),
    ("", _CHECKPOINT, "checkpoint_of_nothing"),
    ("", _CHECKPOINT, "checkpoint_of_another_format"),
    ("", _CHECKPOINT, "checkpoint_without_optimizer"),
    ("", _CHECKPOINT, "checkpoint_of_another_model"),
    ("", _CHECKPOINT, "checkpoint_of_a_negative_step"),
    ("", _CHECKPOINT, "checkpoint_of_half_a_step"),
    ("", _CHECKPOINT, "checkpoint_of_a_step_in_words"),
    ("", _CHECKPOINT, "checkpoint_beyond_the_end"),
    ("", _CHECKPOINT, "checkpoint_with_nan_as_rate"),
    ("", _CHECKPOINT, "checkpoint_of_a_negative_length"),
    ("", _CHECKPOINT, "checkpoint_of_a_length_in_words"),
    ("", _CHECKPOINT, "checkpoint_with_unknown_progress"),
    ("", _CHECKPOINT, "checkpoint_with_a_short_random_state"),
    ("", _CHECKPOINT, "checkpoint_flipped_early"),
    ("", _CHECKPOINT, "checkpoint_flipped_in_the_middle"),
    ("", _CHECKPOINT, "checkpoint_flipped_late"),
    ("", "metrics.jsonl | shorter", "stopped_before_any_row"),
    ("", "metrics.jsonl", "stopped_without_rows"),
    ("", "metrics.jsonl | shorter", "stopped_with_half_the_rows"),
    ("", "metrics.jsonl", _no_file("stopped", "metrics.jsonl", "a_folder")),
    ("", "metrics.jsonl", _no_file("stopped", "metrics.jsonl", "a_pipe")),
    ("", "results/default", "stopped_run_of_another_length"),
    ("", "results/default", "stopped_and_not_ours_to_write"),
    ("", ".lock", "locked_by_a_folder"),
    ("", ".lock", "locked_by_a_pipe"),
    ("", "results/default", "run_folder_is_a_file"),
    ("", "results/default", "run_folder_is_a_circle"),
    ("", "results", "results_are_a_file"),
    ("", "results", "results_are_not_ours_to_write"),
    ("", "results", "results_lead_nowhere"),
    before=RUN,
)

# What a run only shows, or can make again, does not stop it.
SHOWN = told(
    "main.py",
    ("", "finished", _made("stopped", "config.yaml", "empty", "")),
    ("", "finished", _made("stopped", "config.yaml", "torn", "seed: [1")),
    ("", "finished", _made("stopped", "env.json", "empty", "")),
    ("", "finished", _made("stopped", "env.json", "torn", "{")),
    ("", "finished", _made("stopped", "failure.json", "torn", "{")),
    ("", "finished", _made("stopped", "curves.png", "text", "not a picture")),
    ("", "finished", _no_file("stopped", "curves.png", "a_folder")),
    before=RUN,
)

ROWS = [*RESUMED, *SHOWN]

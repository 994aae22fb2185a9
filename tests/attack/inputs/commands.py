"""The commands that read folders of results: what is only shown never stops them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

from tests.attack.inputs.results import DEEP, JSON_DAMAGE, make_kind, replace
from tests.attack.inputs.row import Row, refused, told
from tests.attack.inputs.workshop import Workshop, setup, setups

# What a command says, whatever is damaged.
_SAID = {"report": "report.html", "status": "finished"}


@setup
def two_runs(workshop: Workshop) -> None:
    """A finished run, and a copy of it with another seed."""
    folder = workshop.finished()
    other = folder.with_name("s1-01234567")
    shutil.copytree(folder, other)
    config = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(config.replace("seed: 0", "seed: 1"))


def _second(file: str, name: str, content: str | bytes) -> str:
    """Register a set-up: two runs, of which the second has one file replaced."""

    def make(workshop: Workshop) -> None:
        two_runs(workshop)
        (folder,) = (workshop.place / "results").glob("*/*/*/s1-*")
        replace(folder / file, content)

    make.__name__ = f"second_with_{file.replace('.', '_')}_{name}"
    setup(make)
    return make.__name__


def _second_no_file(file: str, kind: str) -> str:
    def make(workshop: Workshop) -> None:
        two_runs(workshop)
        (folder,) = (workshop.place / "results").glob("*/*/*/s1-*")
        make_kind(workshop, folder / file, kind)

    make.__name__ = f"second_with_{file.replace('.', '_')}_{kind}"
    setup(make)
    return make.__name__


def _plan(name: str, content: str) -> str:
    """Register a set-up: two runs and a sweep's plan with this content."""

    def make(workshop: Workshop) -> None:
        two_runs(workshop)
        workshop.write("results/plans/mine.json", content)

    make.__name__ = f"plan_{name}"
    setup(make)
    return make.__name__


_YAML_DAMAGE = {
    "empty": "",
    "torn": "seed: [1",
    "a_list": "[1]",
    "of_aliases": "a: &a [x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n",
    "of_a_python_tag": "seed: !!python/object/apply:os.getcwd []\n",
    "nested_deeply": "[" * 5000,
    "without_choices": "seed: 1\n",
    "of_a_seed_in_words": "choices: {experiment: a, task: b, model: c, optimizer: d}\n"
    "optimizer: {kind: adam}\nseed: one\n",
    "zeros": "\0" * 100,
}
_CELL = '{"row": "a", "label": "b", "optimizer": "adam", "seeds": [0], "folders": ["x"]}'
_PLANS = {
    "empty": "",
    "torn": '{"cells": [',
    "a_list": "[]",
    "null": "null",
    "without_cells": '{"sweep": "mine", "tuning": []}',
    "with_a_cell_of_text": '{"sweep": "mine", "cells": ["a"], "tuning": []}',
    "with_cells_of_text": '{"sweep": "mine", "cells": "all", "tuning": []}',
    "with_a_seed_too_many": '{"sweep": "mine", "tuning": [], "cells": ['
    + _CELL.replace("[0]", "[0, 1]")
    + "]}",
    "with_a_folder_of_numbers": '{"sweep": "mine", "tuning": [], "cells": ['
    + _CELL.replace('"x"', "7")
    + "]}",
    "nested_deeply": DEEP,
    "of_a_lone_surrogate": '{"sweep": "\\ud800", "cells": 3, "tuning": []}',
}

setups(
    a_file=lambda w: w.write("results", "x"),
    an_empty_folder=lambda w: w.folder("results"),
    a_folder_of_other_things=lambda w: w.write("results/a/b/c/d.txt", "x"),
    one_run=lambda w: w.finished(),
    report_is_a_file=lambda w: (w.finished(), w.write("results/report", "x")),
    report_not_ours_to_write=lambda w: (
        w.finished(),
        w.folder("results/report"),
        w.without_rights("results/report", 0o555),
    ),
    report_md_is_a_folder=lambda w: (w.finished(), w.folder("results/report/report.md")),
)


@setup
def only_run_without_config(workshop: Workshop) -> None:
    (workshop.finished() / "config.yaml").unlink()


@setup
def results_folder_inside(workshop: Workshop) -> None:
    """The folder of a run is given, where that of many is wanted."""
    folder = workshop.finished()
    folder.rename(workshop.place / "run")


COMMANDS = (
    refused(
        "experiments",
        ("", "command | status"),
        ("statsu", "did you mean 'status'"),
        ("repotr results", "did you mean 'report'"),
        ("run", "'run' | unknown command"),
        ("--watch", "command"),
        ("--watch status results", "'--watch' | unknown flag"),
        ([""], "unknown command"),
        ("status", "status | FOLDER"),
        ("status a b", "status | 'b'"),
        ("status nowhere", "nowhere | no such folder"),
        ("status results", "results", "a_file"),
        ("status results", "results | no runs", "an_empty_folder"),
        ("status results", "results | no runs", "a_folder_of_other_things"),
        ("status results --wach", "did you mean '--watch'", "one_run"),
        ("status results --watch=1", "--watch | '1'", "one_run"),
        ("status run", "run", "results_folder_inside"),
        (["status", "n" * 300], "name too long"),
        (["status", "a\0b"], "a"),
        ("report", "report | FOLDER"),
        ("report a b", "report | 'b'"),
        ("report nowhere", "nowhere | no such folder"),
        ("report results", "results", "a_file"),
        ("report results", "results | no runs", "an_empty_folder"),
        ("report results", "results | no runs", "a_folder_of_other_things"),
        ("report results --output", "--output", "one_run"),
        ("report results --outptu=x", "--outptu", "one_run"),
        ("report run", "run", "results_folder_inside"),
        ("report results", "results", "only_run_without_config"),
        ("report results", "results/report", "report_is_a_file"),
        ("report results", "results/report", "report_not_ours_to_write"),
        ("report results", "results/report", "report_md_is_a_folder"),
        (["report", "n" * 300], "name too long"),
        (["report", "a\0b"], "a"),
        ("prefetch task=digit", "did you mean 'digits'"),
        ("prefetch --print-config", "'--print-config' | unknown flag"),
        ("prefetch digits", "'digits' | key=value"),
        ("prefetch seed=1 seed=2", "seed | given twice"),
        ("prefetch task=image_folder data_root=nowhere", "nowhere"),
        ("landscape", "landscape | FOLDER"),
        ("landscape nowhere", "nowhere | no such folder"),
        ("landscape results", "results", "a_file"),
        ("landscape results", "results | config.yaml", "an_empty_folder"),
        ("landscape run steps=0", "steps | 0", "results_folder_inside"),
        ("landscape run steps=[1,two]", "steps", "results_folder_inside"),
        ("landscape run steps=[]", "steps", "results_folder_inside"),
        ("landscape run steps=[4]", "steps | 4 | 3", "results_folder_inside"),
        ("landscape run steps=[1", "steps", "results_folder_inside"),
        ("landscape run steps=true", "steps", "results_folder_inside"),
        ("landscape run points=2", "points | 2", "results_folder_inside"),
        ("landscape run points=many", "points | whole number | many", "results_folder_inside"),
        ("landscape run points=100000", "points | 100000", "results_folder_inside"),
        ("landscape run reach=1", "reach | 1", "results_folder_inside"),
        ("landscape run reach=.nan", "reach", "results_folder_inside"),
        ("landscape run step=1", "did you mean 'steps'", "results_folder_inside"),
        ("landscape run steps=1 steps=2", "steps | given twice", "results_folder_inside"),
        ("landscape run 3", "'3' | key=value", "results_folder_inside"),
        ("landscape run --steps=3", "--steps=3", "results_folder_inside"),
    )
    + refused(
        "experiments",
        *(
            ("landscape results/run", "config.yaml", name)
            for name in (
                "landscape_of_config_empty",
                "landscape_of_config_torn",
                "landscape_of_config_a_list",
                "landscape_of_config_nested_deeply",
                "landscape_of_config_without_choices",
                "landscape_of_config_zeros",
            )
        ),
        ("landscape results/run", "metrics.jsonl", "landscape_without_rows"),
        ("landscape results/run", "metrics.jsonl | 2", "landscape_of_a_damaged_row"),
    )
    + refused(
        "experiments",
        *(("status results", "plans/mine.json", _plan(n, text)) for n, text in _PLANS.items()),
    )
)


def _landscape(file: str, content: str) -> Callable[[Workshop], None]:
    def make(workshop: Workshop) -> None:
        folder = workshop.finished()
        folder.rename(workshop.place / "results" / "run")
        replace(workshop.place / "results" / "run" / file, content)

    return make


setups(
    **{f"landscape_of_config_{n}": _landscape("config.yaml", t) for n, t in _YAML_DAMAGE.items()},
    landscape_without_rows=_landscape("metrics.jsonl", ""),
    landscape_of_a_damaged_row=_landscape("metrics.jsonl", '{"event": "step"}\n\0\0\0\n{}\n'),
)

_ROW = '{"event": "step", "step": 1, "loss": 1.0, "seconds": 1.0, "epoch": 0.1}\n'
_ROWS_DAMAGE = {
    "with_zeros": _ROW + "\0" * 50 + "\n" + _ROW,
    "with_a_list": _ROW + "[1]\n" + _ROW,
    "with_text_as_loss": _ROW + _ROW.replace("1.0,", '"low",', 1),
    "with_a_huge_step": _ROW + _ROW.replace('"step": 1', '"step": 1' + "0" * 400),
    "with_a_lone_surrogate": _ROW + '{"event": "evaluation", "step": 1, "\\ud800": 1}\n',
    "with_steps_of_lists": _ROW + _ROW.replace('"step": 1', '"step": [1]'),
    "nested_deeply": _ROW + DEEP + "\n",
}


# The report warns of these; the rest it does not read.
_TOLD = ("summary.json", "config.yaml")


def _looked_at(command: str) -> list[Row]:
    """Damage that a report or a status tells of, or ignores, and survives."""
    rows: list[Row] = []
    for file, damages in (
        ("summary.json", JSON_DAMAGE),
        ("env.json", JSON_DAMAGE),
        ("config.yaml", _YAML_DAMAGE),
        ("metrics.jsonl", _ROWS_DAMAGE),
        ("plan.json", JSON_DAMAGE),
    ):
        for name, content in damages.items():
            made = f"second_with_{file.replace('.', '_')}_{name}"
            if command == "report":
                _second(file, name, content)
            named = file if command == "report" and file in _TOLD else _SAID[command]
            rows += told("experiments", (f"{command} results", named, made))
    return rows


@setup
def second_with_a_summary_of_wild_numbers(workshop: Workshop) -> None:
    two_runs(workshop)
    (file,) = (workshop.place / "results").glob("*/*/*/s1-*/summary.json")
    summary = json.loads(file.read_text())
    wild = {"steps": "many", "seconds_total": [1], "final": {"accuracy": "high", "step": {}}}
    file.write_text(json.dumps(summary | wild))


@setup
def second_with_names_of_surrogates(workshop: Workshop) -> None:
    two_runs(workshop)
    (file,) = (workshop.place / "results").glob("*/*/*/s1-*/config.yaml")
    file.write_text(file.read_text().replace("optimizer: adam", 'optimizer: "\\uD800"'))


_WILD = ("second_with_a_summary_of_wild_numbers", "second_with_names_of_surrogates")

LOOKED_AT = [
    *_looked_at("report"),
    *_looked_at("status"),
    *told(
        "experiments",
        *(
            (f"{command} results", _SAID[command], name)
            for command in ("report", "status")
            for name in (
                *_WILD,
                *(f"plan_{name}" for name in _PLANS if command == "report"),
            )
        ),
        *(
            ("report results", "report.html", _second_no_file(file, kind))
            for file in ("summary.json", "metrics.jsonl", "config.yaml", "env.json")
            for kind in ("a_pipe", "a_folder", "a_circle")
        ),
        *(
            ("status results", "finished", f"second_with_{file}_{kind}")
            for file in ("summary_json", "metrics_jsonl")
            for kind in ("a_pipe", "a_folder", "a_circle")
        ),
    ),
]

ROWS = [*COMMANDS, *LOOKED_AT]

"""A run goes on with the data that it began with, or not at all; it says where its bits differ."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.config.compose import load, run_path
from experiments.errors import UserError
from experiments.files.run_folder import RunFolder
from experiments.run import run
from experiments.training.checkpoint import Interrupt, InterruptedBetweenSteps
from experiments.training.origin import keep_threads, tell_other_machine


def draw(folder, count, first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.bmp")  # of one size, whatever is on it


@pytest.fixture
def pictures(tmp_path):
    for split, count in (("train", 8), ("test", 4)):
        for name in ("dark", "light"):
            draw(tmp_path / "pictures" / split / name, count)
    return tmp_path / "pictures"


@pytest.fixture
def made(pictures):
    """A config of a short run on the pictures, and its folder."""
    return make(pictures)


def make(pictures):
    config = load(
        [
            "task=image_folder",
            f"task.folder={pictures}",
            "task.size=8",
            "model=mlp",
            "model.width=4",
            "optimizer=adam",
            "trainer.batch_size=4",
            "trainer.epochs=3",
            f"results_dir={pictures.parent / 'results'}",
        ],
        environ={},
    )
    return config, RunFolder(run_path(config))


@pytest.fixture
def stopped(made, monkeypatch):
    """The same, stopped at its sixth step of twelve."""
    looks = []

    def check(_interrupt):
        looks.append(1)
        if len(looks) > 8:
            raise InterruptedBetweenSteps

    with monkeypatch.context() as patch:
        patch.setattr(Interrupt, "check", check)
        with pytest.raises(KeyboardInterrupt):
            run(made[0])
    return made


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}


def other_class(pictures):
    draw(pictures / "train" / "third", 2)
    draw(pictures / "test" / "third", 2)


CHANGES = {
    "more pictures": (lambda p: draw(p / "train/dark", 8, first=8), "train examples: 16, now 24"),
    "fewer": (lambda p: (p / "train/dark/0.bmp").unlink(), "train examples: 16, now 15"),
    "a class": (other_class, "train classes: 2, now 3"),
    "another label": (
        lambda p: (p / "train/dark/0.bmp").rename(p / "train/light/zero.bmp"),
        "train digest: ",
    ),
    "a picture of the same size": (
        lambda p: shutil.copy(p / "train/dark/1.bmp", p / "train/dark/0.bmp"),
        "train digest: ",
    ),
    "validation": (lambda p: draw(p / "test/dark", 1, first=4), "validation examples: 8, now 9"),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_a_stopped_run_refuses_other_data_and_stays_as_it_is(stopped, pictures, change, told):
    config, folder = stopped
    before = contents(folder)
    change(pictures)
    with pytest.raises(UserError, match=told) as raised:
        run(config)
    assert str(folder.path) in str(raised.value)
    assert contents(folder) == before


def test_a_finished_run_is_not_skipped_where_its_data_have_changed(made, pictures):
    config, folder = made
    assert run(config)
    before = contents(folder)
    draw(pictures / "train/dark", 1, first=8)
    with pytest.raises(UserError, match="train examples: 16, now 17"):
        run(config)
    assert contents(folder) == before


@pytest.mark.parametrize(
    "spoil",
    [
        shutil.rmtree,
        lambda p: (p / "train/dark/0.bmp").write_bytes(b"no picture"),
        lambda p: shutil.rmtree(p / "train/dark"),
    ],
    ids=["gone", "broken", "one class left"],
)
def test_a_finished_run_stays_finished_where_its_data_cannot_be_read(made, pictures, spoil, capsys):
    config, _ = made
    assert run(config)
    spoil(pictures)
    assert run(config)
    assert "the data were not compared: " in capsys.readouterr().out


def test_the_same_data_elsewhere_are_the_same(stopped, pictures):
    _, folder = stopped
    shutil.copytree(pictures, pictures.parent / "moved")
    moved, other = make(pictures.parent / "moved")
    plan = folder.plan()
    shutil.copytree(folder.path, other.path)
    assert run(moved)
    assert other.plan() == plan


def forget(folder, *names):
    plan = json.loads(folder.plan_file.read_text())
    folder.plan_file.write_text(json.dumps({k: v for k, v in plan.items() if k not in names}))


def test_a_run_of_an_earlier_version_resumes(stopped):
    config, folder = stopped
    forget(folder, "data", "machine")
    assert run(config)


def test_a_run_of_an_earlier_version_still_refuses_another_length(stopped, pictures):
    config, folder = stopped
    forget(folder, "data", "machine")
    draw(pictures / "train/dark", 8, first=8)
    with pytest.raises(UserError, match="total_steps: 12, now 18"):
        run(config)


def test_a_finished_run_of_an_earlier_version_is_skipped_without_a_look_at_its_data(
    made, monkeypatch, capsys
):
    config, folder = made
    assert run(config)
    forget(folder, "data", "machine")
    monkeypatch.setattr("experiments.run.build_task_of", None)
    capsys.readouterr()
    assert run(config)
    assert "not compared" not in capsys.readouterr().out


def test_a_run_that_has_no_checkpoint_yet_begins_with_the_data_of_now(stopped, pictures):
    config, folder = stopped
    folder.checkpoint_file.unlink()
    draw(pictures / "train/dark", 8, first=8)
    assert run(config)
    assert folder.plan()["data"]["train"]["examples"] == 24


# -------------------------------------------------------------------------------- the machine


@pytest.fixture
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_a_run_goes_on_with_the_threads_that_it_began_with(stopped, capsys):
    config, folder = stopped
    threads = folder.plan()["machine"]["threads"]
    torch.set_num_threads(threads + 1)
    capsys.readouterr()
    assert run(config)
    assert torch.get_num_threads() == threads
    said = f"using {threads} threads, as when the run began, instead of {threads + 1}"
    assert said in capsys.readouterr().out


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("threads", [0, -1, 10**9, "2", None, True, 1.5])
def test_a_number_of_threads_that_cannot_be_is_not_believed(threads):
    now = torch.get_num_threads()
    keep_threads({"machine": {"threads": threads}}, pytest.fail)
    assert torch.get_num_threads() == now


def test_what_decides_bits_and_is_another_is_told_in_one_line():
    said = []
    then = {"threads": 4, "torch": "2.1", "device": "cpu", "commit": "abc"}
    tell_other_machine({"machine": then}, {**then, "torch": "2.2", "threads": 1}, said.append)
    assert said == [
        "the run began on another machine or version, so last bits differ: torch: 2.1, now 2.2"
    ]


def test_on_the_same_machine_nothing_is_told(stopped, capsys):
    capsys.readouterr()
    assert run(stopped[0])
    assert "began" not in capsys.readouterr().out

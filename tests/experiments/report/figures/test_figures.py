"""The report's figures."""

from __future__ import annotations

import struct
import time

import numpy as np
import pandas as pd
import pytest

from experiments.report import titles
from experiments.report.build import DRAWING
from experiments.report.figures import panels
from experiments.report.figures.panels import line_styles, styles_of
from experiments.report.figures.profiles import profile_figures
from experiments.report.figures.targets import target_figures
from experiments.report.figures.training import (
    step_size_figures,
    taken_steps,
    training_figures,
    validation_figures,
)
from experiments.report.figures.tuning_grid import tuning_figures
from tests.experiments.report.made import (
    OPTIMIZERS,
    compared,
    count,
    evaluations,
    pixels,
    profiles,
    run,
    sensitivity,
    steps,
)

ROW = "cpu_mrpc_bert"


def every_figure(comparison):
    return {key: draw(comparison) for key, draw in DRAWING.items()}


NO_TUNING, NO_PROFILES = sensitivity(), profiles()
PROGRESS = pd.DataFrame(
    [
        (unit, label, spent, share)
        for unit in ("steps", "forward passes")
        for label, spent, share in (("adam", 0.0, 0.0), ("adam", 0.5, 1.0), ("alsals", 0.0, 0.0))
    ],
    columns=["unit", "label", "spent", "share"],
)
GRID = sensitivity(
    (ROW, "adam", 1e-4, 0.7, False),
    (ROW, "adam", 1e-3, 0.8, True),
    (ROW, "adam", 1e-2, np.nan, False),
    (ROW, "alsals", np.nan, 0.82, False),
)


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """A quarter of the pixels, which saves most of the time."""
    monkeypatch.setattr(panels, "DPI", 100)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn, in place of their bytes."""
    drawn = []
    monkeypatch.setattr(panels, "png", lambda figure: drawn.append(figure) or b"")
    return drawn


def two_labels(seeds=(0, 1, 2)):
    return compared(*(run(label=label, seed=s) for label in ("adam", "alsals") for s in seeds))


def every_stage(seeds=(0, 1, 2)):
    """Finished runs of both labels, and tuning: two rates, and the line search without one.

    Adam's 0.75 is reached by ALSALS at the second evaluation, by Adam at the third.
    """

    def ended(accuracy):
        numbers = {"accuracy": accuracy, "train_loss": 0.1, "val_loss": 0.2}
        return {"final": numbers, "best": numbers}

    others = [
        run(label=label, seed=seed, summary=ended(0.75), evaluations=evaluations(offset=ahead))
        for label, ahead in (("adam", 0.0), ("alsals", 0.06))
        for seed in seeds
    ]
    tuned = [
        run(label=label, stage="tuning", settings=settings, summary=ended(accuracy))
        for label, settings, accuracy in (
            ("adam", {"lr": 1e-4}, 0.7),
            ("adam", {"lr": 1e-3}, 0.8),
            ("alsals", {}, 0.82),
        )
    ]
    return compared(*others, *tuned)


def assert_is_png(picture):
    assert picture.png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture.png[16:24])
    assert 1100 <= width <= 1700
    assert 500 <= height <= 1000
    assert len(picture.png) < 600_000


def test_every_key_has_its_figures(monkeypatch):
    monkeypatch.setattr(panels, "DPI", 160)
    drawn = every_figure(every_stage()) | {"targets": target_figures(two_labels(), PROGRESS)}
    keys = {name: [picture.key for picture in found] for name, found in drawn.items()}
    assert keys == {
        "training": ["training-steps", "training-seconds"],
        "validation": ["validation"],
        "step_size": ["step-size", "trials"],
        "tuning": ["tuning"],
        "targets": ["targets"],
        "profiles": ["profiles"],
    }
    for found in drawn.values():
        for picture in found:
            assert_is_png(picture)
            assert picture.title
            assert picture.caption.endswith(".")
            assert "ALSALS" in picture.alternative


def test_the_same_results_give_the_same_bytes():
    first, second = (training_figures(two_labels()) for _ in range(2))
    assert [picture.png for picture in first] == [picture.png for picture in second]


def test_settings_of_matplotlib_on_this_machine_change_nothing():
    import matplotlib as mpl

    plain = validation_figures(two_labels())
    with mpl.rc_context({"lines.linewidth": 9.0, "font.size": 20.0, "axes.facecolor": "red"}):
        assert validation_figures(two_labels()) == plain


@pytest.mark.parametrize("draw", [training_figures, validation_figures, step_size_figures])
@pytest.mark.parametrize(
    "runs",
    [[], [run(stage="tuning")], [run(stage="other")], [run(steps=steps(0))]],
    ids=["no runs", "tuning only", "other only", "no step yet"],
)
def test_without_runs_of_the_comparison_there_is_no_figure(draw, runs):
    assert draw(compared(*runs)) == ()


def test_without_targets_there_is_no_figure_of_them():
    assert DRAWING["targets"](two_labels()) == ()


def test_the_share_of_runs_stays_as_it_is_until_the_right_end(figures):
    target_figures(two_labels(), PROGRESS)
    adam, alsals = (line.get_xydata().tolist() for line in figures[-1].axes[0].lines)
    assert adam == [[0, 0], [0.5, 1], [1, 1]]
    assert alsals == [[0, 0], [1, 0]]


def test_without_numbers_there_is_no_figure_of_tuning_or_profiles():
    reference_only = GRID[GRID["lr"].isna()]
    never = profiles(("adam", np.inf, 0.0), ("adam", np.nan, 1.0))
    assert tuning_figures(two_labels(), NO_TUNING) == ()
    assert tuning_figures(two_labels(), reference_only) == ()
    assert profile_figures(two_labels(), NO_PROFILES) == ()
    assert profile_figures(two_labels(), never) == ()


def test_a_run_without_evaluations_is_left_out_of_the_validation():
    assert validation_figures(compared(run(evaluations=evaluations(0)))) == ()
    assert validation_figures(compared(run(evaluations=pd.DataFrame()))) == ()
    (picture,) = validation_figures(
        compared(run(evaluations=evaluations(0)), run(row="digits-mlp", label="alsals"))
    )
    assert "MRPC" not in picture.alternative
    assert "Digits + MLP" in picture.alternative


def test_without_a_line_search_there_is_no_figure_of_trials():
    assert [picture.key for picture in step_size_figures(compared(run()))] == ["step-size"]


def test_a_label_has_the_same_colour_in_every_figure():
    styles = line_styles(OPTIMIZERS)
    for picture in (picture for found in every_figure(every_stage()).values() for picture in found):
        for label in ("alsals",) if picture.key == "trials" else ("alsals", "adam"):
            assert count(picture, styles[label].colour) > 60, (picture.key, label)


def test_a_label_keeps_its_line_when_others_have_no_run_of_the_comparison():
    planned = [(ROW, "alsals"), (ROW, "mine"), (ROW, "adam")]
    everything = styles_of(compared(*(run(label=label) for _, label in planned), planned=planned))
    tuned_only = [run(label="alsals", stage="tuning"), run(label="mine")]
    assert styles_of(compared(*tuned_only, planned=planned))["mine"] == everything["mine"]


def test_one_seed_has_no_band_and_the_caption_says_so():
    one, several = (training_figures(two_labels(seeds))[0] for seeds in ((0,), (0, 1)))
    assert "One seed per line" in one.caption
    assert "band" not in one.caption
    assert "bands reach from the lowest to the highest seed" in several.caption


def test_seeds_that_differ_have_a_band():
    def drawn(factor):
        losses = [2.0 / np.arange(1, 61) * f for f in (1.0, factor)]
        runs = [
            run(seed=s, label="alsals", steps=steps(loss=loss)) for s, loss in enumerate(losses)
        ]
        return training_figures(compared(*runs))[0]

    # The band is the colour of the line at 16 per cent on white.
    pale = "#F8E4D6"
    assert count(drawn(4.0), pale) > count(drawn(1.0), pale) + 700


def test_a_run_that_diverged_is_marked_with_a_cross():
    loss = np.where(np.arange(60) < 30, 1.0, np.nan)
    changes = {"steps": steps(loss=loss), "label": "alsals"}
    colour = line_styles(OPTIMIZERS)["alsals"].colour
    ended, diverged = (
        training_figures(compared(run(status=status, **changes)))[0]
        for status in ("unfinished", "diverged")
    )
    assert "cross" in diverged.caption
    assert "cross" not in ended.caption
    assert count(diverged, colour) > count(ended, colour) + 12


ODD = {
    "one step": {"steps": steps(1), "evaluations": evaluations(1)},
    "shorter": {"steps": steps(13)},
    "never finite": {"steps": steps(loss=np.full(60, np.nan)), "status": "diverged"},
    "infinite": {"steps": steps(loss=np.full(60, np.inf)), "status": "diverged"},
    "huge": {"steps": steps(loss=np.full(60, 1e300))},
    "negative": {"steps": steps(loss=np.linspace(1, -1, 60))},
    "no step": {"steps": steps().assign(step_size=0.0)},
    "annealed to zero": {"steps": steps().assign(factor=np.linspace(1, 0, 60))},
    "no clock": {"steps": steps().assign(seconds=np.nan)},
    "integers": {"steps": steps().assign(loss=[1] * 60)},
    "score never finite": {"evaluations": evaluations().assign(accuracy=np.nan)},
    "evaluated twice": {"evaluations": pd.concat([evaluations(), evaluations()])},
}


@pytest.mark.parametrize("draw", [training_figures, validation_figures, step_size_figures])
def test_odd_runs_can_be_drawn_alone(draw):
    for picture in draw(compared(*(run(row=name, **odd) for name, odd in ODD.items()))):
        assert all(name in picture.alternative for name in ODD)
        assert pixels(picture.png).std() > 5


def test_odd_runs_can_be_drawn_beside_others():
    others = [run(row=name, seed=1) for name in ODD]
    odd = [run(row=name, **changes) for name, changes in ODD.items()]
    for picture in training_figures(compared(*odd, *others)):
        assert all(name in picture.alternative for name in ODD)


def test_a_fast_seed_that_is_finished_counts_until_the_slowest_is_done(figures):
    # A low loss in 30 s and a high one in 60 s; over the last 30 s both make the median.
    low, high = (steps(loss=np.full(60, loss), seconds_a_step=s) for loss, s in ((1, 0.5), (3, 1)))
    for status, expected in (("finished", 2.0), ("unfinished", 3.0)):
        training_figures(compared(run(steps=low, status=status), run(seed=1, steps=high)))
        (line,) = figures[-1].axes[0].lines
        assert (line.get_xdata()[-1], line.get_ydata()[-1]) == (60.0, expected)


def test_a_loss_that_explodes_does_not_squeeze_the_other_lines(figures):
    exploding = steps(loss=np.concatenate([np.ones(30), np.full(30, 1e25)]))
    training_figures(compared(run(), run(label="alsals", steps=exploding)))
    for figure in figures:
        bottom, top = figure.axes[0].get_ylim()
        assert bottom < 0.05
        assert 2.0 < top < 1000.0


def test_odd_tables_can_be_drawn():
    lost = sensitivity((ROW, "adam", 1e-3, np.nan, False), (ROW, "adam", 1e-2, np.nan, False))
    one = profiles(("adam", 1.0, 1.0))
    assert "diverged" in tuning_figures(two_labels(), lost)[0].caption
    assert count(profile_figures(two_labels(), one)[0], line_styles(OPTIMIZERS)["adam"].colour)


def test_the_caption_of_profiles_names_those_with_fewer_rows():
    lines = profiles(("adam", 1.0, 1.0), rows=8), profiles(("alsals", 1.0, 1.0), rows=2)
    (same,) = profile_figures(two_labels(), profiles(("adam", 1.0, 1.0), ("alsals", 1.0, 1.0)))
    (fewer,) = profile_figures(two_labels(), pd.concat(lines))
    assert "Of 8 tasks only some are tried with: ALSALS 2." in fewer.caption
    assert "only some" not in same.caption


def test_a_legend_of_many_entries_takes_no_room_of_the_panel(figures):
    many = [f"optimizer number {n}" for n in range(13)]
    for labels in (many[:1], many):
        training_figures(compared(*(run(label=label) for label in labels)))
    heights = []
    for figure in (figures[0], figures[2]):
        figure.draw_without_rendering()
        heights.append(figure.axes[0].get_position().height * figure.get_size_inches()[1])
    assert heights[1] > 0.85 * heights[0]


def test_names_are_shown_as_they_are():
    for name in ("$x_{", "_hidden", "50% & more"):
        (first, _) = training_figures(compared(run(row=name, label=name)))
        assert name in first.alternative


def test_panels_and_lines_are_in_the_order_of_the_plan():
    planned = [("smoke", "alsals"), ("smoke", "adam"), (ROW, "adam")]
    runs = [run(row=ROW), run(row="smoke"), run(row="smoke", label="alsals")]
    (first, _) = training_figures(compared(*runs, planned=planned))
    assert "smoke and MRPC" in first.alternative
    assert "ALSALS and Adam" in first.alternative


def test_the_step_taken_is_annealed_where_there_is_a_factor():
    frame = steps(2).assign(step_size=[0.2, 0.4], factor=[0.5, np.nan])
    assert taken_steps(run(steps=frame)) == pytest.approx([0.1, 0.4])


def test_the_winner_is_a_star_and_the_reference_a_line_across(figures):
    tuning_figures(two_labels(), GRID)
    (axes,) = figures[0].axes
    (star,) = (line for line in axes.lines if line.get_marker() == "*")
    assert (list(star.get_xdata()), list(star.get_ydata())) == ([1e-3], [0.8])
    (across,) = (line for line in axes.lines if list(line.get_xdata()) == [0, 1])
    assert list(across.get_ydata()) == [0.82, 0.82]
    assert across.get_color() == line_styles(OPTIMIZERS)["alsals"].colour


def test_a_rate_without_a_result_yet_is_not_called_diverged(figures):
    waiting = GRID.assign(diverged=False)
    (picture,) = tuning_figures(two_labels(), waiting)
    assert "diverged" not in picture.caption
    (axes,) = figures[0].axes
    assert not any(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "x")


def test_the_trials_of_first_searches_do_not_flatten_the_others(figures):
    first = np.concatenate([[28.0], np.ones(199)])
    many = run(label="alsals", steps=steps(200, searching=True).assign(trials=first))
    step_size_figures(compared(many))
    (axes,) = figures[1].axes
    assert axes.get_ylim()[0] == 0
    assert 1.0 < axes.get_ylim()[1] < 14.0
    assert [text.get_text() for text in axes.texts] == ["up to 28"]


def test_captions_of_tuning_say_what_is_better_and_what_diverged():
    (picture,) = tuning_figures(two_labels(), GRID)
    assert "Higher is better." in picture.caption
    assert "diverged" in picture.caption
    (losses,) = tuning_figures(two_labels(), GRID.dropna().assign(lower_is_better=True))
    assert "Lower is better." in losses.caption
    assert "diverged" not in losses.caption
    assert "no rate" not in losses.caption


@pytest.mark.parametrize(
    ("hold_outs", "said"),
    [
        ((0.1, 0.1), "trained without the held-out examples"),
        ((0.0, 0.0), "on the validation split itself, which favours what is tuned"),
        ((0.1, 0.0), "where the axis says so"),
    ],
)
def test_the_caption_of_tuning_says_on_which_examples(hold_outs, said):
    grid = sensitivity((ROW, "adam", 1e-3, 0.7, True), ("smoke", "adam", 1e-3, 0.7, True))
    (picture,) = tuning_figures(two_labels(), grid.assign(hold_out=hold_outs))
    assert said in picture.caption


@pytest.mark.parametrize(
    ("hold_out", "label"), [(0.1, "validation loss, held out"), (0.0, "validation loss")]
)
def test_the_axis_of_tuning_is_the_number_that_decides(figures, hold_out, label):
    tuning_figures(two_labels(), GRID.assign(number_name="val_loss", hold_out=hold_out))
    assert figures[0].axes[0].get_ylabel() == label


@pytest.mark.slow  # 500 runs of 10,000 steps: fifteen seconds of drawing.
def test_500_long_runs_are_drawn_in_seconds():
    rng = np.random.default_rng(0)
    long = steps(10_000, loss=rng.uniform(0.1, 2.0, 10_000), searching=True)
    rows = [f"{task}_bert" for task in list(titles._TITLES["tasks"])[:14]]
    labels = ("adam", "sgd", "alsals", "mine", "salsa", "sls", "adam_sls")
    runs = [
        run(row=row, label=label, seed=seed, steps=long)
        for row in rows
        for label in labels
        for seed in range(5)
    ]
    start = time.process_time()
    every_figure(compared(*runs, *runs[:10]))
    assert time.process_time() - start < 30

"""The landscape as a figure."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from matplotlib import image

from experiments.landscape.figure import draw_landscape
from experiments.landscape.record import Bound
from tests.experiments.landscape.test_record import landscape, line, look

NAN = math.nan
ORANGE, BLUE = (213, 94, 0), (0, 114, 178)


def pixels(found, colour):
    picture = (image.imread(io.BytesIO(draw_landscape(found)))[:, :, :3] * 255).round()
    return int((np.abs(picture - np.array(colour)).max(axis=-1) <= 2).sum())


def test_the_armijo_line_is_drawn_where_there_is_one():
    curve = line(2.0, 1.5, 1.0, 1.2)
    bound = Bound(2.0, -0.2)
    with_line = landscape(look(curve, accepts=bound, armijo=bound))
    assert pixels(with_line, ORANGE) > pixels(landscape(look(curve)), ORANGE) + 200
    assert pixels(with_line, BLUE) > 300


@pytest.mark.parametrize(
    "looks",
    [
        [look(status="exhausted")],
        [look(line(2.0, 2.0, 2.0, 2.0))],
        [look(line(2.0, NAN, NAN, NAN))],
        [look(line(NAN, NAN, NAN, NAN), loss=NAN)],
        [look(line(2.0, 1.0, 1e30, math.inf))],
        [look(line(-2.0, -3.0, -4.0, -5.0, step=1e-9))],
        [look(line(2.0, 1.0, 1.5), accepts=Bound(1e6, -1.0), armijo=Bound(2.0, -1.0))],
        [look(line(2.0, 1.0, 1.5), accepts=Bound(-1e6, -1.0), armijo=Bound(2.0, -1.0))],
        [look(line(2.0, 1.5, direction="searched"), line(2.0, 1.9, direction="taken"))],
        [look(line(2.0, 1.5, 1.2), step_taken=0.0)],
        [look(line(2.0, 1.5, 1.2), step=number) for number in range(1, 8)],
    ],
    ids=[
        "nothing moved",
        "flat",
        "finite only at zero",
        "nothing finite",
        "soon infinite",
        "negative loss, small step",
        "accepts far above",
        "accepts far below",
        "two directions",
        "annealed to zero",
        "seven steps",
    ],
)
def test_odd_steps_can_be_drawn(looks):
    assert draw_landscape(landscape(*looks)).startswith(b"\x89PNG")

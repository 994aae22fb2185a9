"""The net: it holds under noise and under falling losses, and catches a loss that rises."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np

from sls.net import CHECK_EVERY, FIRST_LEVEL, Net


def losses(level: float, seed: int = 0, count: int = CHECK_EVERY) -> list[float]:
    return list(level + 0.1 * np.random.default_rng(seed).standard_normal(count))


def after(levels: list[float]) -> Net:
    net = Net()
    for seed, level in enumerate(levels):
        net = net.with_losses(losses(level, seed))
    return net


def test_there_is_no_level_before_enough_losses() -> None:
    assert after([1.0]).level is None
    assert after([1.0] * (FIRST_LEVEL // CHECK_EVERY)).level is not None


def test_noise_and_falling_losses_do_not_catch() -> None:
    assert not after([1.0] * 6).caught
    assert not after([1.0, 1.0, 0.8, 0.6, 0.7]).caught


def test_a_rise_beyond_the_noise_is_caught() -> None:
    assert not after([1.0, 1.0, 1.0]).caught
    assert after([1.0, 1.0, 1.0, 2.0]).caught


def test_few_losses_that_are_not_finite_are_left_out_and_many_are_caught() -> None:
    few = Net().with_losses([math.nan] * 3 + losses(1.0, count=17))
    assert math.isfinite(few.loss.mean)
    assert not few.caught
    assert Net().with_losses([math.inf] * 11 + losses(1.0, count=9)).caught


def test_the_net_is_plain() -> None:
    net = after([1.0, 1.0, 1.2])
    assert Net.from_plain(json.loads(json.dumps(asdict(net)))) == net

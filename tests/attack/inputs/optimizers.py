"""Wrong settings, parameters, closures and states of the optimizers of `sls`.

A row is a call of a name in `CALLS`, the error's class and texts that its message holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sls import ALSALS, SLS, AdamSLS, PeakSLS, SaLSA

CLASSES: dict[str, type[Any]] = {
    "SLS": SLS,
    "AdamSLS": AdamSLS,
    "ALSALS": ALSALS,
    "SaLSA": SaLSA,
    "PeakSLS": PeakSLS,
}


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.ones(2))


def step(closure: Callable[[nn.Parameter], Any]) -> Callable[[type[Any]], None]:
    """A step whose closure returns `closure(parameter)`."""

    def call(cls: type[Any]) -> None:
        param = parameter()
        cls([param]).step(lambda: closure(param))

    return call


def setting(name: str, value: Any) -> Callable[[type[Any]], None]:
    return lambda cls: cls([parameter()], **{name: value})


def state(make: Callable[[type[Any]], Any]) -> Callable[[type[Any]], None]:
    return lambda cls: cls([parameter()]).load_state_dict(make(cls))


Wrong = tuple[str, Callable[[type[Any]], None], type[Exception], str]

ALL: list[Wrong] = [
    # Settings that all have.
    ("init_step of 0", setting("init_step", 0), ValueError, "init_step | positive"),
    ("init_step of nan", setting("init_step", math.nan), ValueError, "init_step"),
    ("init_step of text", setting("init_step", "0.1"), ValueError, "init_step | '0.1'"),
    ("init_step of a tensor", setting("init_step", torch.ones(2)), ValueError, "init_step"),
    ("init_step of True", setting("init_step", True), ValueError, "init_step | True"),
    ("weight_decay of -1", setting("weight_decay", -1), ValueError, "weight_decay | -1"),
    ("weight_decay of inf", setting("weight_decay", math.inf), ValueError, "weight_decay"),
    ("anneal of 0", setting("anneal", 0), ValueError, "anneal | (0, 1]"),
    ("anneal of 2", setting("anneal", 2), ValueError, "anneal | (0, 1]"),
    ("total_steps of 0", setting("total_steps", 0), ValueError, "total_steps"),
    ("total_steps of 1.5", setting("total_steps", 1.5), ValueError, "total_steps | 1.5"),
    ("foreach of text", setting("foreach", "yes"), ValueError, "foreach | 'yes'"),
    ("lr", setting("lr", 0.1), TypeError, "lr"),
    ("a misspelt setting", setting("init_stp", 0.1), TypeError, "init_stp"),
    ("a positional setting", lambda cls: cls([parameter()], 0.1), TypeError, "positional"),
    # Parameters.
    ("no parameters", lambda cls: cls([]), ValueError, "empty parameter list"),
    ("None", lambda cls: cls(None), TypeError, "NoneType"),
    ("a number", lambda cls: cls(3), TypeError, "int"),
    ("a tensor", lambda cls: cls(torch.ones(2)), TypeError, "iterable of Tensors"),
    ("a module", lambda cls: cls(nn.Linear(2, 2)), TypeError, "Linear"),
    ("a list of numbers", lambda cls: cls([3]), TypeError, "int"),
    ("text", lambda cls: cls("abc"), TypeError, "str"),
    (
        "a tensor that was computed",
        lambda cls: cls([torch.ones(2, requires_grad=True) * 2]),
        ValueError,
        "non-leaf",
    ),
    ("a group without params", lambda cls: cls([{"weight_decay": 1}]), KeyError, "params"),
    (
        "a group with lr",
        lambda cls: cls([{"params": [parameter()], "lr": 1.0}]),
        ValueError,
        "lr | group 0 | init_step",
    ),
    (
        "a group with an unknown key",
        lambda cls: cls([{"params": [parameter()], "weight_decya": 1}]),
        ValueError,
        "weight_decya | did you mean 'weight_decay'",
    ),
    # Closures.
    ("no closure", lambda cls: cls([parameter()]).step(), TypeError, "closure"),
    ("a closure of a number", lambda cls: cls([parameter()]).step(3), TypeError, "closure"),
    ("a loss of None", step(lambda p: None), TypeError, "scalar | None"),
    ("a loss of text", step(lambda p: "low"), TypeError, "scalar | 'low'"),
    ("a tuple", step(lambda p: (p.sum(), p)), TypeError, "scalar | closure"),
    ("a vector", step(lambda p: p * 2), TypeError, "scalar | (2,)"),
    ("nothing of a tensor", step(lambda p: p[:0]), TypeError, "scalar | (0,)"),
    ("a loss without graph", step(lambda p: p.detach().sum()), RuntimeError, "no graph"),
    ("a number as loss", step(lambda p: float(p.detach().sum())), RuntimeError, "closure"),
    (
        "another parameter's loss",
        step(lambda p: parameter().sum()),
        RuntimeError,
        "depends on no parameter",
    ),
    ("a complex loss", step(lambda p: (p * 1j).sum()), RuntimeError, "real"),
    ("a closure that raises", step(lambda p: 1 / 0), ZeroDivisionError, "division"),
    # States.
    ("an empty state", state(lambda cls: {}), ValueError, "state_dict | lacks"),
    (
        "a state of Adam",
        state(lambda cls: torch.optim.Adam([parameter()]).state_dict()),
        ValueError,
        "state_dict | lacks",
    ),
    (
        "a state of two groups",
        state(lambda cls: cls([{"params": [parameter()]}, {"params": [parameter()]}]).state_dict()),
        ValueError,
        "parameter groups",
    ),
]
"""Rows for every class."""

SEARCHES: list[Wrong] = [
    ("c of 0", setting("c", 0), ValueError, "c of | (0, 1)"),
    ("c of 1", setting("c", 1), ValueError, "c of | (0, 1)"),
    ("c of None", setting("c", None), ValueError, "c of | None"),
    ("shrink of 1", setting("shrink", 1), ValueError, "shrink | (0, 1)"),
    ("growth of 0.9", setting("growth", 0.9), ValueError, "growth | at least 1"),
    ("growth of inf", setting("growth", math.inf), ValueError, "growth"),
    ("max_trials of 0", setting("max_trials", 0), ValueError, "max_trials"),
    ("max_trials of 2.5", setting("max_trials", 2.5), ValueError, "max_trials | 2.5"),
    ("min_step of -1", setting("min_step", -1), ValueError, "min_step"),
    ("tolerance of nan", setting("tolerance", math.nan), ValueError, "tolerance"),
    ("search of text", setting("search", "often"), ValueError, "search | 'often'"),
    ("a near name", setting("max_trial", 5), TypeError, "did you mean 'max_trials'"),
]
"""Rows for the line searches."""

MOMENTS: list[Wrong] = [
    ("betas of one", setting("betas", (0.9,)), ValueError, "betas | pair"),
    ("betas of 1", setting("betas", (0.9, 1.0)), ValueError, "betas | pair"),
    ("betas of a number", setting("betas", 0.9), ValueError, "betas | pair"),
    ("eps of -1", setting("eps", -1e-8), ValueError, "eps | -1e-08"),
]
"""Rows for the optimizers along Adam's direction."""

OWN: list[tuple[str, *Wrong]] = [
    ("SLS", "no batches", setting("n_batches_per_epoch", 0), ValueError, "n_batches_per_epoch"),
    ("SLS", "betas", setting("betas", (0.9, 0.99)), TypeError, "betas"),
    ("ALSALS", "beta3 of 1", setting("beta3", 1), ValueError, "beta3"),
    ("ALSALS", "slope of text", setting("slope", "Exact"), ValueError, "slope | 'Exact'"),
    ("ALSALS", "smoothing", setting("smoothing", "ratios"), ValueError, "smoothing | 'ratios'"),
    ("SaLSA", "direction", setting("direction", "rmsprop"), ValueError, "direction | 'rmsprop'"),
    ("PeakSLS", "direction", setting("direction", None), ValueError, "direction | None"),
    ("PeakSLS", "averaging", setting("averaging", "yes"), ValueError, "averaging | 'yes'"),
    ("PeakSLS", "c", setting("c", 0.3), TypeError, "c"),
]
"""Rows for one class."""

ROWS: list[tuple[str, *Wrong]] = [
    *((name, *row) for name in CLASSES for row in ALL),
    *((name, *row) for name in CLASSES if name != "PeakSLS" for row in SEARCHES),
    *((name, *row) for name in CLASSES if name != "SLS" for row in MOMENTS),
    *OWN,
]

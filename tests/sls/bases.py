"""Torch optimizers to build line searches around, torch's own and others'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import Optimizer

MakeBase = Callable[..., Optimizer]


class Lion(Optimizer):
    """Lion (arXiv 2302.06675), as a third party would write it: a loop, decoupled decay."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["exp_avg"] = torch.zeros_like(p)
                m = state["exp_avg"]
                update = (m * beta1 + p.grad * (1 - beta1)).sign()
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"])
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


class CountsInItsGroups(Optimizer):
    """SGD whose step falls as 1/√t, with t and a list of norms in the parameter group."""

    def __init__(self, params: Any, lr: float = 0.1):
        super().__init__(params, {"lr": lr})
        for group in self.param_groups:
            group["t"], group["norms"] = 0, []

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["t"] += 1
            there = [p for p in group["params"] if p.grad is not None]
            group["norms"].append([float(p.grad.norm()) for p in there])
            for p in there:
                p.sub_(p.grad, alpha=group["lr"] / group["t"] ** 0.5)


BASES: dict[str, MakeBase] = {
    "Adam": torch.optim.Adam,
    "Adam-loop": lambda params, lr: torch.optim.Adam(params, lr, foreach=False),
    "Adam-fused": lambda params, lr: torch.optim.Adam(params, lr, fused=True),
    "Adam-L2": lambda params, lr: torch.optim.Adam(params, lr, weight_decay=0.1),
    "AdamW": lambda params, lr: torch.optim.AdamW(params, lr, weight_decay=0.1),
    "AdamW-amsgrad": lambda params, lr: torch.optim.AdamW(params, lr, amsgrad=True),
    "Adamax": torch.optim.Adamax,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "Adagrad": lambda params, lr: torch.optim.Adagrad(params, lr, lr_decay=0.01),
    "Adadelta": torch.optim.Adadelta,
    "RMSprop": lambda params, lr: torch.optim.RMSprop(params, lr, momentum=0.5, centered=True),
    "SGD": torch.optim.SGD,
    "SGD-momentum": lambda params, lr: torch.optim.SGD(params, lr, momentum=0.9),
    "SGD-nesterov": lambda params, lr: torch.optim.SGD(
        params, lr, momentum=0.9, nesterov=True, weight_decay=0.01
    ),
    "Lion": lambda params, lr: Lion(params, lr, weight_decay=0.1),
    "CountsInItsGroups": CountsInItsGroups,
}


def each_base(*names: str) -> Any:
    return pytest.mark.parametrize("make", [pytest.param(BASES[n], id=n) for n in names or BASES])

"""Random generators: the state of torch's, on the CPU and other devices, and who the others are."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

RandomState = dict[torch.device, Tensor]


def random_state(devices: Iterable[torch.device]) -> RandomState:
    """The state of the CPU's generator, and of the generator of each of these devices."""
    state = {torch.device("cpu"): torch.get_rng_state()}
    for device in set(devices):
        if device.type in ("cpu", "meta"):
            continue
        module = torch.get_device_module(device)
        # Apple's module has one generator and takes no device.
        one = device.type == "mps"
        state[device] = module.get_rng_state() if one else module.get_rng_state(device)
    return state


def set_random_state(state: RandomState) -> None:
    """Put the generators into the state that `random_state` returned."""
    for device, value in state.items():
        if device.type == "cpu":
            torch.set_rng_state(value)
        elif device.type == "mps":
            torch.mps.set_rng_state(value)
        else:
            torch.get_device_module(device).set_rng_state(value, device)


def other_generators() -> dict[str, Any]:
    """The modules with a global generator that is not torch's, by their names for messages."""
    modules = {"Python's random": random}
    if (numpy := sys.modules.get("numpy")) is not None:
        modules["numpy.random"] = numpy.random
    return modules

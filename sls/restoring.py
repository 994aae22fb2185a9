"""The way back after a probe: a model, random numbers and a loader as they were, to the bit."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sls.arithmetic import copies_of, copy_all, overlaps
from sls.random_numbers import other_generators, random_state, set_random_state

Restore = Callable[[], Any]


@contextmanager
def restored(model: nn.Module, loader: Iterable[Any]) -> Iterator[Weights]:
    """Within, the model may be trained and the loader read; afterwards both are as they were.

    Restored, also after an error: trainable parameters, buffers, gradients, `requires_grad`, the
    mode of every module; the generators of torch (the CPU's and those of the model's devices),
    NumPy and Python; generators that are attributes of the loader, its samplers or its dataset.

    Args:
        model: any module. Within, it is in training mode, if it was in evaluation mode as a
            whole, and its gradients are None.
        loader: anything to iterate over.

    Yields:
        The weights at the start, to go back to in between.
    """
    with ExitStack() as stack:
        for restore in (*_flags(model), *_generators(model, loader), *_workers(loader)):
            stack.callback(restore)
        weights = Weights(model)
        stack.callback(weights.restore)
        if not model.training:
            model.train()
        for param in model.parameters():
            param.grad = None
        yield weights


class Weights:
    """A copy of the trainable parameters and of all buffers of a model.

    Frozen parameters are not copied: no optimizer moves them.

    Args:
        model: any module.
    """

    def __init__(self, model: nn.Module):
        self._owners = [(module._buffers, dict(module._buffers)) for module in model.modules()]
        tensors: list[Tensor] = [param for param in model.parameters() if param.requires_grad]
        tensors += [x for x in model.buffers() if not overlaps(x)]
        self._tensors = [tensor.detach() for tensor in tensors]
        self._copies = copies_of(self._tensors)

    @torch.no_grad()
    def restore(self) -> None:
        """Put the same tensors back, with the values that they had."""
        for buffers, before in self._owners:
            for name in buffers.keys() - before.keys():
                del buffers[name]
            buffers.update(before)
        copy_all(self._tensors, self._copies)


def _flags(model: nn.Module) -> Iterator[Restore]:
    """Gradients, `requires_grad` and modes."""
    params = [(param, param.grad, param.requires_grad) for param in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]

    def restore() -> None:
        for param, grad, requires_grad in params:
            param.requires_grad_(requires_grad)
            param.grad = grad
        for module, training in modes:
            module.training = training

    yield restore


def _generators(model: nn.Module, loader: Iterable[Any]) -> Iterator[Restore]:
    """Random generators, global ones and those of the loader."""
    devices = (tensor.device for tensor in (*model.parameters(), *model.buffers()))
    yield partial(set_random_state, random_state(devices))
    for generator in (*other_generators().values(), *_attributes_of_loader(loader)):
        yield from _state_of(generator)


def _attributes_of_loader(loader: Iterable[Any]) -> list[Any]:
    batch_sampler = getattr(loader, "batch_sampler", None)
    parts = [
        loader,
        getattr(loader, "dataset", None),
        getattr(loader, "sampler", None),
        batch_sampler,
        getattr(batch_sampler, "sampler", None),
    ]
    values = [value for part in parts for value in getattr(part, "__dict__", {}).values()]
    return list({id(value): value for value in values}.values())


def _state_of(generator: Any) -> Iterator[Restore]:
    """The way back of a generator of torch, Python or NumPy; nothing for anything else."""
    numpy = sys.modules.get("numpy")
    if isinstance(generator, torch.Generator):
        yield partial(generator.set_state, generator.get_state())
    elif isinstance(generator, random.Random) or generator is random:
        yield partial(generator.setstate, generator.getstate())
    elif numpy is None:
        return
    elif isinstance(generator, numpy.random.RandomState) or generator is numpy.random:
        yield partial(generator.set_state, generator.get_state())
    elif isinstance(generator, numpy.random.Generator):
        bits = generator.bit_generator
        yield partial(setattr, bits, "state", bits.state)


def _workers(loader: Iterable[Any]) -> Iterator[Restore]:
    """The persistent workers of a `DataLoader`: it gets others for a while, with other states."""
    if isinstance(loader, torch.utils.data.DataLoader):
        yield partial(setattr, loader, "_iterator", loader._iterator)
        loader._iterator = None

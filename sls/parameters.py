"""The tensors of one parameter group in one step, and moving the parameters to `w − η·d`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from sls.arithmetic import Arithmetic, Tensors, choose, local, real
from sls.devices import on_host, sizes_for
from sls.pieces import Part, pieces
from sls.settings import GROUP_SCALE

States = dict[Tensor, dict[str, Any]]


class GroupTensors:
    """The parameters of one group that have a gradient, with their gradients and state.

    Complex tensors appear as their real views, so that all arithmetic is real and `⟨g, d⟩` is
    the real inner product. Of sharded ones (DTensors) the local parts appear.

    Attributes:
        params: the parameters, moved in place.
        raw_params: the parameters themselves, complex ones as they are.
        grads: their gradients g.
        states: the optimizer's state of each parameter.
        settings: the group's settings.
        scale: the factor on its direction and its weight decay, `lr_scale`.
        arithmetic: the operations on its lists of tensors.
        after_step: tensors of the state as they will be after the step, by name, where a direction
            has made them already.
    """

    def __init__(self, group: dict[str, Any], states: States):
        with_gradient = [param for param in group["params"] if param.grad is not None]
        for param in with_gradient:
            if param.grad.is_sparse:
                raise RuntimeError(
                    "line searches do not support sparse gradients; "
                    "build the embedding with sparse=False"
                )
        self.settings = group
        self.scale = float(group.get(GROUP_SCALE, 1.0))
        self.arithmetic: Arithmetic = choose(group["foreach"], with_gradient)
        # A defaultdict would make an empty state of a look-up, even in a step that fails.
        self.states = [states.get(param, {}) for param in with_gradient]
        self._all_states = states
        self.raw_params = with_gradient
        self.params = [real(local(param).detach()) for param in with_gradient]
        self.grads = [real(local(param.grad)) for param in with_gradient]
        self.after_step: dict[str, Tensors] = {}
        self._origin: Tensors = []
        self._at_origin = True
        self._state_tensors: dict[str, Tensors] = {}
        self._real: dict[str, Tensors] = {}  # the same, as the arithmetic sees them

    def state_tensors(self, name: str) -> Tensors:
        """A tensor of each parameter's state, by name; zeros where it has none yet.

        New zeros become part of the state in `keep_state`, so that a step that fails leaves none.
        """
        if name not in self._state_tensors:
            self._state_tensors[name] = [
                state[name] if name in state else torch.zeros_like(param)
                for param, state in zip(self.raw_params, self.states, strict=True)
            ]
            self._real[name] = [real(local(tensor)) for tensor in self._state_tensors[name]]
        return self._real[name]

    def keep_state(self) -> None:
        """Put the tensors that `state_tensors` made, and `states`, into the optimizer's state."""
        for name, tensors in self._state_tensors.items():
            for state, tensor in zip(self.states, tensors, strict=True):
                state[name] = tensor
        for i, (param, state) in enumerate(zip(self.raw_params, self.states, strict=True)):
            there = self._all_states.setdefault(param, state)
            if there is not state:  # made by somebody else since this step began
                there.update(state)
                self.states[i] = there

    def remember_origin(self) -> None:
        """Keep a copy of the parameters `w`, for `move`, `decay` and `restore`."""
        self._origin = self.arithmetic.clone(self.params)

    @property
    def is_large(self) -> bool:
        """Whether there are so many parameters that another copy of them should not be made."""
        return sum(param.numel() for param in self.params) > sizes_for(self.params).whole

    def pieces(self) -> Iterator[Piece]:
        """The group in pieces of bounded size, in order."""
        for parts in pieces(self.params, self.grads):
            yield Piece(self, parts)

    def has_moved(self) -> None:
        """Note that pieces have moved the parameters."""
        self._at_origin = False

    def move(self, step_size: float, direction: Tensors) -> None:
        """Go to `w − η·d`."""
        self.restore()
        self._at_origin = False
        self.arithmetic.add_(self.params, direction, -step_size)

    def restore(self) -> None:
        """Go back to `w`, to the bit."""
        if not self._at_origin:
            self.arithmetic.copy_(self.params, self._origin)
            self._at_origin = True

    @property
    def weight_decay(self) -> float:
        """λ times the group's scale, so that decay is `η·λ·w`."""
        return self.scale * float(self.settings["weight_decay"])

    def decay(self, amount: float) -> None:
        """Subtract `amount·w`, wherever the parameters are: decoupled weight decay."""
        if amount != 0:
            self._at_origin = False
            self.arithmetic.add_(self.params, self._origin, -amount)

    def step(self, direction: Tensors, step_size: float, decay: float) -> None:
        """Go to `w − η·d − decay·w` without a copy of w, and so without a way back."""
        if decay != 0:
            self.arithmetic.mul_(self.params, 1 - decay)
        self.arithmetic.add_(self.params, direction, -step_size)

    def silence(self, bad: Tensor) -> None:
        """Set the gradients to 0, in place, where the scalar `bad` is true.

        It is not read, but where the host has it.
        """
        if on_host(bad.device) and not bad:
            return
        self.arithmetic.silence_(self.grads, bad)


def size_of_gradients(groups: Iterable[GroupTensors], device: torch.device) -> Tensor:
    """A scalar on `device`, finite where all gradients in this process are, 0 where all are 0.

    It is not finite, either, where a sum of squares overflows, and with it Adam's second moment.
    """
    norms = [x for group in groups for x in group.arithmetic.norms(group.grads)]
    if not norms:
        return torch.zeros((), device=device)
    return torch.stack([x.to(device, torch.float32, non_blocking=True) for x in norms]).sum()


class Piece(GroupTensors):
    """Some parameters of a group, or parts of them, as views; large tensors appear flat.

    Args:
        group: the group.
        parts: which parts of which tensors.
    """

    def __init__(self, group: GroupTensors, parts: Sequence[Part]):
        self._group = group
        self._parts = parts
        self._at_origin = group._at_origin
        self.settings = group.settings
        self.scale = group.scale
        self.arithmetic = group.arithmetic
        self.states = [group.states[part.number] for part in parts]
        self.raw_params = [group.raw_params[part.number] for part in parts]
        self.params = [part.of(group.params) for part in parts]
        self.grads = [part.of(group.grads) for part in parts]
        self.after_step = {}
        self._origin = [part.of(group._origin) for part in parts] if group._origin else []

    def state_tensors(self, name: str) -> Tensors:
        """The same parts of a tensor of each parameter's state."""
        tensors = self._group.state_tensors(name)
        return [part.of(tensors) for part in self._parts]

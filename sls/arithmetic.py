"""Arithmetic on lists of tensors, by torch's foreach kernels or by a plain loop; reading numbers.

Kernels and loop give the same numbers. The loop takes what the kernels do not, tensor subclasses
above all. Functions that end in an underscore write into their first argument.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from sls.devices import on_host
from sls.pieces import pieces

Tensors = list[Tensor]


class Arithmetic:
    """Operations on lists of equal length, one tensor after the other."""

    def clone(self, xs: Tensors) -> Tensors:
        """Copies of x."""
        copies = [torch.empty_like(x) for x in xs]
        self.copy_(copies, xs)
        return copies

    def zeros_like(self, xs: Tensors) -> Tensors:
        """Zeros of the shape of x."""
        return [torch.zeros_like(x) for x in xs]

    def copy_(self, xs: Tensors, ys: Tensors) -> None:
        """`x ← y`."""
        for x, y in zip(xs, ys, strict=True):
            x.copy_(y)

    def add_(self, xs: Tensors, ys: Tensors, alpha: float) -> None:
        """`x ← x + α·y`."""
        for x, y in zip(xs, ys, strict=True):
            x.add_(y, alpha=alpha)

    def sub(self, xs: Tensors, ys: Tensors) -> Tensors:
        """`x − y`."""
        return [x.sub(y) for x, y in zip(xs, ys, strict=True)]

    def lerp(self, xs: Tensors, ys: Tensors, weight: float) -> Tensors:
        """`x + weight·(y − x)`."""
        return [x.lerp(y, weight) for x, y in zip(xs, ys, strict=True)]

    def lerp_(self, xs: Tensors, ys: Tensors, weight: float) -> None:
        """`x ← x + weight·(y − x)`."""
        for x, y in zip(xs, ys, strict=True):
            x.lerp_(y, weight)

    def mul(self, xs: Tensors, factor: float) -> Tensors:
        """`x·factor`."""
        return [x.mul(factor) for x in xs]

    def mul_(self, xs: Tensors, factor: float) -> None:
        """`x ← x·factor`."""
        for x in xs:
            x.mul_(factor)

    def addcmul_(self, xs: Tensors, ys: Tensors, zs: Tensors, value: float) -> None:
        """`x ← x + value·y·z`."""
        for x, y, z in zip(xs, ys, zs, strict=True):
            x.addcmul_(y, z, value=value)

    def sqrt(self, xs: Tensors) -> Tensors:
        """`√x`."""
        return [x.sqrt() for x in xs]

    def sqrt_(self, xs: Tensors) -> None:
        """`x ← √x`."""
        for x in xs:
            x.sqrt_()

    def div(self, xs: Tensors, ys: Tensors) -> Tensors:
        """`x/y`."""
        return [x.div(y) for x, y in zip(xs, ys, strict=True)]

    def div_(self, xs: Tensors, ys: Tensors) -> None:
        """`x ← x/y`."""
        for x, y in zip(xs, ys, strict=True):
            x.div_(y)

    def div_by_(self, xs: Tensors, divisors: Sequence[float]) -> None:
        """`x ← x/divisor`, a number for each tensor."""
        for x, divisor in zip(xs, divisors, strict=True):
            x.div_(divisor)

    def add_number_(self, xs: Tensors, number: float) -> None:
        """`x ← x + number`."""
        for x in xs:
            x.add_(number)

    def norms(self, xs: Tensors) -> Tensors:
        """`‖x‖₂` in float32 or better, a scalar for each tensor."""
        dtype = precise(xs)
        return [torch.linalg.vector_norm(x, dtype=dtype) for x in xs]

    def scale_(self, xs: Tensors, factor: Tensor) -> None:
        """`x ← x·factor`, a scalar tensor on any device."""
        for x in xs:
            x.mul_(factor.to(x.device, non_blocking=True))

    def silence_(self, xs: Tensors, bad: Tensor) -> None:
        """`x ← 0` where the scalar `bad` is true, which is not read; NaN and inf become 0 too.

        The bits are multiplied by 0 or 1, as whole numbers: `0·NaN` would be NaN.
        """
        for (bits,) in _by_kind([x.view(_WHOLE_NUMBERS[x.element_size()]) for x in xs]):
            keep = (~bad).to(bits[0].device, bits[0].dtype, non_blocking=True)
            self.scale_(bits, keep)


class Foreach(Arithmetic):
    """The same operations by torch's foreach kernels: one launch for many tensors."""

    def zeros_like(self, xs: Tensors) -> Tensors:
        zeros = [torch.empty_like(x) for x in xs]
        torch._foreach_zero_(zeros)
        return zeros

    def copy_(self, xs: Tensors, ys: Tensors) -> None:
        torch._foreach_copy_(xs, ys)

    def add_(self, xs: Tensors, ys: Tensors, alpha: float) -> None:
        torch._foreach_add_(xs, ys, alpha=alpha)

    def sub(self, xs: Tensors, ys: Tensors) -> Tensors:
        return list(torch._foreach_sub(xs, ys))

    def lerp(self, xs: Tensors, ys: Tensors, weight: float) -> Tensors:
        return list(torch._foreach_lerp(xs, ys, weight))

    def lerp_(self, xs: Tensors, ys: Tensors, weight: float) -> None:
        torch._foreach_lerp_(xs, ys, weight)

    def mul(self, xs: Tensors, factor: float) -> Tensors:
        return list(torch._foreach_mul(xs, factor))

    def mul_(self, xs: Tensors, factor: float) -> None:
        torch._foreach_mul_(xs, factor)

    def addcmul_(self, xs: Tensors, ys: Tensors, zs: Tensors, value: float) -> None:
        torch._foreach_addcmul_(xs, ys, zs, value)

    def sqrt(self, xs: Tensors) -> Tensors:
        return list(torch._foreach_sqrt(xs))

    def sqrt_(self, xs: Tensors) -> None:
        torch._foreach_sqrt_(xs)

    def div(self, xs: Tensors, ys: Tensors) -> Tensors:
        return list(torch._foreach_div(xs, ys))

    def div_(self, xs: Tensors, ys: Tensors) -> None:
        torch._foreach_div_(xs, ys)

    def div_by_(self, xs: Tensors, divisors: Sequence[float]) -> None:
        torch._foreach_div_(xs, list(divisors))

    def add_number_(self, xs: Tensors, number: float) -> None:
        torch._foreach_add_(xs, number)

    def norms(self, xs: Tensors) -> Tensors:
        return list(torch._foreach_norm(xs, 2, dtype=precise(xs)))

    def scale_(self, xs: Tensors, factor: Tensor) -> None:
        for device in {x.device for x in xs}:
            there = [x for x in xs if x.device == device]
            torch._foreach_mul_(there, factor.to(device, non_blocking=True))


FOREACH, LOOP = Foreach(), Arithmetic()

_PRECISE = (torch.float32, torch.float64)
_WHOLE_NUMBERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_PLAIN = (Tensor, torch.nn.Parameter)


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process has only a part of the tensor: whether it is a DTensor."""
    if type(tensor) in _PLAIN or not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor  # late: importing it takes half a second

    return isinstance(tensor, DTensor)


def local(tensor: Tensor) -> Tensor:
    """The part of the tensor in this process, with the same memory: a plain tensor as it is."""
    if not is_sharded(tensor):
        return tensor
    with torch.no_grad():
        part: Tensor = tensor.to_local()  # type: ignore[attr-defined]
    return part


def choose(foreach: bool | None, params: Sequence[Tensor]) -> Arithmetic:
    """The foreach kernels if `foreach`, or, with None, where all parameters are plain tensors.

    DTensors are plain, since their local parts are computed with. The kernels refuse empty lists,
    so no parameters means the loop.
    """
    if foreach is None:
        foreach = all(type(param) in _PLAIN or is_sharded(param) for param in params)
    return FOREACH if foreach and params else LOOP


def precise(xs: Tensors) -> torch.dtype:
    """The type for sums over these: float32, or float64 where one of them has it."""
    return torch.float64 if any(x.dtype == torch.float64 for x in xs) else torch.float32


def dots(xs: Tensors, ys: Tensors) -> Tensors:
    """Scalars, in float32 or better, whose sum is that of `⟨x, y⟩` over all pairs of tensors."""
    devices = {x.device for x in xs}
    if len(devices) > 1 or all(on_host(device) for device in devices):
        return [_dot(x, y) for x, y in zip(xs, ys, strict=True)]
    return [
        _dot(_joined([part.of(xs) for part in parts]), _joined([part.of(ys) for part in parts]))
        for parts in pieces(xs, ys)
    ]


def _joined(xs: Tensors) -> Tensor:
    """One flat tensor of all numbers."""
    flat = [x.reshape(-1) for x in xs]
    return torch.cat(flat) if len(flat) > 1 else flat[0]


def _dot(x: Tensor, y: Tensor) -> Tensor:
    if x.dtype is not y.dtype or x.dtype not in _PRECISE:
        precision = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
        x, y = x.to(precision), y.to(precision)
    return torch.dot(x.reshape(-1), y.reshape(-1))


def real(tensor: Tensor) -> Tensor:
    """The tensor, a complex one as its real view."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def overlaps(tensor: Tensor) -> bool:
    """Whether elements share memory, as an expanded tensor's: kernels refuse to write into it."""
    if tensor.is_contiguous():
        return False
    sizes_and_strides = zip(tensor.size(), tensor.stride(), strict=True)
    return any(size > 1 and stride == 0 for size, stride in sizes_and_strides)


def copy_all(targets: Tensors, sources: Tensors) -> None:
    """Copy the sources into the targets, with a launch for each device and type."""
    for some, their_sources in _by_kind(targets, sources):
        choose(None, targets).copy_(some, their_sources)


def _by_kind(*lists: Tensors) -> Iterator[list[Tensors]]:
    """The lists in parts, of each all rows whose first tensor has the same device and type."""
    kinds: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, ...]]] = defaultdict(list)
    for row in zip(*lists, strict=True):
        kinds[row[0].device, row[0].dtype].append(row)
    for rows in kinds.values():
        yield [list(column) for column in zip(*rows, strict=True)]


def copies_of(tensors: Tensors) -> Tensors:
    """Copies of tensors of any devices and types."""
    copies = [torch.empty_like(tensor) for tensor in tensors]
    copy_all(copies, tensors)
    return copies


def swap(xs: Tensors, ys: Tensors) -> None:
    """Exchange the values of two lists of tensors, in place, piece by piece."""
    arithmetic = choose(None, xs)
    for parts in pieces(xs, ys):
        x, y = ([part.of(some) for part in parts] for some in (xs, ys))
        kept = arithmetic.clone(y)
        arithmetic.copy_(y, x)
        arithmetic.copy_(x, kept)
        del kept  # before the next piece is copied


def read(*numbers: Tensor) -> list[float]:
    """Several scalars on the host in one synchronisation, in the best precision among them."""
    device = numbers[0].device
    dtype = torch.float32
    for number in numbers:
        dtype = torch.promote_types(dtype, number.dtype)
    return [
        float(x) for x in torch.stack([n.to(device=device, dtype=dtype) for n in numbers]).tolist()
    ]

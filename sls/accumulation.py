"""A closure over micro-batches: one step for a batch whose graph does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from sls.distributed import Processes

Scaling = Callable[[Tensor], Tensor]


def accumulate(
    loss_of: Callable[..., Tensor],
    micro_batches: Iterable[Any],
    *,
    size: Callable[[Any], float] | None = None,
) -> Accumulated:
    """A closure that evaluates the loss of one large batch in parts.

    ```text
    f ← Σ (n_i/N)·f_i,  N = Σ n_i          f_i: the mean loss of micro-batch i of n_i examples
    ∇f ← Σ (n_i/N)·∇f_i                     one graph at a time
    ```

    It equals the closure of the whole batch to rounding, where examples do not see each other:
    BatchNorm sees micro-batches. A step evaluates it several times; every evaluation goes through
    the same micro-batches, in order, with the same random numbers.

    Under `DistributedDataParallel` gradients are averaged over the ranks once a step, with the last
    micro-batch; docs/many_processes.md says where the ranks need equal numbers of micro-batches.

    Args:
        loss_of: the mean loss of one micro-batch, a scalar tensor: `loss_of(inputs, targets)` for
            a micro-batch that is a tuple or a list, else `loss_of(micro_batch)`.
        micro_batches: a list, or an iterator, which is read once, now, and kept for the step.
        size: the weight of a micro-batch, for means over something else than examples, as over
            the tokens that are not masked. None: the length of its first tensor.

    Returns:
        The closure, for `optimizer.step`, also with `scaler=`.

    Raises:
        ValueError: there is no micro-batch, or one without a tensor that tells its size, or no
            size above 0.

    Examples:
        >>> import torch
        >>> import sls
        >>> model = torch.nn.Linear(2, 1)
        >>> optimizer = sls.ALSALS(model.parameters())
        >>> x, y = torch.ones(6, 2), torch.zeros(6, 1)
        >>> parts = zip(x.split(4), y.split(4))
        >>> def loss_of(inputs, targets):
        ...     return torch.nn.functional.mse_loss(model(inputs), targets)
        >>> whole = loss_of(x, y).detach()
        >>> loss = optimizer.step(sls.accumulate(loss_of, parts))
        >>> bool(torch.isclose(loss, whole))
        True
    """
    batches = list(micro_batches)
    if not batches:
        raise ValueError("accumulate needs at least one micro-batch; the iterable was empty")
    sizes = [float(_length(batch) if size is None else size(batch)) for batch in batches]
    total = sum(sizes)
    if min(sizes) < 0 or not total > 0:
        raise ValueError(f"sizes of micro-batches must be at least 0, and not all 0; got {sizes}")
    return Accumulated(loss_of, batches, [n / total for n in sizes])


class Accumulated:
    """The closure that `accumulate` returns, with keywords `backward`, `scale` and `processes`.

    Attributes:
        shares: the weight of each micro-batch; their sum is 1.
    """

    def __init__(
        self, loss_of: Callable[..., Tensor], micro_batches: list[Any], shares: list[float]
    ):
        self._loss_of = loss_of
        self._micro_batches = micro_batches
        self.shares = shares

    def __call__(
        self,
        backward: bool | None = None,
        scale: Scaling = lambda loss: loss,
        processes: Processes | None = None,
    ) -> Tensor:
        """The loss of the whole batch.

        Args:
            backward: whether to run backward on every part. None: where gradients are enabled, for
                frameworks that hide the keywords of a closure.
            scale: applied to what backward runs on.
            processes: those that evaluate the loss together. None: this one alone.
        """
        backward = torch.is_grad_enabled() if backward is None else backward
        processes = processes or Processes()
        if backward:
            processes.expect(len(self._micro_batches))
        *earlier, last = zip(self._micro_batches, self.shares, strict=True)
        losses = []
        for batch, share in earlier:
            with processes.averaged_later() if backward else nullcontext():
                loss = self._loss(batch)
                if backward:
                    _run_backward(loss, share, scale)
            losses.append(loss.detach())
        loss = self._loss(last[0])
        if backward:
            processes.require_average(loss)
            _run_backward(loss, last[1], scale)
        return self._mean([*losses, loss.detach()])

    def _mean(self, losses: Sequence[Tensor]) -> Tensor:
        """Summed in float32 or better, and in the end no more precise than its parts."""
        parts = [
            loss.to(torch.promote_types(loss.dtype, torch.float32)) * share
            for loss, share in zip(losses, self.shares, strict=True)
        ]
        return torch.stack(parts).sum().to(losses[-1].dtype)

    def _loss(self, batch: Any) -> Tensor:
        loss = self._loss_of(*batch) if isinstance(batch, (tuple, list)) else self._loss_of(batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"{loss!r:.60}"
            raise TypeError(f"loss_of must return the mean loss, a scalar tensor; got {shape}")
        return loss.reshape(())


def _run_backward(loss: Tensor, share: float, scale: Scaling) -> None:
    if loss.requires_grad:
        scale(loss * share).backward()  # type: ignore[no-untyped-call]


def _length(batch: Any) -> int:
    for tensor in _tensors(batch):
        if tensor.dim() > 0:
            return len(tensor)
    raise ValueError(
        f"a micro-batch of type {type(batch).__name__} has no tensor whose length is its number "
        "of examples; pass size="
    )


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, (tuple, list)):
        for value in batch:
            yield from _tensors(value)

"""Many processes: whether this closure's loss is one of several, and the numbers of all of them.

The modules that a closure calls tell. A `DistributedDataParallel` among them has a process group,
and every process a copy of the parameters; parameters that `fully_shard` (FSDP2) has made have a
mesh, and every process a shard of them. A model that is not wrapped is alone, also where
torch.distributed is initialized: runs that happen to be started together are not coupled.

Every rank then compares the same numbers, to the bit, and takes the same decisions; `ranks` has
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sls.arithmetic import is_sharded
from sls.calls import each_call
from sls.ranks import ALONE, Alone, Replicas, Shards, is_initialized, replicas_of, shards_of

FSDP1 = """\
FullyShardedDataParallel (FSDP1) is not supported: its flat parameters hide which gradients are \
whose. Use torch.distributed.fsdp.fully_shard (FSDP2), and build the optimizer after it."""

BUILT_TOO_EARLY = """\
the closure calls a module that fully_shard has sharded, but the optimizer holds none of its \
parameters: fully_shard replaces them. Build the optimizer after fully_shard."""

NOT_SHARDED = """\
a parameter of shape {shape} has a gradient, but fully_shard does not manage it while it manages \
others: its gradient is not the mean over the ranks. Shard the whole model: fully_shard(model)."""

NOT_REPLICATED = """\
a parameter of shape {shape} has a gradient, but is in no DistributedDataParallel that the closure \
calls, while others are: its gradient is not the mean over the ranks, which would train different \
values of it. Wrap all parts that are trained, or build an optimizer for each part."""

SHARDED = "Every forward pass of fully_shard needs all ranks."
STATIC_GRAPH = "DistributedDataParallel(static_graph=True) averages gradients after each of them."
SYNC_BATCH_NORM = "Every forward pass of SyncBatchNorm needs all ranks."

NEVER_AVERAGED = """\
the loss of the last micro-batch has no graph, but its backward pass is the one in which \
DistributedDataParallel averages the gradients of all micro-batches. Put another one last, or give \
the loss a graph, as by `+ 0 * outputs.sum()`."""


class Processes:
    """The processes of one optimizer: found in every first evaluation whose modules are seen.

    What was found is kept for steps that see no modules, in this process only.

    Attributes:
        ranks: combines the numbers of all processes.
    """

    def __init__(self) -> None:
        self.ranks: Alone = ALONE
        self._known = False
        self._watching = False
        self._wrappers: list[nn.Module] = []
        self._syncs_before: dict[DistributedDataParallel, bool] = {}
        self._syncs_after: dict[DistributedDataParallel, bool] = {}
        self._replicated: frozenset[Tensor] = frozenset()
        self._params: Sequence[Tensor] = ()
        self._micro_batches: int | None = None
        self._held_back: ExitStack | None = None
        self._average_is_due = False

    # ----------------------------------------------------------------------- the first evaluation

    @property
    def known(self) -> bool:
        """Whether nothing is to be found out: after a first evaluation, or in a single process."""
        return self._known or not is_initialized()

    def watch(self, params: Sequence[Tensor], *, again: bool) -> Callable[[nn.Module], None] | None:
        """What to call with every module of the next first evaluation, before the module runs.

        Args:
            params: all parameters of the optimizer.
            again: whether the modules are to be looked at; if not, what was found is kept.

        Returns:
            The function; None where no module is to be looked at.
        """
        if not is_initialized():
            self.ranks, self._known = ALONE, False
            self._wrappers, self._syncs_before, self._syncs_after = [], {}, {}
            again = False
        self._params, self._watching = params, again
        self._micro_batches, self._average_is_due = None, False
        if not again:
            return None
        self._wrappers, self._syncs_before = [], {}
        types = tuple(_wrapper_types())

        def note(module: nn.Module) -> None:
            if isinstance(module, types):
                self._wrappers.append(module)
            if isinstance(module, DistributedDataParallel):
                self._syncs_before[module] = module.require_forward_param_sync
                self._compare_numbers(module)
                self._hold_back(module)

        return note

    def settle(self) -> None:
        """Decide who takes part, after the forward pass whose modules were seen.

        Raises:
            RuntimeError: the model is wrapped in a way that no step can be right for.
        """
        if not self._watching:
            return
        self._known = True
        _, fully_sharded, flat = _wrapper_types()
        if any(isinstance(wrapper, flat) for wrapper in self._wrappers):
            raise RuntimeError(FSDP1)
        replicas = list(self._syncs_before)
        sharded = self._sharded
        shards = any(isinstance(wrapper, fully_sharded) for wrapper in self._wrappers)
        if sharded:
            self.ranks = shards_of(sharded, by_fsdp=shards)
        elif shards:
            raise RuntimeError(BUILT_TOO_EARLY)
        else:
            self.ranks = replicas_of(replicas)
            self._replicated = frozenset(p for ddp in replicas for p in ddp.parameters())

    @property
    def _sharded(self) -> list[Tensor]:
        return [param for param in self._params if is_sharded(param)]

    def check_gradients(self) -> None:
        """Raise if a gradient is not the mean over the ranks, after the first evaluation.

        Raises:
            RuntimeError: names the shape of the parameter and the way out.
        """
        self._syncs_after = {ddp: ddp.require_forward_param_sync for ddp in self._syncs_before}
        if not self._watching or self.ranks is ALONE:
            return
        shards = isinstance(self.ranks, Shards)
        for param in self._params:
            if param.grad is None or (is_sharded(param) if shards else param in self._replicated):
                continue
            message = NOT_SHARDED if shards else NOT_REPLICATED
            raise RuntimeError(message.format(shape=tuple(param.shape)))

    # ------------------------------------------------------- micro-batches of the first evaluation

    def expect(self, micro_batches: int) -> None:
        """Check that the ranks have equal numbers of micro-batches where they must have.

        Call it before the first one runs. DDP by itself needs no equal numbers: its ranks meet in
        the first forward pass, which sends the buffers, and in the last backward pass. Otherwise
        they meet in every pass; the numbers are then gathered, and read by the host.

        Args:
            micro_batches: the number on this rank.

        Raises:
            RuntimeError: the numbers differ, on all ranks; names the number of each.
        """
        if not is_initialized():
            return
        self._micro_batches = micro_batches
        if sharded := self._sharded:
            shards_of(sharded, by_fsdp=True).require_equal(micro_batches, SHARDED)
        for ddp in self._syncs_before:
            self._compare_numbers(ddp)

    def _compare_numbers(self, ddp: DistributedDataParallel) -> None:
        reason = _meeting_in_every_pass(ddp)
        if self._micro_batches is not None and reason is not None:
            ranks = Replicas([ddp.process_group], next(ddp.parameters()).device)
            ranks.require_equal(self._micro_batches, reason)

    @contextmanager
    def averaged_later(self) -> Iterator[None]:
        """Within, DDP adds gradients up without their average over the ranks, as in its `no_sync`.

        Not within is the last backward pass, which averages the sums. FSDP2 goes on to average, or
        each rank would keep the gradients of the whole model. So does a static graph of DDP, which
        cannot begin with a backward pass that is not averaged.
        """
        with ExitStack() as self._held_back:
            try:
                for ddp in self._syncs_before:
                    self._hold_back(ddp)
                yield
            finally:
                self._held_back = None

    def _hold_back(self, ddp: DistributedDataParallel) -> None:
        if self._held_back is None or ddp.static_graph or ddp.process_group.size() == 1:
            return
        self._held_back.enter_context(ddp.no_sync())
        self._average_is_due = True

    def require_average(self, last_loss: Tensor) -> None:
        """Raise if gradients that were held back would not be averaged.

        Args:
            last_loss: the loss of the last micro-batch.

        Raises:
            RuntimeError: no backward pass of it is possible.
        """
        if self._average_is_due and not last_loss.requires_grad:
            raise RuntimeError(NEVER_AVERAGED)

    # ---------------------------------------------------------------------------- more evaluations

    def rewind(self) -> None:
        """Let DDP send its buffers to all ranks as before the first evaluation, or not."""
        for ddp, syncs in self._syncs_before.items():
            ddp.require_forward_param_sync = syncs

    def finish(self) -> None:
        """Leave the wrappers as the first evaluation left them; call after every other one.

        Without a backward pass fully_shard keeps the whole parameters of its outermost module,
        which would then not see that the shards move.
        """
        for ddp, syncs in self._syncs_after.items():
            ddp.require_forward_param_sync = syncs
        _reshard(self._wrappers)

    @contextmanager
    def without_reduction(self) -> Iterator[None]:
        """Within, DDP does not average gradients: for a backward pass whose gradients are unused.

        With `gradient_as_bucket_view` it would write them over those of the first evaluation.
        """
        with ExitStack() as contexts:
            for ddp in self._syncs_before:
                contexts.enter_context(ddp.no_sync())
            yield

    @contextmanager
    def other_values(self) -> Iterator[None]:
        """Within, the parameters have other values: sharded modules see them, and not afterwards.

        Enter it before the values change, and leave it before they change back.
        """
        if not is_initialized():
            yield
            return
        _reshard(self._wrappers)
        called: list[nn.Module] = []
        try:
            with nullcontext() if self._known else called_wrappers(called.append):
                yield
        finally:
            _reshard([*self._wrappers, *called])


def shard_whole_tensors(states: Mapping[Tensor, dict[str, Any]]) -> None:
    """Shard what is whole in the state of sharded parameters, in place.

    `torch.distributed.checkpoint` shards only what is there before the first step.
    """
    for param, state in states.items():
        for name, tensor in state.items():
            if is_sharded(param) and type(tensor) is Tensor and tensor.shape == param.shape:
                state[name] = _sharded_like(param, tensor)


def _sharded_like(param: Any, tensor: Tensor) -> Tensor:
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = param.device_mesh, param.placements
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None)


@contextmanager
def called_wrappers(note: Callable[[nn.Module], None]) -> Iterator[None]:
    """Call `note` with every wrapper that is called within, or is part of what is called, once."""
    seen: set[nn.Module] = set()
    types = tuple(_wrapper_types())

    def look(module: nn.Module) -> None:
        if module in seen:
            return
        for submodule in module.modules():
            if submodule not in seen:
                seen.add(submodule)
                if isinstance(submodule, types):
                    note(submodule)

    with each_call(look):
        yield


def _wrapper_types() -> tuple[type[nn.Module], type[Any], type[nn.Module]]:
    """The classes of DDP, FSDP2 and FSDP1; imported late, since it takes half a second."""
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    return DistributedDataParallel, FSDPModule, FullyShardedDataParallel


def _meeting_in_every_pass(ddp: DistributedDataParallel) -> str | None:
    """Why ranks meet in every pass of a micro-batch; None: in the first and the last one only."""
    if ddp.static_graph:
        return STATIC_GRAPH
    if any(isinstance(module, nn.SyncBatchNorm) for module in ddp.modules()):
        return SYNC_BATCH_NORM
    return None


def _reshard(wrappers: Sequence[Any]) -> None:
    for wrapper in wrappers:
        if not isinstance(wrapper, DistributedDataParallel):
            wrapper.reshard()

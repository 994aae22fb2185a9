"""What several optimizers share: a schedule, optional packages.

No torch at import: a config is checked, and a report written, without it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat

from experiments.errors import UserError
from experiments.optimizers.line_styles import LineStyle
from experiments.settings import Beta, KindSection

if TYPE_CHECKING:
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    Params = Sequence[Parameter] | Sequence[dict[str, Any]]
    Built = tuple[Optimizer, LRScheduler | None]
else:
    Params = Built = Any


class OptimizerSettings(KindSection):
    """The settings of an optimizer, and how it is built and shown.

    `lines` are its line styles in figures, by the names of its files in `config/optimizer/`; that
    of its `kind` also serves the first name that has none.
    """

    lines: ClassVar[Mapping[str, LineStyle]] = {}

    def trained(self, model: Module) -> Params:
        """The parameters of a model that the optimizer trains, or parameter groups of them.

        Raises:
            UserError: if the model cannot be split as the settings say.
        """
        return [parameter for parameter in model.parameters() if parameter.requires_grad]

    def build(self, params: Params, *, total_steps: int, steps_per_epoch: int) -> Built:
        """The optimizer over `params`, and the scheduler to step after it, if any.

        Raises `UserError` if the optimizer cannot take a setting, or is not installed.
        """
        raise NotImplementedError


# ------------------------------------------------------------- a learning rate and its schedule


@dataclass(frozen=True)
class WarmupConstant:
    """The rate's factor at step k = 0, 1, …: (k+1)/(w+1) up to step w, 1 from there on."""

    warmup_steps: int

    def __call__(self, step: int) -> float:
        return min(1.0, (step + 1) / (self.warmup_steps + 1))


@dataclass(frozen=True)
class WarmupCosine:
    """The rate's factor at step k = 0, 1, …: rises as (k+1)/(w+1) to 1 at step w, then falls as
    ½(1 + cos(π (k-w)/(n-w))), which is zero after the last step, k = n.
    """

    warmup_steps: int
    total_steps: int

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        share = (step - self.warmup_steps) / (self.total_steps - self.warmup_steps)
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


class Scheduled(OptimizerSettings):
    """Linear warm-up to `lr`, then cosine to zero: torch's optimizers and those of other packages.

    The optimizer is the class of the same name in `module`; `package` is the module's name for pip.
    """

    lr: PositiveFloat
    warmup: Beta = Field(0.1, description="share of the steps in which the rate rises")
    schedule: Literal["cosine", "constant"] = "cosine"
    weight_decay: float = Field(0.0, ge=0)

    module: ClassVar[str] = "torch.optim"
    package: ClassVar[str] = ""

    def build(self, params: Params, *, total_steps: int, steps_per_epoch: int) -> Built:
        from torch.optim.lr_scheduler import LambdaLR

        # Some packages print that weight decay is decoupled; a run's output is the loggers'.
        with redirect_stdout(io.StringIO()):
            optimizer = self.make(params, **self.arguments())
        warmup_steps = self.warmup_steps(total_steps)
        if self.schedule == "cosine":
            return optimizer, LambdaLR(optimizer, WarmupCosine(warmup_steps, total_steps))
        if warmup_steps == 0:
            return optimizer, None
        return optimizer, LambdaLR(optimizer, WarmupConstant(warmup_steps))

    def make(self, params: Params, **arguments: Any) -> Any:
        """The optimizer without its schedule."""
        return self.named(type(self).__name__)(params, **arguments)

    def arguments(self) -> dict[str, Any]:
        """All settings but those of the schedule."""
        return self.model_dump(exclude={"kind", "warmup", "schedule"})

    def warmup_steps(self, total_steps: int) -> int:
        """The number of steps in which the rate rises: never all of them."""
        return min(math.floor(self.warmup * total_steps), total_steps - 1)

    def named(self, name: str) -> Any:
        """The class `name` of `module`; `UserError` if its package is not installed."""
        try:
            return getattr(import_module(self.module), name)
        except ModuleNotFoundError as error:
            if error.name != self.module:
                raise
            raise UserError(
                f"optimizer={self.kind} needs the package {self.package or self.module}: "
                "pip install '.[peers]'"
            ) from error

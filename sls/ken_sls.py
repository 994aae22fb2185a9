"""KenSLS: the earlier package's name of ALSALS with the paper's settings."""

from __future__ import annotations

from typing import Any

from torch.optim.optimizer import ParamsT

from sls.alsals import ALSALS
from sls.directions import FIRST_DIFFERENCE
from sls.old_code import TakesTwoClosures, warn_of_old_name
from sls.units import nested_groups


class KenSLS(TakesTwoClosures, ALSALS):
    """ALSALS with the paper's settings, under the name of the earlier package.

    ```text
    KenSLS([model.parameters()]) = ALSALS.paper(model.parameters())
    ```

    It says so once in a process, by a `sls.old_code.OldNameWarning`. Lists of parameters become
    parameter groups; ALSALS has one step for all of them.

    Source: Kenneweg et al. (2024), arXiv 2403.18519.

    Args:
        params: parameters, parameter groups, or a list of iterables of parameters.
        c: the required share of the predicted decrease, in (0, 1).
        **settings: the other settings of `ALSALS`.

    Raises:
        TypeError: a setting is unknown.
        ValueError: a setting is out of its range.

    Examples:
        >>> import torch, warnings
        >>> from sls.ken_sls import KenSLS
        >>> from sls.old_code import OldNameWarning
        >>> warnings.simplefilter("ignore", OldNameWarning)
        >>> model = torch.nn.Linear(2, 1).double()
        >>> optimizer = KenSLS([model.parameters()])
        >>> optimizer.zero_grad()
        >>> loss = optimizer.step(closure=lambda: model.weight.square().sum())
        >>> optimizer.last_step.status
        <Status.ACCEPTED: 'accepted'>
    """

    def __init__(self, params: ParamsT, *, c: float = 0.3, **settings: Any):
        warn_of_old_name(
            "KenSLS",
            "is ALSALS with the paper's settings, sls.ALSALS.paper, under the name of the earlier "
            "package; sls.ALSALS has the exact slope, which costs fewer forward passes",
        )
        papers = {"slope": "finite_difference", "min_step": FIRST_DIFFERENCE, "tolerance": 0.0}
        super().__init__(nested_groups(params) or params, c=c, **(papers | settings))

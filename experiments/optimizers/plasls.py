"""PLASLS: Adam-SLS with a step for each unit of the model, searched in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from experiments.errors import UserError
from experiments.optimizers.line_styles import BLUE, DASHED, LineStyle
from experiments.optimizers.shared import Params
from experiments.optimizers.sls_optimizers import LineSearch
from experiments.settings import Betas

if TYPE_CHECKING:
    from torch.nn import Module


class PLASLS(LineSearch):
    """`sls.PLASLS`. Its units are the embeddings, `layers_per_unit` layers each, and the head; or
    the kinds of weights (query, key, value, …), each over all layers.
    """

    kind: Literal["plasls"] = "plasls"
    units: Literal["layer", "kind"] = "layer"
    layers_per_unit: PositiveInt = Field(1, description="for units: layer")
    betas: Betas | None = None
    eps: Annotated[float, Field(ge=0)] | None = None

    titles: ClassVar = {"plasls": "PLASLS"}
    lines: ClassVar = {"plasls": LineStyle(BLUE, dashes=DASHED, marker="s", order=2.8)}
    no_arguments: ClassVar = LineSearch.no_arguments | {"units", "layers_per_unit"}

    def trained(self, model: Module) -> Params:
        """Parameter groups, each a unit; units that are frozen as a whole are left out."""
        from sls import units

        try:
            if self.units == "kind":
                split = units.by_kind(model)
            else:
                split = units.by_layer(model, layers_per_unit=self.layers_per_unit)
        except ValueError as error:
            raise UserError(f"optimizer.units: {error}") from error
        for unit in split:
            unit["params"] = [param for param in unit["params"] if param.requires_grad]
        return [unit for unit in split if unit["params"]]

"""Tables from scikit-learn's cache. No torch at import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from experiments.errors import UserError
from experiments.models.settings import MLPModel
from experiments.settings import Switch
from experiments.tasks.base import Task, TaskSettings
from experiments.tasks.places import root_of

if TYPE_CHECKING:
    from experiments.data.tables import TableData


class TableTask(TaskSettings):
    """A table with classes, in `data_root/scikit_learn_data`; every fifth row is validation."""

    models: ClassVar = (MLPModel,)

    def build(self, model: MLPModel, *, data_root: Path | None, **_: Any) -> Task:
        from experiments.tasks.losses import Classification

        data = self.read(data_root)
        if data.classes < 2:
            raise UserError(f"task '{self.kind}': only one class, so there is nothing to learn")
        network = model.table_network(features=data.features, classes=data.classes)
        return Classification(network, data.train, data.validation)

    def read(self, data_root: Path | None) -> TableData:
        """Both splits of the data."""
        raise NotImplementedError

    def places(self, data_root: Path | None) -> Iterator[Path]:
        yield self.cache(data_root) / self.kind

    def cache(self, data_root: Path | None) -> Path:
        """The folder of scikit-learn's cache."""
        return root_of(data_root, f"task '{self.kind}'") / "scikit_learn_data"


class CovertypeTask(TableTask):
    """Forest covertype: 54 features, 7 classes."""

    kind: Literal["covertype"] = "covertype"
    download: Switch = Field(False, description="fetch what is missing")

    titles: ClassVar = {"covertype": "Covertype"}

    def read(self, data_root: Path | None) -> TableData:
        from experiments.data.tables import covertype

        return covertype(self.cache(data_root), download=self.download)


class OpenMLTask(TableTask):
    """A data set of OpenML with classes."""

    kind: Literal["openml"] = "openml"
    dataset: str = Field(pattern=r"^[A-Za-z0-9][\w.()-]*$", description="its name on openml.org")
    version: PositiveInt
    download: Switch = Field(False, description="fetch what is missing")

    def read(self, data_root: Path | None) -> TableData:
        from experiments.data.tables import openml

        root = self.cache(data_root)
        return openml(root, self.dataset, self.version, download=self.download)

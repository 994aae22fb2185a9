"""Parts of a config: the base class of all of them, the types of their fields, and how they are
found in files. No torch.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from experiments.errors import UserError

# ---------------------------------------------------------------------------- types of fields


def list_as_tuple(value: object) -> object:
    """YAML has lists only; strict types want the tuple itself."""
    return tuple(value) if isinstance(value, list) else value


def word_as_bool(value: object) -> object:
    """YAML's other words for true and false, which are text where no switch is expected."""
    return _WORDS.get(value.lower(), value) if isinstance(value, str) else value


_WORDS = {"yes": True, "on": True, "no": False, "off": False}

Probability = Annotated[float, Field(ge=0, le=1)]
OpenUnit = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[tuple[Beta, Beta], BeforeValidator(list_as_tuple)]
Switch = Annotated[bool, BeforeValidator(word_as_bool)]

_IS_PATH = "a path"
LocalPath = Annotated[str, _IS_PATH]
"""A path, or a name that may be one: a folder in place of the hub's name. The config keeps it as
it was written, since it enters the hash; call `Section.with_home` before opening it."""


def with_home(path: str, key: str) -> str:
    """`path` with the home folder in place of a leading `~` or `~user`; other paths unchanged.

    Raises:
        UserError: if there is no such user; `key` is where the path was written.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:
        first = path.split("/")[0]
        raise UserError(
            f"{key}: there is no home folder for '{first}'; write the path out, or './{first}' for "
            "a folder of that name"
        ) from error


# -------------------------------------------------------------------------------------- sections


class Section(BaseModel):
    """A part of the config: unknown keys are errors, no type is converted, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    def with_home(self, key: str) -> Self:
        """The section, the config's `key`, with the home folder for `~` in its paths.

        Raises:
            UserError: for a `~user` that does not exist.
        """
        paths = {
            name: with_home(value, f"{key}.{name}")
            for name, value in self
            if isinstance(value, str) and _IS_PATH in _parts(type(self).model_fields[name])
        }
        return self.model_copy(update=paths)


class KindSection(Section):
    """One of the tasks, models or optimizers, which a config tells apart by `kind`.

    `titles` are its names in reports, by the names of its files in `config/task/` and so on.
    """

    titles: ClassVar[Mapping[str, str]] = {}
    if TYPE_CHECKING:
        kind: str


SectionT = TypeVar("SectionT", bound=Section)
KindT = TypeVar("KindT", bound=KindSection)


def kinds_in(
    package: str, base: type[KindT], without: Collection[str] = ()
) -> tuple[type[KindT], ...]:
    """The subclasses of `base` with a `kind` in the files of `package`.

    All files are imported but those named in `without`, so they must be quick to import.
    """
    found: dict[type[KindT], None] = {}
    for file in pkgutil.iter_modules(import_module(package).__path__):
        values = {} if file.name in without else vars(import_module(f"{package}.{file.name}"))
        for value in values.values():
            if isinstance(value, type) and issubclass(value, base) and "kind" in value.model_fields:
                found[value] = None
    return tuple(found)


def one_of(sections: tuple[type[KindSection], ...]) -> Any:
    """The type of a field that takes any of these sections, told apart by their `kind`."""
    return Annotated[Union[sections], Field(discriminator="kind")]  # noqa: UP007  # a tuple


def holds_text(path: Sequence[str], sections: Sequence[type[Section]]) -> bool:
    """True if only text, or null, fits below the keys `path` of one of these sections.

    Also true for unknown keys, which are refused by name elsewhere.
    """
    parts: list[Any] = []
    for name in path:
        fields = (section.model_fields.get(name) for section in sections)
        parts = [part for field in fields if field is not None for part in _parts(field)]
        sections = [part for part in parts if isinstance(part, type) and issubclass(part, Section)]
    types = [part for part in parts if isinstance(part, type) or get_origin(part) is not None]
    return all(
        all(isinstance(name, str) for name in get_args(kind))
        if get_origin(kind) is Literal
        else kind in (str, NoneType)
        for kind in types
    )


def _parts(field: FieldInfo) -> list[Any]:
    """The types in a field's annotation, and its metadata."""

    def parts(annotation: Any) -> Iterator[Any]:
        if get_origin(annotation) in (Annotated, Union, UnionType):
            for part in get_args(annotation):
                yield from parts(part)
        else:
            yield annotation

    return [*parts(field.annotation), *field.metadata]

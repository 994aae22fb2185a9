"""Units of parameters: a model split by layer, by kind of weight, or by name.

Each function returns parameter groups, for `sls.PLASLS` or any other optimizer. Every parameter of
the model is in exactly one unit; one that several modules share is in the first one's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

Unit = dict[str, Any]
"""A parameter group: the unit's "name" and its "params"."""

EMBEDDINGS, BETWEEN, HEAD = "embeddings", "between layers", "head"
"""The units of parameters before, between and after the layers."""


def by_layer(model: nn.Module, *, layers_per_unit: int = 1) -> list[Unit]:
    """Units of embeddings, layers, and head.

    Layers are the entries of a `ModuleList`, or of a `Sequential` of two or more: BERT's encoder
    layers, GPT-2's and ViT's blocks, the blocks of all stages of a ResNet. A single `Linear`,
    `Conv2d` or norm is a layer only where there are no such blocks.
    What comes before them (word and patch embeddings, a ResNet's stem) is the unit "embeddings",
    what comes after them "head", and what lies between two of them "between layers".

    Args:
        model: any module.
        layers_per_unit: the number of consecutive layers in a unit; the last may have fewer.

    Returns:
        Parameter groups with a "name" each, in the model's order.

    Raises:
        ValueError: the model has no layers, or `layers_per_unit` is less than 1.

    Examples:
        >>> from torch import nn
        >>> from sls import units
        >>> layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        >>> model = nn.ModuleDict({"embed": nn.Embedding(9, 4), "layers": layers})
        >>> [unit["name"] for unit in units.by_layer(model, layers_per_unit=2)]
        ['embeddings', 'layers 0-1', 'layer 2']
    """
    if not isinstance(layers_per_unit, int) or layers_per_unit < 1:
        raise ValueError(
            f"layers_per_unit must be a whole number of at least 1; got {layers_per_unit!r}"
        )
    layers = _layers(model)
    names = [_name_of_layers(i, layers_per_unit, len(layers)) for i in range(len(layers))]
    places = _places(model, layers)
    return _units((names[p.layer] if p.layer is not None else p.rest, p.param) for p in places)


def by_kind(model: nn.Module) -> list[Unit]:
    """Units of what the weights are: all queries, all keys, all values, and so on.

    The kind of a parameter is the place of its module within its layer: BERT has the kinds
    "attention.self.query", "attention.self.key", …, each over all layers. Weights that a model
    keeps in one tensor are one kind, as query, key and value in GPT-2 ("attn.c_attn") and in
    torchvision's ViT ("self_attention"). Before, between and after the layers units are as in
    `by_layer`.

    Args:
        model: any module with layers, see `by_layer`.

    Returns:
        Parameter groups with a "name" each, in the model's order.

    Raises:
        ValueError: the model has no layers.

    Examples:
        >>> from torch import nn
        >>> from sls import units
        >>> layers = [nn.TransformerEncoderLayer(4, 2, 8, batch_first=True) for _ in range(2)]
        >>> [unit["name"] for unit in units.by_kind(nn.ModuleList(layers))][:3]
        ['self_attn', 'self_attn.out_proj', 'linear1']
    """
    places = _places(model, _layers(model))
    return _units((p.rest if p.layer is None else p.kind, p.param) for p in places)


def by_name(model: nn.Module, unit_of: Callable[[str], str | None]) -> list[Unit]:
    """Units by a function of the parameter's name.

    Args:
        model: any module.
        unit_of: the name of the unit of a parameter, given the parameter's name as
            `model.named_parameters()` has it.

    Returns:
        Parameter groups with a "name" each, in the order in which the model first has them.

    Raises:
        ValueError: `unit_of` gives None for a parameter; names them.

    Examples:
        >>> from torch import nn
        >>> from sls import units
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        >>> split = units.by_name(model, lambda name: name.split(".")[-1])
        >>> [(unit["name"], len(unit["params"])) for unit in split]
        [('weight', 2), ('bias', 2)]
    """
    named = [(unit_of(name), name, param) for name, param in model.named_parameters()]
    lost = [name for unit, name, _ in named if unit is None]
    if lost:
        shown = ", ".join(lost[:5]) + (", …" if len(lost) > 5 else "")
        raise ValueError(
            f"{len(lost)} of {len(named)} parameters of {type(model).__name__} are in no unit: "
            f"{shown}; give each the name of a unit"
        )
    return _units((unit, param) for unit, _, param in named if unit is not None)


def nested_groups(params: Any) -> list[Unit] | None:
    """A parameter group for each iterable of parameters in a list; None for any other form.

    `[model.parameters()]` and `[[w1, w2], [w3]]` are such lists; parameters, (name, parameter)
    pairs and groups are not.
    """
    if not isinstance(params, (list, tuple)) or not params or not all(map(_is_nested, params)):
        return None
    return [{"params": list(unit)} for unit in params]


def _is_nested(entry: Any) -> bool:
    if isinstance(entry, (Tensor, dict, str)) or not isinstance(entry, Iterable):
        return False
    return not (isinstance(entry, tuple) and bool(entry) and isinstance(entry[0], str))


# ------------------------------------------------------------------------------ where things are


class _Place(NamedTuple):
    """A parameter and its layer; without one, `rest` is its unit. `kind`: its module in there."""

    param: nn.Parameter
    layer: int | None
    kind: str
    rest: str


def _units(pairs: Iterable[tuple[str, nn.Parameter]]) -> list[Unit]:
    units: dict[str, list[nn.Parameter]] = {}
    for name, param in pairs:
        units.setdefault(name, []).append(param)
    return [{"name": name, "params": params} for name, params in units.items()]


def _places(model: nn.Module, layers: list[str]) -> list[_Place]:
    """The place of every parameter, in the model's order; `layers` are paths of modules."""
    numbers = {path: number for number, path in enumerate(layers)}
    places = [_place(name, param, numbers) for name, param in model.named_parameters()]
    in_layers = [i for i, place in enumerate(places) if place.layer is not None]
    first, last = min(in_layers, default=0), max(in_layers, default=0)
    rest = [EMBEDDINGS if i < first else HEAD if i > last else BETWEEN for i in range(len(places))]
    return [place._replace(rest=unit) for place, unit in zip(places, rest, strict=True)]


def _place(name: str, param: nn.Parameter, numbers: dict[str, int]) -> _Place:
    modules = name.split(".")[:-1]
    for length in range(len(modules), 0, -1):
        number = numbers.get(".".join(modules[:length]))
        if number is not None:
            return _Place(param, number, ".".join(modules[length:]) or "layer", BETWEEN)
    return _Place(param, None, "", BETWEEN)


def _layers(model: nn.Module) -> list[str]:
    """The paths of the model's layers, in its order: its blocks, or single modules without these.

    Raises:
        ValueError: there are none.
    """
    layers = list(_layers_below(model, ""))
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no layers: there are no parameters in a ModuleList of it, "
            "or in a Sequential of two or more modules; split it with sls.units.by_name"
        )
    blocks = [path for path in layers if _is_block(model.get_submodule(path))]
    return blocks or layers


def _layers_below(module: nn.Module, path: str) -> Iterator[str]:
    """The layers within a module, in order: the entries of its lists.

    A `Sequential` of one is no list of layers, but a wrapper or a head.
    """
    entries = list(_entries(module, path))
    if type(module) is nn.ModuleList or (_is_list(module) and len(entries) > 1):
        yield from (entry_path for entry_path, _ in entries)
        return
    for child_path, child in entries:
        yield from _layers_below(child, child_path)


def _entries(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules with parameters right below this one; of a list, those of lists of blocks too.

    A ResNet's stages are lists of blocks; a `Sequential` of single modules is itself a block.
    """
    for name, child in module.named_children():
        child_path = f"{path}.{name}" if path else name
        if next(child.parameters(), None) is None:
            continue
        if _is_list(module) and _is_list(child) and any(map(_is_block, child.children())):
            yield from _entries(child, child_path)
        else:
            yield child_path, child


def _is_block(module: nn.Module) -> bool:
    """Whether the module is made of modules."""
    return next(module.children(), None) is not None


def _is_list(module: nn.Module) -> bool:
    """Whether this is a list of modules and nothing else: a subclass is a layer of its own."""
    return type(module) in (nn.ModuleList, nn.Sequential)


def _name_of_layers(layer: int, per_unit: int, layers: int) -> str:
    first = layer - layer % per_unit
    last = min(first + per_unit, layers) - 1
    return f"layer {first}" if first == last else f"layers {first}-{last}"

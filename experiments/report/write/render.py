"""Documents as text by jinja templates; every value that a template shows is escaped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from experiments.report.write.document import Document

_TEMPLATES = Path(__file__).resolve().parent / "templates"


def render(
    template: str, document: Document, escape: Callable[[str], str] | None = None, **options: Any
) -> str:
    """The document in a template, with `escape` on all values that it shows; None: as HTML.

    What a template marks as `safe` is not escaped. `options` are jinja's.
    """
    filters = options.pop("filters", {})
    if escape is not None:
        options["finalize"] = lambda value: value if isinstance(value, Markup) else escape(value)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=escape is None,  # noqa: S701 - else `finalize` escapes
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )
    environment.filters |= filters
    return environment.get_template(template).render(document=document)

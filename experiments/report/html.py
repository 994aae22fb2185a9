"""Stand-in until the writer of HTML is merged."""

from __future__ import annotations

from experiments.report.document import Document


def to_html(document: Document) -> str:
    """Nothing but a line."""
    return f"{len(document.sections)} sections\n"

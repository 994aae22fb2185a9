"""Stand-in until the writer of Markdown is merged: the document's text, not escaped."""

from __future__ import annotations

from experiments.report.document import Document


def to_markdown(document: Document, *, pictures: str) -> str:
    """Title, summary, and every section's paragraphs and titles of tables."""
    del pictures
    lines = [f"# {document.title}", *document.summary, *document.warnings]
    for section in document.sections:
        lines += [f"## {section.title}", *section.paragraphs]
        lines += [f"### {table.title}" for table in section.tables]
    return "\n\n".join(lines) + "\n"

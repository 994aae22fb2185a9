"""The tables of a report as LaTeX, for a paper that takes the file in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from experiments.report.write.columns import columns_of_words
from experiments.report.write.document import Cell, Document, Table

_HEAD = r"""% The tables of a report; each has a label, tab:<key>. They need in the preamble:
%   \usepackage[T1]{fontenc}
%   \usepackage{adjustbox,booktabs}
% and, with a LaTeX from before 2018, \usepackage[utf8]{inputenc}."""

_NAMED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    # At the start of a table's row a bracket would be read as an argument of the `\\` before.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "−": "$-$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "→": r"$\rightarrow$",
    "Δ": r"$\Delta$",
    "∞": r"$\infty$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "ε": r"$\varepsilon$",
    "η": r"$\eta$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "µ": r"$\mu$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    "°": r"\textdegree{}",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "\u00a0": "~",
    "\u2009": r"\,",
    "\u202f": r"\,",
}
_NEGATIVE = re.compile(r"(?<![^\s(\[±])-(?=[.\d])")

# Two hyphens, as in `--sweep`, would be set as a dash.
_ONE = re.compile(r"--|.")


def to_latex(document: Document) -> str:
    """All tables of the document as `tabular`s of booktabs, each in a `table` of its own."""
    tables = [table for section in document.sections for table in section.tables]
    return "\n\n".join([_HEAD, *("\n".join(_table(table)) for table in tables)]) + "\n"


def escaped(text: str) -> str:
    r"""Plain text in LaTeX's terms; a minus before a number is set as one.

    Letters with accents stay as they are. Characters that pdfLaTeX cannot set become their number,
    as `{[}U+4E2D{]}`, so that the file can always be set.
    """
    text = _NEGATIVE.sub("−", " ".join(text.split()))
    return _ONE.sub(lambda found: _character(found.group()), text)


def _character(character: str) -> str:
    if character == "--":
        return "-{}-"
    if character in _NAMED:
        return _NAMED[character]
    if character.isascii() or _is_accented(character):
        return character if character.isprintable() else ""
    return f"{{[}}U+{ord(character):04X}{{]}}"


def _is_accented(character: str) -> bool:
    """True for letters of Western and Central European languages."""
    return ord(character) < 0x180 and unicodedata.category(character) in ("Ll", "Lu")


def _table(table: Table) -> Iterator[str]:
    yield r"\begin{table}[htbp]"
    yield r"  \centering"
    yield rf"  \caption{{\textbf{{{escaped(table.title)}}} {escaped(table.caption)}}}"
    yield rf"  \label{{tab:{table.key}}}"
    yield r"  \begin{adjustbox}{max width=\textwidth}"
    sides = "".join("l" if words else "r" for words in columns_of_words(table))
    yield rf"  \begin{{tabular}}{{{sides}}}"
    yield r"    \toprule"
    yield f"    {_row(map(escaped, table.columns))}"
    yield r"    \midrule"
    for row in table.rows:
        yield f"    {_row(map(_cell, row))}"
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    yield r"  \end{adjustbox}"
    yield r"\end{table}"


def _row(cells: Iterator[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    parts = [rf"\textbf{{{text}}}" if cell.bold and text else text]
    if cell.note.strip():
        parts.append(rf"{{\scriptsize {escaped(cell.note)}}}")
    return " ".join(part for part in parts if part)

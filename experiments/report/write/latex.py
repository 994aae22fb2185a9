"""The tables of a report as LaTeX, to be included in a paper."""

from __future__ import annotations

import re
import unicodedata

from experiments.report.write.document import Document
from experiments.report.write.render import render

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
    marks = {
        "variable_start_string": "<<",
        "variable_end_string": ">>",
        "comment_start_string": "<#",
    }
    return render("tables.tex", document, escaped, **marks)


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

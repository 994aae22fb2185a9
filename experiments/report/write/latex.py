"""Plain text in LaTeX's terms."""

from __future__ import annotations

import re
import unicodedata

_NAMED = {
    "--": "-{}-",
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


def escaped(text: str) -> str:
    r"""Text that LaTeX shows as it is; a minus before a number is set as one.

    Letters with accents stay as they are. Characters that pdfLaTeX cannot set become their number,
    as `{[}U+4E2D{]}`, so that the file can always be set.
    """
    text = _NEGATIVE.sub("−", " ".join(text.split()))
    # Two hyphens, as in `--sweep`, would be set as a dash.
    return re.sub("--|.", lambda found: _character(found.group()), text)


def _character(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    # Letters of Western and Central European languages have numbers below 0x180.
    is_letter = ord(character) < 0x180 and unicodedata.category(character) in ("Ll", "Lu")
    if character.isascii() or is_letter:
        return character if character.isprintable() else ""
    return f"{{[}}U+{ord(character):04X}{{]}}"

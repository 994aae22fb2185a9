"""Which columns are set flush left."""

from __future__ import annotations

import pytest

from experiments.report.write.document import Cell, Table


def column(*texts):
    return Table("t", "T", "", ("Row", "x"), tuple((Cell("a"), Cell(text)) for text in texts))


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("ALSALS", "Adam"), True),
        (("better", "3 seeds are too few"), True),
        (("0.42 ± 0.01", "missing"), False),
        (("-0.1 to +0.2", "–"), False),
        (("missing", "diverged", "–"), False),
        (("none", "0.001"), False),
        ((), False),
    ],
)
def test_names_and_sentences_are_words_and_numbers_are_not(texts, words):
    assert column(*texts).columns_of_words == (True, words)


def test_only_sentences_may_be_broken():
    assert column("ALSALS").columns_of_sentences == (False, False)
    assert column("no difference shown").columns_of_sentences == (False, True)

"""The examples in docstrings and in docs/ give what they print."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import sls

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if ">>>" in page.read_text(encoding="utf-8")]
MODULES = [f"sls.{module.name}" for module in pkgutil.iter_modules(sls.__path__)]
PUBLIC = [
    thing
    for name in sls.__all__
    if isinstance(thing := getattr(sls, name), type) and name != "LineSearch"
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums do not depend on the machine's cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_examples_on_a_page(page: Path) -> None:
    """All Python blocks with a prompt, in order, as one session."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    session = "\n".join(block for block in blocks if ">>>" in block)
    example = doctest.DocTestParser().get_doctest(session, {}, page.name, str(page), 0)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("optimizer", ["SLS", "AdamSLS", "PLASLS", "ALSALS", "SaLSA", "PeakSLS"])
def test_every_optimizer_has_a_page_with_an_example(optimizer: str) -> None:
    pages = [page for page in PAGES if page.parent.name == "optimizers"]
    assert any(f"# {title(optimizer)}\n" in page.read_text(encoding="utf-8") for page in pages)


def title(optimizer: str) -> str:
    return {"AdamSLS": "Adam-SLS", "SaLSA": "SaLSa"}.get(optimizer, optimizer)


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.__name__)
def test_every_public_class_names_itself_first_and_says_what_it_takes(public: type) -> None:
    text = public.__doc__ or ""
    assert "Args:" in text or "Attributes:" in text or ">>>" in text
    if issubclass(public, torch.optim.Optimizer):
        assert "```text" in text
        assert "Raises:" in text
        assert ">>> " in text

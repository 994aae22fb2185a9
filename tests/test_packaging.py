"""The package as it is installed: its wheel, its version, and the oldest torch that it states."""

from __future__ import annotations

import email.message
import email.parser
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import sls

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("sls/**/*.py"))


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A command without this checkout on the path."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel built from it."""
    pytest.importorskip("build", reason="needs the extra dev")
    pytest.importorskip("setuptools", minversion="77", reason="builds without a network")
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "sls", source / "sls", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = run(sys.executable, "-m", "build", "--no-isolation", "-o", "../dist", cwd=source)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (path,) = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        return email.parser.Parser().parsestr(file.read(name).decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted([*SOURCES, "sls/py.typed"])


def test_torch_is_the_only_need(metadata: email.message.Message) -> None:
    needs = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert needs == PROJECT["project"]["dependencies"]
    assert [re.match(r"\w+", need).group() for need in needs] == ["torch"]  # type: ignore[union-attr]


def test_the_index_can_show_the_description(distributions: Path) -> None:
    pytest.importorskip("twine", reason="needs the extra dev")
    files = [str(path) for path in distributions.iterdir()]
    checked = run(sys.executable, "-m", "twine", "check", "--strict", *files)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert len(files) == 2


def test_the_version_of_the_wheel_is_the_modules(metadata: email.message.Message) -> None:
    assert metadata["Version"] == sls.__version__


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("CITATION.cff", r"^version: (\S+)$"), ("README.md", r"^  version = \{(\S+)\}$")],
)
def test_citations_name_the_version_of_the_module(file: str, pattern: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.findall(pattern, text, re.MULTILINE) == [sls.__version__]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_oldest_torch_that_is_stated(wheel: Path, tmp_path: Path) -> None:
    """The tests of the optimizers, with the wheel and what the tests themselves need."""
    oldest = PROJECT["project"]["dependencies"][0].replace(">=", "==")
    python = str(tmp_path / "environment" / "bin" / "python")
    venv.create(tmp_path / "environment", with_pip=True)
    installed = run(python, "-m", "pip", "install", "--quiet", oldest, str(wheel))
    if installed.returncode != 0:
        pytest.skip(f"{oldest} could not be installed: {installed.stderr[-300:]}")
    alone = run(python, "-c", "import sls, sls.integrations.lightning", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    needs = ["pytest", "pytest-timeout", "hypothesis", "matplotlib", "numpy", "scikit-learn"]
    needs += ["prodigyopt", "schedulefree"]
    done = run(python, "-m", "pip", "install", "--quiet", *needs)
    assert done.returncode == 0, done.stderr
    here = tmp_path / "here"
    for folder in ("tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, here / folder, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", here)
    others = [f"--ignore=tests/sls/{name}" for name in ("integrations", "test_units.py")]
    tests = ["tests/sls", "tests/reference", *others]
    done = run(python, "-m", "pytest", "-q", "-m", "not slow", *tests, cwd=here)
    shutil.rmtree(tmp_path / "environment")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr

"""A folder of results → `<folder>/report/`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from experiments.errors import UserError
from experiments.files.atomic import DiskError, disk, replace_together
from experiments.files.reading import open_regular
from experiments.report.read.runs import LAYOUT, read_results, run_folders
from experiments.report.sections import compose
from experiments.report.write.csv import runs_csv
from experiments.report.write.document import MADE_BY, Document
from experiments.report.write.html import to_html
from experiments.report.write.latex import to_latex
from experiments.report.write.markdown import to_markdown

PICTURES = "pictures"
# Bytes at the start of a picture among which it says who made it.
_HEAD = 1024


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report on the runs in `folder` into `output`, which is returned.

    By default that is `folder/report`. It gets report.md with pictures/*.png, report.html,
    tables.tex and runs.csv: all of them, or none where one cannot be written. Reports that are
    written at the same time follow one another.

    Raises:
        UserError: if there is no such folder, no run in it, or the report cannot be written.
    """
    folder = Path(folder)
    _require_runs(folder)
    results = read_results(folder)
    if not results.runs:
        raise UserError(f"{folder}: no run can be read: {' '.join(results.warnings)}")
    document = compose(results)
    texts = {
        "report.md": to_markdown(document, pictures=PICTURES),
        "report.html": to_html(document),
        "tables.tex": to_latex(document),
        "runs.csv": runs_csv(results),
    }
    report = folder / "report" if output is None else Path(output)
    try:
        with disk(report):
            (report / PICTURES).mkdir(parents=True, exist_ok=True)
        with _alone(report):
            _write(report, texts, document)
    except DiskError as error:
        with suppress(OSError):  # not where an earlier report has pictures
            (report / PICTURES).rmdir()
        hint = "; --output PATH writes it elsewhere" if output is None else ""
        raise UserError(f"the report cannot be written: {error}{hint}") from error
    return report


def _require_runs(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    if run_folders(folder):
        return
    below = sorted(
        {path.relative_to(folder).parts[0] for path in folder.glob("*/*/*/*/s*-*/config.yaml")}
    )
    hint = f"; did you mean {folder / below[0]}?" if below else ""
    raise UserError(f"{folder}: no runs there: looked for {LAYOUT}/config.yaml{hint}")


@contextmanager
def _alone(report: Path) -> Iterator[None]:
    """Wait until no other process writes this report."""
    with disk(report):
        itself = os.open(report, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # without locks, each file is still a whole one
            fcntl.flock(itself, fcntl.LOCK_EX)
        yield
    finally:
        os.close(itself)


def _write(report: Path, texts: Mapping[str, str], document: Document) -> None:
    """All files; and none of the pictures of an earlier report."""
    drawn = {
        report / PICTURES / f"{picture.key}.png": picture.png
        for section in document.sections
        for picture in section.pictures
    }
    # Names of folders may hold bytes that are no text.
    written = {report / name: text.encode(errors="replace") for name, text in texts.items()}
    replace_together(drawn | written)
    for path in (report / PICTURES).glob("*.png"):
        if path not in drawn and _is_ours(path):
            with suppress(OSError):
                path.unlink()


def _is_ours(picture: Path) -> bool:
    try:
        with open_regular(picture) as file:
            return MADE_BY.encode() in file.read(_HEAD)
    except (OSError, UserError):
        return False

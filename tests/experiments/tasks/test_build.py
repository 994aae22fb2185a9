"""Tasks from configs: the real data with the real models, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import schema
from experiments.errors import UserError
from experiments.tasks.base import Task
from experiments.tasks.build import build_task
from tests.experiments.data.locations import bert_folder, data_root

RESNET = schema.ResNetModel.model_validate({"width": 4})
VIT = schema.ViTModel.model_validate({"width": 16, "layers": 1, "heads": 2})
PICTURES = "resnet, vit, efficientnet"
GPT2 = schema.GPT2Model.model_validate({"width": 16, "layers": 1, "heads": 2})


def bert(**changes: Any) -> schema.BertModel:
    return schema.BertModel.model_validate({"name": str(bert_folder()), "layers": 1} | changes)


def build(name: str) -> Task:
    """A task of each kind, small."""
    match name:
        case "digits-resnet":
            return build_task(schema.DigitsTask(), RESNET, data_root=None)
        case "digits-vit":
            return build_task(schema.DigitsTask(), VIT, data_root=None)
        case "folder-resnet":
            task = schema.ImageFolderTask.model_validate({"folder": "cifar10_images", "size": 8})
            return build_task(task, RESNET, data_root=data_root())
        case "byte_text-gpt2":
            return build_task(
                schema.ByteTextTask.model_validate({"block": 16}), GPT2, data_root=None
            )
        case "mrpc-bert":
            glue = schema.GlueTask.model_validate({"dataset": "mrpc", "train_examples": 50})
            return build_task(glue, bert(), data_root=data_root())
        case _:
            glue = schema.GlueTask.model_validate(
                {"dataset": "cola", "train_examples": 50, "max_tokens": 64}
            )
            new = bert(name=None, tokenizer=str(bert_folder()), width=16, heads=2)
            return build_task(glue, new, data_root=data_root())


TASKS = [
    "digits-resnet",
    "digits-vit",
    "folder-resnet",
    "byte_text-gpt2",
    "mrpc-bert",
    "cola-new_bert",
]


@pytest.fixture(scope="module", params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    torch.manual_seed(0)
    return build(request.param)


def test_the_loss_of_a_batch_is_the_mean_over_its_examples(task: Task) -> None:
    task.model.eval()
    indices = torch.tensor([0, 7, 11, 20])
    together = task.predict(task.train.batch(indices, None))
    single = [task.predict(task.train.batch(index[None], None)) for index in indices]
    mean = sum(p.loss.item() * p.weight for p in single) / sum(p.weight for p in single)
    assert together.loss.item() == pytest.approx(mean, rel=1e-4)
    assert together.weight == sum(p.weight for p in single)


def test_a_step_down_the_gradient_lowers_the_loss(task: Task) -> None:
    task.model.eval()
    parameters = [p for p in task.model.parameters() if p.requires_grad]
    batch = task.train.batch(torch.arange(8), None)
    before = task.loss(batch)
    gradients = torch.autograd.grad(before, parameters)
    squared = sum(float(g.square().sum()) for g in gradients)
    step = 1e-3 * before.item() / squared
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(step * gradient)
    fall = before.item() - task.predict(batch).loss.item()
    assert fall == pytest.approx(1e-3 * before.item(), rel=0.3)


def test_metrics_hold_the_score(task: Task) -> None:
    task.model.eval()
    prediction = task.predict(task.validation.batch(torch.arange(16), None))
    metrics = task.metrics(prediction.outputs, prediction.labels)
    assert "accuracy" in metrics
    assert task.score in {*metrics, "val_loss"}
    assert prediction.outputs.shape == prediction.labels.shape


@pytest.mark.parametrize(
    ("dataset", "names", "score"),
    [
        ("cola", {"accuracy", "mcc"}, "mcc"),
        ("sst2", {"accuracy"}, "accuracy"),
        ("mrpc", {"accuracy", "f1"}, "accuracy"),
    ],
)
def test_glue_metrics_and_scores(dataset: Any, names: set[str], score: str, tmp_path: Path) -> None:
    rows = {
        "cola": ("CoLA", "gj04\t1\t\tfine\ngj04\t0\t*\tbad\n"),
        "sst2": ("SST-2", "sentence\tlabel\nfine\t1\nbad\t0\n"),
        "mrpc": ("MRPC", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\ta\tb\n"),
    }
    folder, text = rows[dataset]
    (tmp_path / "glue" / folder).mkdir(parents=True)
    for split in ("train", "dev"):
        (tmp_path / "glue" / folder / f"{split}.tsv").write_text(text)
    task = build_task(
        schema.GlueTask.model_validate({"dataset": dataset}), bert(), data_root=tmp_path
    )
    assert set(task.metrics(torch.tensor([1, 0]), torch.tensor([1, 1]))) == names
    assert (task.score, task.score_is_loss) == (score, False)


def test_train_examples_keeps_the_first_ones_of_training_only() -> None:
    task = build("mrpc-bert")
    assert (len(task.train), len(task.validation)) == (50, 408)


@pytest.mark.parametrize("name", ["digits-resnet", "digits-vit", "byte_text-gpt2", "mrpc-bert"])
def test_one_seed_gives_one_model(name: str) -> None:
    torch.manual_seed(5)
    first = build(name).model.state_dict()
    torch.manual_seed(5)
    second = build(name).model.state_dict()
    torch.manual_seed(6)
    other = build(name).model.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(
    ("task", "model", "fitting"),
    [
        (schema.GlueTask.model_validate({"dataset": "mrpc"}), RESNET, "bert"),
        (schema.DigitsTask(), schema.BertModel.model_validate({}), PICTURES),
        (schema.ImageFolderTask.model_validate({"folder": "x"}), GPT2, PICTURES),
        (schema.ByteTextTask.model_validate({}), VIT, "gpt2"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(task: Any, model: Any, fitting: str) -> None:
    with pytest.raises(UserError) as raised:
        build_task(task, model, data_root=None)
    assert str(raised.value) == (
        f"model '{model.kind}' does not fit task '{task.kind}'; models that do: {fitting}"
    )


@pytest.mark.parametrize(
    ("task", "model"),
    [
        (schema.GlueTask.model_validate({"dataset": "mrpc"}), schema.BertModel.model_validate({})),
        (schema.ImageFolderTask.model_validate({"folder": "pictures"}), RESNET),
    ],
)
def test_without_a_data_root_the_message_says_what_to_set(task: Any, model: Any) -> None:
    with pytest.raises(UserError, match=r"data_root=… or .* SLS_DATA_ROOT"):
        build_task(task, model, data_root=None)


def test_missing_data_are_found_before_the_model_is_loaded(tmp_path: Path) -> None:
    model = schema.BertModel.model_validate({"name": str(tmp_path / "no_model")})
    with pytest.raises(UserError) as raised:
        build_task(schema.GlueTask.model_validate({"dataset": "mrpc"}), model, data_root=tmp_path)
    assert str(tmp_path / "glue" / "MRPC" / "train.tsv") in str(raised.value)


def test_bert_from_scratch_needs_a_tokenizer() -> None:
    task = schema.GlueTask.model_validate({"dataset": "mrpc"})
    with pytest.raises(UserError, match=r"model\.tokenizer is needed"):
        build_task(task, schema.BertModel.model_validate({"name": None}), data_root=data_root())

"""Tasks from configs: the real data with the real models, and what is refused."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.errors import UserError
from experiments.models import pretrained
from experiments.models.pretrained import load_tokenizer, quiet
from experiments.models.settings import (
    BertModel,
    DistilBertModel,
    GPT2ClassifierModel,
    GPT2Model,
    MLPModel,
    ResNetModel,
    RobertaModel,
    TextClassifierModel,
    ViTModel,
)
from experiments.tasks.base import Task
from experiments.tasks.build import build_task
from experiments.tasks.glue import GlueTask
from experiments.tasks.images import DigitsTask, ImageFolderTask
from experiments.tasks.language import ByteTextTask
from tests.experiments.data.glue.glue_folders import ROWS, write_hub, write_tfds, write_tsv
from tests.experiments.data.locations import bert_folder, data_root

RESNET = ResNetModel.model_validate({"width": 4})
VIT = ViTModel.model_validate({"width": 16, "layers": 1, "heads": 2})
PICTURES = "resnet, vit, efficientnet, mlp"
TEXT_CLASSIFIERS = [
    BertModel,
    RobertaModel,
    DistilBertModel,
    GPT2ClassifierModel,
]
GPT2 = GPT2Model.model_validate({"width": 16, "layers": 1, "heads": 2})


def bert(**changes: Any) -> BertModel:
    return BertModel.model_validate({"name": str(bert_folder()), "layers": 1} | changes)


@pytest.fixture(scope="module", autouse=True)
def _tokenizers_are_read_once() -> Iterator[None]:
    """Reading a vocabulary takes longer than all the rest of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "load_tokenizer", functools.cache(load_tokenizer))
        yield


def tokenizer_of(kind: str) -> str:
    return str(data_root() / "gpt2_tokenizer" if kind == "gpt2_classifier" else bert_folder())


def new_classifier(section: type[TextClassifierModel], **changes: Any) -> Any:
    """A small one of any kind, from scratch."""
    kind = section.model_fields["kind"].default
    small = {"name": None, "tokenizer": tokenizer_of(kind), "layers": 1, "width": 16, "heads": 2}
    return section.model_validate(small | changes)


def build(name: str) -> Task:
    """A task of each kind, small."""
    match name:
        case "digits-resnet":
            return build_task(DigitsTask(), RESNET, data_root=None)
        case "digits-vit":
            return build_task(DigitsTask(), VIT, data_root=None)
        case "digits-mlp":
            return build_task(DigitsTask(), MLPModel(width=16), data_root=None)
        case "folder-resnet":
            task = ImageFolderTask.model_validate({"folder": "cifar10_images", "size": 8})
            return build_task(task, RESNET, data_root=data_root())
        case "byte_text-gpt2":
            return build_task(ByteTextTask.model_validate({"block": 16}), GPT2, data_root=None)
        case "mrpc-bert":
            glue = GlueTask.model_validate({"dataset": "mrpc", "train_examples": 50})
            return build_task(glue, bert(), data_root=data_root())
        case "sst2-new_gpt2":
            glue = GlueTask.model_validate({"dataset": "sst2", "train_examples": 50})
            new = new_classifier(GPT2ClassifierModel)
            return build_task(glue, new, data_root=data_root())
        case _:
            glue = GlueTask.model_validate(
                {"dataset": "cola", "train_examples": 50, "max_tokens": 64}
            )
            new = bert(name=None, tokenizer=str(bert_folder()), width=16, heads=2)
            return build_task(glue, new, data_root=data_root())


TASKS = [
    "digits-resnet",
    "digits-vit",
    "digits-mlp",
    "folder-resnet",
    "byte_text-gpt2",
    "mrpc-bert",
    "cola-new_bert",
    "sst2-new_gpt2",
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


@pytest.fixture(scope="module")
def small_glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with all nine tasks, a few examples each."""
    root = tmp_path_factory.mktemp("data")
    write_tsv(root / "glue")
    return root


@pytest.mark.parametrize(
    ("dataset", "names", "score"),
    [
        ("cola", {"accuracy", "mcc"}, "mcc"),
        ("sst2", {"accuracy"}, "accuracy"),
        ("mrpc", {"accuracy", "f1"}, "accuracy"),
        ("stsb", {"pearson", "spearman"}, "pearson"),
        ("qqp", {"accuracy", "f1"}, "accuracy"),
        ("mnli", {"accuracy"}, "accuracy"),
        ("qnli", {"accuracy"}, "accuracy"),
        ("rte", {"accuracy"}, "accuracy"),
        ("wnli", {"accuracy"}, "accuracy"),
    ],
)
def test_glue_metrics_and_scores(
    dataset: Any, names: set[str], score: str, small_glue: Path
) -> None:
    glue = GlueTask.model_validate({"dataset": dataset, "max_tokens": 32})
    task = build_task(glue, new_classifier(BertModel), data_root=small_glue)
    batch = task.validation.batch(torch.arange(ROWS), None)
    prediction = task.predict(batch)
    classes = {"mnli": 3, "stsb": 1}.get(dataset, 2)
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    assert task.model(**inputs).shape == (ROWS, classes)
    assert set(task.metrics(prediction.outputs, prediction.labels)) == names
    assert (task.score, task.score_is_loss) == (score, False)
    assert set(task.also_validation) == ({"mm"} if dataset == "mnli" else set())


def test_mnli_is_judged_on_both_of_its_validation_splits(small_glue: Path) -> None:
    glue = GlueTask.model_validate({"dataset": "mnli", "max_tokens": 64})
    task = build_task(glue, new_classifier(BertModel), data_root=small_glue)
    tokenizer: Any = load_tokenizer(str(bert_folder()), "model.tokenizer")
    texts = [
        tokenizer.decode(source.batch(torch.tensor([0]), None)["input_ids"][0])
        for source in (task.train, task.validation, task.also_validation["mm"])
    ]
    for text, split in zip(texts, ("train", "validation _ matched", "mismatched"), strict=True):
        assert f"{split} 0" in text


@pytest.mark.parametrize(("head", "dataset"), [("linear", "mnli"), ("own", "stsb")])
@pytest.mark.parametrize("section", TEXT_CLASSIFIERS, ids=lambda section: section.__name__)
def test_every_text_classifier_learns(
    section: Any, dataset: Any, head: str, small_glue: Path
) -> None:
    torch.manual_seed(0)
    glue = GlueTask.model_validate({"dataset": dataset, "max_tokens": 32})
    task = build_task(glue, new_classifier(section, head=head, dropout=0.0), data_root=small_glue)
    batch = task.train.batch(torch.arange(4), None)
    optimizer = torch.optim.Adam(task.model.parameters(), lr=3e-3)
    first = task.loss(batch)
    for _ in range(5):
        optimizer.zero_grad()
        task.loss(batch).backward()
        optimizer.step()
    assert task.loss(batch).item() < first.item()


@pytest.mark.parametrize("section", TEXT_CLASSIFIERS, ids=lambda section: section.__name__)
@pytest.mark.parametrize("head", ["linear", "own"])
def test_padding_in_a_batch_changes_no_prediction(
    section: Any, head: str, small_glue: Path, tmp_path: Path
) -> None:
    """As pretrained, with the tokenizer that the folder of the model has."""
    glue = GlueTask.model_validate({"dataset": "rte", "max_tokens": 32})
    saved: Any = build_task(glue, new_classifier(section, head="own"), data_root=small_glue).model
    with quiet():
        saved.classifier.save_pretrained(tmp_path)
    for file in Path(tokenizer_of(section.model_fields["kind"].default)).glob("*.*"):
        if file.name not in ("config.json", "model.safetensors"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    model = section.model_validate({"name": str(tmp_path), "head": head})
    task = build_task(glue, model, data_root=small_glue)
    task.model.eval()
    together = logits(task, list(range(8)))
    for index in range(8):
        torch.testing.assert_close(together[index], logits(task, [index])[0], rtol=1e-4, atol=1e-5)


def logits(task: Task, indices: list[int]) -> torch.Tensor:
    batch = task.train.batch(torch.tensor(indices), None)
    del batch["labels"]
    return task.model(**batch)


def test_sources_of_glue_make_one_task(small_glue: Path, tmp_path: Path) -> None:
    write_hub(tmp_path / "hub", ["rte"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
        write_tfds(tmp_path / "tfds", small_glue / "glue", patch, ["rte"])
        tasks = [
            build_task(
                GlueTask.model_validate({"dataset": "rte", "max_tokens": 32, **where}),
                new_classifier(BertModel),
                data_root=small_glue,
            )
            for where in (
                {"source": "tsv"},
                {"source": "hub", "hub_name": str(tmp_path / "hub")},
                {"source": "tfds", "tfds_dir": str(tmp_path / "tfds")},
            )
        ]
    batches = [task.train.batch(torch.arange(ROWS), None) for task in tasks]
    for batch in batches[1:]:
        assert all(torch.equal(batch[key], batches[0][key]) for key in batches[0])


def test_a_tokenizer_without_padding_token_is_refused(tmp_path: Path) -> None:
    glue = GlueTask.model_validate({"dataset": "cola"})
    tokenizer: Any = load_tokenizer(tokenizer_of("gpt2_classifier"), "")
    tokenizer.save_pretrained(tmp_path)
    model = new_classifier(BertModel, tokenizer=str(tmp_path))
    with pytest.raises(UserError, match=r"^model\.tokenizer: .* has no padding token"):
        build_task(glue, model, data_root=data_root())


def test_gpt2_with_a_tokenizer_without_end_of_text_is_refused() -> None:
    glue = GlueTask.model_validate({"dataset": "cola"})
    model = new_classifier(GPT2ClassifierModel, tokenizer=str(bert_folder()))
    with pytest.raises(UserError, match=r"^model\.tokenizer: .* has no end-of-text token"):
        build_task(glue, model, data_root=data_root())


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
        (
            GlueTask.model_validate({"dataset": "mrpc"}),
            RESNET,
            "bert, roberta, distilbert, gpt2_classifier",
        ),
        (DigitsTask(), BertModel.model_validate({}), PICTURES),
        (ImageFolderTask.model_validate({"folder": "x"}), GPT2, PICTURES),
        (ByteTextTask.model_validate({}), VIT, "gpt2"),
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
        (GlueTask.model_validate({"dataset": "mrpc"}), BertModel.model_validate({})),
        (ImageFolderTask.model_validate({"folder": "pictures"}), RESNET),
    ],
)
def test_without_a_data_root_the_message_says_what_to_set(task: Any, model: Any) -> None:
    with pytest.raises(UserError, match=r"data_root=… or .* SLS_DATA_ROOT"):
        build_task(task, model, data_root=None)


def test_missing_data_are_found_before_the_model_is_loaded(tmp_path: Path) -> None:
    model = BertModel.model_validate({"name": str(tmp_path / "no_model")})
    with pytest.raises(UserError) as raised:
        build_task(GlueTask.model_validate({"dataset": "mrpc"}), model, data_root=tmp_path)
    assert str(tmp_path / "glue" / "MRPC" / "train.tsv") in str(raised.value)


def test_bert_from_scratch_needs_a_tokenizer() -> None:
    task = GlueTask.model_validate({"dataset": "mrpc"})
    with pytest.raises(UserError, match=r"model\.tokenizer is needed"):
        build_task(task, BertModel.model_validate({"name": None}), data_root=data_root())


@pytest.mark.parametrize("dataset", ["mrpc", "sst2"])
def test_bytes_as_text_reads_every_text_as_python_shows_bytes(dataset: str) -> None:
    glue = GlueTask.model_validate({"dataset": dataset, "train_examples": 3, "max_tokens": 128})
    small = new_classifier(BertModel)
    tokenizer = pretrained.load_tokenizer(str(bert_folder()), "model.tokenizer")
    texts = []
    for quirk in (False, True):
        task = build_task(glue, small, data_root=data_root(), bytes_as_text=quirk)
        ids = task.train.batch(torch.arange(3), None)["input_ids"]
        texts.append(tokenizer.batch_decode(ids, skip_special_tokens=True))
    for plain, quirky in zip(*texts, strict=True):
        assert quirky.startswith(("b'", 'b "', "b '", 'b"'))
        assert not plain.startswith(("b '", 'b "'))

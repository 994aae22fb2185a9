"""Language models on real text: whole tasks, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.data.base import Source
from experiments.errors import UserError
from experiments.models.settings import BertModel, GPT2Model
from experiments.tasks.base import Task
from experiments.tasks.build import build_task
from experiments.tasks.language import LanguageModelTask, MaskedLanguageModelTask
from experiments.training.batches import evaluation_batches, training_batches
from experiments.training.evaluation import evaluate
from tests.experiments.data.locations import bert_folder, data_root

FILE = "tinyshakespeare/input.txt"
GPT2 = GPT2Model.model_validate({"width": 32, "layers": 1, "heads": 2})
BERT = BertModel.model_validate({"name": None, "width": 32, "layers": 1, "heads": 2})


def build(*, masked: bool = False, cache: Path | None = None, **changes: Any) -> Task:
    settings = {"file": FILE, "tokenizer": "bytes", "block": 64, "validation_share": 0.1}
    section = MaskedLanguageModelTask if masked else LanguageModelTask
    task = section.model_validate(settings | changes)
    torch.manual_seed(0)
    return build_task(task, BERT if masked else GPT2, data_root=data_root(), cache=cache)


def text() -> bytes:
    return (data_root() / FILE).read_bytes()


def all_labels(source: Source) -> list[int]:
    return source.batch(torch.arange(len(source)), None)["labels"].flatten().tolist()


def unigram_entropy(tokens: bytes) -> float:
    """In nats a token: the loss of the best model that looks at nothing."""
    shares = np.bincount(np.frombuffer(tokens, np.uint8)) / len(tokens)
    return float(-sum(share * math.log(share) for share in shares if share > 0))


def train(task: Task, steps: int) -> dict[str, float]:
    optimizer = torch.optim.Adam(task.model.parameters(), lr=5e-3)
    batches = training_batches(task.train, seed=0, batch_size=32)
    for _, batch in zip(range(steps), batches, strict=False):
        optimizer.zero_grad()
        task.loss(batch).backward()
        optimizer.step()
    return evaluate(
        task,
        evaluation_batches(task.validation, batch_size=64),
        device=torch.device("cpu"),
    )


def test_bytes_of_the_real_text_are_split_and_covered(tmp_path: Path) -> None:
    task = build(cache=tmp_path / "unused")
    cut = len(text()) - len(text()) // 10
    train_bytes = bytes(all_labels(task.train))
    assert train_bytes == text()[1 : 1 + len(train_bytes)]
    assert cut - len(train_bytes) <= 64
    held_out = bytes(all_labels(task.validation))
    assert held_out == text()[cut + 1 : cut + 1 + len(held_out)]
    assert not (tmp_path / "unused").exists()


def test_the_causal_loss_is_transformers_own() -> None:
    task = build()
    task.model.eval()
    model: Any = task.model
    batch = task.train.batch(torch.arange(4), None)
    whole = torch.cat([batch["input_ids"], batch["labels"][:, -1:]], dim=1)
    # transformers shifts the labels itself and predicts no token after the last one it is shown.
    its_own = model.language_model(input_ids=whole[:, :-1], labels=whole[:, :-1]).loss
    logits_batch = {"input_ids": batch["input_ids"][:, :-1], "labels": batch["labels"][:, :-1]}
    torch.testing.assert_close(task.loss(logits_batch), its_own)
    assert task.weight(batch) == 4 * 64


@pytest.mark.parametrize(("masked", "steps"), [(False, 100), (True, 200)], ids=["causal", "masked"])
def test_loss_and_perplexity_fall_below_the_unigram_entropy(masked: bool, steps: int) -> None:
    share = 0.02
    task = build(masked=masked, block=32, validation_share=share)
    results = train(task, steps)
    held_out = text()[len(text()) - int(len(text()) * share) :]
    assert results["val_loss"] < unigram_entropy(held_out) - 0.03
    assert results["perplexity"] == pytest.approx(math.exp(results["val_loss"]))
    assert 0 < results["accuracy"] < 1


def test_evaluation_of_a_masked_model_hides_the_same_tokens_each_time() -> None:
    task = build(masked=True, validation_share=0.01)
    task.model.eval()
    losses = {
        evaluate(
            task,
            evaluation_batches(task.validation, batch_size=size),
            device=torch.device("cpu"),
        )["accuracy"]
        for size in (5, 64)
    }
    assert len(losses) == 1
    batch = task.train.batch(torch.arange(3), None)
    assert task.weight(batch) == batch["positions"].numel() == 3 * round(0.15 * 64)


def test_byte_pairs_are_cached_and_shared_by_block_sizes(tmp_path: Path) -> None:
    tokenizer = str(data_root() / "gpt2_tokenizer")
    for block in (64, 32):
        task = build(tokenizer=tokenizer, block=block, cache=tmp_path)
    (path,) = tmp_path.glob("*.npy")
    array = np.load(path)
    assert (array.dtype, path.name.split("-")[0]) == (np.uint16, "input")
    labels = all_labels(task.train)
    assert labels == array[1 : 1 + len(labels)].tolist()
    assert task.predict(task.train.batch(torch.tensor([0]), None)).outputs.shape == (1, 32)


def test_word_pieces_are_hidden_between_berts_marks(tmp_path: Path) -> None:
    (tmp_path / "part.txt").write_bytes(text()[:100_000])
    file = str(tmp_path / "part.txt")
    task = build(masked=True, cache=tmp_path, tokenizer=str(bert_folder()), file=file)
    batch = task.validation.batch(torch.arange(9), None)
    assert set(batch["input_ids"][:, 0].tolist()) == {101}
    assert set(batch["input_ids"][:, -1].tolist()) == {102}
    assert (batch["input_ids"] == 103).any(dim=1).all()
    assert task.loss(batch).item() == pytest.approx(math.log(30522), rel=0.1)


def test_a_folder_in_the_hubs_layout(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    arrow, parquet = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    folder, cache = tmp_path / "wiki", tmp_path / "cache"
    folder.mkdir()
    for split, rows in {"train": ["abc", "", "defg"], "validation": ["hijk", "lm"]}.items():
        parquet.write_table(arrow.table({"text": rows}), folder / f"{split}-00000-of-00001.parquet")
    hub = {"file": None, "hub_name": str(folder), "block": 2}

    def labels(**changes: Any) -> tuple[bytes, bytes]:
        task = build(cache=cache, **(hub | changes))
        return bytes(all_labels(task.train)), bytes(all_labels(task.validation))

    assert labels(validation_share=None) == (b"bcdefg", b"ijkl")
    assert labels(validation_share=0.45) == (b"bc", b"fg")
    assert labels(validation_share=None, max_rows=1)[0] == b"bc"
    assert labels(validation_share=None, documents=True)[0] == b"bc\xff\xffdefg"[:8]
    assert sorted(path.name[:10] for path in cache.glob("*.npy")) == [
        *["wiki-train"] * 3,
        *["wiki-valid"] * 2,
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": None}, r"one of task\.file and task\.hub_name"),
        ({"hub_name": "x"}, r"one of task\.file and task\.hub_name"),
        ({"validation_share": None}, r"task\.validation_share is needed"),
        ({"file": "nowhere.txt"}, r"no such file: .*nowhere\.txt; set task\.file"),
        ({"block": 200_000}, r"task\.block is 200000, too large"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**changes)


def test_a_file_needs_a_data_root_unless_it_is_absolute() -> None:
    task = LanguageModelTask.model_validate(
        {"file": FILE, "tokenizer": "bytes", "block": 64, "validation_share": 0.1}
    )
    with pytest.raises(UserError, match=r"data_root=… or .* SLS_DATA_ROOT"):
        build_task(task, GPT2, data_root=None)
    absolute = task.model_copy(update={"file": str(data_root() / FILE)})
    assert len(build_task(absolute, GPT2, data_root=None).train) > 1000


def test_a_masked_model_needs_a_tokenizer_with_a_mask(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"task\.tokenizer is needed"):
        build(masked=True, tokenizer=None)
    with pytest.raises(UserError, match=r"has no mask token"):
        build(
            masked=True,
            tokenizer=str(data_root() / "gpt2_tokenizer"),
            cache=tmp_path,
        )

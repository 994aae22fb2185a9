"""Losses, weights and metrics, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from experiments.data.base import Batch
from experiments.data.text.corpus import byte_text
from experiments.tasks.losses import Classification, LanguageModelling, Regression


class Table(nn.Module):
    """Looks its logits up."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.logits[inputs]


SOURCE = byte_text(64)[0]  # the tests make their batches themselves
LOGITS = [[0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0], [0.0, math.log(6), 0.0]]


def classification(
    also: tuple[Literal["f1", "mcc"], ...] = (), score: Literal["accuracy", "mcc"] = "accuracy"
) -> Classification:
    return Classification(Table(LOGITS), SOURCE, SOURCE, also=also, score=score)


def batch(inputs: list[int], labels: list[int]) -> Batch:
    return {"inputs": torch.tensor(inputs), "labels": torch.tensor(labels)}


def test_classification_loss_is_the_mean_cross_entropy() -> None:
    task = classification()
    expected = (math.log(3) + math.log(4 / 2) + math.log(8)) / 3
    assert task.loss(batch([0, 1, 2], [1, 0, 0])).item() == pytest.approx(expected, rel=1e-6)
    assert task.weight(batch([0, 1, 2], [1, 0, 0])) == 3


def test_language_modelling_loss_is_the_mean_over_all_positions() -> None:
    task = LanguageModelling(Table(LOGITS), SOURCE, SOURCE)
    tokens = {"inputs": torch.tensor([[0, 1], [2, 2]]), "labels": torch.tensor([[1, 0], [0, 1]])}
    expected = (math.log(3) + math.log(2) + math.log(8) + math.log(8 / 6)) / 4
    assert task.loss(tokens).item() == pytest.approx(expected, rel=1e-6)
    assert task.weight(tokens) == 4
    assert task.predict(tokens).outputs[:, 1].tolist() == [0, 1]


def test_loss_has_a_graph_and_prediction_has_none() -> None:
    task = classification()
    data = batch([1, 2], [0, 0])
    prediction = task.predict(data)
    assert task.loss(data).requires_grad
    assert not prediction.loss.requires_grad
    assert prediction.loss.item() == task.loss(data).item()
    assert prediction.weight == 2
    assert prediction.outputs.tolist() == [0, 1]
    assert prediction.labels.tolist() == [0, 0]


def test_the_mode_of_the_model_is_left_alone() -> None:
    task = classification()
    for mode in (True, False):
        task.model.train(mode)
        task.predict(batch([1], [0]))
        task.loss(batch([1], [0]))
        assert task.model.training is mode


# Class 1 is right twice, said wrongly once and missed twice; class 0 is right once.
OUTPUTS = torch.tensor([1, 1, 1, 0, 0, 0])
LABELS = torch.tensor([1, 1, 0, 1, 1, 0])


def test_accuracy_f1_and_mcc_by_hand() -> None:
    tp, fp, fn, tn = 2, 1, 2, 1
    mcc = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert classification().metrics(OUTPUTS, LABELS) == {"accuracy": 0.5}
    assert classification(("f1",)).metrics(OUTPUTS, LABELS) == pytest.approx(
        {"accuracy": 0.5, "f1": 2 * tp / (2 * tp + fp + fn)}
    )
    assert classification(("mcc",)).metrics(OUTPUTS, LABELS) == pytest.approx(
        {"accuracy": 0.5, "mcc": mcc}
    )
    more = torch.tensor([1, 1, 1, 0, 1, 0])
    assert classification(("mcc",)).metrics(more, LABELS)["mcc"] == pytest.approx(
        (3 * 1 - 1 * 1) / math.sqrt(4 * 4 * 2 * 2)
    )


def test_a_model_that_never_says_one_has_zero_f1_and_mcc_without_a_warning() -> None:
    outputs = torch.zeros(6, dtype=torch.int64)
    metrics = classification(("f1", "mcc")).metrics(outputs, LABELS)
    assert (metrics["f1"], metrics["mcc"]) == (0.0, 0.0)


def test_language_modelling_metrics_count_positions() -> None:
    task = LanguageModelling(Table(LOGITS), SOURCE, SOURCE)
    outputs, labels = torch.tensor([[1, 2], [3, 4]]), torch.tensor([[1, 2], [3, 0]])
    assert task.metrics(outputs, labels) == {"accuracy": 0.75}
    assert (task.score, task.score_is_loss) == ("val_loss", True)


@pytest.mark.parametrize(
    ("loss", "perplexity"), [(0.0, 1.0), (math.log(50257), 50257.0), (1e4, math.inf)]
)
def test_perplexity_is_exp_of_the_loss(loss: float, perplexity: float) -> None:
    task = LanguageModelling(Table(LOGITS), SOURCE, SOURCE)
    assert task.loss_metrics(loss) == {"perplexity": pytest.approx(perplexity)}
    assert math.isnan(task.loss_metrics(math.nan)["perplexity"])
    assert classification().loss_metrics(loss) == {}


def regression() -> Regression:
    return Regression(Table([[1.0], [3.0], [2.5]]), SOURCE, SOURCE)


def test_regression_loss_is_the_mean_squared_error() -> None:
    data = {"inputs": torch.tensor([0, 1, 2]), "labels": torch.tensor([2.0, 3.0, 0.5])}
    task = regression()
    loss = task.loss(data)
    assert loss.requires_grad
    assert loss.item() == pytest.approx((1 + 0 + 4) / 3)
    prediction = task.predict(data)
    assert not prediction.loss.requires_grad
    assert prediction.outputs.tolist() == [1.0, 3.0, 2.5]
    assert (prediction.loss.item(), prediction.weight) == (loss.item(), 3)


def test_correlations_by_hand() -> None:
    outputs, labels = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0.0, 3.0, 2.0])
    pearson = (14 / 3 - 7 / 3 * 5 / 3) / math.sqrt((7 - 49 / 9) * (13 / 3 - 25 / 9))
    # Ranks 1 2 3 and 1 3 2.
    assert regression().metrics(outputs, labels) == pytest.approx(
        {"pearson": pearson, "spearman": 0.5}
    )


def test_correlations_of_constants_are_zero_and_of_nan_nan_without_a_warning() -> None:
    labels = torch.tensor([0.0, 3.0, 2.0])
    task = regression()
    assert task.metrics(torch.ones(3), labels) == {"pearson": 0.0, "spearman": 0.0}
    assert task.metrics(torch.ones(1), labels[:1]) == {"pearson": 0.0, "spearman": 0.0}
    broken = task.metrics(torch.tensor([1.0, math.nan, 2.0]), labels)
    assert all(math.isnan(value) for value in broken.values())

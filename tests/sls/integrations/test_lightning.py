"""Lightning's real Trainer, with and without the mixin."""

from __future__ import annotations

import csv
import doctest
import itertools
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, TensorDataset

import sls.integrations.lightning
from sls.integrations.lightning import LineSearchModule, _no_trace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("lightning.pytorch", reason="needs the extra frameworks")
    from lightning.pytorch.loggers import CSVLogger
    from lightning.pytorch.plugins import MixedPrecision
    from torchmetrics import Accuracy, F1Score, MetricCollection

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*GPU available but not used"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
]

N, BATCH = 64, 16
QUIET: dict[str, Any] = {
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, 6, generator=generator)
    return TensorDataset(x, (x[:, 0] + x[:, 1] > 0).long())


class Plain(lightning.LightningModule):
    """A network with dropout and BatchNorm, and nothing of the package but its optimizer."""

    def __init__(self, build: Any):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 2)
        )
        self.build = build
        self.accuracy = Accuracy("multiclass", num_classes=2)
        self.outputs: list[Tensor] = []
        self.calls = 0
        self.updates: list[int] = []
        self.losses: list[Tensor] = []
        self.backwards = 0

    def configure_optimizers(self) -> Any:
        return self.build(self)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        inputs, targets = batch
        logits = self.net(inputs)
        loss = cross_entropy(logits, targets)
        self.accuracy(logits, targets)
        self.log("loss", loss, on_step=True, on_epoch=True)
        self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
        self.outputs.append(loss.detach())
        self.calls += 1
        self.evaluations.append(loss.item())
        return loss

    evaluations: list[float] = []  # noqa: RUF012 - of a class, so that no restoring reaches it

    def on_before_backward(self, loss: Tensor) -> None:
        self.backwards += 1

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_end(outputs, batch, batch_idx)
        self.losses.append(outputs.get("loss"))
        self.updates.append(self.accuracy._update_count)


class Ours(LineSearchModule, Plain):
    """The same with the mixin."""


def small_module(package: Any) -> Any:
    """A module of one layer, by `lightning` or `pytorch_lightning`, and nothing of ours."""

    class Model(package.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(6, 2)

        def configure_optimizers(self) -> Any:
            return alsals(self)

        def training_step(self, batch: Any) -> Tensor:
            return cross_entropy(self.net(batch[0]), batch[1])

    return Model


def trainer(folder: Path, **settings: Any) -> Any:
    return lightning.Trainer(
        **{
            "accelerator": "cpu",
            "devices": 1,
            "max_epochs": 2,
            "log_every_n_steps": 1,
            **QUIET,
            "logger": CSVLogger(folder),
            **settings,
        }
    )


def loader(size: int = BATCH) -> DataLoader[Any]:
    return DataLoader(data(), batch_size=size)


def fit(module: Any, folder: Path, *, size: int = BATCH, **settings: Any) -> Any:
    fitted = trainer(folder, **settings)
    Plain.evaluations.clear()
    torch.manual_seed(1)
    fitted.fit(module, loader(size), ckpt_path=None)
    return fitted


def alsals(module: Any, **settings: Any) -> Any:
    """A search with several trials in some steps."""
    return sls.ALSALS(module.parameters(), init_step=5.0, smoothing="ratio", **settings)


def peak(module: Any, **settings: Any) -> Any:
    return sls.PeakSLS(module.parameters(), **{"total_steps": 8, **settings})


BUILDS = pytest.mark.parametrize("build", [alsals, peak])


def by_hand(
    build: Any,
    *,
    size: int = BATCH,
    accumulate: int = 1,
    autocast: torch.dtype | None = None,
    scaler: Any = None,
) -> tuple[Plain, list[float]]:
    """The same training in a plain loop, and its losses."""
    module = Plain(None)
    optimizer = build(module)
    torch.manual_seed(1)
    losses = []

    def loss_of(inputs: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            return cross_entropy(module.net(inputs), targets)

    for _ in range(2):
        batches = iter(loader(size))
        while window := list(itertools.islice(batches, accumulate)):
            closure = (
                sls.accumulate(loss_of, window) if window[1:] else partial(loss_of, *window[0])
            )
            losses.append(float(optimizer.step(closure, scaler=scaler)))
    return module, losses


def logged(fitted: Any, name: str) -> list[float]:
    fitted.logger.save()
    with (Path(fitted.logger.log_dir) / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


def assert_same(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    for name, value in one.net.state_dict().items():
        torch.testing.assert_close(
            value, other.net.state_dict()[name], **({"rtol": 0, "atol": 0} | tolerance)
        )


# ------------------------------------------------------------------------------ the mixin


@BUILDS
def test_the_training_is_that_of_a_plain_loop(build: Any, tmp_path: Path) -> None:
    module = Ours(build)
    fit(module, tmp_path)
    assert_same(module, by_hand(build)[0])


@BUILDS
def test_the_logged_loss_is_the_one_before_the_step(build: Any, tmp_path: Path) -> None:
    module = Ours(build)
    losses = logged(fit(module, tmp_path), "loss_step")
    assert losses == by_hand(build)[1]
    assert len(Plain.evaluations) > len(losses), "no trial"


def test_the_loss_of_the_trainer_is_the_one_before_the_step(tmp_path: Path) -> None:
    module = Ours(alsals)
    fit(module, tmp_path)
    assert [float(loss) for loss in module.losses] == by_hand(alsals)[1]


@BUILDS
def test_a_metric_sees_each_batch_once(build: Any, tmp_path: Path) -> None:
    module = Ours(build)
    fit(module, tmp_path)
    assert module.updates == [1, 2, 3, 4] * 2


def test_the_logged_metric_is_that_of_the_first_evaluation(tmp_path: Path) -> None:
    """Its mean over an epoch is that of its steps, since all batches have one size."""
    fitted = fit(Ours(alsals), tmp_path)
    steps = torch.tensor(logged(fitted, "accuracy_step")).view(2, 4).mean(1)
    torch.testing.assert_close(steps, torch.tensor(logged(fitted, "accuracy_epoch")))


def test_backward_runs_once_a_step(tmp_path: Path) -> None:
    module = Ours(alsals)
    fit(module, tmp_path)
    assert module.backwards == 8


def test_lists_and_counters_of_the_module_see_each_batch_once(tmp_path: Path) -> None:
    module = Ours(alsals)
    fit(module, tmp_path)
    assert (module.calls, len(module.outputs)) == (8, 8)


def test_the_state_of_a_metric_that_is_changed_in_place_comes_back() -> None:
    module = nn.Module()
    module.metric = Accuracy("multiclass", num_classes=2, average="micro")
    module.metric(torch.tensor([0, 1]), torch.tensor([0, 1]))
    with _no_trace(module):
        module.metric.tp.add_(5)
        module.metric(torch.tensor([0, 1]), torch.tensor([1, 0]))
    assert (int(module.metric.tp), module.metric._update_count) == (2, 1)


def test_a_collection_of_metrics_sees_each_batch_once(tmp_path: Path) -> None:
    class Several(Ours):
        def __init__(self) -> None:
            super().__init__(alsals)
            metrics = [Accuracy("multiclass", num_classes=2), F1Score("multiclass", num_classes=2)]
            self.metrics = MetricCollection(metrics)

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            self.log_dict(self.metrics(self.net(batch[0]), batch[1]))
            return super().training_step(batch, batch_idx)

    module = Several()
    fit(module, tmp_path, max_epochs=1)
    assert [metric._update_count for metric in module.metrics.values()] == [4, 4]


@pytest.mark.parametrize("n", [2, 4])
@BUILDS
def test_accumulated_batches_are_one_batch(build: Any, n: int, tmp_path: Path) -> None:
    module = Ours(build)
    fit(module, tmp_path, size=8, accumulate_grad_batches=n)
    assert_same(module, by_hand(build, size=8, accumulate=n)[0], rtol=1e-4, atol=1e-5)


def test_a_trial_has_the_loss_of_all_accumulated_batches(tmp_path: Path) -> None:
    """Each with its own dropout; the last step of an epoch has two batches, the others three."""
    steps: list[list[float]] = []

    class Watched(Ours):
        def _closure(self, *args: Any) -> Any:
            closure = super()._closure(*args)
            steps.append([])

            class Noting(type(closure)):  # type: ignore[misc]
                def __call__(self, backward: bool, scale: Any = None) -> Tensor:
                    loss = super().__call__(backward, scale)
                    steps[-1].append(float(loss))
                    return loss

            closure.__class__ = Noting
            return closure

    module = Watched(lambda m: sls.SLS(m.parameters(), init_step=1e-12, n_batches_per_epoch=3))
    fit(module, tmp_path, size=8, accumulate_grad_batches=3, max_epochs=1)
    assert [len(losses) > 1 for losses in steps] == [True] * 3
    assert all(losses == pytest.approx(losses[:1] * len(losses), rel=1e-6) for losses in steps)


@BUILDS
def test_gradients_are_clipped_by_the_optimizer(build: Any, tmp_path: Path) -> None:
    module = Ours(build)
    fit(module, tmp_path, gradient_clip_val=0.1)
    assert_same(module, by_hand(partial(build, max_grad_norm=0.1))[0])


def test_clipping_is_not_a_setting_of_the_optimizer(tmp_path: Path) -> None:
    fitted = fit(Ours(peak), tmp_path, gradient_clip_val=0.1, max_epochs=1)
    assert fitted.optimizers[0].state_dict()["param_groups"][0]["max_grad_norm"] is None


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_compiled_network(accumulate: int, tmp_path: Path) -> None:
    """Its first step evaluates twice with gradients, which leaves no trace either."""
    module = Ours(alsals)
    module.net.compile(backend="eager")
    size = BATCH // accumulate
    fit(module, tmp_path, size=size, accumulate_grad_batches=accumulate)
    hand = by_hand(alsals, size=size, accumulate=accumulate)[0]
    assert_same(module, hand, rtol=1e-4, atol=1e-5)
    assert module.updates == list(range(1, 4 * accumulate + 1)) * 2


def test_clipping_by_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='gradient_clip_algorithm="norm"'):
        fit(Ours(peak), tmp_path, gradient_clip_val=0.1, gradient_clip_algorithm="value")


@BUILDS
def test_bf16_mixed(build: Any, tmp_path: Path) -> None:
    module = Ours(build)
    fit(module, tmp_path, precision="bf16-mixed")
    assert_same(module, by_hand(build, autocast=torch.bfloat16)[0])


@BUILDS
def test_16_mixed(build: Any, tmp_path: Path) -> None:
    module = Ours(build)
    fit(module, tmp_path, plugins=[MixedPrecision("16-mixed", "cpu")], gradient_clip_val=0.1)
    scaler = torch.amp.GradScaler("cpu")
    clipped = partial(build, max_grad_norm=0.1)
    assert_same(module, by_hand(clipped, autocast=torch.float16, scaler=scaler)[0])


def test_hooks_see_the_gradients_once_a_step(tmp_path: Path) -> None:
    norms = []

    class Watching(Ours):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            norms.append(sum(float(p.grad.norm()) for p in self.parameters()))

    fit(Watching(alsals), tmp_path)
    assert len(norms) == 8


def test_a_batch_that_training_step_takes_apart(tmp_path: Path) -> None:
    class Popping(Ours):
        def training_step(self, batch: Any) -> Tensor:
            return cross_entropy(self.net(batch["x"]), batch.pop("y"))

    x, y = data().tensors
    rows = [{"x": row, "y": label} for row, label in zip(x, y, strict=True)]
    module = Popping(alsals)
    trainer(tmp_path, max_epochs=1).fit(module, DataLoader(rows, batch_size=16))
    assert module.trainer.global_step == 4


def test_other_optimizers_are_left_to_lightning(tmp_path: Path) -> None:
    modules = []
    for cls in (Ours, Plain):
        modules.append(cls(lambda m: torch.optim.Adam(m.parameters(), lr=1e-2)))
        fit(modules[-1], tmp_path, gradient_clip_val=0.1, accumulate_grad_batches=2)
    assert_same(*modules)


def test_the_module_of_the_other_import_name(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = pytest.importorskip("pytorch_lightning")

    class Model(LineSearchModule, small_module(other)):  # type: ignore[misc]
        pass

    fitted = other.Trainer(accelerator="cpu", max_epochs=1, **QUIET)
    fitted.fit(Model(), loader())
    assert fitted.optimizers[0].last_step.status.moved


def test_the_example_in_the_docstring_runs() -> None:
    assert doctest.testmod(sls.integrations.lightning) == (0, 3)


# ------------------------------------------------------------------------------- wrong use


def test_the_mixin_must_come_first() -> None:
    with pytest.raises(TypeError, match=r"class Late\(LineSearchModule, LightningModule\)"):

        class Late(lightning.LightningModule, LineSearchModule):
            pass


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_train_batch_end"])
def test_a_hook_that_does_not_call_the_mixin_is_named(hook: str, tmp_path: Path) -> None:
    module = type("Forgetful", (Ours,), {hook: lambda self, *args: None})(peak)
    with pytest.raises(RuntimeError, match=rf"super\(\)\.{hook}\("):
        fit(module, tmp_path, accumulate_grad_batches=2)


def test_a_training_step_without_a_loss_is_named(tmp_path: Path) -> None:
    module = type("Silent", (Ours,), {"training_step": lambda self, batch: None})(peak)
    with (
        pytest.raises(TypeError, match="no loss for batch 0"),
        pytest.warns(UserWarning, match="returned `None`"),
    ):
        fit(module, tmp_path)


@pytest.mark.filterwarnings("ignore:.*`dataloader_iter`")
def test_a_training_step_that_draws_its_batches_is_refused(tmp_path: Path) -> None:
    class Drawing(Ours):
        def training_step(self, dataloader_iter: Any) -> Tensor:  # type: ignore[override]
            batch, *_ = next(dataloader_iter)
            return cross_entropy(self.net(batch[0]), batch[1])

    with pytest.raises(TypeError, match="dataloader_iter"):
        fit(Drawing(alsals), tmp_path)


# -------------------------------------------------------------------------------- resuming


class Seeded:
    """The same random numbers for a batch, resumed or not: Lightning does not save generators."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
        torch.manual_seed(100 * self.current_epoch + batch_idx)  # type: ignore[attr-defined]
        return super().on_train_batch_start(batch, batch_idx)  # type: ignore[misc]


@pytest.mark.parametrize("averaging", [False, True])
@pytest.mark.parametrize("base", [Ours, Plain])
@pytest.mark.filterwarnings("ignore:the closure runs backward")
@pytest.mark.filterwarnings("ignore:.*checkpoint directory")
def test_resume_from_a_checkpoint(base: Any, averaging: bool, tmp_path: Path) -> None:
    build = partial(peak, total_steps=40, averaging=averaging)
    make = type("Model", (Seeded, base), {})
    whole = fit(make(build), tmp_path, max_epochs=6)
    half = fit(make(build), tmp_path, max_epochs=3)
    half.save_checkpoint(tmp_path / "half.ckpt")
    resumed = trainer(tmp_path, max_epochs=6)
    resumed.fit(make(build), loader(), ckpt_path=tmp_path / "half.ckpt")
    assert_same(whole.lightning_module, resumed.lightning_module)
    one, other = whole.optimizers[0].state_dict(), resumed.optimizers[0].state_dict()
    assert one["param_groups"] == other["param_groups"]
    for theirs, ours in zip(tree_leaves(one["state"]), tree_leaves(other["state"]), strict=True):
        assert torch.equal(torch.as_tensor(theirs), torch.as_tensor(ours))


def test_the_optimizer_of_the_module_validates_at_the_average(tmp_path: Path) -> None:
    losses = []

    class Averaged(Ours):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            with self.optimizers().averaged():
                losses.append(float(cross_entropy(self.net(batch[0]), batch[1])))

    module = Averaged(partial(peak, averaging=True))
    trainer(tmp_path, num_sanity_val_steps=0).fit(module, loader(), loader(N))
    module.eval()
    x, y = data().tensors
    with torch.no_grad(), module.trainer.optimizers[0].averaged():
        assert losses[-1] == float(cross_entropy(module.net(x), y))


# --------------------------------------------------------------- nothing but configure_optimizers


def test_manual_optimization(tmp_path: Path) -> None:
    class Manual(Ours):
        automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            self.optimizers().step(closure=lambda: cross_entropy(self.net(batch[0]), batch[1]))

    module = Manual(alsals)
    fitted = fit(module, tmp_path)
    assert_same(module, by_hand(alsals)[0])
    assert fitted.global_step == 8


def test_manual_optimization_accumulates(tmp_path: Path) -> None:
    class Manual(Ours):
        automatic_optimization = False
        window: list[Any] = []  # noqa: RUF012

        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            self.window = [*self.window, batch]
            if self.window[1:]:
                self.optimizers().step(closure=sls.accumulate(self.loss_of, self.window))
                self.window = []

        def loss_of(self, inputs: Tensor, targets: Tensor) -> Tensor:
            return cross_entropy(self.net(inputs), targets)

    module = Manual(alsals)
    fit(module, tmp_path, size=8)
    assert_same(module, by_hand(alsals, size=8, accumulate=2)[0])


@pytest.mark.filterwarnings("ignore:the closure runs backward")
def test_without_the_mixin_dropped_gradients_are_warned_of_with_both_ways_out(
    tmp_path: Path,
) -> None:
    both = r"are dropped[\s\S]*accumulate_grad_batches[\s\S]*LineSearchModule[\s\S]*sls\.accumulate"
    with pytest.warns(UserWarning, match=both):
        fit(Plain(alsals), tmp_path, size=8, accumulate_grad_batches=2)


@pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
def test_without_the_mixin_the_warning_has_the_lines_that_mend_it(
    package: str, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl = pytest.importorskip(package)

    with pytest.warns(UserWarning, match=r"class Model\(LineSearchModule, LightningModule\)"):
        pl.Trainer(accelerator="cpu", max_steps=2, **QUIET).fit(small_module(pl)(), loader())


@BUILDS
@pytest.mark.filterwarnings("ignore:the closure runs backward")
def test_without_the_mixin_the_training_is_the_same(build: Any, tmp_path: Path) -> None:
    module = Plain(build)
    fit(module, tmp_path)
    assert_same(module, by_hand(build)[0])

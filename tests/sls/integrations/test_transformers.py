"""`LineSearchTrainer` in the real Trainer."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sls import ALSALS, PeakSLS
from tests.sls.integrations.tiny import batches, gpt2, parameters, texts

transformers = pytest.importorskip("transformers", reason="needs the extra frameworks")
pytest.importorskip("accelerate", reason="needs the extra frameworks")

from sls.integrations.transformers import LineSearchTrainer  # noqa: E402

STEPS = 12
DATA = texts(64)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers.logging.set_verbosity_error()


def arguments(folder: Path, **settings: Any) -> Any:
    defaults = {
        "max_steps": STEPS,
        "per_device_train_batch_size": 4,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",
    }
    return transformers.TrainingArguments(str(folder), **{**defaults, **settings})


def trained(
    folder: Path, *, model: Any = None, trainer: type = LineSearchTrainer, **settings: Any
) -> Any:
    """A Trainer after training; settings that TrainingArguments lacks are the Trainer's."""
    ours = {
        name: settings.pop(name)
        for name in ("line_search", "line_search_settings", "optimizers", "callbacks")
        if name in settings
    }
    built = trainer(
        gpt2() if model is None else model,
        arguments(folder, **settings),
        train_dataset=DATA,
        eval_dataset=DATA[:8],
        **ours,
    )
    built.train()
    return built


def logged(trainer: Any, name: str) -> list[Any]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def difference(some: list[Tensor], others: list[Tensor]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(some, others, strict=True))


# ------------------------------------------------------------------------------------ the step


def test_a_run_is_that_of_a_plain_loop_to_the_bit(tmp_path: Path) -> None:
    trainer = trained(tmp_path, max_grad_norm=0.5)
    model = gpt2()
    decayed = trainer.get_decay_parameter_names(model)
    optimizer = PeakSLS(
        [
            {"params": [p for name, p in model.named_parameters() if name in decayed]},
            {"params": [p for name, p in model.named_parameters() if name not in decayed]},
        ],
        total_steps=STEPS,
        max_grad_norm=0.5,
    )
    losses = []
    for batch in batches(DATA, 4)[:STEPS]:
        count = (batch["labels"] != -100).sum()
        loss = optimizer.step(lambda b=batch, n=count: model(**b, num_items_in_batch=n).loss)
        losses.append(float(loss))
    assert difference(parameters(trainer.model), parameters(model)) == 0
    assert logged(trainer, "loss") == losses


@pytest.mark.parametrize("name", ["peak_sls", "alsals"])
def test_accumulated_micro_batches_are_one_large_batch(name: str, tmp_path: Path) -> None:
    """Micro-batches have different numbers of tokens that count."""
    whole = trained(tmp_path, line_search=name, per_device_train_batch_size=8, max_steps=6)
    parts = trained(
        tmp_path,
        line_search=name,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        max_steps=6,
    )
    assert logged(parts, "loss") == pytest.approx(logged(whole, "loss"), rel=1e-5)
    assert logged(parts, "sls/step_size") == pytest.approx(logged(whole, "sls/step_size"), rel=1e-3)


def test_a_last_group_of_fewer_micro_batches_is_a_step(tmp_path: Path) -> None:
    """16 mini-batches of 4 in groups of 3: the sixth step of an epoch has one."""
    trainer = trained(tmp_path, gradient_accumulation_steps=3, max_steps=-1, num_train_epochs=2)
    assert trainer.line_search.search_state.taken == 12


def test_a_data_set_without_a_length_gives_its_steps(tmp_path: Path) -> None:
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(DATA)

    trainer = LineSearchTrainer(
        gpt2(), arguments(tmp_path, gradient_accumulation_steps=2), train_dataset=Stream()
    )
    trainer.train()
    assert trainer.line_search.search_state.taken == STEPS


def test_loss_and_gradient_norm_of_the_first_step_are_the_trainers_own(tmp_path: Path) -> None:
    settings = {"gradient_accumulation_steps": 2, "max_steps": 1, "max_grad_norm": 0.1}
    ours = trained(tmp_path, **settings)
    theirs = trained(tmp_path, trainer=transformers.Trainer, **settings)
    for name in ("loss", "grad_norm"):
        assert logged(ours, name) == pytest.approx(logged(theirs, name), rel=1e-5)


def test_label_smoothing_is_in_every_evaluation(tmp_path: Path) -> None:
    settings = {"label_smoothing_factor": 0.3, "max_steps": 3}
    ours = trained(tmp_path, line_search="alsals", **settings)
    theirs = trained(tmp_path, trainer=transformers.Trainer, **settings)
    assert logged(ours, "loss")[0] == pytest.approx(logged(theirs, "loss")[0], rel=1e-5)
    assert logged(ours, "sls/status") == ["accepted"] * 3


def test_gradient_checkpointing_changes_nothing(tmp_path: Path) -> None:
    settings = {"max_steps": 6, "line_search": "alsals"}
    without = trained(tmp_path, model=gpt2(dropout=0.1), **settings)
    with_it = trained(tmp_path, model=gpt2(dropout=0.1), activation_checkpointing=True, **settings)
    assert difference(parameters(without.model), parameters(with_it.model)) == 0


def test_a_second_training_begins_anew(tmp_path: Path) -> None:
    trainer = trained(tmp_path)
    trainer.train()
    assert trainer.line_search.search_state.peak.k == STEPS
    assert logged(trainer, "sls/factor")[0] == 1


# --------------------------------------------------------------------------------- the numbers


def test_bf16_trains_parameters_in_float32(tmp_path: Path) -> None:
    seen = set()

    class Trainer(LineSearchTrainer):
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            loss, outputs = super().compute_loss(
                model, inputs, *args, **{**kwargs, "return_outputs": True}
            )
            hidden = model.transformer(inputs["input_ids"]).last_hidden_state
            seen.add(model.transformer.h[0].mlp.c_fc(hidden).dtype)
            return (loss, outputs) if kwargs.get("return_outputs") else loss

    trainer = trained(tmp_path, trainer=Trainer, bf16=True, max_steps=40)
    assert {param.dtype for param in trainer.model.parameters()} == {torch.float32}
    assert logged(trainer, "loss")[-1] < 0.9 * logged(trainer, "loss")[0]


def test_a_scaler_changes_nothing_while_nothing_overflows(tmp_path: Path) -> None:
    """The CPU has no float16 in Accelerate, so that the scaler of one is put in by hand."""

    class Scaled(LineSearchTrainer):
        def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
            self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
            return super().create_optimizer(*args, **kwargs)

    settings = {"max_grad_norm": 0.5, "gradient_accumulation_steps": 2}
    without, scaled = trained(tmp_path, **settings), trained(tmp_path, trainer=Scaled, **settings)
    assert difference(parameters(scaled.model), parameters(without.model)) == 0
    assert logged(scaled, "grad_norm") == logged(without, "grad_norm")


# ------------------------------------------------------------------------------------ the logs


def test_the_logged_rate_is_the_step_that_was_taken(tmp_path: Path) -> None:
    trainer = trained(tmp_path)
    steps, factors = logged(trainer, "sls/step_size"), logged(trainer, "sls/factor")
    assert factors[-1] < 1
    taken = [step * factor for step, factor in zip(steps, factors, strict=True)]
    assert logged(trainer, "learning_rate") == taken


def test_logs_tell_trials_forward_passes_and_status(tmp_path: Path) -> None:
    trainer = trained(tmp_path, line_search="alsals", max_steps=3)
    trials = logged(trainer, "sls/trials")
    assert trials[0] > 1
    assert logged(trainer, "sls/forwards") == [count + 1 for count in trials]
    assert logged(trainer, "sls/status") == ["accepted"] * 3


def test_logs_of_an_evaluation_have_nothing_of_the_search(tmp_path: Path) -> None:
    trainer = trained(tmp_path)
    trainer.evaluate()
    assert not [name for name in trainer.state.log_history[-1] if name.startswith("sls/")]


class Counting(LineSearchTrainer):
    """Keeps the losses of its own, as a `compute_loss` with metrics does."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.seen: list[float] = []
        self.trials = 0
        super().__init__(*args, **kwargs)

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        if self.in_trial:
            self.trials += 1
        else:
            self.seen.append(loss.item())
        return loss


def test_metrics_that_skip_trials_see_each_mini_batch_once(tmp_path: Path) -> None:
    trainer = trained(tmp_path, trainer=Counting, line_search="alsals", max_steps=5)
    assert trainer.seen == logged(trainer, "loss")
    assert trainer.trials == sum(logged(trainer, "sls/trials"))


class Events(transformers.TrainerCallback):  # type: ignore[misc]
    """The names of a training's events, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *args, **kwargs: self.seen.append(name)
        return super().__getattribute__(name)


def test_callbacks_see_the_events_of_the_trainer(tmp_path: Path) -> None:
    ours, theirs = Events(), Events()
    settings = {"gradient_accumulation_steps": 2, "max_steps": 3}
    trained(tmp_path, callbacks=[ours], **settings)
    trained(tmp_path, callbacks=[theirs], trainer=transformers.Trainer, **settings)
    assert ours.seen == theirs.seen


def test_a_callback_finds_the_gradients_of_the_step_clipped(tmp_path: Path) -> None:
    norms = []

    class Monitor(transformers.TrainerCallback):  # type: ignore[misc]
        def on_pre_optimizer_step(self, *args: Any, model: Any, **kwargs: Any) -> None:
            gradients = [param.grad for param in model.parameters()]
            norms.append(float(torch.nn.utils.get_total_norm(gradients)))

    trained(tmp_path, callbacks=[Monitor()], max_grad_norm=0.1)
    assert norms == pytest.approx([0.1] * STEPS, rel=1e-4)


# ---------------------------------------------------------------------------------- resuming


def same(some: Any, others: Any) -> bool:
    if isinstance(some, dict):
        return some.keys() == others.keys() and all(same(some[key], others[key]) for key in some)
    if isinstance(some, list):
        return len(some) == len(others) and all(map(same, some, others))
    return torch.equal(some, others) if isinstance(some, Tensor) else bool(some == others)


@pytest.mark.parametrize(
    ("name", "settings", "saved"),
    [
        ("peak_sls", {"averaging": True}, 4),
        ("peak_sls", {}, 20),
        ("alsals", {}, 4),
        pytest.param("salsa", {}, 4, marks=pytest.mark.slow),
    ],
    ids=["PeakSLS rising, averaged", "PeakSLS held", "ALSALS", "SaLSA"],
)
def test_a_resumed_run_is_the_uninterrupted_one(
    name: str, settings: dict[str, Any], saved: int, tmp_path: Path
) -> None:
    """With dropout, shuffled, in the middle of an epoch of 11 steps."""
    common = {
        "line_search": name,
        "line_search_settings": settings,
        "gradient_accumulation_steps": 3,
        "per_device_train_batch_size": 2,
        "max_steps": 25,
        "save_strategy": "steps",
        "save_steps": saved,
        "train_sampling_strategy": "random",
    }
    whole = trained(tmp_path, model=gpt2(dropout=0.1), **common)
    resumed = LineSearchTrainer(
        gpt2(dropout=0.1),
        whole.args,
        train_dataset=DATA,
        line_search=name,
        line_search_settings=settings,
    )
    resumed.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{saved}"))
    assert difference(parameters(resumed.model), parameters(whole.model)) == 0
    assert logged(resumed, "loss") == logged(whole, "loss")
    assert same(resumed.line_search.state_dict(), whole.line_search.state_dict())


# ----------------------------------------------------------------------- processes, compilation


def in_processes(folder: Path, processes: int, batch: int) -> Any:
    folder.mkdir()
    root = str(Path(__file__).parents[3])
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(processes), "-m", "tests.sls.integrations.in_processes"),
            *(str(folder), str(batch)),
        ],
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    two, one = in_processes(tmp_path / "two", 2, 2), in_processes(tmp_path / "one", 1, 4)
    assert (two["ranks"], two["equal"], one["ranks"]) == (2, True, 1)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf Tensor")
def test_a_compiled_model_takes_the_same_steps(tmp_path: Path) -> None:
    settings = {"line_search": "alsals", "max_steps": 4}
    compiled = trained(tmp_path, torch_compile=True, torch_compile_backend="eager", **settings)
    plain = trained(tmp_path, **settings)
    assert logged(compiled, "loss") == pytest.approx(logged(plain, "loss"), rel=1e-4)


# ------------------------------------------------------------------------------- the average


AVERAGED = {
    "line_search_settings": {"averaging": True},
    "eval_strategy": "steps",
    "eval_steps": 4,
    "save_strategy": "steps",
    "save_steps": 4,
}


def test_evaluations_during_training_are_in_the_average(tmp_path: Path) -> None:
    trainer = trained(tmp_path, **AVERAGED)
    model = gpt2()
    state = torch.load(tmp_path / "checkpoint-4" / "optimizer.pt", weights_only=True)["state"]
    for param, saved in zip(trainer.line_search.all_params, state.values(), strict=True):
        param.data.copy_(saved["average"])
    model.load_state_dict(trainer.model.state_dict())
    batch = batches(DATA[:8], 8)[0]
    count = (batch["labels"] != -100).sum()
    expected = model.eval()(**batch, num_items_in_batch=count).loss.item()
    assert logged(trainer, "eval_loss")[0] == pytest.approx(expected, rel=1e-5)


def test_the_model_ends_as_the_average(tmp_path: Path) -> None:
    trainer = trained(tmp_path, **AVERAGED)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(logged(trainer, "eval_loss")[2])
    optimizer = trainer.line_search
    averages = [optimizer.state[param]["average"] for param in optimizer.all_params]
    assert difference([param.detach() for param in optimizer.all_params], averages) == 0


def test_the_best_model_is_the_average_that_was_best(tmp_path: Path) -> None:
    """The greatest loss counts as best, which is that of the first evaluation."""
    trainer = trained(
        tmp_path,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=True,
        **AVERAGED,
    )
    losses = logged(trainer, "eval_loss")
    assert max(losses) == losses[0] > losses[2]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(losses[0], rel=1e-5)


def test_the_best_average_must_be_saved(tmp_path: Path) -> None:
    settings = {"load_best_model_at_end": True, "save_only_model": True, **AVERAGED}
    with pytest.raises(ValueError, match="set save_only_model=False"):
        trained(tmp_path, **settings)


# ---------------------------------------------------------------------- which optimizer it is


def test_settings_of_the_arguments_are_the_optimizers(tmp_path: Path) -> None:
    trainer = trained(
        tmp_path,
        line_search="alsals",
        line_search_settings={"c": 0.5},
        weight_decay=0.1,
        adam_beta2=0.98,
        adam_epsilon=1e-6,
        max_grad_norm=0.3,
        max_steps=2,
    )
    assert isinstance(trainer.line_search, ALSALS)
    first, second = trainer.line_search.param_groups
    assert (first["weight_decay"], second["weight_decay"]) == (0.1, 0.0)
    expected = {
        "c": 0.5,
        "betas": (0.9, 0.98),
        "eps": 1e-6,
        "max_grad_norm": 0.3,
        "total_steps": 2,
    }
    assert {name: first[name] for name in expected} == expected


def test_a_class_with_settings_is_built_with_the_length_of_the_run(tmp_path: Path) -> None:
    trainer = LineSearchTrainer(
        gpt2(),
        arguments(tmp_path),
        train_dataset=DATA,
        optimizer_cls_and_kwargs=(ALSALS, {"anneal": 1.0}),
    )
    trainer.train()
    group = trainer.line_search.param_groups[0]
    assert (group["anneal"], group["total_steps"]) == (1.0, STEPS)


def test_an_optimizer_of_the_users_keeps_its_settings_but_is_clipped(tmp_path: Path) -> None:
    model = gpt2()
    optimizer = ALSALS(model.parameters(), c=0.6)
    trainer = trained(
        tmp_path, model=model, optimizers=(optimizer, None), max_grad_norm=0.2, max_steps=2
    )
    assert trainer.line_search is optimizer
    group = optimizer.param_groups[0]
    assert (group["c"], group["max_grad_norm"], group["total_steps"]) == (0.6, 0.2, None)


def test_an_optimizer_of_the_users_keeps_its_own_clipping(tmp_path: Path) -> None:
    model = gpt2()
    optimizer = ALSALS(model.parameters(), max_grad_norm=5.0)
    trained(tmp_path, model=model, optimizers=(optimizer, None), max_grad_norm=0.2, max_steps=2)
    assert optimizer.param_groups[0]["max_grad_norm"] == 5.0


def test_a_scheduler_of_the_base_scales_the_step(tmp_path: Path) -> None:
    model = gpt2()
    base = torch.optim.NAdam(model.parameters())
    optimizer = ALSALS.around(base)
    schedule = torch.optim.lr_scheduler.LambdaLR(base, lambda k: 0.5**k)
    trainer = trained(tmp_path, model=model, optimizers=(optimizer, schedule), max_steps=3)
    assert logged(trainer, "sls/factor") == [1, 0.5, 0.25]


@pytest.mark.parametrize(
    ("error", "message", "settings"),
    [
        (ValueError, "one of 'peak_sls', 'alsals'.* got 'peaksls'", {"line_search": "peaksls"}),
        (
            ValueError,
            "for the optimizer that this Trainer builds by name",
            {"line_search": "alsals", "optimizer_cls_and_kwargs": (ALSALS, {})},
        ),
        (
            TypeError,
            r"not AdamW; put a search around it, PeakSLS.around\(AdamW",
            {"optimizer_cls_and_kwargs": (torch.optim.AdamW, {})},
        ),
        (TypeError, "no setting 'wolfe'", {"optimizer_cls_and_kwargs": (ALSALS, {"wolfe": 1})}),
    ],
)
def test_a_wrong_optimizer_is_named(
    error: type[Exception], message: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        LineSearchTrainer(gpt2(), arguments(tmp_path), train_dataset=DATA, **settings).train()


def test_rates_and_schedules_that_were_set_are_named_once(tmp_path: Path) -> None:
    args = arguments(tmp_path, learning_rate=3e-4, warmup_steps=10, optim="adafactor")
    with pytest.warns(UserWarning, match="learning_rate=0.0003, warmup_steps=10, optim=") as found:
        LineSearchTrainer(gpt2(), args, train_dataset=DATA)
    assert found[0].filename == __file__


def test_deepspeed_is_refused(tmp_path: Path) -> None:
    trainer = LineSearchTrainer(gpt2(), arguments(tmp_path), train_dataset=DATA)
    trainer.is_deepspeed_enabled = True
    with pytest.raises(ValueError, match="does not work with DeepSpeed"):
        trainer.create_optimizer()


# --------------------------------------------------------------------------------- the module


@pytest.mark.parametrize("missing", ["transformers", "accelerate"])
def test_what_is_not_installed_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "sls.integrations.transformers")
    with pytest.raises(ImportError, match=r"pip install 'transformers\[torch\]'"):
        importlib.import_module("sls.integrations.transformers")


def test_the_example_in_the_docstring() -> None:
    module = importlib.import_module("sls.integrations.transformers")
    assert doctest.testmod(module).failed == 0

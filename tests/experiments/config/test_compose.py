"""Composition, overrides, errors, hash and folder of a config."""

from __future__ import annotations

import os
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from experiments.config.compose import config_hash, load, run_path, to_yaml
from experiments.config.schema import Quirks, RunConfig
from experiments.config.yaml_files import CONFIG_ROOT, available, dump, parse
from experiments.errors import UserError

REPOSITORY = CONFIG_ROOT.parent
OPTIMIZERS = available(CONFIG_ROOT, "optimizer")
RESNETS = ["resnet", "resnet18", "resnet34", "resnet50"]
IMAGE_MODELS = [*RESNETS, "efficientnet", "vit", "vit_b16", "vit_small", "vit_tiny", "mlp"]
MODELS_OF = {
    "digits": IMAGE_MODELS,
    **dict.fromkeys(("image_folder", "mnist", "fashion_mnist"), ("resnet", "vit")),
    **dict.fromkeys(("cifar10", "cifar100", "tiny_imagenet"), ("resnet34", "vit_tiny")),
    "imagenet": ["resnet50", "vit_b16"],
    **dict.fromkeys(("covertype", "openml"), ("mlp",)),
    "python_text": ["gpt2", "gpt2_small"],
    **dict.fromkeys(("lm/shakespeare", "lm/wikitext", "lm/openwebtext"), ("gpt2", "gpt2_small")),
    **dict.fromkeys(
        ("lm/shakespeare_masked", "lm/wikitext_masked", "lm/openwebtext_masked"),
        ("bert", "bert_small"),
    ),
    **dict.fromkeys(
        [name for name in available(CONFIG_ROOT, "task") if name.startswith("glue/")],
        ("bert", "bert_small", "roberta", "distilbert", "gpt2_classifier"),
    ),
}
PAIRS = [(task, model) for task, models in MODELS_OF.items() for model in models]
TASK_OF = {model: task for task, model in PAIRS}
# Every model with every optimizer, and every task with every model.
COMBINATIONS = sorted(
    {(task, model, name) for model, task in TASK_OF.items() for name in OPTIMIZERS}
    | {(*pair, "alsals") for pair in PAIRS}
)
KNOWN_KEYS = [
    *(name for name in RunConfig.model_fields if name != "choices"),
    "experiment",
    *(f"trainer.{name}" for name in load([], environ={}).trainer.model_dump()),
    *(f"logger.{name}" for name in load([], environ={}).logger.model_dump()),
    *(f"model.{name}" for name in load([], environ={}).model.model_dump()),
    *(f"optimizer.{name}" for name in load([], environ={}).optimizer.model_dump()),
]


def resolve(*arguments: str, root: Path = CONFIG_ROOT) -> RunConfig:
    return load(arguments, root, environ={})


def complaint(*arguments: str, root: Path = CONFIG_ROOT) -> str:
    with pytest.raises(UserError) as caught:
        resolve(*arguments, root=root)
    return str(caught.value)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Add a file to a tiny config folder of one task, one model and one optimizer."""
    root = tmp_path / "config"

    def add(name: str, text: str) -> Path:
        path = root / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return root

    add("config", "defaults: {task: digits, model: small, optimizer: adam}\ntrainer: {epochs: 2}\n")
    add("task/digits", "kind: digits\n")
    add("model/small", "kind: resnet\nwidth: 4\n")
    add("model/vit", "kind: vit\n")
    add("optimizer/adam", "kind: adam\nlr: 0.5\n")
    add("optimizer/sgd", "kind: sgd\nlr: 0.25\n")
    return add


# ------------------------------------------------------------------------- the shipped files


@pytest.mark.parametrize(
    ("task", "model", "optimizer"),
    COMBINATIONS,
)
def test_every_sensible_combination_of_files_validates(
    task: str, model: str, optimizer: str
) -> None:
    config = resolve(f"task={task}", f"model={model}", f"optimizer={optimizer}")
    chosen = config.choices
    assert (chosen.task, chosen.model, chosen.optimizer) == (task, model, optimizer)


def test_the_combinations_above_cover_every_file() -> None:
    assert sorted(MODELS_OF) == available(CONFIG_ROOT, "task")
    assert sorted({model for _, model in PAIRS}) == available(CONFIG_ROOT, "model")


@pytest.mark.parametrize("path", sorted(CONFIG_ROOT.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_says_in_its_first_line_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("model", available(CONFIG_ROOT, "model"))
def test_recommendations_of_a_model_fit_every_optimizer_they_name(model: str) -> None:
    values = parse((CONFIG_ROOT / f"model/{model}.yaml").read_text(encoding="utf-8"))
    for optimizer, advice in values.get("optimizer_defaults", {}).items():
        spec = resolve(f"model={model}", f"optimizer={optimizer}").optimizer.model_dump()
        assert {key: spec[key] for key in advice} == advice, optimizer


# ------------------------------------------------------------------------------- composition


def test_default_is_a_small_resnet_on_digits_with_peak_sls_told_the_length() -> None:
    config = resolve()
    assert (config.task.kind, config.model.kind, config.optimizer.kind) == (
        "digits",
        "resnet",
        "peak_sls",
    )
    assert config.optimizer.model_dump()["length_known"] is True
    assert config.trainer.epochs == 15


def test_task_brings_its_model_where_nobody_chose_one() -> None:
    assert resolve("task=glue/mrpc").choices.model == "bert"
    assert resolve("task=glue/mrpc", "model=bert_small").choices.model == "bert_small"


def test_pretrained_bert_starts_searches_low_and_leaves_the_papers_alone() -> None:
    def spec(name: str) -> dict[str, object]:
        return resolve("task=glue/mrpc", f"optimizer={name}").optimizer.model_dump()

    assert (spec("alsals")["init_step"], spec("alsals")["anneal"]) == (1e-4, 1.0)
    assert (spec("alsals_paper")["init_step"], spec("alsals_paper")["anneal"]) == (None, None)


def test_later_layers_win(write: Callable[[str, str], Path]) -> None:
    def epochs(*arguments: str) -> int:
        return resolve(*arguments, root=root).trainer.epochs

    root = write("experiment/long", "trainer: {epochs: 4}\n")
    assert epochs() == 2
    write("task/digits", "kind: digits\ntrainer: {epochs: 3}\n")
    assert epochs() == 3
    assert epochs("experiment=long") == 4
    assert epochs("experiment=long", "trainer.epochs=5") == 5


def test_recommendation_stands_between_optimizer_and_experiment(
    write: Callable[[str, str], Path],
) -> None:
    def lr(*arguments: str) -> object:
        return resolve(*arguments, root=root).optimizer.model_dump()["lr"]

    write("model/small", "kind: resnet\noptimizer_defaults: {adam: {lr: 0.125}}\n")
    root = write("experiment/own", "optimizer: {lr: 0.0625}\n")
    assert lr() == 0.125
    assert lr("optimizer=sgd") == 0.25
    assert lr("experiment=own") == 0.0625


def test_recommendation_of_an_experiment_is_for_its_optimizer_alone(
    write: Callable[[str, str], Path],
) -> None:
    def lr(*arguments: str) -> object:
        return resolve("experiment=e", *arguments, root=root).optimizer.model_dump()["lr"]

    write("model/small", "kind: resnet\noptimizer_defaults: {adam: {lr: 0.125}, sgd: {lr: 0.75}}\n")
    root = write("experiment/e", "optimizer_defaults: {adam: {lr: 0.0625}}\n")
    assert lr() == 0.0625
    assert lr("optimizer.lr=2.0") == 2.0
    assert lr("optimizer=sgd") == 0.75
    write("experiment/e", "optimizer_defaults: {adm: {lr: 0.0625}}\n")
    assert complaint("experiment=e", root=root) == (
        "optimizer_defaults.adm (config/experiment/e.yaml): unknown key; did you mean 'adam'?"
    )
    write("experiment/e", "optimizer_defaults: 1\n")
    assert complaint("experiment=e", root=root) == (
        "optimizer_defaults (config/experiment/e.yaml): must be a mapping"
    )


def test_who_chooses_the_model(write: Callable[[str, str], Path]) -> None:
    def model(*arguments: str) -> str:
        return resolve(*arguments, root=root).choices.model

    write("model/third", "kind: resnet\n")
    root = write("experiment/e", "defaults: {model: third}\n")
    assert model() == "small"
    write("task/digits", "kind: digits\ndefault_model: vit\n")
    assert model() == "vit"
    assert model("experiment=e") == "third"
    assert model("experiment=e", "model=small") == "small"


def test_data_root_is_the_overrides_else_the_environments_as_it_was_written() -> None:
    environ = {"SLS_DATA_ROOT": "from_environment"}
    assert load(["data_root=../given"], environ=environ).data_root == "../given"
    assert load([], environ=environ).data_root == "from_environment"
    assert load([], environ={"SLS_DATA_ROOT": ""}).data_root is None
    assert load([], environ={}).data_root is None


def test_list_of_the_command_line_becomes_betas() -> None:
    assert resolve("optimizer.betas=[0.5, 0]").optimizer.model_dump()["betas"] == (0.5, 0.0)


def test_null_of_the_command_line_unsets() -> None:
    assert (
        resolve("optimizer=alsals", "optimizer.anneal=null").optimizer.model_dump()["anneal"]
        is None
    )


# ------------------------------------------------------------------------------------ errors

IN_ONE_LINE = {
    "optimizer.epss=0.5": "optimizer.epss (command line): unknown key; did you mean 'eps'?",
    "optimiser=adam": "optimiser (command line): unknown key; did you mean 'optimizer'?",
    "trainer.epoch=5": "trainer.epoch (command line): unknown key; did you mean 'epochs'?",
    "tranier.epochs=5": "tranier (command line): unknown key; did you mean 'trainer'?",
    "model=brt": "model='brt' (command line): no such file; did you mean 'bert'?",
    "task=glue/mprc": "task='glue/mprc' (command line): no such file; did you mean 'glue/mrpc'?",
    "experiment=smok": "experiment='smok' (command line): no such file; did you mean 'smoke'?",
    "seed=abc": "seed (command line): must be a whole number, not 'abc'",
    "seed=-1": "seed (command line): must be greater than or equal to 0, not -1",
    "trainer.epochs=1.5": "trainer.epochs (command line): must be a whole number, not 1.5",
    "trainer.epochs=true": "trainer.epochs (command line): must be a whole number, not True",
    "optimizer.anneal=2": "optimizer.anneal (command line): must be less than or equal to 1, not 2",
    "optimizer.anneal=.nan": "optimizer.anneal (command line): must be a finite number, not nan",
    "optimizer.direction=adm": "optimizer.direction (command line): 'adm' is unknown; "
    "did you mean 'adam'?",
    "optimizer.kind=adam": "optimizer.kind (command line): cannot be set; "
    "choose a file by optimizer=",
    "model.depth=9": "model.depth (command line): must be 8, 18, 34 or 50, not 9",
    "trainer=5": "trainer (command line): conflicts with the value it overrides "
    "(mapping against scalar)",
    "trainer=null": "trainer (command line): must be a mapping, not None",
    "profile=papr": "profile (command line): 'papr' is unknown; did you mean 'paper'?",
    "profile=[]": "profile (command line): must be 'corrected' or 'paper', not []",
    "quirks.one_sed=true": "quirks.one_sed (command line): unknown key; did you mean 'one_seed'?",
    "quirks.one_seed=1": "quirks.one_seed (command line): must be true or false, not 1",
    "quirks=true": "quirks (command line): must be a mapping, not True",
    "foo": "'foo' (command line): must be key=value, as in trainer.epochs=5",
    "=3": "'=3' (command line): must be key=value, as in trainer.epochs=5",
    "seed=${seed}": "seed (command line): '${seed}': references (${…}) are not supported",
    "data_root=a/${HOME}": "data_root (command line): 'a/${HOME}': references (${…}) are not "
    "supported",
    "seed=[": "seed (command line): '[' is not YAML: expected the node content, "
    "but found '<stream end>'",
}


@pytest.mark.parametrize("argument", IN_ONE_LINE)
def test_wrong_argument_is_named_in_one_line(argument: str) -> None:
    assert complaint(argument) == IN_ONE_LINE[argument]


# --------------------------------------------------------------------------- what was typed

AS_TYPED = [
    *("run #3", "#3", "a: b", "- a", "a:", "a\tb", " a ", "a\nb", "!a", "&a", "*a", "%a"),
    *("@a", "|", "a,b", "日本"),
    *("007", "08", "010", "-1", "1_000", "0x10", "0o7", "0b1", "1e-3", "1e400", "9" * 5000, ".5"),
    *(
        "2001-01-01",
        "1:30",
        "1:30:00",
        "yes",
        "No",
        "on",
        "off",
        "true",
        "False",
        "y",
        ".nan",
        ".inf",
    ),
    *(
        "Null",
        "NULL",
        "None",
        "~",
        "=",
        "<<",
        "?",
        "???",
        "---",
        "...",
        "é",
        "日本",
        "\\n",
        "it's",
        "a]",
    ),
]


@pytest.mark.parametrize("text", AS_TYPED)
def test_text_on_the_command_line_is_what_was_typed(text: str) -> None:
    config = resolve(f"results_dir={text}", f"logger.wandb_entity={text}")
    assert (config.results_dir, config.logger.wandb_entity) == (text, text)
    for read in (yaml.safe_load, parse):
        assert RunConfig.model_validate(read(to_yaml(config))) == config


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=8) | st.text("0123456789_-+:.#~'\"[]{} \t\nyesnoull", max_size=8))
def test_text_is_what_was_typed_or_refused(text: str) -> None:
    try:
        seen = resolve(f"logger.wandb_project={text}").logger.wandb_project
    except UserError:
        return
    quoted = text[:1] in ("'", '"')
    assert seen == text or quoted


NUMBERS_AS_TYPED: dict[str, object] = {
    "seed=16": 16,
    "seed=0x10": 16,
    "seed=1_000": 1000,
    "seed=+3": 3,
    "optimizer.eps=1e-3": 1e-3,
    "optimizer.eps=.5": 0.5,
    "optimizer.eps=0.50": 0.5,
    "optimizer.eps=0": 0,
    "optimizer.eps=0.0e5": 0,
    "optimizer.averaging=yes": True,
    "optimizer.averaging=off": False,
    "optimizer.averaging=True": True,
    "optimizer.averaging=null": None,
}


@pytest.mark.parametrize("argument", NUMBERS_AS_TYPED)
def test_numbers_and_switches_are_what_they_look_like(argument: str) -> None:
    key = argument.split("=")[0].split(".")[-1]
    config = resolve(argument)
    assert {**config.model_dump(), **config.optimizer.model_dump()}[key] == NUMBERS_AS_TYPED[
        argument
    ]


REFUSED = {
    "seed=010": "seed (command line): 010 begins with a zero: write it without, or in quotes "
    "where it is text",
    "seed=-00": "seed (command line): -00 begins with a zero: write it without, or in quotes "
    "where it is text",
    "seed=08": "seed (command line): must be a whole number, not '08'",
    "seed=3 #4": "seed (command line): '3 #4' has a comment, which a value cannot have",
    "seed=#3": "seed (command line): '#3' has a comment, which a value cannot have",
    "seed=1:30": "seed (command line): must be a whole number, not '1:30'",
    "seed=2001-01-01": "seed (command line): must be a whole number, not '2001-01-01'",
    "seed=0o10": "seed (command line): must be a whole number, not '0o10'",
    "seed=1__0": "seed (command line): 1__0 has an underscore that is not between digits",
    "seed=1_": "seed (command line): 1_ has an underscore that is not between digits",
    "seed=yes": "seed (command line): must be a whole number, not 'yes'",
    "seed=1e3": "seed (command line): must be a whole number, not 1000.0",
    "seed=~": "seed (command line): ~ may be null or the home folder: write null, or '~' in quotes",
    "seed=Null": "seed (command line): must be a whole number, not 'Null'",
    "optimizer.eps=1e-400": "optimizer.eps (command line): 1e-400 is too small: it would be 0",
    "optimizer.eps=0." + "0" * 400 + "1": "optimizer.eps (command line): "
    "0.000000000000000000…0000000001 is too small: it would be 0",
    "optimizer.eps=1,5": "optimizer.eps (command line): must be a number, not '1,5'",
    "optimizer.betas=[0.5, 010]": "optimizer.betas (command line): 010 begins with a zero: write "
    "it without, or in quotes where it is text",
    "results_dir='a' #b": "results_dir (command line): \"'a' #b\" has a comment, which a value "
    "cannot have",
    "results_dir=[a]": "results_dir (command line): must be text, not ['a']",
    "results_dir=null": "results_dir (command line): must be text, not None",
    "results_dir=": "results_dir (command line): must be text, not None",
    "logger.wandb=off": "logger.wandb (command line): 'off' is unknown; did you mean 'offline'?",
}


@pytest.mark.parametrize("argument", REFUSED)
def test_what_could_be_read_otherwise_is_refused_in_one_line(argument: str) -> None:
    assert complaint(argument) == REFUSED[argument]


def test_a_hash_in_quotes_is_no_comment() -> None:
    assert resolve('results_dir="a #b"').results_dir == "a #b"
    assert resolve('logger={wandb_project: "a #b"}').logger.wandb_project == "a #b"


def test_null_unsets_text_too() -> None:
    config = resolve("cache_dir=null", "data_root=null")
    assert (config.cache_dir, config.data_root) == (None, None)


IN_FILES = {
    "seed: 010": ", line 2: 010 begins with a zero: write it without, or in quotes where it "
    "is text",
    "results_dir: 007": ", line 2: 007 begins with a zero: write it without, or in quotes where it "
    "is text",
    "cache_dir: ~": ", line 2: ~ may be null or the home folder: write null, or '~' in quotes",
    "seed: 1__0": ", line 2: 1__0 has an underscore that is not between digits",
    "results_dir: 1_000": "results_dir: must be text, not 1000",
    "seed: yes": "seed: must be a whole number, not 'yes'",
    "results_dir: true": "results_dir: must be text, not True",
}


@pytest.mark.parametrize("line", IN_FILES)
def test_what_could_be_read_otherwise_is_refused_in_files(
    write: Callable[[str, str], Path], line: str
) -> None:
    root = write("experiment/e", f"# A file.\n{line}\n")
    file = "config/experiment/e.yaml"
    key, colon, text = IN_FILES[line].partition(": ")
    expected = f"{file}{key}{colon}{text}" if key.startswith(",") else f"{key} ({file}): {text}"
    assert complaint("experiment=e", root=root) == expected


@pytest.mark.parametrize("text", ["no", "Null", "1:30", "2001-01-01", "08", "a#b", "~/x"])
def test_text_in_files_is_what_is_written(write: Callable[[str, str], Path], text: str) -> None:
    root = write("experiment/e", f"results_dir: {text}  # a comment\n")
    assert resolve("experiment=e", root=root).results_dir == text


@pytest.mark.parametrize(
    ("arguments", "key", "block"),
    [
        (["trainer={epochs: 3}", "trainer.epochs=5"], "trainer.epochs", "trainer"),
        (["trainer.batch_size=5", "trainer={epochs: 3}"], "trainer.batch_size", "trainer"),
        (["optimizer.betas=[0, 0]", "optimizer.betas.x=1"], "optimizer.betas.x", "optimizer.betas"),
    ],
)
def test_a_block_and_a_key_inside_it_are_refused(
    arguments: list[str], key: str, block: str
) -> None:
    assert complaint(*arguments) == (
        f"{key} (command line): given twice, by itself and inside {block}=…; write it at one place"
    )


def test_a_file_and_a_key_inside_it_are_fine() -> None:
    config = resolve("model=resnet", "model.width=4", "trainer={epochs: 3}")
    assert (config.model.model_dump()["width"], config.trainer.epochs) == (4, 3)


def test_choices_cannot_be_set_by_hand() -> None:
    assert complaint("choices.task=x").startswith("choices (command line): unknown key")


def test_key_given_twice_is_refused() -> None:
    assert complaint("seed=1", "seed=1") == "seed (command line): given twice"


@pytest.mark.parametrize(
    ("files", "arguments", "expected"),
    [
        ({}, ["trainer.epochs.x=1"], "trainer.epochs (command line): conflicts with the value"),
        ({"experiment/e": "trainer: short\n"}, [], "trainer (config/experiment/e.yaml): conflicts"),
        ({"experiment/e": "optimizer: {lr: {a: 1}}\n"}, [],
         "optimizer.lr (config/experiment/e.yaml): conflicts"),
        ({"experiment/e": "trainer: {epochs: '${seed}'}\n"}, [],
         "trainer.epochs (config/experiment/e.yaml): '${seed}': references"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_merged_are_named(
    write: Callable[[str, str], Path], files: dict[str, str], arguments: list[str], expected: str
) -> None:
    root = write("experiment/e", "seed: 1\n")
    for name, text in files.items():
        write(name, text)
    assert complaint("experiment=e", *arguments, root=root).startswith(expected)


def test_null_unsets_a_mapping_and_a_mapping_replaces_null(
    write: Callable[[str, str], Path],
) -> None:
    def channels(*arguments: str) -> object:
        config = resolve(*arguments, root=root).model_dump()
        return config["task"]["normalisation"]

    half = "{mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]}"
    root = write("task/digits", f"kind: image_folder\nfolder: x\nnormalisation: {half}\n")
    assert channels() is not None
    assert channels("task.normalisation=null") is None
    write("task/digits", "kind: image_folder\nfolder: x\nnormalisation: null\n")
    assert channels(f"task.normalisation={half}") is not None


@pytest.mark.parametrize("name", ["../x", "/etc/x", "glue/../digits", "", ".", "glue", "Digits"])
def test_names_cannot_leave_a_group(name: str) -> None:
    assert "(command line): no such file" in complaint(f"task={name}")


FILE_FAULTS = [
    (
        "optimizer/adam",
        "kind: adam\nlr: 1\nbeta: 1\n",
        "optimizer.beta (config/optimizer/adam.yaml): unknown key; did you mean 'betas'?",
    ),
    ("optimizer/adam", "kind: adam\n", "optimizer.lr (config/optimizer/adam.yaml): missing"),
    ("optimizer/adam", "lr: 0.1\n", "optimizer.kind (config/optimizer/adam.yaml): missing"),
    (
        "optimizer/adam",
        "kind: adm\n",
        "optimizer.kind (config/optimizer/adam.yaml): 'adm' is unknown; did you mean 'adam'?",
    ),
    (
        "model/small",
        "kind: resnet\noptimizer_default: {}\n",
        "model.optimizer_default (config/model/small.yaml): unknown key; "
        "did you mean 'optimizer_defaults'?",
    ),
    (
        "model/small",
        "kind: resnet\noptimizer_defaults: {adm: {lr: 1}}\n",
        "model.optimizer_defaults.adm (config/model/small.yaml): unknown key; did you mean 'adam'?",
    ),
    (
        "model/small",
        "kind: resnet\noptimizer_defaults: {adam: {lrr: 1}}\n",
        "optimizer.lrr (config/model/small.yaml): unknown key; did you mean 'lr'?",
    ),
    (
        "task/digits",
        "kind: digits\ndefault_model: smal\n",
        "model='smal' (config/task/digits.yaml): no such file; did you mean 'small'?",
    ),
    (
        "task/digits",
        "kind: digits\ntrainer: {epochs: 0}\n",
        "trainer.epochs (config/task/digits.yaml): must be greater than 0, not 0",
    ),
    (
        "config",
        "defaults: {tsk: digits}\n",
        "defaults.tsk (config/config.yaml): unknown key; did you mean 'task'?",
    ),
    ("config", "", "defaults.task (config/config.yaml): missing, and no task= is given either"),
    ("config", "- 1\n", "config/config.yaml: must be a mapping"),
    (
        "config",
        "defaults: {task: digits, model: small, optimizer: adam}\nsede: 3\n",
        "sede (config/config.yaml): unknown key; did you mean 'seed'?",
    ),
    (
        "config",
        "seed: 1\ntrainer:\n  epochs: 1\n  epochs: 2\n",
        "config/config.yaml, line 4: the key 'epochs' is written twice",
    ),
    (
        "config",
        "seed: !!python/object/apply:os.getcwd []\n",
        "config/config.yaml, line 1: anchors, aliases and tags are not allowed: "
        "'tag:yaml.org,2002:python/object/apply:os.getcwd'",
    ),
]


@pytest.mark.parametrize(("name", "text", "expected"), FILE_FAULTS)
def test_wrong_file_is_named_in_one_line(
    write: Callable[[str, str], Path], name: str, text: str, expected: str
) -> None:
    assert complaint(root=write(name, text)) == expected


def test_broken_yaml_names_file_and_line(write: Callable[[str, str], Path]) -> None:
    root = write("model/small", "kind: resnet\nwidth: [4\n")
    assert complaint(root=root).startswith("config/model/small.yaml, line 3: ")


def test_file_that_is_not_utf8_is_named(write: Callable[[str, str], Path]) -> None:
    root = write("model/small", "")
    (root / "model/small.yaml").write_bytes(b"kind: \xff\n")
    assert complaint(root=root) == "config/model/small.yaml: cannot be read: not UTF-8"


def test_missing_config_folder_is_named(tmp_path: Path) -> None:
    message = complaint(root=tmp_path / "nowhere")
    assert message == "nowhere/config.yaml: cannot be read: No such file or directory"


def _one_edit(key: str, edit: str, place: int, letter: str) -> str:
    place %= len(key)
    kept = key[place:] if edit == "insert" else key[place + 1 :]
    return key[:place] + ("" if edit == "delete" else letter) + kept


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KNOWN_KEYS),
    st.sampled_from(["insert", "delete", "replace"]),
    st.integers(0, 30),
    st.sampled_from(string.ascii_lowercase + "_."),
)
def test_any_misspelling_is_refused_in_one_line(
    key: str, edit: str, place: int, letter: str
) -> None:
    misspelt = _one_edit(key, edit, place, letter)
    assume(misspelt not in KNOWN_KEYS)
    message = complaint(f"{misspelt}=1")
    assert message.count("\n") == 0
    assert misspelt.split(".")[0] in message
    assert "command line" in message


_VALUES = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="[]{}:,&*!|>'\"%@`#?-$ .~<=\n0123456789eabxoE_+\\", max_size=12),
)
_ARGUMENTS = st.one_of(
    st.text(max_size=12),
    st.builds("{}={}".format, st.text(max_size=8), _VALUES),
    st.builds("{}={}".format, st.sampled_from(KNOWN_KEYS), _VALUES),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_ARGUMENTS, max_size=3))
@example(["seed=" + "9" * 5000])
@example(["seed=0x" + "f" * 5000])
@example(["seed=" + "[" * 2000])
@example(["trainer=" + "{a: " * 60 + "1" + "}" * 60])
@example(['results_dir="\\ud800"'])
@example(["results_dir=\udc80"])
@example(["seed=0b_"])
@example(["seed=!!bool x"])
@example(["seed=!!timestamp x"])
@example(["trainer=&a [*a]"])
@example(["trainer={[1]: 2}"])
@example(["trainer={<<: 1}"])
@example(["trainer={<<: {epochs: 1}}"])
@example(["seed=="])
@example(['trainer={"a\\nb": 1}'])
@example(["optimizer.betas.x=1"])
@example(["task=" + "a" * 300])
@example(["trainer=${trainer}"])
@example(["seed=${trainer.${x}}"])
def test_arguments_raise_nothing_but_user_errors_of_one_line(arguments: list[str]) -> None:
    message = "fine"
    try:
        resolve(*arguments)
    except UserError as error:
        message = str(error)
    assert len(message.splitlines()) == 1


# ----------------------------------------------------------------------- YAML, hash and folder


@settings(max_examples=60, deadline=None)
@given(st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_float_override_round_trips_through_yaml(value: float) -> None:
    config = resolve(f"optimizer.anneal={value!r}")
    assert config.optimizer.model_dump()["anneal"] == value
    for read in (yaml.safe_load, parse):
        assert RunConfig.model_validate(read(to_yaml(config))) == config


@pytest.mark.parametrize("text", ["2:00:00", "0:30:00", "1:30", "-1:30.5"])
def test_times_of_day_are_text(text: str) -> None:
    assert parse(text) == text
    assert yaml.safe_load(dump({"time": text})) == {"time": text}


@pytest.mark.parametrize("text", ["1e-3", "'1e-3'", "'null'", "'5'", "'2001-01-01'", "'a: b'", "é"])
def test_text_round_trips_through_yaml(text: str) -> None:
    spelt = text if text.startswith("'") else f"'{text}'"
    config = resolve(f"results_dir={spelt}")
    for read in (yaml.safe_load, parse):
        assert RunConfig.model_validate(read(to_yaml(config))) == config


@settings(max_examples=30, deadline=None)
@given(st.permutations(["seed=3", "optimizer.anneal=0.2", "trainer.epochs=2", "model.width=8"]))
def test_hash_does_not_depend_on_order(arguments: list[str]) -> None:
    assert config_hash(resolve(*arguments)) == config_hash(resolve(*sorted(arguments)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("optimizer.init_step=1e-4", "optimizer.init_step=0.0001"),
        ("optimizer.weight_decay=1", "optimizer.weight_decay=1.0"),
        ("optimizer.betas=[0, 0]", "optimizer.betas=[0.0, 0.0]"),
        ("seed=16", "seed=0x10"),
    ],
)
def test_two_spellings_of_one_config_have_one_hash(one: str, other: str) -> None:
    assert config_hash(resolve(one)) == config_hash(resolve(other))


@pytest.mark.parametrize(
    "argument",
    [
        "seed=1",
        "model.width=17",
        "optimizer.anneal=0.123",
        "optimizer=adam",
        "task=image_folder",
        "trainer.epochs=7",
        "trainer.max_steps=7",
        "trainer.batch_size=7",
        "trainer.eval_batch_size=7",
        "trainer.eval_every_steps=7",
        "trainer.precision=bfloat16",
        "trainer.micro_batches=2",
        "trainer.group_by_length=8",
    ],
)
def test_hash_changes_with_what_changes_a_result(argument: str) -> None:
    assert config_hash(resolve(argument)) != config_hash(resolve())


@pytest.mark.parametrize("quirk", sorted(Quirks.model_fields))
def test_profile_paper_is_every_quirk_by_name_and_part_of_the_hash(quirk: str) -> None:
    assert not any(resolve().quirks.model_dump().values())
    paper = resolve("profile=paper")
    assert all(paper.quirks.model_dump().values())
    assert config_hash(resolve(f"quirks.{quirk}=true")) != config_hash(resolve())
    but_one = resolve("profile=paper", f"quirks.{quirk}=false")
    assert [name for name, on in but_one.quirks.model_dump().items() if not on] == [quirk]
    assert config_hash(but_one) != config_hash(paper)


def test_profile_is_no_more_than_its_quirks() -> None:
    one_by_one = resolve(*(f"quirks.{name}=true" for name in Quirks.model_fields))
    assert config_hash(one_by_one) == config_hash(resolve("profile=paper"))


@pytest.mark.parametrize(
    "argument",
    [
        "results_dir=elsewhere",
        "data_root=/elsewhere",
        "cache_dir=/elsewhere",
        "device=cpu",
        "logger.wandb=offline",
        "trainer.workers=2",
        "trainer.checkpoint_every_steps=7",
    ],
)
def test_hash_does_not_change_with_what_cannot_change_a_result(argument: str) -> None:
    assert resolve(argument) != resolve()
    assert config_hash(resolve(argument)) == config_hash(resolve())


def test_runs_made_before_an_optimizer_got_a_key_keep_their_hash() -> None:
    # The hash that the default run had before `smoothing` was there.
    assert config_hash(resolve("optimizer=alsals")) == "a1c3356c"
    later_settings = ("smoothing=ratio", "max_grad_norm=1", "max_extra_forwards=0.1")
    for setting in (*later_settings, "interpolate=true"):
        later = resolve("optimizer=alsals", f"optimizer.{setting}")
        assert config_hash(later) != config_hash(resolve("optimizer=alsals"))


def test_fetching_data_does_not_change_the_hash() -> None:
    one, other = (resolve("task=cifar10", f"task.download={value}") for value in ("true", "false"))
    assert one != other
    assert config_hash(one) == config_hash(other)


def test_hash_is_eight_hexadecimal_digits() -> None:
    digits = config_hash(resolve())
    assert len(digits) == 8
    assert set(digits) <= set("0123456789abcdef")


def test_run_path_is_equally_deep_for_every_name() -> None:
    config = resolve("task=glue/mrpc", "seed=3", "results_dir=out")
    leaf = f"s3-{config_hash(config)}"
    assert run_path(config) == Path("out/default/glue_mrpc-bert/peak_sls") / leaf


def test_results_of_a_tilde_lie_at_home_and_the_config_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = resolve("results_dir=~/results")
    assert run_path(config).is_relative_to(tmp_path / "results")
    assert "results_dir: ~/results\n" in to_yaml(config)


def test_a_tilde_is_hashed_as_it_is_written() -> None:
    config = resolve("task=image_folder", "task.folder=~/x")
    assert config_hash(config) == "913a9493"


def test_importing_config_imports_no_torch() -> None:
    code = "import sys, experiments.config.compose; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=dict(os.environ))
    assert done.returncode == 0, "experiments/config/compose.py imports torch"

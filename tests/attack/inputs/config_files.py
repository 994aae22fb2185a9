"""Files below config/: broken YAML, wrong shapes, tags and aliases, encodings, wrong names."""

from __future__ import annotations

from pathlib import Path

from tests.attack.inputs.row import refused
from tests.attack.inputs.workshop import Workshop, setup, setups


def _digits(text: str) -> object:
    return lambda workshop: workshop.config(task__digits=text)


def _main_config(change: str) -> object:
    """The shipped config.yaml with a line added at its end."""

    def make(workshop: Workshop) -> None:
        workshop.config()
        file = workshop.place / "config" / "config.yaml"
        file.write_text(file.read_text() + change)

    return make


def _experiment(text: str) -> object:
    return lambda workshop: workshop.config(experiment__mine=text)


@setup
def no_config(workshop: Workshop) -> None:
    """No folder config/ at all."""


@setup
def no_config_yaml(workshop: Workshop) -> None:
    workshop.config()
    (workshop.place / "config" / "config.yaml").unlink()


@setup
def config_yaml_is_a_folder(workshop: Workshop) -> None:
    no_config_yaml(workshop)
    workshop.folder("config/config.yaml")


@setup
def config_yaml_leads_nowhere(workshop: Workshop) -> None:
    no_config_yaml(workshop)
    (workshop.place / "config" / "config.yaml").symlink_to("nowhere.yaml")


@setup
def config_yaml_is_a_circle_of_links(workshop: Workshop) -> None:
    no_config_yaml(workshop)
    (workshop.place / "config" / "config.yaml").symlink_to("config.yaml")


@setup
def config_yaml_is_not_ours_to_read(workshop: Workshop) -> None:
    workshop.config()
    workshop.without_rights("config/config.yaml", 0o000)


@setup
def task_in_latin_1(workshop: Workshop) -> None:
    workshop.config()
    workshop.write("config/task/digits.yaml", "kind: digits # größer\n".encode("latin-1"))


@setup
def task_in_utf_16(workshop: Workshop) -> None:
    workshop.config()
    workshop.write("config/task/digits.yaml", "kind: digits\n".encode("utf-16-le"))


@setup
def task_is_binary(workshop: Workshop) -> None:
    workshop.config()
    workshop.write("config/task/digits.yaml", bytes(range(256)))


@setup
def task_is_zeros(workshop: Workshop) -> None:
    workshop.config()
    workshop.write("config/task/digits.yaml", bytes(64))


@setup
def task_with_a_name_too_long_for_its_link(workshop: Workshop) -> None:
    workshop.config()
    file = workshop.place / "config" / "task" / "digits.yaml"
    file.unlink()
    file.symlink_to(Path("x" * 300))


setups(
    task_with_tabs=_digits("kind: digits\n\tdefault_model: resnet\n"),
    task_with_a_bracket_left_open=_digits("kind: [digits\n"),
    task_with_a_quote_left_open=_digits("kind: 'digits\n"),
    task_badly_indented=_digits("kind: digits\n  default_model: resnet\n"),
    task_without_colon=_digits("kind digits\n"),
    task_is_a_list=_digits("- kind: digits\n"),
    task_is_text=_digits("digits\n"),
    task_is_a_number=_digits("3\n"),
    task_is_empty=_digits(""),
    task_is_a_comment=_digits("# nothing\n"),
    task_key_twice=_digits("kind: digits\nkind: digits\n"),
    task_with_an_anchor=_digits("kind: &a digits\n"),
    task_with_an_alias=_digits("kind: *a\n"),
    task_with_a_tag=_digits("kind: !!str digits\n"),
    task_with_a_python_tag=_digits("kind: !!python/object/apply:os.getcwd []\n"),
    task_with_a_merge_key=_digits("<<: {kind: digits}\n"),
    task_with_two_documents=_digits("kind: digits\n---\nkind: digits\n"),
    task_with_a_directive=_digits("%YAML 9.9\n---\nkind: digits\n"),
    task_with_a_bell=_digits("kind: digits\x07\n"),
    task_nested_deeply=_digits("kind: " + "[" * 3000 + "]" * 3000 + "\n"),
    task_nested_nine_deep=_digits("kind: digits\na: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}\n"),
    task_with_a_number_of_5000_digits=_digits("kind: digits\ndefault_model: " + "1" * 5000 + "\n"),
    task_with_a_number_as_key=_digits("kind: digits\n1: 2\n"),
    task_with_a_null_key=_digits("kind: digits\nnull: 2\n"),
    task_with_a_list_as_key=_digits("kind: digits\n? [a]\n: 2\n"),
    task_with_an_empty_key=_digits("kind: digits\n'': 2\n"),
    task_without_kind=_digits("default_model: resnet\n"),
    task_of_unknown_kind=_digits("kind: digit\n"),
    task_of_a_list_of_kinds=_digits("kind: [digits]\n"),
    task_of_no_kind=_digits("kind: null\n"),
    task_with_an_unknown_key=_digits("kind: digits\nsize: 8\n"),
    task_with_a_misspelt_instruction=_digits("kind: digits\ndefault_modl: resnet\n"),
    task_with_an_unknown_model=_digits("kind: digits\ndefault_model: resnett\n"),
    task_with_a_number_as_model=_digits("kind: digits\ndefault_model: 18\n"),
    task_with_a_list_of_models=_digits("kind: digits\ndefault_model: [resnet]\n"),
    task_with_a_wrong_trainer=_digits("kind: digits\ntrainer: 3\n"),
    task_with_a_misspelt_trainer_key=_digits("kind: digits\ntrainer: {epoch: 1}\n"),
    task_with_no_epochs=_digits("kind: digits\ntrainer: {epochs: 0}\n"),
    task_that_sets_the_seed=_digits("kind: digits\nseed: 3\n"),
    task_with_question_marks=_digits("kind: digits\ndefault_model: ???\n"),
    task_with_a_reference_to_the_environment=_digits("kind: ${oc.env:USER}\n"),
    config_with_an_unknown_key=_main_config("sed: 1\n"),
    config_with_a_seed_twice=_main_config("seed: 1\n"),
    config_with_an_experiment=_main_config("experiment: smoke\n"),
    config_with_choices=_main_config("choices: {task: x}\n"),
    config_with_a_kind=_main_config("model: {kind: resnet}\n"),
    config_with_a_wrong_profile=_main_config("quirks: {one_sed: true}\n"),
    defaults_are_a_list=lambda w: w.config(config="defaults: [digits]\n"),
    defaults_are_text=lambda w: w.config(config="defaults: digits\n"),
    defaults_lack_a_group=lambda w: w.config(config="defaults: {task: digits, model: mlp}\n"),
    defaults_of_an_unknown_group=lambda w: w.config(config="defaults: {tsk: digits}\n"),
    defaults_of_a_number=lambda w: w.config(config="defaults: {task: 3}\n"),
    defaults_of_an_unknown_file=lambda w: w.config(
        config="defaults: {task: digit, model: mlp, optimizer: adam}\n"
    ),
    config_is_empty=lambda w: w.config(config=""),
    model_with_wrong_advice=lambda w: w.config(
        model__mlp="kind: mlp\noptimizer_defaults: [adam]\n"
    ),
    model_with_advice_for_nobody=lambda w: w.config(
        model__mlp="kind: mlp\noptimizer_defaults: {adma: {lr: 1}}\n"
    ),
    model_with_advice_of_an_unknown_key=lambda w: w.config(
        model__mlp="kind: mlp\noptimizer_defaults: {adam: {rate: 1}}\n"
    ),
    model_with_advice_that_is_a_number=lambda w: w.config(
        model__mlp="kind: mlp\noptimizer_defaults: {adam: 3}\n"
    ),
    model_of_another_kind=lambda w: w.config(model__mlp="kind: adam\n"),
    model_with_text_for_a_number=lambda w: w.config(model__mlp="kind: mlp\nwidth: '256'\n"),
    optimizer_with_yes_for_a_number=lambda w: w.config(optimizer__adam="kind: adam\nlr: yes\n"),
    optimizer_without_rate=lambda w: w.config(optimizer__adam="kind: adam\n"),
    experiment_that_sets_a_kind=_experiment("task: {kind: digits}\n"),
    experiment_with_an_unknown_default=_experiment("defaults: {task: digitz}\n"),
    experiment_with_a_default_experiment=_experiment("defaults: {experiment: smoke}\n"),
    experiment_with_an_unknown_section=_experiment("trainr: {epochs: 1}\n"),
    experiment_with_advice_of_a_number=_experiment("optimizer_defaults: {adam: {lr: fast}}\n"),
    experiment_with_a_section_of_text=_experiment("trainer: short\n"),
    experiment_with_choices=_experiment("choices: {experiment: other}\n"),
    experiment_with_a_reference=_experiment("trainer: {epochs: '${seed}'}\n"),
)

_DIGITS = "config/task/digits.yaml"

ROWS = [
    *refused(
        "config",
        ("", "config", "no_config"),
        ("", "config/config.yaml | cannot be read", "no_config_yaml"),
        ("", "config/config.yaml | cannot be read", "config_yaml_is_a_folder"),
        ("", "config/config.yaml | cannot be read", "config_yaml_leads_nowhere"),
        ("", "config/config.yaml | cannot be read", "config_yaml_is_a_circle_of_links"),
        ("", "config/config.yaml | cannot be read", "config_yaml_is_not_ours_to_read"),
        ("", f"{_DIGITS} | not UTF-8", "task_in_latin_1"),
        ("", _DIGITS, "task_in_utf_16"),
        ("", f"{_DIGITS} | not UTF-8", "task_is_binary"),
        ("", _DIGITS, "task_is_zeros"),
        ("", "digits", "task_with_a_name_too_long_for_its_link"),
        ("", f"{_DIGITS}, line 2", "task_with_tabs"),
        ("", f"{_DIGITS}, line", "task_with_a_bracket_left_open"),
        ("", f"{_DIGITS}, line", "task_with_a_quote_left_open"),
        ("", f"{_DIGITS}, line 2", "task_badly_indented"),
        ("", f"{_DIGITS} | mapping", "task_without_colon"),
        ("", f"{_DIGITS} | mapping", "task_is_a_list"),
        ("", f"{_DIGITS} | mapping", "task_is_text"),
        ("", f"{_DIGITS} | mapping", "task_is_a_number"),
        ("", f"task.kind ({_DIGITS}) | missing", "task_is_empty"),
        ("", f"task.kind ({_DIGITS}) | missing", "task_is_a_comment"),
        ("", f"{_DIGITS}, line 2 | 'kind' | twice", "task_key_twice"),
        ("", f"{_DIGITS}, line 1 | anchors", "task_with_an_anchor"),
        ("", f"{_DIGITS}, line 1 | aliases", "task_with_an_alias"),
        ("", f"{_DIGITS}, line 1 | tags", "task_with_a_tag"),
        ("", f"{_DIGITS}, line 1 | tags", "task_with_a_python_tag"),
        ("", f"{_DIGITS}, line", "task_with_two_documents"),
        ("", f"{_DIGITS}, line 1", "task_with_a_directive"),
        ("", _DIGITS, "task_with_a_bell"),
        ("", f"{_DIGITS} | nested too deeply", "task_nested_deeply"),
        ("", f"task.a ({_DIGITS}) | unknown key", "task_nested_nine_deep"),
        ("", _DIGITS, "task_with_a_number_of_5000_digits"),
        ("", f"{_DIGITS} | key 1", "task_with_a_number_as_key"),
        ("", f"{_DIGITS} | key None", "task_with_a_null_key"),
        ("", _DIGITS, "task_with_a_list_as_key"),
        ("", _DIGITS, "task_with_an_empty_key"),
        ("", f"task.kind ({_DIGITS}) | missing", "task_without_kind"),
        ("", f"{_DIGITS} | 'digit' | did you mean 'digits'", "task_of_unknown_kind"),
        ("", f"{_DIGITS} | kind", "task_of_a_list_of_kinds"),
        ("", f"{_DIGITS} | kind", "task_of_no_kind"),
        ("", f"task.size ({_DIGITS}) | unknown key", "task_with_an_unknown_key"),
        ("", f"{_DIGITS} | did you mean 'default_model'", "task_with_a_misspelt_instruction"),
        ("", f"{_DIGITS} | did you mean 'resnet'", "task_with_an_unknown_model"),
        ("", f"model='18' ({_DIGITS})", "task_with_a_number_as_model"),
        ("", f"{_DIGITS} | no such file", "task_with_a_list_of_models"),
        ("", f"trainer ({_DIGITS})", "task_with_a_wrong_trainer"),
        ("", f"trainer.epoch ({_DIGITS}) | 'epochs'", "task_with_a_misspelt_trainer_key"),
        ("", f"trainer.epochs ({_DIGITS})", "task_with_no_epochs"),
        ("", f"task.seed ({_DIGITS}) | unknown key", "task_that_sets_the_seed"),
        ("", f"{_DIGITS} | ???", "task_with_question_marks"),
        ("", f"{_DIGITS} | references", "task_with_a_reference_to_the_environment"),
        ("", "sed (config/config.yaml) | did you mean 'seed'", "config_with_an_unknown_key"),
        ("", "config/config.yaml, line | 'seed' | twice", "config_with_a_seed_twice"),
        ("", "experiment (config/config.yaml)", "config_with_an_experiment"),
        ("", "choices (config/config.yaml)", "config_with_choices"),
        ("", "model.kind (config/config.yaml)", "config_with_a_kind"),
        ("", "quirks.one_sed (config/config.yaml)", "config_with_a_wrong_profile"),
        ("", "defaults (config/config.yaml)", "defaults_are_a_list"),
        ("", "defaults (config/config.yaml)", "defaults_are_text"),
        ("", "defaults.optimizer (config/config.yaml) | missing", "defaults_lack_a_group"),
        ("", "defaults.tsk (config/config.yaml) | 'task'", "defaults_of_an_unknown_group"),
        ("", "task='3' (config/config.yaml)", "defaults_of_a_number"),
        ("", "config/config.yaml | did you mean 'digits'", "defaults_of_an_unknown_file"),
        ("", "defaults.task (config/config.yaml) | missing", "config_is_empty"),
        (
            "model=mlp",
            "model.optimizer_defaults (config/model/mlp.yaml)",
            "model_with_wrong_advice",
        ),
        ("model=mlp", "config/model/mlp.yaml | 'adam'", "model_with_advice_for_nobody"),
        (
            "model=mlp optimizer=adam",
            "optimizer.rate (config/model/mlp.yaml) | unknown key",
            "model_with_advice_of_an_unknown_key",
        ),
        (
            "model=mlp optimizer=adam",
            "optimizer (config/model/mlp.yaml)",
            "model_with_advice_that_is_a_number",
        ),
        ("model=mlp", "model.kind (config/model/mlp.yaml) | 'adam'", "model_of_another_kind"),
        ("model=mlp", "model.width (config/model/mlp.yaml)", "model_with_text_for_a_number"),
        ("optimizer=adam", "optimizer.lr (config/", "optimizer_with_yes_for_a_number"),
        ("optimizer=adam", "optimizer.lr (config/ | missing", "optimizer_without_rate"),
        (
            "experiment=mine",
            "task.kind (config/experiment/mine.yaml)",
            "experiment_that_sets_a_kind",
        ),
        (
            "experiment=mine",
            "config/experiment/mine.yaml | did you mean 'digits'",
            "experiment_with_an_unknown_default",
        ),
        (
            "experiment=mine",
            "defaults.experiment (config/experiment/mine.yaml)",
            "experiment_with_a_default_experiment",
        ),
        (
            "experiment=mine",
            "trainr (config/experiment/mine.yaml) | did you mean 'trainer'",
            "experiment_with_an_unknown_section",
        ),
        (
            "experiment=mine optimizer=adam",
            "optimizer.lr (config/experiment/mine.yaml) | 'fast'",
            "experiment_with_advice_of_a_number",
        ),
        (
            "experiment=mine",
            "trainer (config/experiment/mine.yaml)",
            "experiment_with_a_section_of_text",
        ),
        ("experiment=mine", "choices (config/experiment/mine.yaml)", "experiment_with_choices"),
        (
            "experiment=mine",
            "trainer.epochs (config/experiment/mine.yaml) | references",
            "experiment_with_a_reference",
        ),
    ),
]

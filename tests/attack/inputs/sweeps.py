"""Sweeps: the flags and keys of run_multiple*.py, and the files below config/sweep/."""

from __future__ import annotations

from tests.attack.inputs.row import refused
from tests.attack.inputs.workshop import Workshop, setup

FLAGS = refused(
    "run_multiple.py",
    ("--sweep", "--sweep | expected one argument"),
    ("--sweep=", "--sweep | ''"),
    ("--sweep --dry-run", "--sweep | expected one argument"),
    ("--sweep seeds=[0]", "--sweep | 'seeds=[0]'"),
    ("--sweep smoke --sweep cpu", "--sweep | given twice"),
    ("--sweep smok", "'smok' | did you mean 'smoke'"),
    ("--sweep smoke.yaml", "'smoke.yaml' | did you mean 'smoke'"),
    ("--sweep ../sweep/smoke", "'../sweep/smoke'"),
    ("--sweep SMOKE", "'SMOKE'"),
    ("--swep smoke", "'--swep' | did you mean '--sweep'"),
    ("--dry-rum", "did you mean '--dry-run'"),
    ("--dry-run=1", "--dry-run | '1'"),
    ("--dry_run", "did you mean '--dry-run'"),
    ("--retry", "'--retry'"),
    ("-n", "'-n' | unknown flag"),
    ("--watch", "'--watch' | unknown flag"),
    ("smoke", "smoke"),
)

KEYS = refused(
    "run_multiple.py",
    ("seed=1", "seed | seeds=[0,1]"),
    ("task=digits", "task | experiments=[...]"),
    ("model=mlp", "model | experiments=[...]"),
    ("optimizer=adam", "optimizer | optimizers=[...]"),
    ("experiment=smoke", "experiment | experiments=[...]"),
    ("seeds=3", "seeds | list"),
    ("seeds=[]", "seeds"),
    ("seeds=[1,1]", "seeds | 1 twice"),
    ("seeds=[-1]", "seeds"),
    ("seeds=[a]", "seeds | whole number"),
    ("seeds=[0,0.5]", "seeds | 0.5"),
    ("seeds=[4294967296]", "seeds"),
    ("seeds=0,1", "seeds | list"),
    ("seeds=[0", "seeds | not YAML"),
    ("seeds=[0] seeds=[1]", "seeds | given twice"),
    ("optimizers=adam", "optimizers | list"),
    ("optimizers=[]", "optimizers"),
    ("optimizers=[adma]", "optimizers | did you mean 'adam'"),
    ("optimizers=[adam,adam]", "adam"),
    ("optimizers=[3]", "optimizers"),
    ("optimizers=[null]", "optimizers"),
    ("experiments=[nope]", "experiments | 'nope'"),
    ("experiments=[]", "experiments"),
    ("experiments=smoke", "experiments | list"),
    ("experiments=[smoke,smoke]", "smoke"),
    ("tasks=[digits]", "tasks"),
    ("workers=0", "workers"),
    ("workers=two", "workers | 'two'"),
    ("workers=1.5", "workers | 1.5"),
    ("launcher=lsf", "launcher | lsf"),
    ("launcher=slrm", "launcher | did you mean 'slurm'"),
    ("launcher=gpus", "launcher | launcher=local does this now"),
    ("launcher=[local]", "launcher"),
    ("launcher=null", "launcher"),
    ("partition=gpu", "partition | launcher=local"),
    ("launcher=gpus cpus=4", "launcher | launcher=local does this now"),
    ("launcher=local cpus=4", "cpus | launcher=local"),
    ("launcher=ray address=there", "address"),
    ("launcher=ray retries=-1", "retries"),
    ("launcher=ray time=5", "time | launcher=ray"),
    ("launcher=slurm time=soon", "time | 'soon'"),
    ("launcher=slurm time=0:00:00", "time"),
    ("launcher=slurm time=0", "launcher"),
    ("launcher=slurm time=1:60:00", "1:60:00"),
    ("launcher=slurm memory_gb=0", "memory_gb"),
    ("launcher=slurm gpus=-1", "gpus"),
    ("launcher=slurm cpus=4.5", "cpus"),
    ("tuning=3", "tuning"),
    ("tuning={}", "tuning"),
    ("results_dir=", "results_dir"),
    ("foo=1", "foo | unknown key"),
    ("seds=[0]", "seds | did you mean 'seeds'"),
    ("optimisers=[adam]", "did you mean 'optimizers'"),
    ("trainer.epochs=0", "trainer.epochs"),
    ("trainer.epoch=1", "trainer.epoch | did you mean 'epochs'"),
    ("optimizer.lr=1e-3", "optimizer.lr"),
    ("choices.task=x", "choices"),
    ("settings={}", "settings"),
    ("profile=papr", "profile | did you mean 'paper'"),
    ("device=cpu device=cuda", "device | given twice"),
    (["trainer={epochs: 1}", "trainer.epochs=2"], "trainer"),
    before="--sweep smoke --dry-run",
)

_GOOD = """\
results_dir: results/mine
tasks: [{task: digits, model: mlp}]
optimizers: [adam]
seeds: [0]
"""

# What a file says instead, or besides; the last column is what the line must name.
_CHANGES: dict[str, tuple[str, str]] = {
    "empty": ("", "config/sweep/mine.yaml | missing"),
    "a_list": ("- adam\n", "config/sweep/mine.yaml | mapping"),
    "broken": ("optimizers: [adam\n", "config/sweep/mine.yaml, line"),
    "with_a_tab": ("seeds:\n\t- 0\n", "config/sweep/mine.yaml, line 2"),
    "key_twice": (_GOOD + "seeds: [1]\n", "config/sweep/mine.yaml, line 5 | 'seeds'"),
    "with_an_alias": (
        "seeds: &s [0]\noptimizers: *s\n",
        "config/sweep/mine.yaml, line 1 | aliases",
    ),
    "unknown_key": (_GOOD + "sed: 1\n", "sed (config/sweep/mine.yaml) | unknown key"),
    "near_key": (_GOOD + "launchr: local\n", "did you mean 'launcher'"),
    "no_rows": (_GOOD.replace("tasks:", "settings: {} #"), "neither experiments nor tasks"),
    "no_seeds": (_GOOD.replace("seeds: [0]\n", ""), "seeds (config/sweep/mine.yaml) | missing"),
    "no_optimizers": (_GOOD.replace("[adam]", "[]"), "optimizers (config/sweep/mine.yaml)"),
    "no_results_dir": (_GOOD.replace("results_dir: results/mine\n", ""), "results_dir | missing"),
    "results_dir_a_number": (_GOOD.replace("results/mine", "7"), "results_dir | text | 7"),
    "seeds_a_number": (_GOOD.replace("[0]", "0"), "seeds (config/sweep/mine.yaml) | list"),
    "seeds_of_text": (_GOOD.replace("[0]", "[zero]"), "seeds.0 (config/sweep/mine.yaml)"),
    "unknown_task": (_GOOD.replace("task: digits", "task: digit"), "did you mean 'digits'"),
    "unknown_model": (_GOOD.replace("model: mlp", "model: mpl"), "mpl"),
    "task_without_model": (_GOOD.replace(", model: mlp", ""), "tasks.0.model | missing"),
    "task_as_text": (_GOOD.replace("{task: digits, model: mlp}", "digits"), "tasks.0"),
    "task_twice": (
        _GOOD.replace("tasks: [", "tasks: [{task: digits, model: mlp}, "),
        "2 rows | digits-mlp",
    ),
    "unknown_optimizer": (_GOOD.replace("[adam]", "[adma]"), "did you mean 'adam'"),
    "optimizer_twice": (_GOOD.replace("[adam]", "[adam, adam]"), "2 columns | adam"),
    "same_runs": (_GOOD.replace("[adam]", "[adam, {name: adam, label: b}]"), "'adam' | 'b' | same"),
    "column_without_name": (_GOOD.replace("[adam]", "[{label: b}]"), "optimizers.0.name | missing"),
    "column_with_unknown_key": (
        _GOOD.replace("[adam]", "[{name: adam, setings: {}}]"),
        "did you mean 'settings'",
    ),
    "column_with_wrong_setting": (
        _GOOD.replace("[adam]", "[{name: adam, settings: {rate: 1}}]"),
        "config/sweep/mine.yaml | optimizer.rate",
    ),
    "settings_a_list": (_GOOD + "settings: [a]\n", "settings (config/sweep/mine.yaml)"),
    "settings_with_a_seed": (_GOOD + "settings: {seed: 1}\n", "settings.seed"),
    "settings_with_a_task": (_GOOD + "settings: {task: mnist}\n", "settings.task"),
    "settings_unknown": (_GOOD + "settings: {trainer.epoch: 1}\n", "mine.yaml | trainer.epoch"),
    "settings_out_of_range": (_GOOD + "settings: {trainer.epochs: 0}\n", "trainer.epochs"),
    "settings_with_a_number": (_GOOD + "settings: {1: 2}\n", "settings"),
    "launcher_text": (_GOOD + "launcher: local\n", "launcher (config/sweep/mine.yaml)"),
    "launcher_unknown": (_GOOD + "launcher: {kind: pbs}\n", "launcher.kind | pbs"),
    "launcher_without_kind": (_GOOD + "launcher: {workers: 1}\n", "launcher.kind | missing"),
    "launcher_near_key": (
        _GOOD + "launcher: {kind: local, worker: 1}\n",
        "launcher.worker | did you mean 'workers'",
    ),
    "tuning_a_list": (_GOOD + "tuning: [adam]\n", "tuning (config/sweep/mine.yaml)"),
    "tuning_of_nothing": (_GOOD + "tuning: {optimizers: {}}\n", "tuning.optimizers"),
    "tuning_of_another": (
        _GOOD + "tuning: {optimizers: {sgd: {lr: [0.1]}}}\n",
        "tuning (config/sweep/mine.yaml) | 'sgd'",
    ),
    "tuning_without_rates": (
        _GOOD + "tuning: {optimizers: {adam: {}}}\n",
        "tuning.optimizers.adam | either times or lr",
    ),
    "tuning_with_both": (
        _GOOD + "tuning: {optimizers: {adam: {lr: [1], times: [1]}}}\n",
        "tuning.optimizers.adam | either times or lr",
    ),
    "tuning_with_a_rate_twice": (
        _GOOD + "tuning: {optimizers: {adam: {lr: [0.1, 0.1]}}}\n",
        "tuning.optimizers.adam.lr | twice",
    ),
    "tuning_with_a_negative_rate": (
        _GOOD + "tuning: {optimizers: {adam: {lr: [-0.1]}}}\n",
        "tuning.optimizers.adam.lr",
    ),
    "tuning_with_wrong_score": (
        _GOOD + "tuning: {optimizers: {adam: {lr: [0.1]}}, score: loss}\n",
        "tuning.score",
    ),
    "tuning_with_wrong_rows": (
        _GOOD + "tuning: {optimizers: {adam: {lr: [0.1]}}, rows: [digits]}\n",
        "tuning | 'digits' | did you mean 'digits-mlp'",
    ),
    "tuning_holding_all_out": (
        _GOOD + "tuning: {optimizers: {adam: {lr: [0.1]}}, hold_out: 1}\n",
        "tuning.hold_out",
    ),
    "tuning_what_has_no_rate": (
        _GOOD.replace("[adam]", "[sls]") + "tuning: {optimizers: {sls: {lr: [0.1]}}}\n",
        "tuning.optimizers.sls | no rate",
    ),
    "tuned_and_reference": (
        _GOOD + "tuning: {optimizers: {adam: {lr: [0.1]}}, reference: [adam]}\n",
        "tuning | 'adam' | reference",
    ),
}


def _register(name: str, text: str) -> str:
    def make(workshop: Workshop) -> None:
        workshop.config(sweep__mine=text)

    make.__name__ = f"sweep_{name}"
    setup(make)
    return make.__name__


FILES = refused(
    "sweep",
    *(("", named, _register(name, text)) for name, (text, named) in _CHANGES.items()),
)


@setup
def results_are_a_file(workshop: Workshop) -> None:
    workshop.write("results", "mine")


@setup
def results_are_not_ours_to_write(workshop: Workshop) -> None:
    workshop.folder("results")
    workshop.without_rights("results", 0o555)


PLACES = refused(
    "run_multiple_img.py",
    ("results_dir=results/x", "results_dir | results/x", "results_are_a_file"),
    ("results_dir=results/x", "results_dir | results/x", "results_are_not_ours_to_write"),
    ("results_dir=/dev/null/x", "results_dir | /dev/null/x"),
    (["results_dir=" + "n" * 300], "results_dir | name too long"),
    before="--sweep smoke",
)

ROWS = [*FLAGS, *KEYS, *FILES, *PLACES]

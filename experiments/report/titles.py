"""Names of files and numbers in words: `cpu_mrpc_bert` is MRPC · BERT (cpu)."""

from __future__ import annotations

_MODELS = {
    "bert": "BERT",
    "distilbert": "DistilBERT",
    "efficientnet": "EfficientNet",
    "gpt2": "GPT-2",
    "mlp": "MLP",
    "resnet": "ResNet",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet50": "ResNet-50",
    "roberta": "RoBERTa",
    "vit": "ViT",
}
_TASKS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cola": "CoLA",
    "covertype": "Covertype",
    "digits": "Digits",
    "imagenet": "ImageNet",
    "mnist": "MNIST",
    "mnli": "MNLI",
    "mrpc": "MRPC",
    "openwebtext": "OpenWebText",
    "qnli": "QNLI",
    "qqp": "QQP",
    "rte": "RTE",
    "shakespeare": "Shakespeare",
    "sst2": "SST-2",
    "stsb": "STS-B",
    "wikitext": "WikiText",
    "wnli": "WNLI",
}
_QUICK = {
    "cola": "CoLA · BERT",
    "digits_mlp": "Digits · MLP",
    "gpt": "Shakespeare · GPT-2",
    "gpt_large_batch": "Shakespeare · GPT-2, batches of 128",
    "gpt_long": "Shakespeare · GPT-2, 800 steps",
    "gpt_longer": "Shakespeare · GPT-2, 2,000 steps",
    "gpt_tokens": "Shakespeare in tokens · GPT-2",
    "mrpc": "MRPC · BERT",
    "python_text": "Python's help · GPT-2",
    "resnet": "CIFAR-10 · ResNet",
    "resnet_large_batch": "CIFAR-10 · ResNet, batches of 128",
    "resnet_long": "CIFAR-10 · ResNet, 800 steps",
    "resnet_longer": "CIFAR-10 · ResNet, 2,000 steps",
    "resnet_wide": "CIFAR-10 · wide ResNet",
    "sst2": "SST-2 · BERT",
    "vit": "CIFAR-10 · ViT",
}
_LABELS = {
    "adam": "Adam",
    "adamw": "AdamW",
    "sgd": "SGD",
    "alsals": "ALSALS",
    "alsals_paper": "ALSALS (paper)",
    "alsals_ratio": "ALSALS (ratio)",
    "adam_sls": "Adam-SLS",
    "algoperf_nadamw": "NAdamW (AlgoPerf)",
    "algoperf_schedulefree": "Schedule-Free AdamW (AlgoPerf)",
    "dadapt_adam": "D-Adapt Adam",
    "momo_adam": "MoMo-Adam",
    "peak_sls": "PeakSLS",
    "peak_sls_averaged": "PeakSLS (averaged)",
    "prodigy": "Prodigy",
    "salsa": "SaLSa",
    "salsa_paper": "SaLSa (paper)",
    "salsa_sgd": "SGD-SaLSa",
    "schedulefree_adamw": "Schedule-Free AdamW",
    "sls": "SGD-SLS",
    "sls_paper": "SGD-SLS (paper)",
}
_SCORES = {
    "accuracy": "accuracy",
    "f1": "F1",
    "mcc": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "train_loss": "training loss",
    "val_loss": "validation loss",
}


def row_title(row: str) -> str:
    """`[cpu_]<task>[_small]_<model>` or `quick_<name>` in words; any other name as it is.

    A row without an experiment, `<task>-<model>`, has another sign between the two, so that it is
    never taken for the experiment.
    """
    prefix, _, name = row.partition("_")
    if prefix == "quick" and name in _QUICK:
        return f"{_QUICK[name]} (quick)"
    between = "+" if "-" in row else "·"
    words = row.replace("-", "_").split("_")
    place = " (cpu)" if words[0] == "cpu" else ""
    size = " (500 examples)" if "small" in words[1:-1] else ""
    named = [word for word in words[1 if place else 0 :] if word != "small"]
    if len(named) != 2 or named[0] not in _TASKS or named[1] not in _MODELS:
        return row
    return f"{_TASKS[named[0]]}{size} {between} {_MODELS[named[1]]}{place}"


def label_title(label: str) -> str:
    """An optimizer's name as the papers write it; text after the first space is kept."""
    name, blank, rest = label.partition(" ")
    return f"{_LABELS.get(name, name)}{blank}{rest}"


def score_title(score: str) -> str:
    """A metric's name in words; any other as it is, without underscores."""
    return _SCORES.get(score, score.replace("_", " "))


def counted(count: int, thing: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"

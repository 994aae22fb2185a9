"""Arrays as joblib dumps them, compressed by zlib, read without running what a pickle may hold.

`joblib.load` runs any code that a file names. Here an array of numbers is all that a file can hold:
of the names in its pickle three are known, and arrays of objects, which would be pickles within the
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

MOST_BYTES = 2 << 30
"""Of an array; what a small file unfolds to may be as large as one likes."""


def read_array(path: Path) -> NDArray[Any]:
    """The array of numbers in the file `path`, as `joblib.dump(array, path, compress=9)` wrote it.

    Raises:
        pickle.UnpicklingError: for a file that holds anything else.
        OSError, zlib.error, EOFError, ValueError: for one that is missing, torn or too large.
    """
    unfold = zlib.decompressobj()
    content = unfold.decompress(path.read_bytes(), MOST_BYTES)
    if unfold.unconsumed_tail:
        raise ValueError(f"more than {MOST_BYTES:,} bytes")
    array = _NumbersOnly(str(path), io.BytesIO(content), True).load()
    if not isinstance(array, np.ndarray):
        raise pickle.UnpicklingError(f"it holds no array, but {type(array).__name__}")
    return array


class _Wrapper(NumpyArrayWrapper):  # type: ignore[misc]
    """What joblib puts in an array's place: its type and shape; the numbers follow."""

    def read_array(self, *arguments: Any) -> NDArray[Any]:
        """The array, unless it is one of objects."""
        if not isinstance(self.dtype, np.dtype) or self.dtype.hasobject:
            raise pickle.UnpicklingError("it holds an array of objects")
        array: NDArray[Any] = super().read_array(*arguments)
        return array


class _NumbersOnly(NumpyUnpickler):  # type: ignore[misc]
    """joblib's unpickler, for arrays of numbers alone."""

    _known = {  # noqa: RUF012
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Wrapper,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """The class of that name; every other name would be code to run."""
        if (module, name) not in self._known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array's")
        return self._known[module, name]

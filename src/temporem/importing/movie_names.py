"""Names of movies, as every program that splits rows at spaces can read them."""

from __future__ import annotations

import re

import numpy as np

_LONGEST_NAME = 200  # characters


def plain_names(names: np.ndarray) -> np.ndarray:
    """Names without spaces and unprintable characters, still different from one another."""
    unique, index = np.unique(names, return_inverse=True)
    plain: list[str] = []
    taken: set[str] = set()
    for name in unique:
        text = re.sub(r"[\s'\"]+", "_", str(name)) or "_"
        text = "".join(c if c.isprintable() else "_" for c in text)[-_LONGEST_NAME:]
        candidate, i = text, 2
        while candidate in taken:
            candidate, i = f"{text}_{i}", i + 1
        taken.add(candidate)
        plain.append(candidate)
    return np.array(plain, dtype=np.dtypes.StringDType())[index.reshape(-1)]

"""Checks of arguments: a ValueError of one sentence, where data enters and where arrays would silently broadcast."""

import numpy as np

FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


def require(condition, message):
    """ValueError with `message` unless `condition`: the one way that public functions refuse an argument."""
    if not condition:
        raise ValueError(message)


def require_floats(**arrays):
    """ValueError that names an array unless all are float32, or all float64: squares of other types overflow."""
    dtypes = {value.dtype for value in arrays.values()}
    if len(dtypes) == 1 and dtypes <= FLOATS:
        return  # before the names, whose making is slow
    found = ", ".join(f"{name} {value.dtype}" for name, value in arrays.items())
    raise ValueError(f"float32 or float64 is needed, one dtype for all, not {found}; convert with .astype")


def require_alike(**arrays):
    """ValueError that names the arrays unless all have one shape, which nothing may broadcast to, and one dtype."""
    found = " and ".join(f"{name} {value.shape}" for name, value in arrays.items())
    require(len({value.shape for value in arrays.values()}) == 1, f"{found} must have one shape")
    require_floats(**arrays)

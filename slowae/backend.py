"""NumPy or CuPy, chosen with one word; the mathematics follows the arrays that it is given.

`use("cupy")`, `--backend cupy` or SLOWAE_BACKEND=cupy. Data moves once per batch, at the edge.
"""

import os
from functools import cache

import numpy as np

try:
    import cupy
except ImportError:
    cupy = None

_chosen = None


def array_module(x):
    """numpy or cupy, whichever holds `x`."""
    # cupy.get_array_module imports more of CuPy at its first call, which two threads must not do at once.
    return np if cupy is None or isinstance(x, np.ndarray) else cupy.get_array_module(x)


@cache
def gpu_available():
    """True if CuPy is installed and finds a CUDA device."""
    if cupy is None:
        return False
    try:
        return cupy.cuda.runtime.getDeviceCount() > 0
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def use(name):
    """Choose the backend for to_device: "numpy" or "cupy". ValueError or RuntimeError if it cannot be had."""
    global _chosen
    if name not in ("numpy", "cupy"):
        raise ValueError(f"backend must be numpy or cupy, not {name!r}")
    if name == "cupy" and not gpu_available():
        raise RuntimeError("the cupy backend needs a CUDA device, and CuPy for it: pip install cupy-cuda12x")
    _chosen = name


def chosen():
    """The backend in use: the last `use`, else SLOWAE_BACKEND, else numpy."""
    if _chosen is None:
        use(os.environ.get("SLOWAE_BACKEND") or "numpy")
    return _chosen


def to_device(x):
    """Host array, or a dict of them -> arrays of the chosen backend. Values and dtype stay."""
    if isinstance(x, dict):
        return {name: to_device(value) for name, value in x.items()}
    return cupy.asarray(x) if chosen() == "cupy" else x


def to_host(x):
    """Array of either backend, or a dict of them -> numpy."""
    if isinstance(x, dict):
        return {name: to_host(value) for name, value in x.items()}
    return x if array_module(x) is np else x.get()

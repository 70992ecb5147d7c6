"""NumPy or CuPy, chosen with one word; the mathematics asks the data which of the two it is.

`use("cupy")`, `--backend cupy` or SLOWAE_BACKEND=cupy. Data moves once per batch, at the edge, and comes back
for plots, metrics and logs only.
"""

import ctypes
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

import numpy as np

try:
    import cupy
except ImportError:
    cupy = None

_chosen = None

# glibc hands large arrays back to the system when they are freed, and the next ones cost a page fault for each 4 kB,
# up to half the time of a step. Let it keep 256 MB, and arrays below 32 MB among them.
with suppress(AttributeError, OSError, TypeError):  # another C library
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
    ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, 2**28)
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**25)


def array_module(x):
    """numpy or cupy, whichever holds `x`."""
    # CuPy's own question imports more of CuPy when first asked, which two threads must not do at once.
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
    """Choose the backend for to_device: "numpy" or "cupy". ValueError, RuntimeError if it cannot be had."""
    global _chosen
    if name not in ("numpy", "cupy"):
        raise ValueError(f"backend must be numpy or cupy, not {name!r}")
    if name == "cupy" and cupy is None:
        raise RuntimeError("the cupy backend needs CuPy: pip install cupy-cuda12x (or the one for your CUDA)")
    if name == "cupy" and not gpu_available():
        raise RuntimeError("the cupy backend needs a CUDA device, and CuPy finds none; use the numpy backend")
    _chosen = name


def chosen():
    """The backend in use: the last `use`, else SLOWAE_BACKEND, else numpy."""
    if _chosen is None:
        use(os.environ.get("SLOWAE_BACKEND", "numpy"))
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


def synchronise():
    """Wait until the device has done all that it was given: what a clock needs."""
    if chosen() == "cupy":
        cupy.cuda.runtime.deviceSynchronize()


def require(condition, message):
    """ValueError with `message` unless `condition`: the one way that public functions refuse an argument."""
    if not condition:
        raise ValueError(message)


@cache
def _blas():
    """The BLAS libraries' controller and the number of threads they are set to use; (None, 1) without threadpoolctl."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None, 1
    controller = ThreadpoolController().select(user_api="blas")
    return controller, max((library["num_threads"] for library in controller.info()), default=1)


def threads():
    """As many as BLAS is set to use."""
    return _blas()[1]


def map_blocks(function, blocks):
    """[function(block) for block in blocks], on as many threads as BLAS is set to use, each with one BLAS thread.

    So the passes between the matrix products use every core too. Results keep their order: sums over them do
    not depend on the number of threads.
    """
    blocks = list(blocks)
    controller, count = _blas()
    if count == 1 or len(blocks) == 1 or chosen() == "cupy":
        return [function(block) for block in blocks]
    with controller.limit(limits=1), ThreadPoolExecutor(count) as pool:
        return list(pool.map(function, blocks))


def machine():
    """What a measured time holds for."""
    found = {"cpu": platform.processor(), "cores": os.cpu_count(), "threads": threads()}
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:  # on Linux, the better name
        found["cpu"] = next((line.split(":")[1].strip() for line in lines if "model name" in line), found["cpu"])
    if chosen() == "cupy":
        found["gpu"] = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        found["tf32"] = os.environ.get("CUPY_TF32") == "1"
    return found

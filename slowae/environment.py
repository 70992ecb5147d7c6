"""What a result depends on beside its settings: versions, the machine, the memory that it took."""

import importlib.metadata
import os
import platform
import sys
import time
from contextlib import suppress

from slowae import __version__, backend, blocks, processes


def about(start):
    """For results.json, of a run that began at `start` (time.perf_counter): where it ran, and what it took."""
    took = {"seconds": round(time.perf_counter() - start, 1), "peak_mb": None}
    with suppress(ImportError):  # where the platform does not measure it
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took["peak_mb"] = round(peak / (2**20 if sys.platform == "darwin" else 2**10))
    return {"backend": backend.chosen(), "versions": versions(), "machine": machine()} | took


def versions(more=()):
    """{package: version} of Python, of this and of what it imports; `more` packages beside."""
    numbers = {"python": platform.python_version(), "slowae": __version__}
    for name in ("numpy", "scipy", "av", "matplotlib", "cupy-cuda12x", "cupy-cuda13x", *more):
        with suppress(importlib.metadata.PackageNotFoundError):
            numbers[name] = importlib.metadata.version(name)
    return numbers


def machine():
    """What a measured time holds for."""
    threads, count = blocks.blas()[1], processes.count()
    about = {"cpu": platform.processor(), "cores": os.cpu_count(), "threads": threads, "processes": count}
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:  # on Linux, the better name
        about["cpu"] = next((line.split(":")[1].strip() for line in lines if "model name" in line), about["cpu"])
    if backend.chosen() == "cupy":
        name = backend.cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        about |= {"gpu": name, "tf32": os.environ.get("CUPY_TF32") == "1"}
    return about

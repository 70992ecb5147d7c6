"""A fair race: everybody's numbers agree first, then all run in turns; medians, their spread, and ratios."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from slowae import backend

OURS = "slowae"
PAUSE = 0.05  # seconds: after a threaded product, BLAS's idle threads spin on the cores for a while
TURN = 0.2  # seconds


class Contender(NamedTuple):
    """run() -> a result, timed; read(result) -> {name: host array}, not timed: what must agree."""

    run: Callable
    read: Callable


def require_agreement(contenders):
    """Run each once. RuntimeError that names contender and array, unless all others read as ours does.

    In float32 an activation, or a difference of two codes, within rounding of its kink may fall to either side, which
    shows in the few filters concerned: so nearly everything must agree to 1e-4, and all of it in norm to 1e-2.
    """
    expected = contenders[OURS].read(contenders[OURS].run())
    for who in [name for name in contenders if name != OURS]:
        found = contenders[who].read(contenders[who].run())
        for name, value in expected.items():
            off = np.abs(found[name] - value) if np.shape(found[name]) == np.shape(value) else np.array(np.inf)
            size = np.sqrt(np.square(value).mean())
            typical, overall = np.median(off) / size, np.sqrt(np.square(off).mean()) / size
            if not (typical < 1e-4 and overall < 1e-2):
                raise RuntimeError(f"{name} of {who} is not ours, off by {overall:.2g} of its size: nothing was timed")


def measure(runs, repeats, progress=iter):
    """{name: function} -> {name: [seconds]}: in every round each has a turn, and each round another one begins.

    A turn repeats the run for TURN, and the last one counts: those before have woken the threads, as in training.
    """
    names, seconds = list(runs), {name: [] for name in runs}
    for turn in progress(range(repeats)):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(PAUSE)
            backend.synchronise()
            began = ended = time.perf_counter()
            while ended - began < TURN:
                last = ended
                runs[name]()
                backend.synchronise()
                ended = time.perf_counter()
            seconds[name].append(ended - last)
    return seconds


def summary(seconds):
    """{name: [seconds]} -> {name: the median and the spread}."""
    return {
        name: {"median": float(np.median(values)), "fastest": min(values), "slowest": max(values)}
        for name, values in seconds.items()
    }


def ratios(row):
    """{contender: summary} -> {library: our median over that of its fastest variant}, "library: variant" the names."""
    best = {}
    for who, numbers in row.items():
        library = who.split(":")[0]
        best[library] = min(best.get(library, np.inf), numbers["median"])
    return {library: best[OURS] / median for library, median in best.items() if library != OURS}

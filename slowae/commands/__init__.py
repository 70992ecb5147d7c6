"""One module for each command of `python -m slowae`: add_arguments(parser) and run(args)."""

import argparse
import importlib.metadata
import math
import platform
import sys


def number(kind, least=-math.inf, above=-math.inf):
    """The argparse type of a finite int or float that is at least `least` and above `above`."""

    def read(word):
        value = kind(word)
        if math.isfinite(value) and value >= least and value > above:
            return value
        bound = f"at least {least}" if least > above else f"above {above}"
        raise argparse.ArgumentTypeError(f"must be finite and {bound}, not {word}")

    read.__name__ = kind.__name__  # argparse: "invalid int value"
    return read


def versions(more=()):
    """What a result depends on, for results.json; `more` packages beside the project's own."""
    names = ("numpy", "scipy", "av", "matplotlib", "trimesh", "embreex", "cupy-cuda12x", "cupy-cuda13x", *more)
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_mb():
    """The most memory that this process has held, in MB; None where the platform does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))

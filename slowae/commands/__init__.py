"""One module for each command of `python -m slowae`: add_arguments(parser) and run(args)."""

import importlib.metadata
import platform
import sys


def versions():
    """What a result depends on, for results.json."""
    names = ("numpy", "scipy", "av", "matplotlib", "trimesh", "embreex", "cupy-cuda12x", "cupy-cuda13x")
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

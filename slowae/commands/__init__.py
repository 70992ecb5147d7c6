"""One module for each command of `python -m slowae`: add_arguments(parser) and run(args)."""

import argparse
import importlib.metadata
import math
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

from slowae import __version__, backend, blocks, processes


def called():
    """How to call the program: as it was called, by the installed command or else by python -m."""
    return "slowae" if Path(sys.argv[0]).stem == "slowae" else "python -m slowae"


def number(kind, least, most):
    """The argparse type of an int or float between `least` and `most`."""

    def read(word):
        value = kind(word) if len(word) < 40 else math.inf
        if least <= value <= most:
            return value
        raise argparse.ArgumentTypeError(f"must be between {least:g} and {most:g}, not {word[:40]}")

    read.__name__ = kind.__name__  # argparse: "invalid int value"
    return read


# Every number of every command: its range, its default and what it is. A command chooses by name, and may give another
# default.
OPTIONS = {
    "fps": (float, 1e-3, 1e4, 6.0, "frames a second that count as adjacent"),
    "tiles": (int, 1, 64, None, "N x N windows of 32 x 32 a frame; by default 4 if the video is short, else 1"),
    "folds": (int, 1, 100, 1, "parts by video, each tested once"),
    "seeds": (int, 1, 100, 1, "trainings of each row, from --seed on"),
    "distractors": (int, 0, 10**7, 0, "frames of the training films that make a second, larger gallery"),
    "steps": (int, 1, 10**9, 3000, "of each training; ConvNets take epochs"),
    "batch": (int, 1, 10**6, 8, "pairs a step"),
    "rate": (float, 1e-12, 1e6, 1e-3, "learning rate"),
    "bias-rate": (float, 0, 1, 0.03, "biases learn so much slower than filters"),
    "alpha": (float, 0, 1e6, 3.0, "weight of sparsity"),
    "beta": (float, 0, 1e6, 12.0, "weight of slowness"),
    "alpha2": (float, 0, 1e6, 1.0, "weight of sparsity in layer 2"),
    "beta2": (float, 0, 1e6, 4.0, "weight of slowness in layer 2"),
    "beta-sparse": (float, 0, 1e6, 4.0, "weight of slowness in the second run"),
    "rise": (float, 0, 1, 0.25, "share of a training over which beta rises from 0"),
    "epsilon": (float, 0, 1e6, 0.3, "of ZCA, in mean eigenvalues"),
    "epochs": (int, 1, 10**4, 20, "of the ConvNet with all labels"),
    "labels": (int, 1, 10**6, 1000, "of CIFAR-10 that rows with few labels are told"),
    "grid-steps": (int, 1, 10**9, 800, "for each cell of alpha x beta"),
    "pairs": (int, 50, 10**8, 85000, "pairs of patches to extract"),
    "step": (int, 1, 18, 1, "degrees between views"),
    "held-out": (float, 1e-3, 0.99, 0.2, "share of views kept from training"),
    "patch": (int, 1, 90, 1, "hold out squares of N x N views"),
    "hidden": (int, 1, 10**5, 200, "hidden units"),
    "margin": (float, 1e-6, 1e6, 2.0, "m of Eq. 1, in units of z"),
    "near": (int, 1, 10**6, 100, "near pairs a step"),
    "far": (int, 1, 10**4, 2, "far pairs for each near one"),
    "seed": (int, 0, 2**63, 0, "of every random choice"),
}


def add_options(parser, names, **defaults):
    """Add options by name, "fps steps", in the ranges that they have everywhere; "video" is a path."""
    for name in names.split():
        if name == "video":
            parser.add_argument("--video", type=Path, help="a video file, or a folder (default: clips that come along)")
            continue
        kind, least, most, default, what = OPTIONS[name]
        told = what if default is None else f"{what} (%(default)s)"
        parser.add_argument(f"--{name}", type=number(kind, least, most), default=default, help=told)
    parser.set_defaults(**defaults)


def say(*lines):
    """Print, whatever has become of the stream: files are written first, and a lost message loses no work."""
    with suppress(OSError):
        print(*lines, sep="\n", flush=True)


def versions(more=()):
    """What a result depends on, for results.json; `more` packages beside the project's own."""
    names = ("numpy", "scipy", "av", "matplotlib", "cupy-cuda12x", "cupy-cuda13x", *more)
    found = {"python": platform.python_version(), "slowae": __version__}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def machine():
    """What a measured time holds for."""
    found = {"cpu": platform.processor(), "cores": os.cpu_count(), "threads": blocks.threads()}
    found["processes"] = processes.count()
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:  # on Linux, the better name
        found["cpu"] = next((line.split(":")[1].strip() for line in lines if "model name" in line), found["cpu"])
    if backend.chosen() == "cupy":
        found["gpu"] = backend.device_name()
        found["tf32"] = os.environ.get("CUPY_TF32") == "1"
    return found


def peak_mb():
    """The most memory that this process has held, in MB; None where the platform does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))

"""One module for each command of `python -m slowae`: add_arguments(parser) and run(args)."""

import argparse
import importlib.metadata
import math
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

from slowae import __version__, backend, blocks


def number(kind, least, most, above=-math.inf):
    """The argparse type of an int or float between `least` and `most`, and above `above`."""

    def read(word):
        value = kind(word) if len(word) < 40 else math.inf  # int() of a million digits takes a minute
        if least <= value <= most and value > above:
            return value
        floor = f"above {above:g}" if above >= least else f"between {least:g} and"
        raise argparse.ArgumentTypeError(
            f"must be {floor} {'and at most ' if above >= least else ''}{most:g}, not {word[:40]}"
        )

    read.__name__ = kind.__name__  # argparse: "invalid int value"
    return read


def _weight(name):
    return {"type": number(float, 0, 1e6), "help": f"weight of {name} (%(default)s)"}


# Every option of every command, with its range; a command chooses by name, and may give another default.
OPTIONS = {
    "video": {"type": Path, "help": "a video file or a folder of them (default: clips that come along)"},
    "fps": {
        "type": number(float, 1e-3, 1e4),
        "default": 6.0,
        "help": "frames a second that count as adjacent (%(default)s)",
    },
    "tiles": {
        "type": number(int, 1, 64),
        "help": "N x N windows of 32 x 32 a frame (default: 4 if the video is short, else 1)",
    },
    "folds": {"type": number(int, 1, 100), "default": 1, "help": "parts by video, each tested once (%(default)s)"},
    "seeds": {"type": number(int, 1, 100), "default": 1, "help": "trainings of each row, from --seed on (%(default)s)"},
    "distractors": {
        "type": number(int, 0, 10**7),
        "default": 0,
        "help": "frames of the training films that make a second, larger gallery (%(default)s)",
    },
    "steps": {"type": number(int, 1, 10**9), "default": 3000, "help": "of each training (%(default)s)"},
    "batch": {"type": number(int, 1, 10**6), "default": 8, "help": "pairs a step (%(default)s)"},
    "rate": {"type": number(float, 1e-12, 1e6), "default": 1e-3, "help": "learning rate (%(default)s)"},
    "alpha": {"default": 1.0, **_weight("sparsity")},
    "beta": {"default": 4.0, **_weight("slowness")},
    "alpha2": {"default": 1.0, **_weight("sparsity in layer 2")},
    "beta2": {"default": 4.0, **_weight("slowness in layer 2")},
    "bias-rate": {
        "type": number(float, 0, 1),
        "default": 0.03,
        "help": "biases learn so much slower than filters (%(default)s)",
    },
    "rise": {
        "type": number(float, 0, 1),
        "default": 0.25,
        "help": "share of a training over which beta rises from 0 (%(default)s)",
    },
    "epsilon": {"type": number(float, 0, 1e6), "default": 0.3, "help": "of ZCA, in mean eigenvalues (%(default)s)"},
    "epochs": {"type": number(int, 1, 10**4), "default": 20, "help": "of the supervised ConvNet (%(default)s)"},
    "pairs": {"type": number(int, 2, 10**8), "default": 85000, "help": "pairs of patches to extract (%(default)s)"},
    "beta-sparse": {"default": 4.0, **_weight("slowness in the second run")},
    "step": {"type": number(int, 1, 18), "default": 1, "help": "degrees between views (%(default)s)"},
    "held-out": {
        "type": number(float, 0, 0.99, above=0),
        "default": 0.2,
        "help": "share of views kept from training (%(default)s)",
    },
    "patch": {"type": number(int, 1, 90), "default": 1, "help": "hold out squares of N x N views (%(default)s)"},
    "hidden": {"type": number(int, 1, 10**5), "default": 200, "help": "hidden units (%(default)s)"},
    "margin": {"type": number(float, 1e-6, 1e6), "default": 2.0, "help": "m of Eq. 1, in units of z (%(default)s)"},
    "near": {"type": number(int, 1, 10**6), "default": 100, "help": "near pairs a step (%(default)s)"},
    "far": {"type": number(int, 1, 10**4), "default": 2, "help": "far pairs for each near one (%(default)s)"},
    "grid-steps": {
        "type": number(int, 1, 10**9),
        "default": 800,
        "help": "for each cell of alpha x beta (%(default)s)",
    },
    "seed": {"type": number(int, 0, 2**63), "default": 0, "help": "of every random choice (%(default)s)"},
}


def add_options(parser, names, **defaults):
    """Add options by name, "video fps", in the ranges that they have everywhere."""
    for name in names.split():
        parser.add_argument(f"--{name}", **OPTIONS[name])
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

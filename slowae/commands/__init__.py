"""A module for each command of `python -m slowae`: add_arguments(parser) and run(args)."""

import argparse
import math
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from slowae.checks import require


def called():
    """How the program was called: as the installed command or else by python -m."""
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


def path(word):
    """The argparse type of a file or folder."""
    if not word:
        raise argparse.ArgumentTypeError("is empty: give a file or a folder")
    return Path(word).expanduser()  # no shell does it behind a =


def require_groups(filters, group, whose):
    """ValueError unless so many filters are whole pool groups."""
    require(filters % group == 0, f"--filters must be a multiple of {group}, the group of {whose}, not {filters}")


# Every number of every command: its range, and what it is. Its default stands in a dataclass.
OPTIONS = {
    "fps": (float, 1e-3, 1e4, "frames a second that count as adjacent"),
    "tiles": (int, 1, 64, "N x N windows of 32 x 32 a frame; by default 4 if the video is short, else 1"),
    "folds": (int, 1, 100, "parts by video or place, each tested once"),
    "seeds": (int, 1, 100, "trainings of each row, from --seed on"),
    "distractors": (int, 0, 10**7, "frames of the training films that make a second, larger gallery"),
    "steps": (int, 1, 10**9, "of each training; ConvNets take epochs"),
    "batch": (int, 1, 10**5, "pairs a step"),
    "rate": (float, 1e-12, 1e6, "learning rate"),
    "bias-rate": (float, 0, 1, "how many times as fast as filters biases learn"),
    "alpha": (float, 0, 1e6, "weight of sparsity"),
    "beta": (float, 0, 1e6, "weight of slowness"),
    "filters": (int, 1, 10**5, "number of filters"),
    "alpha2": (float, 0, 1e6, "weight of sparsity in layer 2"),
    "beta2": (float, 0, 1e6, "weight of slowness in layer 2"),
    "filters2": (int, 1, 10**5, "number of filters in layer 2"),
    "beta-sparse": (float, 0, 1e6, "weight of slowness in the second run"),
    "rise": (float, 0, 1, "share of a training over which the weights of z rise from 0"),
    "epsilon": (float, 0, 1e6, "of ZCA, in mean eigenvalues"),
    "epochs": (int, 1, 10**4, "of the ConvNet with all labels"),
    "labels": (int, 1, 10**6, "of CIFAR-10 that rows with few labels learn from"),
    "pairs": (int, 50, 10**8, "pairs of patches to extract"),
    "step": (int, 1, 18, "degrees between views"),
    "margin": (float, 1e-6, 1e6, "m of Eq. 1, in units of z"),
    "seed": (int, 0, 2**63, "of every random choice"),
}


def add_options(parser, names, defaults):
    """Add options by name, "fps steps"; "video" is a path. The parsed arguments have only those that were given; of the
    others --help shows the defaults (a dict)."""
    for name in names.split():
        if name == "video":
            read, text = path, "a video file, or a folder (default: clips that come along)"
        else:
            *limits, text = OPTIONS[name]
            read, default = number(*limits), defaults.get(name.replace("-", "_"))
            text += "" if default is None else f" ({default})"
        parser.add_argument(f"--{name}", type=read, default=argparse.SUPPRESS, help=text)


def given(args, names):
    """{name: value} of the options among `names` that were given."""
    return {name: getattr(args, name) for name in names if hasattr(args, name)}


def said(args, settings):
    """A dataclass of settings -> the same with the options that were given in their places."""
    return replace(settings, **given(args, vars(settings)))


def say(*lines):
    """Print, even into a closed stream: files are written first, and a lost message loses no work."""
    with suppress(OSError):
        print(*lines, sep="\n", flush=True)

"""Whole runs of the command line in seconds: tiny films, and a whitening without its 3072 x 3072 eigenvectors.

python tests/tiny.py WORDS is python -m slowae WORDS, so cheapened. In the environment, KILL=n lets it die at once where
it would move its n-th file into place, and PLAIN leaves the pictures out.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from films import shot, write_film

from slowae import plots
from slowae.__main__ import main, parse, program
from slowae.data import whitening

ROOT = Path(__file__).parents[1]
WORDS = "--video films --steps 3 --batch 2 --rate 1e-4 --epsilon 0.05 --seed 5 --backend numpy --out out".split()
PICTURES = "save filters training_curves precision_recall nearest_frames".split()


def _nothing(*_, **__):
    pass


def refuse(error):
    """A function that does nothing but raise it."""

    def refused(*_, **__):
        raise error

    return refused


def cheap_whitening(frames, epsilon):
    """Of the right shape, and another one for other frames or another epsilon."""
    flat = frames.reshape(len(frames), -1)
    matrix = np.eye(flat.shape[1], dtype=np.float32) / np.float32(flat.std() * (1 + epsilon))
    return whitening.Whitening(flat.mean(0, dtype=np.float64).astype(np.float32), matrix, epsilon)


def write_films(folder, count=6, lengths=(9, 14), first=0):
    """`count` films of two shots each, no two alike -> the folder."""
    folder.mkdir(exist_ok=True)
    for i in range(first, first + count):
        shots = [shot(2 * i + j, length + i % 3) for j, length in enumerate(lengths)]
        write_film(folder / f"{i}.mkv", np.concatenate(shots))
    return folder


@pytest.fixture
def cheap(monkeypatch):
    """main() in seconds: no eigenvectors, no pictures."""
    monkeypatch.setattr(whitening, "principal_axes", lambda frames: (frames,))
    monkeypatch.setattr(whitening, "whitening", cheap_whitening)
    for name in PICTURES:
        monkeypatch.setattr(plots, name, _nothing)


def compare(*words):
    """main(WORDS and these; the later of two wins) in the folder that holds films/ -> what results.json holds."""
    words = [*WORDS, *map(str, words)]
    assert main(words) == 0
    return results(parse(words)[1].out)


def results(out):
    return json.loads((Path(out) / "results.json").read_text())


def contents(folder):
    """{name: bytes} of the files in a folder, its subfolders' too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def process(words, cwd, shell=None, **environment):
    """python tests/tiny.py WORDS in a process of its own; `shell` holds {} where that stands in a shell's line."""
    given = {name: str(value) for name, value in environment.items()}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""} | given
    words = [sys.executable, __file__, *map(str, words)]
    if shell:
        words = ["sh", "-c", shell.format('"$@"'), "sh", *words]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment)


def _die_at(count):
    """SIGKILL in place of the count-th move of a file."""
    replace, moves = os.replace, iter(range(1, count))

    def move(*paths):
        if next(moves, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    os.replace = move


if __name__ == "__main__":
    whitening.principal_axes, whitening.whitening = lambda frames: (frames,), cheap_whitening
    if "PLAIN" in os.environ:
        for name in PICTURES:
            setattr(plots, name, _nothing)
    if "KILL" in os.environ:
        _die_at(int(os.environ["KILL"]))
    program()

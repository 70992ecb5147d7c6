"""What `bench` weighs: the peak of a process that trains on so many frames, or searches among them.

Apart from `bench_cases`, which may import PyTorch: a child's peak begins with what its parent holds.
"""

import multiprocessing
import tempfile
from argparse import Namespace
from pathlib import Path

import numpy as np

from slowae import metrics, model
from slowae.commands import peak_mb
from slowae.commands.train import fit_layer
from slowae.data import whitening


def train_on(frames, side=32, batch=32, steps=5):
    """Layer 1 on so many frames, whitening included -> the peak of this process in MB."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (frames, side, side, 3), dtype=np.uint8)
    pairs = np.column_stack([np.arange(len(frames) - 1), np.arange(1, len(frames))])
    whiten = whitening.fit_whitening(frames, 0.1)
    with tempfile.TemporaryDirectory() as out:
        args = Namespace(
            seed=0, batch=batch, steps=steps, rate=1e-5, optimizer="adam", epsilon=0.1, out=Path(out), resume=False
        )
        fit_layer("memory", model.Config(), model.FILTERS[0], whiten, frames, pairs, frames[pairs[:32].T.ravel()], args)
    return peak_mb()


def search_among(frames, side=32, queries=1000):
    """Top 40 among layer 1's codes of so many frames -> the peak of this process in MB."""
    rng = np.random.default_rng(0)
    gallery = rng.random((frames, 4 * side**2), dtype=np.float32)
    metrics.neighbours(gallery[:queries], gallery)
    return peak_mb()


def memory(counts=(10_000, 50_000, 150_000), side=32):
    """{what: {frames: MB}}, each measured in a process of its own, on the host."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {
            what: {str(count): pool.apply(work, (count, side)) for count in counts}
            for what, work in (("training", train_on), ("retrieval", search_among))
        }

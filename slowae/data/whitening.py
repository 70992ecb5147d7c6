"""ZCA whitening: W = E (D + eps)^(-1/2) E^T of the training frames' covariance E D E^T (Section 5).

eps is relative: it multiplies the mean eigenvalue. Too small a one amplifies compression noise into plaid patterns;
too large a one leaves the blur. One scale for all brings the mean variance to 1, so alpha and beta have units.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.linalg import eigh

from slowae import files
from slowae.backend import array_module
from slowae.blocks import map_blocks
from slowae.checks import require


@dataclass(frozen=True)
class Whitening:
    """mean (D,) in grey levels, matrix (D, D), scale included, both float32; the epsilon that it was fitted with."""

    mean: np.ndarray
    matrix: np.ndarray
    epsilon: float | None = None

    @property
    def arrays(self):
        """What it does to frames, as parameters of a row."""
        return {"mean": self.mean, "matrix": self.matrix}

    def __call__(self, frames):
        """frames (N, ...) uint8 or float, of either backend -> (N, ...) float32, mean variance 1 in training."""
        flat = frames.reshape(len(frames), -1)
        # In two halves, not one threaded product: after that, BLAS's idle thread would spin on a core of the next step.
        half = -(-len(flat) // 2) or 1

        def white(i):  # of other types NumPy's difference is float64
            return (flat[i : i + half] - self.mean).astype(self.matrix.dtype, copy=False) @ self.matrix

        parts = map_blocks(white, range(0, len(flat), half))
        return array_module(self.matrix).concatenate(parts).reshape(frames.shape)


def covariance(rows, count, block):
    """<r r^T> over `count` rows, of which rows(slice) makes (n, D) float64, `block` at a time -> (D, D).

    ValueError if the rows hold NaN, Inf or numbers whose squares are Inf.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        C = sum((r := rows(slice(i, i + block))).T @ r for i in range(0, count, block)) / count
    require(np.isfinite(C).all(), "the data to whiten hold NaN or Inf, or numbers too large to be squared")
    return C


def sphere(C, most, least):
    """Covariance C (D, D) -> S (D, d) such that S^T C S = I: along the `most` principal axes of largest variance.

    Fewer where axes have less variance than `least` times the largest; the largest entry of each is positive.
    ValueError if nothing varies.
    """
    D = len(C)
    variance, E = eigh(C, subset_by_index=(max(0, D - most), D - 1))
    require(variance[-1] > 0, "the data to whiten are all the same, or too small to be squared")
    E *= np.sign(E[np.abs(E).argmax(0), np.arange(E.shape[1])])  # else rounding decides
    large = variance > least * variance[-1]
    return E[:, large] / np.sqrt(variance[large])


def principal_axes(frames, block=4096):
    """frames (N, ...) uint8 or float -> mean (D,), eigenvalues (D,) and eigenvectors (D, D) of the covariance, float64.

    ValueError for NaN, Inf, frames that are all the same, and those whose size is far from that of grey levels.
    """
    flat = frames.reshape(len(frames), -1)
    with np.errstate(invalid="ignore", over="ignore"):  # Inf - Inf
        mean = sum(flat[i : i + block].sum(0, dtype=np.float64) for i in range(0, len(flat), block)) / len(flat)
        C = covariance(lambda b: flat[b] - mean, len(flat), block)
        rounding = 1e-20 * (mean**2).mean()
    good = max(rounding, 1e-30) < np.trace(C) / len(C) < 1e30
    require(good, "the frames to whiten are all the same, or vary by far less or more than grey levels do; scale them")
    D, E = np.linalg.eigh(C)
    return mean, D.clip(0), E


def whitening(mean, D, E, epsilon):
    """What principal_axes returns -> Whitening. ValueError if epsilon is negative."""
    require(epsilon >= 0, f"epsilon must not be negative, and is {epsilon:g}")
    offset = epsilon * D.mean()
    gain = np.zeros_like(D)
    np.divide(1, np.sqrt(D + offset), out=gain, where=D + offset > 1e-10 * D.mean())
    scale = 1 / np.sqrt((gain**2 * D).mean())
    return Whitening(mean.astype(np.float32), (scale * (E * gain) @ E.T).astype(np.float32), float(epsilon))


def fit_whitening(frames, epsilon):
    """frames (N, ...) uint8 or float -> Whitening. float64 throughout; ValueError as principal_axes."""
    return whitening(*principal_axes(frames), epsilon)


def kept_whitening(folder, frames, epsilon, resume=True):
    """fit_whitening, cached in `folder`, if there is one."""
    if folder is None:
        return fit_whitening(frames, epsilon)
    path = Path(folder) / f"whitening-{files.key([files.checksum(frames), epsilon])}.npz"
    return Whitening(**files.cached(path, lambda: fit_whitening(frames, epsilon).arrays, resume), epsilon=epsilon)

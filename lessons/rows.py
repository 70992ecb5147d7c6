"""What lesson 11 asks for and the package has no function of, which does rows and columns of all maps at once."""

import numpy as np

from slowae import conv
from slowae.conv_fourier import waves


def convolve_rows(x, w):
    """Each row of a map x (H, W) with w (F,), zero-padded -> a (H, W)."""
    there, back, taps = waves(x.shape[1], len(w), half=True)
    (X_re, X_im), (f_re, f_im) = (x @ m.T for m in there), (m @ w for m in taps)
    A_re, A_im = X_re * f_re - X_im * f_im, X_re * f_im + X_im * f_re
    return A_re @ back[0] + A_im @ back[1]


def convolve_rows_transposed(da, w):
    """The transpose of convolve_rows: da (H, W) -> dx (H, W)."""
    there, back, taps = waves(da.shape[1], len(w), half=True)
    (dA_re, dA_im), (f_re, f_im) = (da @ m.T for m in back), (m @ w for m in taps)
    dX_re, dX_im = dA_re * f_re + dA_im * f_im, dA_im * f_re - dA_re * f_im
    return dX_re @ there[0] + dX_im @ there[1]


def _one_row(w):
    """A filter of lesson 05 that has only this row."""
    W = np.zeros((len(w), len(w), 1, 1))
    W[len(w) // 2, :, 0, 0] = w
    return W


def by_patches(x, w):
    """convolve_rows by lesson 05's patches."""
    return conv.conv_forward(x[None, ..., None].astype(float), _one_row(w), np.zeros(1))[0][0, ..., 0]


def transposed_by_patches(da, w):
    """convolve_rows_transposed by lesson 05's decoder."""
    return conv.decode_forward(da[None, ..., None].astype(float), _one_row(w))[0][0, ..., 0]


def in_circle(row, w, L):
    """A row (n,) with w (F,) on a circle of L places -> (n,); right from L = n + F // 2 on."""
    taps = np.zeros(L)
    taps[(np.arange(len(w)) - len(w) // 2) % L] = w
    return np.fft.irfft(np.fft.rfft(row, L) * np.fft.rfft(taps).conj(), L)[: len(row)]

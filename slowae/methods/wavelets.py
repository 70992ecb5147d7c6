"""A layer that learns nothing: Morlet wavelets, four phases to a pool group (Bruna, Mallat 2013, their first layer).

The ReLU of a wave's four phases 0, 90, 180, 270 degrees, squared and summed, is the squared modulus of its complex
response: Eq. 2's pool over 4 maps and 2 x 2 places is the modulus of the scattering transform. Unlike theirs this is no
frame: there is no low-pass filter, and with filters of unit norm the code of a long wave is 1.8 times that of a short.
"""

from itertools import product

import numpy as np

PHASES, SIZE, SIDE = 4, 2, 9
# Red, green and blue of luminance and of the two opponent colours, unit vectors.
LUMINANCE, RED_GREEN, BLUE_YELLOW = np.array([[1, 1, 1], [1, -1, 0], [-1, -1, 2]]) / np.sqrt([[3], [2], [6]])
ANGLES = np.pi * np.arange(4) / 4
# (colour, wavelength in pixels, angle of the wave vector in radians) of the 16 groups.
WAVES = [*product([LUMINANCE], [4, 8], ANGLES), *product([RED_GREEN, BLUE_YELLOW], [8], ANGLES)]


def morlet(size, wavelength, angle):
    """psi(u) = (exp(i k.u) - c) exp(-|u|^2 / 2 s^2), s = 0.3 wavelength, c such that sum psi = 0.

    wavelength: 2 pi / |k|, pixels; angle: of k from the x axis towards larger y, radians -> (size, size) complex, its
    real and its imaginary part of unit norm.
    """
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    wave = np.exp(2j * np.pi / wavelength * (np.cos(angle) * x + np.sin(angle) * y))
    envelope = np.exp(-(x * x + y * y) / (2 * (0.3 * wavelength) ** 2))
    psi = (wave - (wave * envelope).sum() / envelope.sum()) * envelope
    return psi.real / np.linalg.norm(psi.real) + 1j * psi.imag / np.linalg.norm(psi.imag)


def bank():
    """-> filters (9, 9, 3, 64) float32: four phases of each wave, which are pooled together."""
    waves = [morlet(SIDE, wavelength, angle)[..., None] * colour for colour, wavelength, angle in WAVES]
    phases = [part for psi in waves for part in (psi.real, psi.imag, -psi.real, -psi.imag)]
    return np.stack(phases, -1).astype(np.float32)


def fit(data, config, run):
    """Nothing to learn: the whitening, and the bank."""
    W, pool = bank(), np.array([PHASES, SIZE])
    return data.whiten.arrays | {"pool": pool, "W_e": W, "b_e": np.zeros(W.shape[-1], np.float32), "W_d": W}

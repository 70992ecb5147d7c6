"""The wavelets: unit norm, no mean, quadrature; a group answers its own wave, wherever it is, and most of all."""

import numpy as np

from slowae import measures, model
from slowae.backend import to_device, to_host
from slowae.methods import wavelets
from slowae.methods.slow_autoencoder import FIRST

W = wavelets.bank().astype(float)


def test_filters_have_unit_norm_and_no_mean_and_phases_are_in_quadrature():
    assert W.shape == (9, 9, 3, 64)
    groups = W.reshape(-1, 16, 4)
    np.testing.assert_allclose((groups**2).sum(0), 1, rtol=1e-6)
    np.testing.assert_allclose(W.sum((0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(W.sum((0, 1)), 0, atol=1e-6)  # no colour by itself, either
    np.testing.assert_allclose(groups[..., 2:], -groups[..., :2])
    np.testing.assert_allclose((groups[..., 0] * groups[..., 1]).sum(0), 0, atol=1e-6)
    colours = np.array([wavelets.LUMINANCE, wavelets.RED_GREEN, wavelets.BLUE_YELLOW])
    np.testing.assert_allclose(colours @ colours.T, np.eye(3), atol=1e-12)


def test_what_figure_2_measures_finds_the_waves():
    """Wave vectors, read off the spectra; a grey image of each wave."""
    for i, (colour, wavelength, angle) in enumerate(wavelets.WAVES):
        units = measures.measure(np.einsum("yxck,c->yxk", W[..., 4 * i : 4 * i + 4], colour))
        np.testing.assert_allclose(units["frequency"], 1 / wavelength, rtol=0.2)
        turned = (units["orientation"] - angle) * 2
        np.testing.assert_allclose(np.abs(np.exp(1j * turned) - 1), 0, atol=0.05)


def test_a_wave_is_answered_alike_at_every_phase_and_by_its_own_group_most():
    params = to_device({"W_e": W, "b_e": np.zeros(64)})
    y, x = np.mgrid[:32, :32]
    phases = 2 * np.pi * np.arange(16) / 16
    for i, (colour, wavelength, angle) in enumerate(wavelets.WAVES):
        along = 2 * np.pi / wavelength * (np.cos(angle) * x + np.sin(angle) * y)
        waves = np.cos(along[..., None] + phases[:, None, None, None]) * colour
        z = to_host(model.encode(params, to_device(waves), FIRST))[:, 4:12, 4:12]  # no edges
        assert z[..., i].std() < 0.03 * z[..., i].mean()
        assert (z.mean((0, 1, 2)).argsort()[-1]) == i
        h = to_host(model.encode(params, to_device(waves), model.Config(group=1, size=1)))[:, 8:24, 8:24, 4 * i]
        assert h.std() > h.mean()  # and one filter is not

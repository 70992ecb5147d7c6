"""Whitened training frames have the covariance that the eigenvalues promise; what is bad is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from slowae.backend import to_device, to_host
from slowae.data.whitening import Whitening, fit_whitening, kept_whitening, principal_axes


def correlated(rng, count, shape=(3, 4, 2), scale=20.0):
    """Frames of correlated numbers around 100 grey levels, float64."""
    D = int(np.prod(shape))
    mixing = rng.standard_normal((D, D)) * np.logspace(0, -1.5, D)
    return (100 + scale * rng.standard_normal((count, D)) @ mixing).reshape(count, *shape)


def spectrum(frames):
    """Mean, eigenvalues and eigenvectors of the covariance, straight from the definition."""
    flat = frames.reshape(len(frames), -1).astype(np.float64)
    return flat.mean(0), *np.linalg.eigh(np.cov(flat.T, bias=True))


@given(seeds, st.sampled_from([0.0, 0.01, 1.0, 30.0]))
def test_the_matrix_is_zca_in_float64_terms(seed, epsilon):
    """E (D + eps)^(-1/2) E^T, not PCA's (D + eps)^(-1/2) E^T: symmetric, so frames still look like frames."""
    frames = correlated(np.random.default_rng(seed), 200)
    mean, D, E = spectrum(frames)
    gain = (D + epsilon * D.mean()) ** -0.5
    gain /= np.sqrt((gain**2 * D).mean())
    whiten = fit_whitening(frames, epsilon)
    np.testing.assert_allclose(whiten.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(whiten.matrix, E * gain @ E.T, atol=1e-6 * gain.max())
    white = Whitening(to_device(whiten.mean), to_device(whiten.matrix))(to_device(frames))
    white = to_host(white).reshape(200, -1)
    np.testing.assert_allclose(white, (frames.reshape(200, -1) - mean) @ whiten.matrix, atol=1e-3)
    assert whiten.matrix.dtype == whiten.mean.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int64, np.float16])
def test_the_mean_variance_is_one_and_shape_and_type_are_kept(dtype):
    frames = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    whiten = fit_whitening(frames, 0.3)
    white = whiten(frames.astype(dtype))
    assert white.shape == frames.shape and white.dtype == np.float32
    np.testing.assert_allclose((white.astype(np.float64) ** 2).mean(), 1, rtol=1e-5)
    np.testing.assert_allclose(whiten(frames[:1]), white[:1], atol=1e-4)  # of any number of frames


@given(seeds, st.integers(2, 20), st.sampled_from([0.0, 0.1]))
def test_fewer_frames_than_numbers(seed, count, epsilon):
    """Rank-deficient: directions without variance stay finite, and carry nothing on the training frames."""
    frames = correlated(np.random.default_rng(seed), count)
    whiten = fit_whitening(frames, epsilon)
    assert np.isfinite(whiten.matrix).all()
    white = whiten(frames).reshape(count, -1).astype(np.float64)
    np.testing.assert_allclose((white**2).mean(), 1, rtol=1e-2)
    _, D, E = spectrum(frames)
    variance = ((white @ E) ** 2).mean(0)
    empty = D < 1e-10 * D.mean()
    assert empty.sum() >= 24 - count + 1 and variance[empty].max() < 1e-3
    if epsilon == 0:
        np.testing.assert_allclose(variance[~empty], 24 / (~empty).sum(), rtol=2e-2)
        assert np.abs(whiten.matrix @ E[:, empty]).max() < 1e-3 * np.abs(whiten.matrix).max()


def test_blocks_and_order_do_not_matter():
    frames = np.random.default_rng(0).integers(0, 256, (100, 3, 3, 3), dtype=np.uint8)
    mean, D, _ = principal_axes(frames)
    for other in (principal_axes(frames, block=7), principal_axes(frames[::-1])):
        np.testing.assert_allclose(other[0], mean)
        np.testing.assert_allclose(other[1], D, atol=1e-9 * D.max())


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (np.array([[np.nan, 1.0], [1, 2]]), "hold NaN or Inf"),
        (np.array([[np.inf, 1.0], [-np.inf, 2]]), "hold NaN or Inf"),
        (np.full((1000, 12), np.uint8(0)), "all the same"),
        (np.full((1000, 12), 1e9 + 0.1), "all the same"),
    ],
)
def test_what_cannot_be_whitened_is_refused(frames, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_whitening(frames, 0.1)


@pytest.mark.parametrize("scale", [1e-200, 1e-25, 1e-6, 1e6, 1e25, 1e200])
def test_frames_far_from_grey_levels_are_refused_and_others_whitened_alike(scale):
    frames = np.random.default_rng(0).standard_normal((50, 12))
    if 1e-6 <= scale <= 1e6:
        white = fit_whitening(scale * frames, 0.1)(scale * frames)
        np.testing.assert_allclose(white, fit_whitening(frames, 0.1)(frames), atol=1e-5)
    else:
        with pytest.raises(ValueError, match=r"^the (frames|data) to whiten (are all .*; scale|hold NaN or Inf)"):
            fit_whitening(scale * frames, 0.1)


def test_it_is_cached_for_the_same_frames_and_epsilon(tmp_path):
    frames = correlated(np.random.default_rng(0), 60)
    made = kept_whitening(tmp_path, frames, 0.25)
    for _ in range(2):
        other = [kept_whitening(tmp_path, frames, 0.3), kept_whitening(tmp_path, frames[1:], 0.25)]
        assert not any(np.array_equal(made.matrix, o.matrix) for o in other) and len(list(tmp_path.iterdir())) == 3
    again = kept_whitening(tmp_path, frames, 0.25)
    np.testing.assert_array_equal(again(frames), made(frames))
    assert again.epsilon == 0.25 and again.matrix.dtype == np.float32

"""Pairs of patches out of arrays: one place in both frames, whitened, of one contrast."""

import numpy as np

from slowae.data import patches
from slowae.data.scenes import Scene
from slowae.data.whitening import fit_whitening


def test_prepare_whitens_and_evens_out_contrast():
    frames = np.random.default_rng(0).integers(0, 256, (60, 2, 10, 10), dtype=np.uint8)
    frames[3] //= 8  # one pair of low contrast
    whiten = fit_whitening(frames.reshape(-1, 100), 0.3)
    x = patches.prepare([Scene("a", i, 1, 0, part) for i, part in enumerate((frames[:20], frames[20:]))], whiten)
    assert x.shape == (2, 60, 100) and x.dtype == np.float32
    np.testing.assert_allclose((x**2).mean((0, 2)), 1, atol=0.3)
    for i in (0, 3, 59):  # one scale for both patches of a pair: x_t to x_t' stays as it was
        pair = np.stack([whiten(frames[i, j].reshape(1, -1))[0] for j in (0, 1)])
        np.testing.assert_allclose(x[:, i], pair / (np.sqrt((pair**2).mean()) + 0.1), rtol=1e-4, atol=1e-5)


def test_patches_of_frames_are_one_place_in_both_frames_of_a_pair():
    rng, pairs = np.random.default_rng(0), np.array([[0, 2], [1, 3], [4, 2]])
    frames = rng.integers(0, 256, (5, 11, 12, 3), dtype=np.uint8)
    count = 100 * patches.PER_FRAME + 50  # more than are whitened at once
    x = patches.frame_patches(frames, pairs, lambda f: f.astype(np.float32) / 64 - 2, count, 9, rng)
    assert x.shape == (2, count, 243) and x.dtype == np.float32
    possible = {}
    for pair, top, left in np.ndindex(3, 3, 4):
        both = frames[pairs[pair], top : top + 9, left : left + 9].reshape(2, 243) / 64 - 2
        possible[pair, top, left] = both / (np.sqrt((both**2).mean()) + 0.1)
    drawn = set()
    for both in x.swapaxes(0, 1):
        match = [place for place, expected in possible.items() if np.allclose(both, expected, atol=1e-4)]
        assert len(match) == 1
        drawn.update(match)
    assert drawn == set(possible)

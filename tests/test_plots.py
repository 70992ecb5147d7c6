"""Figures are judged by eye; what can be counted is tested: where each filter stands, and that files are whole."""

import numpy as np
import pytest

from slowae import plots


def test_each_filter_stands_in_its_group():
    W = np.zeros((3, 3, 3, 8))
    for k in range(8):
        W[1, 1, 0, k] = 1 if k % 2 else -1
    image = plots.filter_mosaic(W, group=4)
    block = 2 * 4 + 2
    for k in range(8):
        row, column = divmod(k // 4, 2)
        i, j = divmod(k % 4, 2)
        y, x = row * block + i * 4, column * block + j * 4
        np.testing.assert_allclose(image[y + 1, x + 1, 0], 1 if k % 2 else 0)
        np.testing.assert_allclose(image[y, x], 0.5)
    assert image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize(("K", "group", "C"), [(64, 4, 3), (64, 1, 1), (6, 2, 3), (12, 4, 1)])
def test_mosaics_of_other_sizes_hold_every_filter(K, group, C):
    W = np.random.default_rng(0).standard_normal((5, 5, C, K))
    image = plots.filter_mosaic(W, group)
    assert image.shape[2] == 3
    # White marks the gaps; each filter has one pixel at full scale, 0 or 1 in some channel.
    inside = (image != 1).any(-1).sum()
    assert inside >= K * 25 - K


def test_saving_is_whole(tmp_path):
    history = [{"step": s, "reconstruction": 1, "sparsity": 1, "slowness": 1, "active": 1, "dead": 0} for s in (1, 2)]
    plots.save(plots.training_curves({"a": history}), tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]

"""Figures are judged by eye; what can be counted is tested: where each filter stands, and that files are whole."""

import numpy as np
import pytest

from slowae import plots


@pytest.mark.parametrize(("K", "group", "C"), [(8, 4, 3), (64, 4, 3), (64, 1, 1), (6, 2, 3), (12, 4, 1)])
def test_each_filter_stands_in_its_group_scaled_by_its_largest(K, group, C):
    W = np.random.default_rng(0).standard_normal((3, 3, C, K))
    image = plots.filter_mosaic(W, group)
    assert image.shape[2] == 3 and image.min() >= 0 and image.max() <= 1
    inner, outer = (int(np.ceil(np.sqrt(n))) for n in (group, K / group))
    for k in range(K):
        (row, column), (i, j) = divmod(k // group, outer), divmod(k % group, inner)
        y, x = row * (4 * inner + 2) + 4 * i, column * (4 * inner + 2) + 4 * j
        expected = 0.5 + W[..., k] / (2 * np.abs(W[..., k]).max())
        np.testing.assert_allclose(image[y : y + 3, x : x + 3], np.broadcast_to(expected, (3, 3, 3)))
        assert (image[y + 3 : y + 4] == 1).all()  # white between them


def test_saving_is_whole_and_the_same_twice(tmp_path):
    history = [{"step": s, "reconstruction": 1, "sparsity": 1, "slowness": 1, "active": 1, "dead": 0} for s in (1, 2)]
    saved = []
    for _ in range(2):
        plots.save(plots.training_curves({"a": history}), tmp_path / "curves.png")
        saved.append((tmp_path / "curves.png").read_bytes())
    assert saved[0] == saved[1] and saved[0][:8] == b"\x89PNG\r\n\x1a\n"
    assert [p.name for p in tmp_path.iterdir()] == ["curves.png"]


def test_reconstructions_are_shown_at_the_scale_of_what_they_reconstruct(monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "frame_rows", lambda rows: [shown.append(rows)])
    x = np.linspace(-1, 1, 200).reshape(1, 10, 10, 2)
    plots.reconstructions({"whitened": x, "half": x / 2, "nothing": 0 * x})
    assert shown[0]["nothing"].dtype == np.uint8 and (shown[0]["nothing"] == 127).all()
    whole, half = (np.ptp(shown[0][name].astype(int)) for name in ("whitened", "half"))
    assert whole == 255 and half == pytest.approx(127, abs=3)


def test_very_many_rows_are_shown_by_kind_beside_the_first():
    curve = {"class_auc": 0.3, "class_recall": [0.1, 1], "class_precision": [1, 0.1]}
    rows = {f"row {i}": {**curve, "kind": "ab"[i % 2]} for i in range(20)}
    few = dict(list(rows.items())[:5])
    assert [len(axes.lines) for axes in plots.precision_recall(few, "class").axes] == [5]
    assert [len(axes.lines) for axes in plots.precision_recall(rows, "class").axes] == [10, 11]

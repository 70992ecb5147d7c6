"""Figures are judged by eye; what can be counted is tested: where each filter stands, and that files are whole."""

import matplotlib.style
import numpy as np
import pytest

from slowae import plots
from slowae.plots import paper


@pytest.mark.parametrize(("K", "group", "C"), [(8, 4, 3), (64, 1, 1), (6, 2, 3), (12, 4, 1)])
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


def test_units_that_never_fire_are_left_empty_and_counted():
    W = np.ones((3, 3, 1, 4))
    one, other = plots.filters({"a": W, "b": W}, {"a": 4, "b": 2}, {"a": [1], "b": None}).axes
    assert [text.get_text() for text in one.texts] == ["empty: 1 of 4 units that never fire"] and not other.texts


def test_reconstructions_are_shown_at_the_scale_of_what_they_reconstruct(monkeypatch):
    monkeypatch.setattr(plots, "frame_rows", lambda rows: [rows])
    x = np.linspace(-1, 1, 200).reshape(1, 10, 10, 2)
    shown = plots.reconstructions({"whitened": x, "half": x / 2, "nothing": 0 * x})
    assert shown["nothing"].dtype == np.uint8 and (shown["nothing"] == 127).all()
    whole, half = (np.ptp(shown[name].astype(int)) for name in ("whitened", "half"))
    assert whole == 255 and half == pytest.approx(127, abs=3)


def test_files_are_whole_and_the_same_whatever_a_users_settings(tmp_path):
    def saved():
        rng = np.random.default_rng(0)
        curves = {"pixels": (rng.random(5), np.linspace(0.1, 1, 5), 0.5)}
        row = dict(reconstruction=0.5, sparsity=0.1, slowness=0.2, active=0.3, dead=0)
        history = [{"step": 1} | row, {"step": 2} | row]
        figures = [plots.precision_recall(curves, (np.ones(5), np.linspace(0, 1, 5))),
                   plots.filters({"a": rng.standard_normal((3, 3, 3, 8))}),
                   plots.nearest_frames(rng.integers(0, 255, (9, 4, 4, 3), np.uint8), 0, {"a": [1, 2]}, np.arange(9)),
                   plots.training_curves({"a": history}),
                   paper.standings({"a": [(-0.1, None, None), (-0.2, None, None)]}, {"a": "control"}, "all"),
                   paper.grid({"alpha": [1, 2], "beta": [3], "one": [[1], [2]], "other": [[3], [1]]})]  # fmt: skip
        pictures = []
        for figure in figures:
            plots.save(figure, tmp_path / "picture.png")
            pictures.append((tmp_path / "picture.png").read_bytes())
        return pictures

    expected = saved()
    assert all(one.startswith(b"\x89PNG") and one.endswith(b"IEND\xaeB`\x82") for one in expected)
    user = {"image.origin": "lower", "text.usetex": True, "image.cmap": "gray", "lines.linewidth": 9}
    user["axes.unicode_minus"] = False  # read when a figure is drawn
    with matplotlib.style.context(["dark_background", user]):
        assert saved() == expected
        assert matplotlib.rcParams["lines.linewidth"] == 9  # the user's own figures do not change
    assert len(list(tmp_path.iterdir())) == 1


def test_a_picture_that_fails_is_a_sentence(tmp_path):
    with pytest.warns(UserWarning, match=r"curves.png could not be drawn: 'step'$"):
        plots.draw(tmp_path / "curves.png", plots.training_curves, {"a": [{}]})
    assert not list(tmp_path.iterdir())


def test_curves_are_precision_over_recall_and_their_area():
    curves = {"a": ([1, 0.5], [0.2, 0.9], 0.123), "b": ([0, 0.1], [0.2, 0.9], 0.4)}
    (axes,) = plots.precision_recall(curves, ([1, 1], [0.5, 1])).axes
    assert [line.get_label() for line in axes.lines] == ["a (0.123)", "b (0.400)", "oracle"]
    assert axes.lines[0].get_xydata().tolist() == [[0.2, 1], [0.9, 0.5]]


def test_names_stand_beside_their_points_and_not_on_one_another():
    rng = np.random.default_rng(0)
    rows = {f"row {i}": [(x, None, None), (y, None, None)] for i, (x, y) in enumerate(rng.normal(0, 0.1, (25, 2)))}
    rows["far"] = [(0.3, 0.2, 0.4), (5.0, 4.0, 6.0)]  # all others lie close together
    (axes,) = paper.standings(rows, dict.fromkeys(rows, "control"), "all scenes").axes
    texts = {text.get_text(): text for text in axes.texts}
    for title, (x, y) in rows.items():
        assert texts[title].xy == pytest.approx((x[0], y[0]))
    places = sorted((texts[title].xyann[1], rows[title][1][0]) for title in rows)
    assert np.diff([y for y, _ in places]).min() > 0.027 and places == sorted(places, key=lambda place: place[1])
    assert len(axes.containers) == 1  # one has an interval

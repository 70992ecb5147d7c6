"""Eq. 1, its network, its pairs, and what training may know; the plane unrolls, and its command can be repeated."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from strategies import seeds
from strict import Strict, in_use

from slowae import backend, plane_measures, plots
from slowae.__main__ import main
from slowae.backend import to_device, to_host
from slowae.commands import plane as command
from slowae.data import plane
from slowae.gradcheck import check_gradients
from slowae.losses import drlim
from slowae.methods.drlim import Config, draw_pairs, embed, init_params, loss_and_gradients, normalise, train_embedding

MARGIN = 1.5
CHAIN = np.column_stack([np.arange(29), np.arange(1, 30)])  # 30 views in one sequence
sizes = st.tuples(st.integers(1, 6), st.integers(1, 4))
forms = pytest.mark.parametrize("squared", [False, True])


# The loss


def pairs_off_kinks(shape, seed):
    """-> z, z_other (N, D), near (N,), with every |dz| at least .1 from 0 and from the margin."""
    rng = np.random.default_rng(seed)
    z, direction = rng.standard_normal((2, *shape))
    distance = rng.uniform(0.1, 1.4, shape[0]) + rng.integers(2, size=shape[0]) * MARGIN
    direction *= (distance / np.linalg.norm(direction, axis=1))[:, None]
    return z, z + direction, rng.integers(2, size=shape[0]).astype(bool)


def on_device(z, z_other, near, margin=MARGIN, squared=False):
    """drlim on the chosen backend, its results on the host."""
    loss, *grads = drlim(*(to_device(a) for a in (z, z_other, near)), margin, squared)
    return float(loss), *(to_host(g) for g in grads)


def by_loop(distances, near, margin, squared):
    terms = [d if n else max(0.0, margin - d) for d, n in zip(distances, near, strict=True)]
    return sum(t**2 / 2 if squared else t for t in terms) / len(terms)


@forms
@given(sizes, seeds)
def test_the_loss_equals_the_loop_and_its_gradients_the_differences(squared, shape, seed):
    z, z_other, near = pairs_off_kinks(shape, seed)

    def forward(z, z_other):
        loss, *grads = on_device(z, z_other, near, squared=squared)
        return loss, grads

    distances = [math.dist(a, b) for a, b in zip(z.tolist(), z_other.tolist(), strict=True)]
    assert forward(z, z_other)[0] == pytest.approx(by_loop(distances, near, MARGIN, squared), rel=1e-12)
    check_gradients(
        forward,
        lambda dout, grads: tuple(dout * g for g in grads),
        {"z": z, "z_other": z_other},
        np.random.default_rng(seed),
    )


@forms
@pytest.mark.parametrize("distance", [0, 5.0, 5.1, 1e6])
def test_at_the_kinks_and_beyond_the_margin_nothing_moves(squared, distance):
    z, near = np.zeros((2, 2)), np.array([distance == 0, False])
    z_other = z + distance / 5 * np.array([3.0, 4.0])
    loss, dz, dz_other = on_device(z, z_other, near, 5.0, squared)
    assert loss == ((12.5 if squared else 5.0) / 2 if distance == 0 else 0)  # the far pair that coincides pays
    assert not dz.any() and not dz_other.any()


def test_eq_1_pulls_and_pushes_with_unit_force_and_hadsell_does_not():
    z, near = np.zeros((2, 2)), np.array([True, False])
    for distance in (0.5, 1.0):
        z_other = np.array([[distance, 0.0]] * 2)
        assert (2 * on_device(z, z_other, near, 2.0)[1]).tolist() == [[-1, 0], [1, 0]]
        assert (2 * on_device(z, z_other, near, 2.0, True)[1]).tolist() == [[-distance, 0], [2 - distance, 0]]


@forms
def test_float32_stays_on_its_device_and_arguments_are_left_alone(squared):
    z, z_other, near = (a.astype(np.float32) if a.dtype == float else a for a in pairs_off_kinks((4, 2), 0))
    before = z.copy(), z_other.copy(), near.copy()
    loss, dz, dz_other = drlim(*map(Strict.of, (z, z_other, near)), MARGIN, squared)
    assert type(dz) is Strict and dz.dtype == dz_other.dtype == np.float32 and float(loss) > 0
    drlim(z, z_other, near, MARGIN, squared)
    for value, kept in zip((z, z_other, near), before, strict=True):
        np.testing.assert_array_equal(value, kept)


# The network


def small_problem(seed, hidden=5):
    """-> float64 params and a batch of 6 frames in 9 pairs, on the host."""
    rng = np.random.default_rng(seed)
    params = {name: value.astype(float) for name, value in init_params(rng, 4, hidden).items()}
    params["b_1"], params["b_2"] = rng.standard_normal(hidden), rng.standard_normal(2)
    first, second = rng.integers(6, size=(2, 9))
    return params, (rng.standard_normal((6, 4)), first, second, rng.integers(2, size=9).astype(bool))


@forms
@given(seeds)
def test_the_network_equals_the_loop_and_its_gradients_the_differences(squared, seed):
    params, (x, first, second, near) = small_problem(seed)
    a = [[sum(row * W) + b for W, b in zip(params["W_1"].T, params["b_1"], strict=True)] for row in x]
    z = [[sum(np.maximum(row, 0) * W) + b for W, b in zip(params["W_2"].T, params["b_2"], strict=True)] for row in a]
    distances = np.array([math.dist(z[i], z[j]) for i, j in zip(first, second, strict=True)])
    off = distances[first != second]
    assume(np.abs(a).min() > 1e-3 and (np.minimum(off, np.abs(off - 1)) > 1e-3).all())
    device, config = tuple(map(to_device, (x, first, second, near))), Config(margin=1.0, squared=squared)

    b_2 = params.pop("b_2")

    def forward(**params):
        loss, grads = loss_and_gradients(to_device(params | {"b_2": b_2}), device, config)
        return float(loss), to_host(grads)

    loss, grads = forward(**params)
    assert loss == pytest.approx(by_loop(distances, near, 1.0, squared), rel=1e-10)
    np.testing.assert_allclose(grads["b_2"], 0, atol=1e-12)  # only distances matter
    if loss > 0:
        backward = lambda dout, grads: tuple(dout * grads[name] for name in params)  # noqa: E731
        check_gradients(forward, backward, params, np.random.default_rng(seed))


@given(seeds, st.integers(1, 6), st.integers(1, 4))
def test_pairs_are_near_if_and_only_if_adjacent_in_time(seed, near, far):
    frames, first, second, is_near = draw_pairs(np.random.default_rng(seed), CHAIN, Config(near=near, far=far))
    assert len(frames) == 2 * near and len(first) == len(second) == len(is_near) == near * (1 + far)
    apart = np.abs(frames[first] - frames[second])
    np.testing.assert_array_equal(is_near, apart <= 1)
    assert (apart[:near] == 1).all()


def test_far_pairs_reach_everywhere():
    rng, seen = np.random.default_rng(0), set()
    for _ in range(300):
        frames, first, second, near = draw_pairs(rng, CHAIN, Config(near=10, far=5))
        seen |= {frozenset(pair) for pair in zip(frames[first[~near]], frames[second[~near]], strict=True)}
    assert len(seen) == 30 * 29 / 2 - 29


def test_training_never_looks_at_held_out_views_nor_leaves_the_device():
    x = np.random.default_rng(0).standard_normal((30, 4), dtype=np.float32)
    pairs, config = CHAIN[(CHAIN < 20).all(1)], Config(hidden=3, near=5, steps=5)
    plain, _ = train_embedding(to_device(x), pairs, config, seed=2)
    x[20:] = np.nan
    with in_use():
        found, _ = train_embedding(to_device(x), pairs, config, seed=2)
    for name, value in found.items():
        assert type(value) is np.ndarray
        np.testing.assert_allclose(value, plain[name], rtol=1e-5, atol=1e-7)


def test_normalise():
    views, training = np.random.default_rng(0).integers(256, size=(20, 3, 3), dtype=np.uint8), np.arange(20) < 15
    x = normalise(views, training)
    assert x.shape == (20, 9) and x.dtype == np.float32
    np.testing.assert_allclose(x[training].mean(0), 0, atol=1e-6)
    assert (x[training] ** 2).sum(1).mean() == pytest.approx(9, rel=1e-5)
    flat = views.reshape(20, -1).astype(float)
    ratio = np.linalg.norm(x[1:] - x[0], axis=1) / np.linalg.norm(flat[1:] - flat[0], axis=1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)  # one scale for every pixel
    views[15:] = 0
    np.testing.assert_array_equal(normalise(views, training)[:15], x[:15])


# The plane


@pytest.fixture
def rendered(tmp_path_factory, monkeypatch):
    """SLOWAE_DATA of this run of the tests; main() leaves the backend as it is."""
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path_factory.getbasetemp() / "plane"))
    monkeypatch.setattr(backend, "_chosen", backend._chosen)


def test_the_coarse_plane_unrolls(rendered):
    """Ten-degree steps, three seconds: the angles come out, from the neighbours alone."""
    views, yaw, roll = plane.load(10)
    everything = np.ones(len(views), bool)
    x = to_device(normalise(views, everything))
    config = Config(hidden=50, near=50, far=10, steps=200)  # coarse steps pull harder: more far pairs
    params, history = train_embedding(x, plane.neighbours(10), config, seed=0)
    angles = np.column_stack([yaw, roll])

    def r2(params):
        z = to_host(embed(to_device(params), x))
        return plane_measures.linear_map(z, angles, everything, everything)[0].min()

    assert history[-1]["loss"] < history[0]["loss"]
    assert r2(init_params(np.random.default_rng(0), 9216, 50)) < 0.5 and r2(params) > 0.9


WORDS = "plane --step 15 --hidden 5 --near 5 --steps 3 --out".split()


def test_the_command_writes_everything_and_the_same_again(rendered, tmp_path, monkeypatch, capsys):
    assert main([*WORDS, str(tmp_path)]) == 0
    pictures = {"figure_1a.png", "figure_1b.png", "unrolling.gif"}
    assert {path.name for path in tmp_path.iterdir()} == pictures | {"embedding.npz", "results.json", "cache", ".lock"}
    with Image.open(tmp_path / "unrolling.gif") as film:
        assert film.n_frames == 4  # the start, and each step
        frames = []
        for place in (0, 3):
            film.seek(place)
            frames.append(np.array(film.convert("RGB"))[40:].astype(int))  # without the title
        assert (np.abs(frames[0] - frames[1]).max(2) > 60).sum() > 36  # points moved; palettes differ by less
    with np.load(tmp_path / "embedding.npz") as archive:
        first = dict(archive)
    assert {n: v.shape for n, v in first.items()} == dict(z_start=(36, 2), z_end=(36, 2), yaw=(36,), roll=(36,))
    results = json.loads((tmp_path / "results.json").read_text())
    training, _ = plane.split(np.random.default_rng(0), 15, 0.2)
    angles = np.column_stack([first["yaw"], first["roll"]])
    assert results["end"] == plane_measures.judge(first["z_end"], angles, training)
    settings = results["settings"]
    assert settings == asdict(Config(hidden=5, near=5, steps=3)) | asdict(command.Settings(step=15))
    assert f"{results['end']['degrees_between_gradients']:.1f} degrees" in capsys.readouterr().out

    def fail(*_):
        raise RuntimeError("Failed to process string with tex")

    monkeypatch.setattr(plots, "save", fail)  # numbers come first, and each picture that fails costs itself alone
    (cached,) = (tmp_path / "cache").iterdir()
    before = cached.read_bytes()
    changes = ([], True), (["--held-out", "0.3"], False), (["--margin", "3"], False), (["--squared"], False)
    for change, same in changes:
        (tmp_path / "results.json").unlink()
        assert main([*WORDS, str(tmp_path), *change]) == 0
        assert capsys.readouterr().err.count("could not be drawn: Failed to process string with tex") == 3
        assert (json.loads((tmp_path / "results.json").read_text())["settings"] == settings) == same
        with np.load(tmp_path / "embedding.npz") as archive:
            assert np.array_equal(archive["z_end"], first["z_end"]) == same
        assert cached.read_bytes() == before
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_what_cannot_be_split_is_refused_before_anything_is_rendered(rendered, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plane, "load", None)
    assert main(["plane", "--step", "18", "--patch", "5", "--out", str(tmp_path / "new")]) == 2
    assert "1 squares of 5 x 5 views holds out none" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()

"""Pairs of patches from synthetic films, and the command that learns from them."""

import argparse
import json

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds
from strict import Strict, in_use

from slowae import backend, model, optim, patch_banks
from slowae.__main__ import main
from slowae.backend import to_device, to_host
from slowae.commands import patches as command
from slowae.data import film_patches, patches, scenes
from slowae.data.film_patches import FOLLOWED, MOVING, PER_FRAME, SIDE, draw_pairs, load_pairs, read_pairs
from slowae.data.whitening import fit_whitening


def write_film(path, frames, rate=24):
    """frames (T, H, W) uint8 -> a lossless grey film."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def texture(rng, height, width, coarse=8):
    """Blocks of random grey (height, width), 70..150: contrast enough, and much alike after a move of one pixel."""
    blocks = rng.choice([70, 150], (height // coarse + 1, width // coarse + 1)).repeat(coarse, 0).repeat(coarse, 1)
    return blocks[:height, :width].astype(np.uint8)


def moving_film(rng, length, height=96, width=128):
    """A texture that moves one pixel a frame, (length, height, width)."""
    world = texture(rng, height, width + length)
    return np.stack([world[:, t : t + width] for t in range(length)])


@settings(max_examples=10)
@given(seeds, st.integers(SIDE, 90), st.integers(SIDE, 90))
def test_a_pair_is_one_place_in_both_frames(seed, height, width):
    rng = np.random.default_rng(seed)
    film = moving_film(rng, 2, height, width)
    pairs = draw_pairs(*film, rng)
    assert pairs.dtype == np.uint8 and pairs.shape[1:] == (2, SIDE, SIDE) and len(pairs) <= PER_FRAME
    windows = np.lib.stride_tricks.sliding_window_view(film, (SIDE, SIDE), (1, 2))
    for pair in pairs:
        assert (windows == pair[:, None, None]).all((0, 3, 4)).any()


def test_what_moves_is_drawn_and_what_does_not_is_not():
    rng = np.random.default_rng(0)
    before, after = moving_film(rng, 2, 400, 400)
    assert len(draw_pairs(before, after, rng)) == PER_FRAME
    assert len(draw_pairs(before, before, rng)) == 0  # still
    assert len(draw_pairs(before, before + np.uint8(MOVING), rng)) == PER_FRAME  # just enough
    assert len(draw_pairs(before, before + np.uint8(MOVING - 1), rng)) == 0
    assert len(draw_pairs(before, 220 - before, rng)) == 0  # moves, but cannot be followed
    after = np.roll(before, 4, 1)  # some cells can be followed
    for pair in draw_pairs(before, after, rng).astype(float):
        change = np.abs(pair[0] - pair[1]).mean()
        assert MOVING <= change <= FOLLOWED * pair.std((1, 2)).mean()


def test_flat_cells_are_thinned_in_proportion_to_their_contrast():
    rng = np.random.default_rng(0)
    before = 100 + 4 * texture(rng, 60, 80, coarse=1).clip(0, 1) - 8 * (texture(rng, 60, 80, 1) > 100).astype(np.uint8)
    after = before + np.uint8(2)
    contrast = before.std()
    assert 3 < contrast < 5
    kept = np.mean([len(draw_pairs(before, after, rng)) for _ in range(400)])
    offered = np.mean([((60 - a) // SIDE) * ((80 - b) // SIDE) for a in range(SIDE) for b in range(SIDE)])
    np.testing.assert_allclose(kept / offered, contrast / film_patches.TEXTURED, rtol=0.15)


def film_with_a_cut(rng, path):
    """Two shots that only the cut rule tells apart: the second is the first, brighter; its pair could be followed."""
    film = moving_film(rng, 12)
    film[7:] += 24
    return write_film(path, film)


def test_no_pair_crosses_a_cut(tmp_path, monkeypatch):
    path = film_with_a_cut(np.random.default_rng(0), tmp_path / "cut.mkv")

    def crossing(pairs):
        return int(((pairs[:, 0].max((1, 2)) <= 150) & (pairs[:, 1].max((1, 2)) > 150)).sum())

    pairs, shots = read_pairs(path, 10000, np.random.default_rng(1))
    assert crossing(pairs) == 0 and len(pairs) > 100
    np.testing.assert_array_equal(shots, pairs[:, 0].max((1, 2)) > 150)
    monkeypatch.setattr(patches, "find_cuts", lambda frames: np.array([], int))
    pairs, shots = read_pairs(path, 10000, np.random.default_rng(1))
    assert crossing(pairs) > 0 and set(shots) == {0}  # the film does tempt


def test_no_more_than_asked_in_order_and_from_all_times(tmp_path):
    rng = np.random.default_rng(0)
    film = moving_film(rng, 60, 64, 64)
    film = (film // 2 + np.arange(60, dtype=np.uint8)[:, None, None]).astype(np.uint8)  # brightness tells the time
    path = write_film(tmp_path / "a.mkv", film)
    everything, _ = read_pairs(path, 10000, np.random.default_rng(1))
    some, shots = read_pairs(path, 80, np.random.default_rng(1))
    assert len(some) == len(shots) == 80 < len(everything)
    time = some[:, 0].min((1, 2)).astype(int) - 35
    assert (np.diff(time) >= 0).all()
    # Every pair has the same chance: the mean time of 80 out of 60 frames' pairs has a standard error of 2.
    assert abs(time.mean() - (everything[:, 0].min((1, 2)).astype(int) - 35).mean()) < 7
    again, _ = read_pairs(path, 80, np.random.default_rng(1))
    np.testing.assert_array_equal(some, again)


def test_load_pairs_makes_one_scene_of_each_shot(tmp_path):
    rng = np.random.default_rng(0)
    path = film_with_a_cut(rng, tmp_path / "cut.mkv")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    with pytest.warns(UserWarning, match=r"broken\.mp4 cannot be read"):
        found = load_pairs([path, broken], 150, rng)
    assert [(s.video, s.shot, s.step) for s in found] == [("cut.mkv", 0, 1), ("cut.mkv", 1, 1)]
    assert all(s.frames.shape[1:] == (2, SIDE, SIDE) for s in found)
    assert 80 < sum(len(s.frames) for s in found) < 190


def test_one_video_does_not_rule_the_rest(tmp_path):
    rng = np.random.default_rng(0)
    paths = [write_film(tmp_path / "long.mkv", moving_film(rng, 80))]
    paths += [write_film(tmp_path / f"{i}.mkv", moving_film(rng, 3)) for i in range(9)]
    found = load_pairs(paths, 100, rng)
    assert sum(len(s.frames) for s in found if s.video == "long.mkv") <= film_patches.FAIR * 10


def test_bad_input_is_one_sentence(tmp_path):
    rng = np.random.default_rng(0)
    still = write_film(tmp_path / "still.mkv", np.repeat(texture(rng, 64, 64)[None], 4, 0))
    with pytest.raises(ValueError, match="nothing moves"):
        load_pairs([still], 100, rng)
    small = write_film(tmp_path / "small.mkv", moving_film(rng, 4, 24, 40))
    with pytest.raises(ValueError, match=r"small\.mkv is 40 x 24 pixels, smaller than 32 x 32"):
        load_pairs([small], 100, rng)
    with pytest.raises(ValueError, match="ask for more"):
        load_pairs([still, small], 1, rng)


def test_prepare_whitens_and_evens_out_contrast():
    frames = np.random.default_rng(0).integers(0, 256, (60, 2, SIDE, SIDE), dtype=np.uint8)
    frames[3] //= 8  # one pair of low contrast
    whiten = fit_whitening(frames.reshape(-1, SIDE**2), 0.3)
    parts = [scenes.Scene("a", i, 1, 0, part) for i, part in enumerate((frames[:20], frames[20:]))]
    x = patches.prepare(parts, whiten)
    assert x.shape == (2, 60, SIDE**2) and x.dtype == np.float32
    np.testing.assert_allclose((x**2).mean((0, 2)), 1, atol=0.3)
    for i in (0, 3, 59):  # one scale for both patches of a pair: x_t to x_t' stays as it was
        pair = np.stack([whiten(frames[i, j].reshape(1, -1))[0] for j in (0, 1)])
        np.testing.assert_allclose(x[:, i], pair / (np.sqrt((pair**2).mean()) + 0.1), rtol=1e-4, atol=1e-5)


def test_patches_of_frames_are_one_place_in_both_frames_of_a_pair():
    rng, pairs = np.random.default_rng(0), np.array([[0, 2], [1, 3], [4, 2]])
    frames = rng.integers(0, 256, (5, 11, 12, 3), dtype=np.uint8)
    count = 100 * PER_FRAME + 50  # more than are whitened at once
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


# The command


def test_the_slowest_groups_come_first():
    rng, config = np.random.default_rng(0), model.Config(0.5, 1.0, 4, size=1)
    params = model.init_params(rng, (SIDE**2, 160))
    params["b_e"][8:12] = -1e6  # group 2 is silent
    x = rng.standard_normal((10, SIDE**2)).astype(np.float32)
    h = np.maximum(0, x @ params["W_e"] + params["b_e"])
    z = np.sqrt((h.reshape(10, 40, 4) ** 2).sum(2))
    slowness = [np.abs(v[:5] - v[5:]).mean() / v.mean() if v.any() else np.inf for v in z.T]
    bank = patch_banks.of_eq2(params, to_device(x), config)
    W = patch_banks.mosaic(bank)
    assert W.shape == (SIDE, SIDE, 1, 128)
    for place, i in enumerate(np.argsort(slowness)[:32]):
        found = W[..., 4 * place : 4 * place + 4].reshape(-1, 4)
        np.testing.assert_array_equal(found, params["W_d"][:, 4 * i : 4 * i + 4])
        np.testing.assert_allclose(bank.z[:, place], z[:, i], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("free", ["W_d", "b_e"])
def test_project_except_frees_one_parameter(free):
    rng = np.random.default_rng(0)
    params = {"W_e": rng.standard_normal((6, 4)), "b_e": rng.standard_normal(4), "W_d": rng.standard_normal((6, 4))}
    before, projected = ({name: value.copy() for name, value in params.items()} for _ in range(2))
    optim.project(projected)
    command.project_except(free)(params)
    for name in params:
        np.testing.assert_array_equal(params[name], before[name] if name == free else projected[name])


@pytest.fixture
def args(tmp_path, monkeypatch):
    """The command's arguments, for few units and small batches."""
    monkeypatch.setattr(command, "UNITS", 16)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args("--batch 8 --rate 1e-5".split())
    vars(args).update(out=tmp_path / "out", seed=0, resume=True)
    return args


def test_a_batch_is_pairs_and_biases_learn_slower(args, monkeypatch):
    rng, batches, real = np.random.default_rng(0), [], model.loss_and_gradients
    x = rng.standard_normal((2, 30, SIDE**2), dtype=np.float32)

    def spy(params, batch, config):
        batches.append(to_host(batch))
        return real(params, batch, config)

    monkeypatch.setattr(model, "loss_and_gradients", spy)
    config = model.Config(0.5, 1.0, command.GROUP, size=1)
    start = model.init_params(rng, (SIDE**2, 16))
    start["b_e"] -= 1
    params, _ = command.learn("a", config, start, (to_device(x), to_device(x.reshape(60, -1))), args, 1)
    (batch,) = batches
    assert batch.shape == (2 * args.batch, SIDE**2)
    for first, second in zip(batch[: args.batch], batch[args.batch :], strict=True):
        i = np.flatnonzero((x[0] == first).all(1))
        assert len(i) == 1 and (x[1, i[0]] == second).all()
    _, grads = real(start, batch, config)
    np.testing.assert_allclose(params["W_e"], start["W_e"] - args.rate * grads["W_e"], rtol=1e-4, atol=1e-7)
    moved = -args.rate * command.BIAS_RATE * grads["b_e"]
    np.testing.assert_allclose(params["b_e"] - start["b_e"], moved, rtol=1e-2, atol=2e-7)


def test_training_never_mixes_host_arrays_into_the_devices(args):
    rng, config = np.random.default_rng(0), model.Config(0.5, 1.0, command.GROUP, size=1)
    start = model.init_params(rng, (SIDE**2, 16))
    with in_use():
        x = Strict.of(rng.standard_normal((2, 30, SIDE**2), dtype=np.float32))
        watched = x[:, :10].reshape(20, -1)
        params, _ = command.learn("a", config, start, (x, watched), args, 3, project=command.project_except("W_d"))
        assert type(params["W_d"]) is np.ndarray
        assert type(patch_banks.of_eq2(params, watched, config).z) is np.ndarray


def test_the_command_end_to_end_and_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "UNITS", 32)
    monkeypatch.setattr(patch_banks, "SHOWN", 32)
    monkeypatch.setattr(backend, "_chosen", backend._chosen)
    rng, out = np.random.default_rng(0), tmp_path / "out"
    for i in range(6):
        write_film(tmp_path / f"{i}.mkv", moving_film(rng, 5))
    words = f"patches --video {tmp_path} --out {out} --pairs 200 --steps 8 --batch 8 --rate 1e-5".split()
    assert main(words) == 0
    pictures = {"figure2.png", "rivals.png", "measures.png", "free_norm.png", "free_bias.png"}
    assert {path.name for path in out.iterdir()} == pictures | {"dictionary.npz", "results.json", "cache", ".lock"}
    with np.load(out / "dictionary.npz") as arrays:
        first = dict(arrays)
    for ending in ("", "_sparse"):
        W_d = first["W_d" + ending]
        assert W_d.shape == first["W_e" + ending].shape == (SIDE**2, 32) and first["b_e" + ending].shape == (32,)
        np.testing.assert_allclose((W_d**2).sum(0), 1, rtol=1e-5)
        assert (first["b_e" + ending] <= 0).all()
    assert all(first[f"W_{name}"].shape == (SIDE**2, 32) for name in ("sfa", "subspace", "unitary"))
    assert first["mean"].shape == (SIDE**2,) and first["matrix"].shape == (SIDE**2, SIDE**2)
    results = json.loads((out / "results.json").read_text())
    assert (
        results["runs"].keys() == {"alpha0", "sparse", "sfa", "subspace", "unitary"}
        and results["runs"]["alpha0"]["test"]["dead"] >= 0
    )
    settings = results["settings"]
    assert settings["alpha0"]["alpha"] == 0 < settings["sparse"]["alpha"] and settings["steps"] == 8
    areas = [results["runs"][name]["area"] for name in ("sparse", "alpha0")]
    assert results["area_ratio"] == pytest.approx(areas[0] / areas[1])
    assert f"{results['area_ratio']:.2f}" in capsys.readouterr().out

    monkeypatch.setattr(command.plots, "save", lambda *_: None)
    next((out / "cache").glob("sparse-*")).unlink()
    assert main(words) == 0  # alpha0 is read back, sparse is trained again: both the same bits
    kept = {path.name: path.read_bytes() for path in (out / "cache").iterdir()}
    with np.load(out / "dictionary.npz") as arrays:
        for name, value in arrays.items():
            np.testing.assert_array_equal(value, first[name])
    eq2 = {"alpha0", "sparse", "free_norm", "free_bias"}  # for all but the last starts from alpha0
    everything = eq2 | {"subspace", "unitary"}
    for change, new in (("--alpha 3", {"sparse", "free_norm"}), ("--beta 9", eq2), ("--pairs 150", everything)):
        assert main([*words, *change.split()]) == 0
        now = {path.name: path.read_bytes() for path in (out / "cache").iterdir()}
        assert kept.items() < now.items()
        assert {name.partition("-")[0] for name in now.keys() - kept} == new
        kept = now

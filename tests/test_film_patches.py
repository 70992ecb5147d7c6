"""Pairs of patches from films: from where they are taken, from which they are not, and how many."""

import os

import numpy as np
import pytest
from films import write_film as write_colours
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from slowae.data import film_patches
from slowae.data.film_patches import FOLLOWED, MOVING, PER_FRAME, SIDE, draw_pairs, load_pairs, read_pairs


def write_film(path, frames):
    """frames (T, H, W) uint8 -> a lossless grey film."""
    return write_colours(path, np.repeat(frames[..., None], 3, 3), 24)


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
    drawn = np.mean([len(draw_pairs(before, after, rng)) for _ in range(400)])
    cells = np.mean([((60 - a) // SIDE) * ((80 - b) // SIDE) for a in range(SIDE) for b in range(SIDE)])
    np.testing.assert_allclose(drawn / cells, contrast / film_patches.TEXTURED, rtol=0.15)


def film_with_a_cut(rng, path):
    """Two shots that only the cut rule separates: the second is the first, brighter; its pair could be followed."""
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
    monkeypatch.setattr(film_patches, "find_shots", lambda small, *_: [np.arange(len(small))])
    pairs, shots = read_pairs(path, 10000, np.random.default_rng(1))
    assert crossing(pairs) > 0 and set(shots) == {0}  # the film does tempt


def test_no_more_than_asked_in_order_and_from_all_times(tmp_path):
    rng = np.random.default_rng(0)
    film = moving_film(rng, 60, 64, 64)
    film = (film // 2 + np.arange(60, dtype=np.uint8)[:, None, None]).astype(np.uint8)  # brightness is time
    path = write_film(tmp_path / "a.mkv", film)
    everything, _ = read_pairs(path, 10000, np.random.default_rng(1))
    some, shots = read_pairs(path, 80, np.random.default_rng(1))
    assert len(some) == len(shots) == 80 < len(everything)
    time = some[:, 0].min((1, 2)).astype(int) - 35
    assert (np.diff(time) >= 0).all()
    # Every pair has the same chance: the mean time of 80 out of 60 frames' pairs has a standard error of 2.
    assert abs(time.mean() - (everything[:, 0].min((1, 2)).astype(int) - 35).mean()) < 7


def test_load_pairs_makes_one_scene_of_each_shot_of_a_place(tmp_path):
    rng = np.random.default_rng(0)
    path, broken = tmp_path / "drive_rsdna_episode_0013.mp4", tmp_path / "broken.mp4"
    os.replace(film_with_a_cut(rng, tmp_path / "cut.mkv"), path)
    broken.write_bytes(b"no video")
    with pytest.warns(UserWarning, match=r"broken\.mp4 cannot be read"):
        scenes = load_pairs([path, broken], 150, rng)
    assert [(s.video, s.shot, s.step, s.place) for s in scenes] == [(path.name, i, 1, "drive_woods") for i in (0, 1)]
    assert all(s.frames.shape[1:] == (2, SIDE, SIDE) for s in scenes)
    assert 80 < sum(len(s.frames) for s in scenes) < 190


def test_one_video_does_not_rule_the_rest(tmp_path):
    rng = np.random.default_rng(0)
    paths = [write_film(tmp_path / "long.mkv", moving_film(rng, 80))]
    paths += [write_film(tmp_path / f"{i}.mkv", moving_film(rng, 3, 64, 64)) for i in range(9)]
    scenes = load_pairs(paths, 100, rng)
    assert sum(len(s.frames) for s in scenes if s.video == "long.mkv") <= film_patches.FAIR * 10


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

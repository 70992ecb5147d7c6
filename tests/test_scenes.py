"""Cuts, blank frames, windows and splits of made-up films: what becomes of each frame is known."""

import numpy as np
import pytest
from films import film, shot
from hypothesis import given
from hypothesis import strategies as st

from slowae.data import scenes as scenes_
from slowae.data import shots
from slowae.data.scenes import Scene


def scene(name="a", shot=0, step=1, frames=10, seed=0, place=""):
    rng = np.random.default_rng(seed)
    return Scene(name, shot, step, 0, rng.integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8), place)


def fade(frames, count):
    """The last `count` frames get darker, down to 6 % of their brightness."""
    light = np.ones(len(frames))
    light[len(frames) - count :] = np.linspace(1, 0.06, count)
    return (frames * light[:, None, None, None]).astype(np.uint8)


@given(st.lists(st.integers(3, 12), min_size=1, max_size=5))
def test_cuts_are_found_exactly(lengths):
    assert shots.find_cuts(film(*lengths)).tolist() == np.cumsum(lengths)[:-1].tolist()


def test_the_relative_rule_finds_faint_cuts_but_no_fast_motion():
    def cuts(*greys):
        return shots.find_cuts(np.broadcast_to(np.array(greys, np.uint8)[:, None, None, None], (len(greys), 32, 32, 3)))

    assert cuts(50, 50, 50, 64, 64, 64).tolist() == [3]  # its neighbours do not change at all
    assert cuts(50, 50, 50, 63, 63, 63).tolist() == []
    assert cuts(50, 64, 78, 92, 106).tolist() == []  # the same change at every frame
    assert cuts(20, 20, 120, 220, 220).tolist() == [2, 3]  # a shot of one frame: neither stands out from the other


def test_held_frames_make_no_cuts():
    moving = (20 + (shots.CUT_RELATIVE + 2) * np.arange(8)).astype(np.uint8)
    frames = np.broadcast_to(moving[:, None, None, None], (8, 32, 32, 3)) + shot(0, 1) // 2
    (one,) = scenes_.cut_scenes(frames.repeat(3, 0), 6, "a")
    assert len(one.frames) == 24


@pytest.mark.parametrize("grey", [0, 253])
@pytest.mark.parametrize(("count", "tiles"), [(1, 2), (3, 1)])
def test_blank_frames_inside_a_shot_are_left_out_and_it_stays_one_scene(count, grey, tiles):
    for seed in range(8):
        frames = shot(seed, 30, 32 * tiles, 32 * tiles)
        frames[12 : 12 + count] = frames[12 : 12 + count] // 100 + np.uint8(grey)  # all but a trace is gone
        scenes = scenes_.cut_scenes(frames, 12, "a", fps=6, tiles=tiles)
        assert [s.times.tolist() for s in scenes] == tiles**2 * [[*range(12), *range(12 + count, 30)]]


def test_blank_frames_at_the_ends_are_left_out():
    frames = shot(0, 20)
    frames[:3] = frames[17:] = 0
    (one,) = scenes_.cut_scenes(frames, 6, "a")
    assert (one.shot, one.start, len(one.frames)) == (0, 3, 14)
    assert scenes_.cut_scenes(0 * frames, 6, "a") == scenes_.cut_scenes(frames[:0], 6, "a") == []


def test_a_dim_shot_that_hovers_about_the_threshold_stays_one():
    rng = np.random.default_rng(0)
    pattern = shot(0, 60) - shot(0, 60).mean((1, 2), keepdims=True)
    contrast = (4.0 + rng.normal(0, 0.5, (60, 1, 1, 1))) / pattern.std((1, 2), keepdims=True).max(-1, keepdims=True)
    frames = (60 + pattern * contrast).round().astype(np.uint8)
    blank = frames.std((1, 2)).max(-1) < shots.BLANK
    assert 5 < np.abs(np.diff(blank)).sum()
    (one,) = scenes_.cut_scenes(frames, 6, "a")
    np.testing.assert_array_equal(one.times, np.flatnonzero(~blank))


@pytest.mark.parametrize("faded", [0, 6, 12, 24])
@pytest.mark.parametrize("black", [1, 6])
def test_a_fade_that_stands_for_a_cut_cuts(faded, black):
    for seed in range(6):
        first, second = shot(seed, 40), shot(seed + 11, 40)
        between = np.zeros((black, 32, 32, 3), np.uint8)
        frames = np.concatenate([fade(first, faded), between, fade(second[::-1], faded)[::-1]])
        scenes = scenes_.cut_scenes(frames, 24, "a")
        assert [s.shot for s in scenes] == [0, 1]
        assert scenes[0].start == 0 and scenes[0].times[-1] < 40 and scenes[1].times[-1] == 79 + black


def test_a_cut_beside_a_blank_stretch_is_still_found():
    frames = film(12, 12, 12)
    frames[5:7] = 0
    assert [(s.start, len(s.frames)) for s in scenes_.cut_scenes(frames, 12, "a")] == [(0, 10), (12, 12), (24, 12)]


def test_a_window_that_is_blank_for_a_while_stays_one_scene():
    frames = shot(0, 24, 64, 64)
    frames[8:14, :32, 32:] = frames[8, :32, 32:].mean((0, 1))  # no cut of the whole picture
    scenes = scenes_.cut_scenes(frames, 6, "a", tiles=2)
    gap, whole = [*range(8), *range(14, 24)], list(range(24))
    assert [s.times.tolist() for s in scenes] == [whole, gap, whole, whole]


def test_the_step_brings_the_native_rate_near_the_target():
    for rate, fps, step in [(30, 6, 5), (25, 6, 4), (29.97, 6, 5), (10, 6, 2), (6, 6, 1), (2, 6, 1), (60, 60, 1)]:
        (one,) = scenes_.cut_scenes(shot(0, 20), rate, "a", fps)
        assert one.step == step
        np.testing.assert_array_equal(one.sampled, shot(0, 20)[::step])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 4))
def test_each_shot_is_one_scene_of_which_evaluation_sees_2_to_40_frames(lengths, step):
    frames = film(*lengths)
    scenes, ends = scenes_.cut_scenes(frames, 6 * step, "a"), np.cumsum(lengths)
    assert [s.shot for s in scenes] == [i for i, length in enumerate(lengths) if length > step]
    for s in scenes:
        times = np.arange(ends[s.shot] - lengths[s.shot], ends[s.shot])
        np.testing.assert_array_equal(s.times, times)
        np.testing.assert_array_equal(s.frames, frames[times])
        np.testing.assert_array_equal(s.sampled, frames[times][::step][:40])
        assert s.start == times[0] and len(s.sampled) >= 2


def test_tiles_are_where_they_should_be():
    frames = film(9, 8, height=96, width=96)
    scenes = scenes_.cut_scenes(frames, 6, "a", tiles=3)
    assert [s.shot for s in scenes] == [0] * 9 + [1] * 9
    for s, (y, x) in zip(scenes, list(np.ndindex(3, 3)) * 2, strict=True):
        np.testing.assert_array_equal(s.frames, frames[s.times, 32 * y : 32 * y + 32, 32 * x : 32 * x + 32])


def test_motion_is_the_mean_difference_from_the_middle_frame():
    levels = [0, 9, 10, 10, 20, 10, 40]  # of the sampled frames; the query is number 3
    frames = np.zeros((13, 32, 32, 3), np.uint8)
    frames[::2] = np.array(levels, np.uint8)[:, None, None, None]
    frames[1::2] = 255  # not sampled
    assert scenes_.motion(Scene("a", 0, 2, 0, frames)) == pytest.approx((10 + 1 + 0 + 10 + 0 + 30) / 6)
    assert scenes_.motion(Scene("a", 0, 1, 0, frames[:1].repeat(2, 0))) == 0


def test_no_film_has_more_than_its_share_of_the_scenes():
    sizes = {"long": 300, "middle": 7, **{f"{i:02}": 2 for i in range(40)}}
    scenes = [scene(name, i, frames=2) for name, n in sizes.items() for i in range(n)]
    shots_of = {name: [s.shot for s in scenes_.thin_out(scenes, 0.05) if s.video == name] for name in sizes}
    few_each = {f"{i:02}": [0, 1] for i in range(40)}  # 4 <= 0.05 (4 + 4 + 80), not 5
    assert shots_of == {"long": [0, 100, 199, 299], "middle": [0, 2, 4, 6]} | few_each
    few = [s for s in scenes if s.video in ("long", "middle")]
    assert scenes_.thin_out(few, 0.05) == few  # no share of two films is 5 %


@given(
    st.lists(st.tuples(st.integers(2, 30), st.integers(1, 4)), min_size=1, max_size=4),
    st.integers(0, 99),
    st.integers(2, 4),
)
def test_windows_are_one_step_apart_in_one_scene_and_complete(shapes, seed, T):
    rng, scenes = np.random.default_rng(seed), []
    for i, (n, step) in enumerate(shapes):
        times = 5 + np.flatnonzero(rng.random(n) < (0.8 if i % 2 else 1))  # every other scene has gaps
        frames = rng.integers(0, 256, (len(times), 32, 32, 3), dtype=np.uint8)
        scenes.append(Scene("a", i, step, 5, frames, "", times if i % 2 else None))
    frames, windows = scenes_.windows(scenes, T)
    np.testing.assert_array_equal(frames, np.concatenate([s.frames for s in scenes]))
    expected, start = [], 0
    for s in scenes:
        index = {t: start + i for i, t in enumerate(s.times.tolist())}
        for t in index:
            if all(t + i * s.step in index for i in range(T)):
                expected.append([index[t + i * s.step] for i in range(T)])
        start += len(s.frames)
    assert windows.shape == (len(expected), T) and windows.dtype.kind == "i"
    np.testing.assert_array_equal(windows, np.reshape(expected, (-1, T)))


def test_retrieval_sees_the_target_rate_and_numbers_the_scenes():
    scenes = [scene(frames=7, step=3, seed=1), scene(frames=4, step=2, seed=2)]
    frames, number = scenes_.retrieval_frames(scenes)
    np.testing.assert_array_equal(frames, np.concatenate([scenes[0].frames[[0, 3, 6]], scenes[1].frames[[0, 2]]]))
    assert number.tolist() == [0, 0, 0, 1, 1]


def homes(parts, unit):
    """The units of all parts. None may have two homes."""
    sets = [{getattr(s, unit) for s in part} for part in parts.values()]
    assert sum(map(len, sets)) == len(set.union(*sets))
    return set.union(*sets)


def test_videos_of_one_place_stay_together():
    scenes = [scene(f"{i}", place=f"place {i // 3}" if i < 12 else "") for i in range(24)]
    for parts, how in [scenes_.split_scenes(scenes), *scenes_.fold_scenes(scenes, 3)]:
        assert how == ("place", 24, 24) and len(homes(parts, "place")) == 4 + 12
        assert sum(map(len, parts.values())) == 24
    assert scenes_.split_scenes(scenes[:12])[1].by == "shot"  # of four places


def test_few_videos_of_many_shots_are_split_by_shot():
    scenes = [scene(name, i) for name in "ab" for i in range(5) for _ in range(4)]  # four windows each
    parts, how = scenes_.split_scenes(scenes)
    sets = [{(s.video, s.shot) for s in part} for part in parts.values()]
    assert how == ("shot", 2, 10) and len(set.union(*sets)) == 10 and sum(map(len, sets)) == 10


@pytest.mark.parametrize("folds", [1, 2, 3, 5])
@given(st.lists(st.integers(1, 100), min_size=20, max_size=60))
def test_shares_are_near_those_promised(folds, lengths):
    rest = 1 - 1 / folds
    shares = scenes_.SHARES if folds == 1 else {"train": 0.8 * rest, "validation": 0.2 * rest, "test": 1 / folds}
    for parts, _ in scenes_.fold_scenes([scene(f"{i:02}", frames=n) for i, n in enumerate(lengths)], folds):
        for name, share in shares.items():
            assert abs(sum(len(s.frames) for s in parts[name]) - share * sum(lengths)) <= 2 * max(lengths)


@given(
    st.lists(st.tuples(st.integers(80, 300), st.integers(0, 20)), min_size=1, max_size=3),
    st.integers(1, 5),
    st.integers(0, 99),
)
def test_the_split_by_time_shares_no_frame_and_leaves_a_gap(stretches, step, seed):
    """Also where windows differ in their blank stretches. Each frame's first pixel holds its place in the film."""
    rng, scenes = np.random.default_rng(seed), []
    for length, start in stretches:
        times = start + np.flatnonzero(rng.random(length) < 0.9)
        frames = np.zeros((len(times), 32, 32, 3), np.uint8)
        frames[:, 0, 0, :2] = np.stack(np.divmod(times, 256), 1)
        scenes.append(Scene("a", 0, step, int(times[0]), frames, "", times))
    parts, how = scenes_.split_scenes(scenes)
    assert how == ("time", 1, 1)
    seen = {}
    for name, part in parts.items():
        for s in part:
            np.testing.assert_array_equal(s.frames[:, 0, 0, :2].astype(int) @ [256, 1], s.times)
            assert s.start == s.times[0] and len(s.sampled) >= 2
        seen[name] = np.concatenate([s.times for s in part])
    assert seen["train"].max() + step < seen["validation"].min()
    assert seen["validation"].max() + step < seen["test"].min()


def test_one_long_shot_can_be_split_and_too_little_is_said():
    parts, _ = scenes_.split_scenes(scenes_.cut_scenes(shot(0, 200), 6, "a"))
    assert [len(s.frames) for part in parts.values() for s in part] == [100, 49, 49]
    with pytest.raises(ValueError, match=r"too little video: no scene is left for .*longer or more videos"):
        scenes_.split_scenes([scene(frames=4)])


@given(st.lists(st.integers(2, 50), min_size=6, max_size=30), st.integers(2, 8), st.integers(0, 99))
def test_every_scene_is_tested_in_one_fold(lengths, folds, seed):
    rng = np.random.default_rng(seed)
    scenes = [scene(str(rng.integers(len(lengths))), i, 1, n) for i, n in enumerate(lengths)]
    scenes += [scene(str(i), 0, 1, int(rng.integers(2, 500))) for i in range(folds + 4)]
    splits = scenes_.fold_scenes(scenes, folds)
    tested = [id(s) for parts, _ in splits for s in parts["test"]]
    assert len(splits) == folds and sorted(tested) == sorted(map(id, scenes))
    for parts, how in splits:
        assert list(parts) == ["train", "validation", "test"] and all(parts.values())
        assert sorted(id(s) for part in parts.values() for s in part) == sorted(tested)
        for part in parts.values():  # in the order given
            assert [id(s) for s in part] == [id(s) for s in scenes if id(s) in set(map(id, part))]
        assert how == ("video", len(homes(parts, "video")), len({(s.video, s.shot) for s in scenes}))


def test_one_video_far_longer_than_the_others_leaves_some_to_train_and_to_validate():
    scenes = [scene(str(i), frames=1000 if i == 0 else 2) for i in range(6)]
    assert all(part for parts, _ in scenes_.fold_scenes(scenes, 2) for part in parts.values())


def test_too_many_folds_are_refused():
    scenes = [scene(name) for name in "abcdefgh"]
    with pytest.raises(ValueError, match=r"7 folds need videos of 9 places, and there are 8"):
        scenes_.fold_scenes(scenes, 7)
    assert len(scenes_.fold_scenes(scenes, 6)) == 6

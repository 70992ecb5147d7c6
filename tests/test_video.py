"""Films with known cuts, blanks, repeats and faults: what becomes of them is known too."""

import struct
import warnings
from itertools import pairwise

import av
import numpy as np
import pytest
from films import film, shot, write_film
from hypothesis import given
from hypothesis import strategies as st

from slowae.data import video
from slowae.data.video import Scene


def scene(name="a", shot=0, step=1, frames=10, start=0, seed=0):
    rng = np.random.default_rng(seed)
    return Scene(name, shot, step, start, rng.integers(0, 256, (frames, 32, 32, 3), dtype=np.uint8))


def numbered(*stretches, name="a", step=1):
    """Scenes (shot, start, length) of one video; each frame's first pixel holds its place in it."""
    scenes = []
    for shot_number, start, length in stretches:
        frames = np.zeros((length, 32, 32, 3), np.uint8)
        frames[:, 0, 0, :2] = np.stack(np.divmod(np.arange(start, start + length), 256), 1)
        scenes.append(Scene(name, shot_number, step, start, frames))
    return scenes


def places(scenes):
    """(video, place) of every frame of numbered scenes."""
    return [(s.video, int(f[0, 0, 0]) * 256 + int(f[0, 0, 1])) for s in scenes for f in s.frames]


# Decoding


def test_a_lossless_film_is_decoded_bit_for_bit(tmp_path):
    frames = film(5, 4, height=48, width=80)
    got, rates = zip(*video.decode(write_film(tmp_path / "film.mkv", frames, rate=12)), strict=True)
    np.testing.assert_array_equal(got, frames)
    assert set(rates) == {12.0}


def area_weights(n, m):
    """(m, n): row i averages the n pixels over the i-th of m equal stretches, pixels on a border in part."""
    ends = np.arange(m + 1)[:, None] * n / m
    return (np.minimum(ends[1:], np.arange(1, n + 1)) - np.maximum(ends[:-1], np.arange(n))).clip(0) * m / n


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160), (90, 161), (33, 47), (240, 426)])
def test_reduced_frames_are_area_averages(tmp_path, height, width):
    frames = np.random.default_rng(0).integers(
        0, 256, (3, height, width, 3), dtype=np.uint8
    )  # no point is like another
    got, rate = video.read_frames(write_film(tmp_path / "film.mkv", frames, pixels="yuv444p"))
    means = np.einsum("iy,tyxc,jx->tijc", area_weights(height, 32), frames, area_weights(width, 32), optimize=True)
    assert rate == 12.0 and got.shape == (3, 32, 32, 3) and got.dtype == np.uint8
    assert np.abs(got - means).max() < 2.5 and np.abs(got - means).mean() < 0.5


def test_a_lossy_codec_stays_close_to_the_area_averages(tmp_path):
    frames = film(6, 6, height=96, width=128)
    path = write_film(tmp_path / "film.mp4", frames, 25, "libx264", "yuv420p", crf="10")
    got, rate = video.read_frames(path)
    assert rate == 25.0
    assert np.abs(got - frames.reshape(12, 32, 3, 32, 4, 3).mean((2, 4))).mean() < 4


def test_exact_repeats_are_dropped_and_returns_kept(tmp_path):
    a, b, c = shot(0, 3, 64, 64)
    repeated = np.stack([a, a, b, b, b, a, c, c])
    got, _ = video.read_frames(write_film(tmp_path / "film.mkv", repeated), tiles=2)
    np.testing.assert_array_equal(got, [a, b, a, c])


def test_gif(tmp_path):
    frames = film(4, 4, height=64, width=64)
    got, rate = video.read_frames(write_film(tmp_path / "film.gif", frames, 10, "gif", "rgb8"))
    assert len(got) == 8 and rate == 10.0
    assert video.find_cuts(got).tolist() == [4]


def test_a_clip_filmed_upright_is_turned_upright(tmp_path):
    frames = np.zeros((3, 64, 96, 3), np.uint8)
    frames[:, :32, :48, 0] = 250  # red: top left as stored, top right after the quarter turn clockwise
    path = write_film(tmp_path / "phone.mp4", frames, 12, "libx264", "yuv420p")
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    path.write_bytes(data)
    image, _ = next(video.decode(path))
    assert image.shape == (96, 64, 3)
    assert image[:40, 40:, 0].min() > 200 and image[:, :24].max() < 50 and image[56:].max() < 50


def test_grey_frames(tmp_path):
    path = write_film(tmp_path / "film.mkv", film(3, height=64, width=64))
    assert all(f.shape == (32, 48) and f.dtype == np.uint8 for f, _ in video.decode(path, 32, 48, "gray"))


@pytest.mark.parametrize("name", ["notes.mp4", "empty.mp4", "notes.mkv", "notes.gif"])
def test_what_is_no_video_is_named_with_a_remedy(tmp_path, name):
    (tmp_path / name).write_text("" if name.startswith("empty") else "Dear diary, today I shot no film.\n" * 40)
    with pytest.raises(ValueError, match=rf"{name} cannot be read as video .*remove it or convert it"):
        list(video.decode(tmp_path / name))


def test_sound_alone_is_no_video(tmp_path):
    with av.open(str(tmp_path / "song.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux([*stream.encode(frame), *stream.encode()])
    with pytest.raises(ValueError, match=r"song.mp4 has no video stream"):
        list(video.decode(tmp_path / "song.mp4"))


def test_frames_smaller_than_the_windows_are_refused(tmp_path):
    path = write_film(tmp_path / "small.mkv", film(4, height=48, width=64))
    assert len(video.read_frames(path, tiles=1)[0]) == 4
    with pytest.raises(ValueError, match=r"small.mkv is 64 x 48 pixels, smaller than the 64 x 64 needed.*--tiles"):
        video.read_frames(path, tiles=2)


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [("film.mp4", "libx264", "yuv420p", {"movflags": "faststart"}), ("film.avi", "mpeg4", "yuv420p", {}),
     ("film.mkv", "ffv1", "bgr0", {})],
)  # fmt: skip
def test_the_readable_part_of_a_truncated_clip_is_used_and_it_is_said(tmp_path, name, codec, pixels, options):
    frames = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    path = write_film(tmp_path / name, frames, 12, codec, pixels, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = [frame for frame, _ in video.decode(path)]
    assert len(whole) == 40
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match=rf"{name} (ends after|is damaged after)"):
        part = [frame for frame, _ in video.decode(path)]
    assert 5 <= len(part) <= 30
    np.testing.assert_array_equal(part[:-2], whole[: len(part) - 2])


# Cuts and scenes


@given(st.lists(st.integers(3, 12), min_size=1, max_size=5))
def test_cuts_are_found_exactly(lengths):
    assert video.find_cuts(film(*lengths)).tolist() == np.cumsum(lengths)[:-1].tolist()


def test_the_relative_rule_finds_faint_cuts_but_no_fast_motion():
    amount = int(video.CUT_RELATIVE) + 1  # far below CUT
    grey = np.full((8, 32, 32, 3), 50, np.uint8)
    faint = grey.copy()
    faint[5:] += amount  # and its neighbours do not change at all
    assert video.find_cuts(faint).tolist() == [5]
    faint[5:] -= 2
    assert video.find_cuts(faint).tolist() == []
    fast = grey + amount * np.arange(8, dtype=np.uint8)[:, None, None, None]  # the same change, at every frame
    assert video.find_cuts(fast).tolist() == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_next_to_no_frames_have_no_cuts(count):
    frames = shot(0, 2)[:count]
    assert video.find_cuts(frames).tolist() == []
    assert len(video.cut_scenes(frames, 12, "a", fps=12)) == (count == 2)


@given(
    st.sampled_from([(30, 6, 5), (25, 6, 4), (29.97, 6, 5), (24, 6, 4), (10, 6, 2), (6, 6, 1), (2, 6, 1), (60, 60, 1)])
)
def test_the_step_brings_the_native_rate_near_the_target(case):
    rate, fps, step = case
    scenes = video.cut_scenes(shot(0, 20), rate, "a", fps)
    assert [s.step for s in scenes] == [step]
    np.testing.assert_array_equal(scenes[0].sampled, shot(0, 20)[::step])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 4))
def test_scenes_are_2_to_40_frames_of_one_shot_and_none_is_lost(lengths, step):
    frames = film(*lengths)
    scenes = video.cut_scenes(frames, 6 * step, "a")
    bounds = np.cumsum([0, *lengths])
    covered = np.zeros(len(frames), int)
    for s in scenes:
        assert 2 <= len(s.sampled) <= 40
        np.testing.assert_array_equal(s.frames, frames[s.start : s.start + len(s.frames)])
        assert bounds[s.shot] <= s.start and s.start + len(s.frames) <= bounds[s.shot + 1]
        covered[s.start : s.start + len(s.frames)] += 1
    for low, high in pairwise(bounds):
        # Only what is shorter than one step of the target rate goes: at the end of a shot, or all of it.
        left_out = np.flatnonzero(covered[low:high] == 0)
        assert len(left_out) <= step and covered.max(initial=0) <= 1
        assert len(left_out) == 0 or left_out[-1] == high - low - 1


def test_a_long_shot_is_one_scene_of_which_evaluation_sees_40_frames():
    frames = shot(0, 100)
    (scene,) = video.cut_scenes(frames, 12, "a", fps=6)
    np.testing.assert_array_equal(scene.frames, frames)
    np.testing.assert_array_equal(scene.sampled, frames[:80:2])
    assert len(video.training_pairs([scene])[1]) == 98


@pytest.mark.parametrize("blank", [(0, 0, 0), (128, 128, 128), (200, 30, 30)])
def test_blank_frames_split_a_shot_and_are_dropped(blank):
    frames = shot(0, 16)
    frames[6:9] = (frames[6:9] * 0.01 + blank).astype(np.uint8)  # all but a trace is gone: about half a grey level
    scenes = video.cut_scenes(frames, 6, "a")
    assert [(s.start, len(s.frames)) for s in scenes] == [(0, 6), (9, 7)]


def test_tiles_are_where_they_should_be():
    frames = film(9, 8, height=96, width=96)
    scenes = video.cut_scenes(frames, 6, "a", tiles=3)
    assert len(scenes) == 2 * 9
    for s, (row, column) in zip(scenes, list(np.ndindex(3, 3)) * 2, strict=True):
        window = frames[s.start : s.start + len(s.frames), 32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
        np.testing.assert_array_equal(s.frames, window)
    assert [s.shot for s in scenes] == [0] * 9 + [1] * 9


def test_a_film_on_disk_becomes_its_scenes(tmp_path):
    path = write_film(tmp_path / "film.mkv", film(10, 7, 1, 12, height=64, width=64), rate=12)
    scenes = video.load_scenes([path], fps=6, tiles=2)
    assert sorted({(s.video, s.shot, s.start, len(s.frames), s.step) for s in scenes}) == [
        ("film.mkv", 0, 0, 10, 2),
        ("film.mkv", 1, 10, 7, 2),
        ("film.mkv", 3, 18, 12, 2),
    ]
    assert len(scenes) == 12


def test_unusable_files_are_left_out_and_named(tmp_path):
    good = write_film(tmp_path / "good.mkv", film(8, height=64, width=64))
    one = write_film(tmp_path / "one.mkv", film(1, height=64, width=64))
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.warns(UserWarning) as caught:
        scenes = video.load_scenes([one, good, tmp_path / "text.mp4"])
    assert {s.video for s in scenes} == {"good.mkv"}
    said = [str(w.message) for w in caught]
    assert len(said) == 2 and "one.mkv" in said[0] and "text.mp4" in said[1]
    with pytest.raises(ValueError, match=r"one.mkv holds no scene of 2 frames at 6 a second"):
        video.load_scenes([one])
    with pytest.raises(ValueError, match=r"none of 2 videos could be used: .*one.mkv"):
        video.load_scenes([one, tmp_path / "text.mp4"])


def test_short_small_material_is_cut_into_more_windows(tmp_path):
    large = write_film(tmp_path / "large.mkv", film(12, height=130, width=200))
    small = write_film(tmp_path / "small.mkv", film(12, height=70, width=200))
    long = write_film(tmp_path / "long.mkv", film(31, height=130, width=130), rate=1)
    (tmp_path / "text.mp4").write_text("no film")
    assert video.choose_tiles([large]) == 4
    assert video.choose_tiles([large, small]) == 2
    assert video.choose_tiles([large, tmp_path / "text.mp4"]) == 4
    assert video.choose_tiles([long] * 3) == 4
    assert video.choose_tiles([long] * 4) == 1  # 124 seconds


# Pairs


@given(st.lists(st.tuples(st.integers(2, 30), st.integers(1, 4)), min_size=1, max_size=4), st.integers(0, 99))
def test_pairs_are_one_step_apart_in_one_scene_and_complete(shapes, seed):
    scenes = video._long_enough([scene("a", i, step, n, 0, seed + i) for i, (n, step) in enumerate(shapes)])
    if not scenes:
        return
    frames, pairs = video.training_pairs(scenes)
    np.testing.assert_array_equal(frames, np.concatenate([s.frames for s in scenes]))
    owner = np.repeat(np.arange(len(scenes)), [len(s.frames) for s in scenes])
    assert (owner[pairs[:, 0]] == owner[pairs[:, 1]]).all()
    steps = np.array([s.step for s in scenes])
    np.testing.assert_array_equal(pairs[:, 1] - pairs[:, 0], steps[owner[pairs[:, 0]]])
    assert len(np.unique(pairs, axis=0)) == len(pairs) == sum(len(s.frames) - s.step for s in scenes)


def test_no_pair_crosses_a_cut():
    lengths = (9, 5, 14)
    frames, pairs = video.training_pairs(video.cut_scenes(film(*lengths), 12, "a", fps=6))
    shots = np.repeat(np.arange(3), lengths)
    np.testing.assert_array_equal(frames, film(*lengths))
    assert (shots[pairs[:, 0]] == shots[pairs[:, 1]]).all()


def test_retrieval_sees_the_target_rate_and_numbers_the_scenes():
    scenes = [scene(frames=7, step=3, seed=1), scene(frames=4, step=2, seed=2)]
    frames, number = video.retrieval_frames(scenes)
    np.testing.assert_array_equal(frames, np.concatenate([scenes[0].frames[[0, 3, 6]], scenes[1].frames[[0, 2]]]))
    assert number.tolist() == [0, 0, 0, 1, 1]


# The split


def test_six_videos_are_split_by_video():
    scenes = [scene(name, i, frames=10) for name in "abcdefgh" for i in range(3)]
    parts, how = video.split_scenes(scenes)
    homes = [{s.video for s in part} for part in parts.values()]
    assert how.startswith("by video") and "8" in how
    assert set.union(*homes) == set("abcdefgh") and sum(map(len, homes)) == 8
    assert sum(map(len, parts.values())) == len(scenes)


def test_few_videos_of_many_shots_are_split_by_shot():
    scenes = [scene(name, i, frames=10) for name in "ab" for i in range(5) for _ in range(4)]  # four windows each
    parts, how = video.split_scenes(scenes)
    homes = [{(s.video, s.shot) for s in part} for part in parts.values()]
    assert how.startswith("by shot") and "10 shots" in how
    assert len(set.union(*homes)) == 10 and sum(map(len, homes)) == 10


@given(st.lists(st.integers(1, 100), min_size=20, max_size=60))
def test_shares_are_near_those_promised(lengths):
    scenes = [scene(f"{i:02}", frames=n) for i, n in enumerate(lengths)]
    parts, _ = video.split_scenes(scenes)
    for name, share in video.SHARES.items():
        got = sum(len(s.frames) for s in parts[name])
        assert abs(got - share * sum(lengths)) <= max(lengths)


@given(
    st.lists(st.tuples(st.integers(40, 300), st.integers(1, 40)), min_size=1, max_size=3),
    st.integers(1, 5),
    st.integers(1, 3),
)
def test_the_split_by_time_shares_no_frame_and_leaves_a_gap(stretches, step, videos):
    """Also where windows differ in their blank stretches, and where one shot makes several scenes."""
    scenes = []
    for v in range(videos):
        for length, offset in stretches:
            for start in range(offset, length, 40 * step):
                scenes += numbered((0, start, min(40 * step, length - start)), name=str(v), step=step)
    scenes = video._long_enough(scenes)
    try:
        parts, how = video.split_scenes(scenes)
    except ValueError as error:
        assert "too little video" in str(error)
        return
    assert how.startswith("by time")
    seen = {name: set(places(part)) for name, part in parts.items()}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        for v in range(videos):
            a = np.array([place for name, place in seen[one] if name == str(v)])
            b = np.array([place for name, place in seen[other] if name == str(v)])
            if len(a) and len(b):
                assert np.abs(a[:, None] - b).min() > step
    for part in parts.values():
        assert all(2 <= len(s.sampled) <= 40 for s in part)
        assert all(places([s])[0][1] == s.start for s in part)


def test_one_long_shot_can_be_split():
    parts, _ = video.split_scenes(video.cut_scenes(shot(0, 200), 6, "a"))
    assert {name: sum(len(s.frames) for s in part) for name, part in parts.items()} == {
        "train": 100,
        "validation": 49,
        "test": 49,
    }


def test_too_little_to_split_is_said():
    with pytest.raises(ValueError, match=r"too little video: no scene is left for .*longer or more videos"):
        video.split_scenes([scene(frames=4)])

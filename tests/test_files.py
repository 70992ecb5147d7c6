"""What stood there before survives every failure, one run at a time writes, and nothing but arrays is ever read."""

import errno
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from tiny import refuse

from slowae import backend, files
from slowae.model import Config

ARRAYS = {"x": np.arange(12.0).reshape(3, 4), "n": np.array(3), "text": np.array('{"a": 1}')}


def only(folder):
    return sorted(path.name for path in folder.iterdir())


# Writing


def test_arrays_and_groups_of_them_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "folder" / "arrays.npz"
    groups = {"a": ARRAYS, "a/c": {"W": np.ones((2, 3), np.float32)}}
    for _ in range(2):  # the second time over what is there
        files.write_arrays(
            path, {f"{g}/{name}": value for g, arrays in groups.items() for name, value in arrays.items()}
        )
    back = files.read_groups(path)
    assert back.keys() == groups.keys() and only(path.parent) == ["arrays.npz"]
    for group, arrays in groups.items():
        assert back[group].keys() == arrays.keys()
        for name, value in arrays.items():
            np.testing.assert_array_equal(back[group][name], value)
            assert back[group][name].dtype == value.dtype


def test_what_is_no_json_leaves_what_was_there(tmp_path):
    path, value = tmp_path / "results.json", {"temporal_auc": {"pixels": 0.5}, "peak_mb": None}
    files.write_json(path, value)
    for bad in (np.zeros(2), float("nan"), float("inf")):
        with pytest.raises((TypeError, ValueError)):
            files.write_json(path, {"bad": bad})
    assert files.read_json(path) == value and only(tmp_path) == ["results.json"]


def test_a_file_has_its_name_only_when_whole(tmp_path, monkeypatch):
    path, synced = tmp_path / "arrays.npz", []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.read_bytes()))
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"before" and only(tmp_path) == ["arrays.npz"]
    with files.replacing(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole" and only(tmp_path) == ["arrays.npz"]
    assert synced == [b"before"]  # on the disk first, or a power cut would leave it empty


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, step):
    path = tmp_path / "arrays.npz"
    files.write_arrays(path, ARRAYS)
    before = path.read_bytes()
    monkeypatch.setattr(os, step, refuse(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match=r"cannot write .*arrays.npz: No space left on device; .* untouched"):
        files.write_arrays(path, {"y": np.zeros(3)})
    assert path.read_bytes() == before and only(tmp_path) == ["arrays.npz"]


# Reading


class Trap:
    """Unpickled, it makes a folder: so a test sees that a pickle was opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickles_are_refused(tmp_path):
    path, sprung = tmp_path / "trap.npz", tmp_path / "sprung"
    np.savez(path, x=np.array([Trap(sprung), None], dtype=object))
    for data in (path.read_bytes(), pickle.dumps(Trap(sprung))):
        path.write_bytes(data)
        with pytest.raises(
            ValueError, match=r"trap.npz is damaged or not an .npz of arrays; delete it and start afresh"
        ):
            files.read_arrays(path)
        assert not sprung.exists()


def test_only_damage_is_called_damage(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"nothing.npz"):
        files.read_arrays(tmp_path / "nothing.npz")
    files.write_arrays(tmp_path / "a.npz", ARRAYS)
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", refuse(MemoryError()))
    with pytest.raises(MemoryError):
        files.cached(tmp_path / "a.npz", None)
    monkeypatch.setattr(Path, "read_bytes", refuse(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output error"):
        files.cached(tmp_path / "a.npz", None)
    assert only(tmp_path) == ["a.npz"]


# One run at a time


def hold(folder):
    with files.claim(folder):
        (folder / "held").touch()
        time.sleep(60)


def test_a_second_run_is_kept_out_until_the_first_ends_or_dies(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=hold, args=(tmp_path,))
    process.start()
    while not (tmp_path / "held").exists():
        assert process.is_alive()
        time.sleep(0.01)
    with pytest.raises(ValueError, match=rf"^another run is at work in {tmp_path}; wait for it, or .* --out$"):
        with files.claim(tmp_path):
            pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for _ in range(2):
        with files.claim(tmp_path):
            assert (tmp_path / "held").exists()


def test_a_claim_sweeps_up_what_killed_runs_left_and_nothing_else(tmp_path):
    ours = [f".a.npz.{'0a' * 8}.part", f"cache/.b.json.{'f' * 16}.part"]
    others = [".notes.part", f"a.{'0' * 16}.part", f".a.{'0' * 15}.part", f"run/.a.npz.{'0' * 16}.part", "a.npz"]
    for name in ours + others:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with files.claim(tmp_path):
        pass
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {".lock", *others}


def test_a_folder_that_cannot_be_had_is_named(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match=rf"^cannot write into {tmp_path}/a/b: Not a directory; give another --out"):
        with files.claim(tmp_path / "a" / "b"):
            pass


# What a cached file depends on


def test_checksums_tell_arrays_apart():
    x = np.arange(6, dtype=np.float32)
    y = np.ones(2)
    different = [x, x.reshape(2, 3), x.astype(float), x.view(np.int32), -x, x[::-1], x[:0], x[:0].reshape(0, 3)]
    different += [{"x": x, "y": y}, {"x": y, "y": x}, {"x": x}, {"y": x}, {"x": x, "z": y}]
    assert len({files.checksum(arrays) for arrays in different}) == len(different)
    assert files.checksum({"y": y, "x": x}) == files.checksum({"x": x, "y": y})
    assert files.checksum(np.stack([x, x], 1)[:, 0]) == files.checksum(x)


def test_keys_tell_settings_apart(monkeypatch):
    different = [{"a": 1}, {"a": 2}, {"a": "1"}, {"b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, [1, 2], [2, 1]]
    different += [{"c": [Config(alpha=1)]}, {"c": [Config(alpha=2)]}]
    keys = [files.key(depends) for depends in different]
    assert files.key({"b": 2, "a": np.int64(1)}) == files.key({"a": 1, "b": 2})
    monkeypatch.setattr(files, "__version__", "another")
    keys.append(files.key({"a": 1}))
    for name in ("cupy", "numpy"):  # what a GPU has made
        monkeypatch.setattr(backend, "_chosen", name)
        keys.append(files.key("x"))
    monkeypatch.setattr(backend, "_chosen", "cupy")
    monkeypatch.setenv("CUPY_TF32", "1")
    assert len({*keys, files.key("x")}) == len(different) + 4
    with pytest.raises(ValueError):
        files.key({"a": float("nan")})


def test_what_was_made_once_is_read_and_not_made_again(tmp_path):
    made = iter(range(9))

    def cached(name, resume=True):
        arrays = files.cached(tmp_path / name, lambda: {"a": np.array(next(made))}, resume)
        assert arrays.keys() == {"a"}
        return int(arrays["a"])

    assert [cached("a"), cached("a"), cached("b")] == [0, 0, 1]
    assert [cached("a", resume=False), cached("a"), cached("a", resume=False)] == [2, 2, 3]
    assert only(tmp_path) == ["a", "a.old", "a.old.old", "b"]
    assert [int(files.read_arrays(tmp_path / name)["a"]) for name in ("a.old", "a.old.old")] == [2, 0]


@pytest.mark.parametrize("size", [0, -30, None])
def test_what_is_damaged_or_of_another_name_is_made_again(tmp_path, size):
    files.cached(tmp_path / "a-key.npz", lambda: ARRAYS)
    path, data = tmp_path / "b-key.npz", (tmp_path / "a-key.npz").read_bytes()[:size]
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"b-key.npz is damaged, or is not what its name says: moved aside") as caught:
        assert not files.cached(path, lambda: {})
    assert len(caught) == 1 and (tmp_path / "b-key.npz.old").read_bytes() == data

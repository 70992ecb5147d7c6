"""What stood there before survives every failure, and nothing but arrays is ever read."""

import errno
import io
import json
import os
import pickle
import resource

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slowae import files

ARRAYS = {"x": np.arange(12.0).reshape(3, 4), "n": np.array(3), "text": np.array('{"a": 1}')}


def only(folder):
    return sorted(path.name for path in folder.iterdir())


def test_arrays_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "folder" / "arrays.npz"
    files.write_arrays(path, ARRAYS)
    back = files.read_arrays(path)
    assert back.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(back[name], value)
        assert back[name].dtype == value.dtype
    assert only(path.parent) == ["arrays.npz"]


def test_json_is_json_and_replaces_what_was_there(tmp_path):
    path = tmp_path / "results.json"
    for value in ({"temporal_auc": {"pixels": 0.5}}, {"seconds": 1.25, "peak_mb": None}):
        files.write_json(path, value)
        assert json.loads(path.read_text()) == value
    with pytest.raises(TypeError):
        files.write_json(path, {"an array is not JSON": np.zeros(2)})
    assert json.loads(path.read_text()) == value
    assert only(tmp_path) == ["results.json"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "arrays.npz"
    path.write_bytes(b"before")
    for stop in (KeyboardInterrupt, ValueError):
        with pytest.raises(stop), files.replacing(path) as file:
            file.write(b"half of what")
            assert path.read_bytes() == b"before"
            raise stop
        assert path.read_bytes() == b"before"
        assert only(tmp_path) == ["arrays.npz"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_is_said_and_loses_nothing(tmp_path, monkeypatch, step):
    path = tmp_path / "arrays.npz"
    files.write_arrays(path, ARRAYS)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if step == "write":
        monkeypatch.setattr(np, "savez", lambda file, **_: (file.write(b"PK" * 99), full()))
    else:
        monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match=r"cannot write .*arrays.npz: No space left on device; .* untouched") as caught:
        files.write_arrays(path, {"y": np.zeros(3)})
    assert len(str(caught.value).splitlines()) == 1
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert only(tmp_path) == ["arrays.npz"]


def test_a_write_that_the_system_cuts_short_loses_nothing(tmp_path):
    """No injection: the system itself refuses the file half way, as a full disk or a quota does."""
    path = tmp_path / "arrays.npz"
    files.write_arrays(path, ARRAYS)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write .*arrays.npz: .*; .* untouched"):
            files.write_arrays(path, {"x": np.zeros(20_000), "y": np.zeros(20_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert only(tmp_path) == ["arrays.npz"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OSError, match=r"cannot write .*runs/results.json: .*untouched"):
        files.write_json(tmp_path / "runs" / "results.json", {})
    assert (tmp_path / "runs").read_text() == "a file"


class Trap:
    """Unpickled, it makes a folder: so a test sees that a pickle was opened."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_pickles_are_refused(tmp_path):
    path, sprung = tmp_path / "trap.npz", tmp_path / "sprung"
    np.savez(path, x=np.array([Trap(sprung), None], dtype=object))
    np.load(path, allow_pickle=True)["x"]
    sprung.rmdir()  # the trap works
    for data in (path.read_bytes(), pickle.dumps(Trap(sprung))):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"trap.npz is damaged or not an .npz of arrays; delete it"):
            files.read_arrays(path)
        assert not sprung.exists()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.npz: no such file"):
        files.read_arrays(tmp_path / "nothing.npz")


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


WHOLE = npz(**ARRAYS)


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"text, no arrays", npy(np.zeros(3)), npz()[:-3], WHOLE[:-30], WHOLE[40:]]
)
def test_what_is_no_npz_is_named(tmp_path, data):
    (tmp_path / "bad.npz").write_bytes(data)
    with pytest.raises(ValueError, match=r"bad.npz is damaged or not an .npz of arrays; delete it and start afresh"):
        files.read_arrays(tmp_path / "bad.npz")


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255), st.booleans())
def test_a_damaged_npz_never_gives_wrong_numbers(tmp_path_factory, place, flip, cut):
    """One byte changed, or the end cut off: it is refused in a sentence, or every array is as it was."""
    data = bytearray(WHOLE)
    data[place] ^= flip
    path = tmp_path_factory.mktemp("damaged") / "damaged.npz"
    path.write_bytes(data[:place] if cut else data)
    try:
        back = files.read_arrays(path)
    except ValueError as error:
        assert "damaged.npz is damaged" in str(error)
        return
    assert not cut
    for name in ARRAYS.keys() & back.keys():
        np.testing.assert_array_equal(back[name], ARRAYS[name])


def test_groups_of_arrays_come_back(tmp_path):
    groups = {"a": {"W": np.ones((2, 3), np.float32), "b": np.zeros(2)}, "a/c": {"W": np.arange(4)}}
    files.write_groups(tmp_path / "groups.npz", groups)
    found = files.read_groups(tmp_path / "groups.npz")
    assert found.keys() == groups.keys()
    for group, arrays in groups.items():
        assert found[group].keys() == arrays.keys()
        for name, value in arrays.items():
            np.testing.assert_array_equal(found[group][name], value)

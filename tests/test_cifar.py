"""Records laid out by hand are read back; what is short, damaged or wrongly downloaded is refused by name."""

import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from slowae.data import cifar

NAMES = [*cifar.BATCHES["train"], *cifar.BATCHES["test"]]


@pytest.fixture(autouse=True)
def _tiny_batches(monkeypatch):
    monkeypatch.setattr(cifar, "RECORDS", 3)


@pytest.fixture
def content(tmp_path, monkeypatch):
    """{file name: bytes} of six tiny batches; SLOWAE_DATA is tmp_path."""
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    made = {}
    for name in NAMES:
        records = rng.integers(0, 256, (3, cifar.NUMBERS), dtype=np.uint8)
        records[:, 0] = rng.integers(0, 10, 3)
        made[name] = records.tobytes()
    return made


@pytest.fixture
def folder(content, tmp_path):
    folder = tmp_path / cifar.FOLDER
    folder.mkdir()
    for name, value in content.items():
        (folder / name).write_bytes(value)
    return folder


def test_a_record_is_its_label_then_three_planes_in_rows(folder):
    record = np.zeros((3, cifar.NUMBERS), np.uint8)
    record[:, 0] = 7, 0, 9
    record[1, 1 + 5] = 11  # red, first row, column 5
    record[1, 1 + 1024 + 32 * 2] = 22  # green, row 2, column 0
    record[1, 1 + 2048 + 32 * 31 + 31] = 33  # blue, the last corner
    (folder / "test_batch.bin").write_bytes(record.tobytes())
    images, labels = cifar.load("test")
    assert labels.tolist() == [7, 0, 9]
    assert images.shape == (3, 32, 32, 3) and images.dtype == np.uint8
    assert (images[1, 0, 5, 0], images[1, 2, 0, 1], images[1, 31, 31, 2]) == (11, 22, 33)
    assert images.sum() == 66


def test_training_batches_come_in_order(folder, content):
    images, labels = cifar.load("train")
    assert images.shape == (15, 32, 32, 3) and labels.shape == (15,)
    for i, name in enumerate(cifar.BATCHES["train"]):
        record = np.frombuffer(content[name], np.uint8).reshape(3, -1)
        np.testing.assert_array_equal(labels[3 * i : 3 * i + 3], record[:, 0])
        np.testing.assert_array_equal(images[3 * i + 2].transpose(2, 0, 1).ravel(), record[2, 1:])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda whole: whole[:-1], "has 9218 bytes, not the 9219 of a CIFAR-10 batch"),
        (lambda whole: whole + b"\0", "has 9220 bytes"),
        (lambda whole: b"", "has 0 bytes"),
        (lambda whole: b"\x0a" + whole[1:], "holds the label 10, and CIFAR-10 has 0 to 9"),
    ],
)
def test_damaged_batches_are_refused_by_name(folder, content, damage, sentence):
    (folder / "data_batch_3.bin").write_bytes(damage(content["data_batch_3.bin"]))
    cifar.load("test")
    with pytest.raises(ValueError, match=r"data_batch_3\.bin " + sentence) as refusal:
        cifar.load("train")
    assert "; delete it and start again" in str(refusal.value)


@pytest.fixture
def archive(content, monkeypatch):
    """The archive, served on the loopback in place of its authors' page -> how often it was asked for."""
    memory, asked = io.BytesIO(), []
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for name, value in content.items():
            entry = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            entry.size = len(value)
            tar.addfile(entry, io.BytesIO(value))
    served = memory.getvalue()

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(served)))
            self.end_headers()
            self.wfile.write(served)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(cifar, "URL", f"http://127.0.0.1:{httpd.server_port}/cifar-10-binary.tar.gz")
        monkeypatch.setattr(cifar, "MD5", hashlib.md5(served).hexdigest())
        yield asked
        httpd.shutdown()


def test_the_archive_is_downloaded_once(archive, content, tmp_path):
    images, _ = cifar.load("test")
    np.testing.assert_array_equal(images[0, ..., 0].ravel(), list(content["test_batch.bin"][1:1025]))
    cifar.load("train")
    assert archive == ["/cifar-10-binary.tar.gz"]
    assert sorted(path.name for path in (tmp_path / cifar.FOLDER).iterdir()) == sorted(NAMES)


def test_a_missing_batch_is_downloaded(archive, folder, content):
    (folder / "data_batch_2.bin").unlink()
    cifar.load("test")
    assert archive == []
    cifar.load("train")
    assert len(archive) == 1 and (folder / "data_batch_2.bin").read_bytes() == content["data_batch_2.bin"]


def test_an_archive_with_another_checksum_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "MD5", "0" * 32)
    with pytest.raises(OSError, match=r"CIFAR-10 could not be downloaded from http.*hash"):
        cifar.load("test")
    assert [path.name for path in tmp_path.rglob("*")] == [cifar.FOLDER]

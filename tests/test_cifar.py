"""Records laid out by hand are read back; what is short, damaged or wrongly downloaded is refused by name."""

import hashlib
import io
import tarfile

import numpy as np
import pytest
from web import serve

from slowae.data import cifar

NAMES = [*cifar.BATCHES["train"], *cifar.BATCHES["test"]]


@pytest.fixture
def content(tmp_path, monkeypatch):
    """{file name: bytes} of six tiny batches; SLOWAE_DATA is tmp_path."""
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path))
    monkeypatch.setattr(cifar, "RECORDS", 3)
    records = np.random.default_rng(0).integers(0, 256, (6, 3, cifar.NUMBERS), dtype=np.uint8)
    records[..., 0] = np.arange(18).reshape(6, 3) % 10
    return {name: three.tobytes() for name, three in zip(NAMES, records, strict=True)}


@pytest.fixture
def folder(content, tmp_path):
    folder = tmp_path / cifar.FOLDER
    folder.mkdir()
    for name, value in content.items():
        (folder / name).write_bytes(value)
    return folder


def test_records_are_their_labels_then_three_planes_in_rows_and_batches_come_in_order(folder, content):
    images, labels = cifar.load("train")
    assert images.shape == (15, 32, 32, 3) and images.dtype == np.uint8 and labels.shape == (15,)
    for i, name in enumerate(cifar.BATCHES["train"]):
        record = np.frombuffer(content[name], np.uint8).reshape(3, -1)
        np.testing.assert_array_equal(labels[3 * i : 3 * i + 3], record[:, 0])
        np.testing.assert_array_equal(images[3 * i + 2].transpose(2, 0, 1).ravel(), record[2, 1:])


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: b"", lambda whole: b"\x0a" + whole[1:]])
def test_damaged_batches_are_refused_by_name(folder, content, damage):
    (folder / "data_batch_3.bin").write_bytes(damage(content["data_batch_3.bin"]))
    cifar.load("test")
    with pytest.raises(ValueError, match=r"data_batch_3\.bin is no batch of CIFAR-10; delete it and start again"):
        cifar.load("train")


@pytest.fixture
def archive(content, monkeypatch):
    """The archive, served on the loopback in place of its authors' page -> how often it was asked for."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as tar:
        for name, value in content.items():
            entry = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            entry.size = len(value)
            tar.addfile(entry, io.BytesIO(value))
    monkeypatch.setattr(cifar, "MD5", hashlib.md5(memory.getvalue()).hexdigest())
    with serve({"/cifar.tar.gz": memory.getvalue()}) as (address, _, asked):
        monkeypatch.setattr(cifar, "URL", f"{address}/cifar.tar.gz")
        yield asked


def test_the_archive_is_downloaded_once_and_again_if_a_file_is_missing(archive, content, tmp_path):
    images, _ = cifar.load("test")
    np.testing.assert_array_equal(images[0, ..., 0].ravel(), list(content["test_batch.bin"][1:1025]))
    cifar.load("train")
    assert archive == ["/cifar.tar.gz"]
    (tmp_path / cifar.FOLDER / "data_batch_2.bin").unlink()
    cifar.load("test")
    assert len(archive) == 1
    cifar.load("train")
    assert len(archive) == 2
    assert {path.name: path.read_bytes() for path in (tmp_path / cifar.FOLDER).iterdir()} == content


def test_an_archive_with_another_checksum_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "MD5", "0" * 32)
    with pytest.raises(OSError, match=r"CIFAR-10 could not be downloaded from http.*hash"):
        cifar.load("test")
    assert [path.name for path in tmp_path.rglob("*")] == [cifar.FOLDER]

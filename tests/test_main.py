"""The command line: one run from a film to a table, and one clear sentence for everything that cannot be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from films import film, write_film

from slowae import backend, model, train
from slowae.__main__ import main
from slowae.commands import train as train_command
from slowae.data import video, whitening

ROOT = Path(__file__).parents[1]


def slowae(*words, cwd=None):
    """python -m slowae, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "slowae", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.fixture(autouse=True)
def _backend_stays(monkeypatch):
    """main() chooses a backend for the whole process; the other tests keep theirs."""
    monkeypatch.setattr(backend, "_chosen", backend._chosen)


# One run, from a film to a table


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The words of a tiny run, and the process that they made: its folder holds film.mkv and out/."""
    folder = tmp_path_factory.mktemp("run")
    write_film(folder / "film.mkv", film(9, 12, 8, 14, 10, 9, 12, 8, 11, 13, height=64, width=64))
    words = "--video film.mkv --tiles 2 --steps 3 --batch 2 --rate 1e-7 --seed 5 --backend numpy --out out".split()
    return folder, words, slowae(*words, cwd=folder)


def results(folder):
    return json.loads((folder / "out" / "results.json").read_text())


def test_a_film_becomes_a_table_filters_and_pictures(run):
    folder, _, process = run
    assert process.returncode == 0, process.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["film.mkv", "out"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "beta0.checkpoint.npz",
        "curves.png",
        "filters.npz",
        "filters.png",
        "layer1.checkpoint.npz",
        "neighbours.png",
        "results.json",
        "training.png",
        "whitening.npz",
    ]
    for path in (folder / "out").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG") and path.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert "split by shot (10 shots" in process.stdout
    for name, auc in results(folder)["temporal_auc"].items():
        line = next(line for line in process.stdout.splitlines() if line.startswith(f"{train_command.NAMES[name]}  "))
        assert f"{auc:.3f}" in line


def test_results_hold_what_is_promised(run):
    folder, _, _ = run
    found = results(folder)
    assert found.keys() == {
        *("temporal_auc", "interval_95", "oracle", "chance", "group_similarity", "last"),
        *("data", "configuration", "seed", "backend", "versions", "seconds", "peak_mb"),
    }
    promised = {"pixels", "zca", "colour_histogram", "random", "beta0", "layer1"}
    assert found["temporal_auc"].keys() == found["interval_95"].keys() == promised | {"pixels_centred"}
    for name, auc in found["temporal_auc"].items():
        low, high = found["interval_95"][name]
        assert 0 <= low <= high and 0 <= auc <= found["oracle"] <= 1
    assert 0 < found["chance"] < found["oracle"]
    assert found["seed"] == 5 and found["backend"] == "numpy"
    assert found["configuration"] == {
        **{"alpha": 1.0, "beta": 4.0, "group": 4, "size": 2},
        **{"steps": 3, "batch": 2, "optimizer": "adam", "rate": 1e-7, "epsilon": 0.05},
    }
    assert found["data"]["videos"] == ["film.mkv"] and found["data"]["scenes"].keys() == video.SHARES.keys()
    assert found["versions"]["numpy"] == np.__version__ and found["seconds"] > 0


def test_the_filters_and_the_whitening_can_be_used_again(run):
    folder, _, _ = run
    with np.load(folder / "out" / "filters.npz") as archive:
        params = {name: {key: archive[f"{name}/{key}"] for key in ("W_e", "b_e", "W_d")} for name in
                  ("random", "beta0", "layer1")}  # fmt: skip
        assert len(archive.files) == 9
    for weights in params.values():
        assert weights["W_e"].shape == weights["W_d"].shape == (9, 9, 3, 64)
        np.testing.assert_allclose((weights["W_d"] ** 2).sum((0, 1, 2)), 1, rtol=1e-5)
    start = model.init_params(np.random.default_rng(5), (9, 9, 3, 64))
    np.testing.assert_array_equal(params["random"]["W_e"], start["W_e"])
    for name in ("beta0", "layer1"):
        assert 0 < np.abs(params[name]["W_e"] - start["W_e"]).max() < 0.1  # three small steps from the same start
    white = whitening.load_whitening(folder / "out" / "whitening.npz")(np.zeros((2, 32, 32, 3), np.uint8))
    assert model.encode(params["layer1"], white, model.Config()).shape == (2, 16, 16, 16)


def test_resuming_a_finished_run_gives_the_same_table_and_bits(run):
    folder, words, _ = run
    before, filters = results(folder), (folder / "out" / "filters.npz").read_bytes()
    process = slowae("train", *words, "--resume", cwd=folder)
    assert process.returncode == 0, process.stderr
    assert results(folder)["temporal_auc"] == before["temporal_auc"]
    assert (folder / "out" / "filters.npz").read_bytes() == filters


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--alpha", "2"], "alpha"),
        (["--epsilon", "0.3"], "epsilon"),
        (["--seed", "6"], "seed"),
        (["--tiles", "1"], "data, pairs"),
        (["--fps", "12"], "pairs"),
        (["--video", "other.mkv"], "data"),
    ],
)
def test_resuming_with_other_settings_or_data_is_refused_by_name(run, monkeypatch, capsys, changed, named):
    folder, words, _ = run
    monkeypatch.chdir(folder)
    if "other.mkv" in changed:
        frames = film(9, 12, 8, 14, 10, 9, 12, 8, 11, 13, height=64, width=64)
        write_film("other.mkv", frames[:, ::-1])
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    assert main([*words, *changed, "--resume"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"beta0.checkpoint.npz was saved with another {named}; repeat those settings" in said
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before
    Path("other.mkv").unlink(missing_ok=True)


def test_a_fresh_start_leaves_no_stale_checkpoint_to_resume_from(run, tmp_path, monkeypatch, capsys):
    """Stopped in its first layer, a second run can be resumed although the first run's second layer was there."""
    folder, words, _ = run
    (tmp_path / "layer1.checkpoint.npz").write_bytes((folder / "out" / "layer1.checkpoint.npz").read_bytes())
    monkeypatch.chdir(folder)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "fit", stop)
    monkeypatch.setattr(whitening, "fit_whitening", lambda *_: whitening.load_whitening("out/whitening.npz"))
    assert main([*words, "--alpha", "2", "--out", str(tmp_path)]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["whitening.npz"]
    assert capsys.readouterr().err.splitlines()[-1] == "stopped"


# What cannot be


def refused(capsys, *words):
    """main(words) ends with code 2 -> the one sentence that it printed."""
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if "\r" not in line]
    assert len(lines) == 1 and lines[0].startswith("slowae: "), printed.err
    assert "Traceback" not in printed.err and printed.out == ""
    return lines[0]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty folder to work in; nothing may be left there."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--steps 0", "argument --steps: must be finite and at least 1, not 0"),
        ("--steps -3", "argument --steps: must be finite and at least 1, not -3"),
        ("--steps many", "argument --steps: invalid int value: 'many'"),
        ("--batch 0", "argument --batch: must be finite and at least 1, not 0"),
        ("--batch -1", "argument --batch: must be finite and at least 1, not -1"),
        ("--fps 0", "argument --fps: must be finite and above 0, not 0"),
        ("--fps -6", "argument --fps: must be finite and above 0, not -6"),
        ("--fps nan", "argument --fps: must be finite and above 0, not nan"),
        ("--tiles 0", "argument --tiles: must be finite and at least 1, not 0"),
        ("--tiles -2", "argument --tiles: must be finite and at least 1, not -2"),
        ("--rate 0", "argument --rate: must be finite and above 0, not 0"),
        ("--rate inf", "argument --rate: must be finite and above 0, not inf"),
        ("--alpha -1", "argument --alpha: must be finite and at least 0, not -1"),
        ("--beta -0.5", "argument --beta: must be finite and at least 0, not -0.5"),
        ("--beta nan", "argument --beta: must be finite and at least 0, not nan"),
        ("--epsilon -1", "argument --epsilon: must be finite and at least 0, not -1"),
        ("--seed -1", "argument --seed: must be finite and at least 0, not -1"),
        ("--backend torch", "argument --backend: invalid choice: 'torch'"),
        ("--betta 4", "unrecognized arguments: --betta 4"),
        ("tarin", "no command 'tarin'; the commands are train, "),
        ("fetch --lits", "unrecognized arguments: --lits"),
    ],
)
def test_words_that_make_no_sense(empty, capsys, words, sentence):
    said = refused(capsys, *words.split())
    assert sentence in said and ("--help" in said or "commands are" in said)


def test_no_such_file(empty, capsys):
    assert "nowhere.mp4: no such file or folder; give --video" in refused(capsys, "--video", empty / "nowhere.mp4")


def test_an_empty_folder(empty, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("no_films")
    assert f"{folder} holds no video; known endings are" in refused(capsys, "--video", folder)


@pytest.fixture
def clips(tmp_path_factory):
    """A folder of clips that cannot be trained on."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "text.mp4").write_text("Not every file is what its name says.\n")
    write_film(folder / "one.mkv", film(1, height=64, width=64))
    write_film(folder / "small.mkv", film(30, height=24, width=64))
    write_film(folder / "short.mkv", film(5, height=64, width=64))
    return folder


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("text.mp4", "text.mp4 cannot be read as video (Invalid data found when processing input); remove it"),
        ("one.mkv", "one.mkv holds no scene of 2 frames at 6 a second"),
        ("small.mkv", "small.mkv is 64 x 24 pixels, smaller than the 32 x 32 needed"),
        ("short.mkv", "too little video: no scene is left for train; give longer or more videos"),
    ],
)
def test_clips_that_are_of_no_use(empty, clips, capsys, name, sentence):
    assert sentence in refused(capsys, "--video", clips / name)


def test_windows_that_do_not_fit(empty, clips, capsys):
    said = refused(capsys, "--video", clips / "short.mkv", "--tiles", 3)
    assert "short.mkv is 64 x 64 pixels, smaller than the 96 x 96 needed; use a larger video or fewer --tiles" in said


def test_cupy_without_a_gpu(empty, capsys, monkeypatch):
    monkeypatch.setattr(backend, "gpu_available", lambda: False)
    chosen = backend.chosen()
    assert "the cupy backend needs" in refused(capsys, "--backend", "cupy")
    assert backend.chosen() == chosen
    monkeypatch.setattr(backend, "_chosen", None)
    for name, sentence in (("cupy", "the cupy backend needs"), ("jax", "backend must be numpy or cupy, not 'jax'")):
        monkeypatch.setenv("SLOWAE_BACKEND", name)
        assert sentence in refused(capsys)


def test_a_file_where_the_folder_for_results_should_be(run, tmp_path, capsys, monkeypatch):
    folder, words, _ = run
    monkeypatch.chdir(folder)
    monkeypatch.setattr(whitening, "fit_whitening", lambda *_: whitening.load_whitening("out/whitening.npz"))
    (tmp_path / "file").write_text("mine")
    assert main([*words, "--out", str(tmp_path / "file")]) == 2
    assert "cannot write" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # np.errstate does not reach the threads
def test_training_that_diverges_says_so(run, tmp_path, capsys, monkeypatch):
    folder, words, _ = run
    monkeypatch.chdir(folder)
    monkeypatch.setattr(whitening, "fit_whitening", lambda *_: whitening.load_whitening("out/whitening.npz"))
    assert main([*words, "--rate", "1e30", "--out", str(tmp_path)]) == 2
    assert "training diverged by step 3" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["whitening.npz"]


def test_help_shows_examples_and_every_command(capsys):
    for word in ("--help", "-h"):
        with pytest.raises(SystemExit) as stop:
            main([word])
        assert stop.value.code == 0
        said = capsys.readouterr().out
        for line in ("examples:", "python -m slowae --video holiday/", "--resume", "fetch", "train --help"):
            assert line in said
    for command, option in (("train", "--beta"), ("fetch", "--list")):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert option in capsys.readouterr().out


# Imports

NUMPY_ALONE = """
import importlib, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names and top not in ("numpy", "slowae"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
import slowae
for name in "backend conv layers losses model optim metrics gradcheck files".split():
    importlib.import_module(f"slowae.{name}")
import numpy as np
from slowae import model
params = model.init_params(np.random.default_rng(0), (3, 3, 2, 4))
x = np.random.default_rng(0).standard_normal((8, 4, 4, 2), dtype=np.float32)
loss, grads = model.loss_and_gradients(params, x, model.Config())
assert np.isfinite(loss) and grads.keys() == params.keys()
"""


def test_the_mathematics_needs_numpy_alone():
    process = subprocess.run([sys.executable, "-c", NUMPY_ALONE], capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 0, process.stderr


def test_importing_the_package_imports_nothing_else():
    program = "import sys; before = set(sys.modules); import slowae; print(*sorted(set(sys.modules) - before))"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert process.stdout.split() == ["slowae"]

"""The command line: one clear sentence for everything that cannot be, and no lost stream loses a run."""

import subprocess
import sys
import tomllib
import warnings

import numpy as np
import pytest
from films import shot, write_film
from tiny import ROOT, WORDS, process, results

from slowae import backend, blocks
from slowae.__main__ import COMMANDS, OLDEST, main, parse
from slowae.commands import OPTIONS, compare, number


@pytest.fixture(autouse=True)
def _backend_stays(monkeypatch):
    """main() chooses a backend for the whole process; the other tests keep theirs."""
    monkeypatch.setattr(backend, "_chosen", backend._chosen)


def refused(capsys, *words):
    """main(words) ends with code 2 -> the one sentence that it printed."""
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if "\r" not in line]
    assert line.startswith("slowae: ") and "Traceback" not in line and printed.out == ""
    return line


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty folder to work in; nothing may be left there."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


# Words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--steps 0", "argument --steps: must be between 1 and 1e+09, not 0; see python -m slowae compare --help"),
        ("--steps many", "argument --steps: invalid int value: 'many'"),
        ("--epsilon -1", "argument --epsilon: must be between 0 and 1e+06, not -1"),
        ("plane --held-out 0", "argument --held-out: must be between 0.001 and 0.99, not 0"),
        ("--backend torch", "argument --backend: invalid choice: 'torch'"),
        ("--methods pixels layer3", "argument --methods: invalid choice: 'layer3'"),
        ("--betta 4", "unrecognized arguments: --betta 4"),
        ("patches --pairs 49", "argument --pairs: must be between 50 and 1e+08, not 49"),
        ("plane --step 18 --sweep --out new", "1 squares of 5 x 5 views holds out none"),
        ("tarin", "no command 'tarin'; the commands are compare, plane, "),
        ("fetch --lits", "unrecognized arguments: --lits; see python -m slowae fetch --help"),
        ("--video nowhere.mp4", "nowhere.mp4: no such file or folder"),
        ("--video .", ". holds no video; known endings are"),
    ],
)
def test_words_that_make_no_sense_get_a_sentence(empty, capsys, words, sentence):
    assert sentence in refused(capsys, *words.split())


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "fetch"])
def test_every_number_has_a_range_and_every_default_is_in_it(empty, capsys, command):
    _, args = parse([command])
    numbers = [name for name in OPTIONS if hasattr(args, name.replace("-", "_"))]
    assert "seed" in numbers and len(numbers) > 8
    for name in numbers:
        for word in ("nan", "inf", "-inf", "1e308", "1" + 5000 * "0", "-1"):
            said = refused(capsys, command, f"--{name}={word}")
            assert len(said) < 200
            assert f"argument --{name}: must be " in said or f"argument --{name}: invalid int value" in said
        default = getattr(args, name.replace("-", "_"))
        assert default is None or number(*OPTIONS[name][:3])(str(default)) == default


def test_help_shows_examples_and_every_command_its_options(capsys):
    for words, told in (
        (["-h"], [*COMMANDS, "examples:"]),
        (["--help"], ["--video holiday/"]),
        (["fetch", "-h"], ["--list"]),
    ):
        with pytest.raises(SystemExit) as stop:
            main(words)
        said = capsys.readouterr().out
        assert stop.value.code == 0 and all(word in said for word in told)


@pytest.mark.parametrize(("path", "name"), [("bin/slowae", "slowae"), ("slowae/__main__.py", "python -m slowae")])
def test_the_program_goes_by_the_name_it_was_called_by(monkeypatch, capsys, path, name):
    monkeypatch.setattr(sys, "argv", [path])
    assert refused(capsys, "fetch", "--lits").endswith(f" see {name} fetch --help")
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert said.startswith(f"usage: {name} [-h]") and f"\n{name} [COMMAND]" in said and f"\n  {name} --video" in said
    assert ("python -m" in said) == ("python -m" in name)


def test_a_python_that_is_too_old_is_told_which_one_will_do(monkeypatch, capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">={}.{}".format(*OLDEST)
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    assert refused(capsys) == "slowae: Python 3.11 or newer is needed, and this is 3.10; use a newer one"


# What stops a command


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ValueError("no"), 2, "slowae: no"),
        (FileNotFoundError("gone"), 2, "slowae: gone"),
        (FloatingPointError("training diverged"), 2, "slowae: training diverged"),
        (MemoryError(), 2, "slowae: not enough memory; give less data, or a smaller --batch"),
        (KeyboardInterrupt(), 130, "stopped"),
        (KeyboardInterrupt("stopped after step 3"), 130, "stopped after step 3"),
    ],
)
def test_what_stops_a_command_is_told_in_a_sentence(capsys, monkeypatch, error, code, sentence):
    def stop(args):
        warnings.warn("careful", stacklevel=1)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn("overflow encountered in matmul", RuntimeWarning, stacklevel=1)  # is no user's business
        raise error

    monkeypatch.setattr(compare, "run", stop)
    before = warnings.showwarning
    assert main([]) == code
    assert capsys.readouterr().err.split("\n") == ["note: careful", *([""] if code == 130 else []), sentence, ""]
    assert warnings.showwarning is before


def test_a_tilde_is_home_for_the_results_too(monkeypatch):
    monkeypatch.setenv("HOME", "/some/where")
    assert str(parse(["--out=~/runs"])[1].out) == "/some/where/runs"


def test_cupy_without_a_gpu(empty, capsys, monkeypatch):
    monkeypatch.setattr(backend, "gpu_available", lambda: False)
    chosen = backend.chosen()
    assert "the cupy backend needs" in refused(capsys, "--backend", "cupy")
    assert backend.chosen() == chosen
    monkeypatch.setattr(backend, "_chosen", None)
    for name, sentence in (("cupy", "the cupy backend needs"), ("jax", "backend must be numpy or cupy, not 'jax'")):
        monkeypatch.setenv("SLOWAE_BACKEND", name)
        assert sentence in refused(capsys)


def test_a_file_where_the_folder_for_results_should_be(tmp_path, capsys):
    write_film(tmp_path / "film.mkv", shot(0, 2))
    (tmp_path / "file").write_text("mine")
    said = refused(capsys, "--video", tmp_path / "film.mkv", "--out", tmp_path / "file")
    assert f"cannot write into {tmp_path / 'file'}" in said and "give another --out" in said
    assert (tmp_path / "file").read_text() == "mine"


# Streams


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder that holds films/, of one film of six shots."""
    folder = tmp_path_factory.mktemp("main")
    (folder / "films").mkdir()
    write_film(folder / "films" / "a.mkv", np.concatenate([shot(i, 9) for i in range(6)]))
    return folder


@pytest.mark.slow  # NumPy 2.0 alone, which tests import sooner than the command does, wants a stream at its own import
@pytest.mark.parametrize("shell", ["{} 2>&- | head -1", "{} >&- 2>/dev/full", "{} >/dev/full 2>&-"])
def test_a_lost_stream_loses_no_run(films, tmp_path, shell):
    out = tmp_path / "é"
    done = process([*WORDS, "--methods", "pixels", "--out", out], films, shell, PYTHONIOENCODING="ascii", PLAIN=1)
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr
    assert results(out)["rows"].keys() == {"pixels"}


# Imports

LITTLE = """
import importlib, os, signal, sys, warnings
import numpy as np

class Block:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names and top not in ("numpy", "slowae"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
before = set(sys.modules)
import slowae
assert set(sys.modules) - before == {"slowae"}
import ctypes
ctypes.CDLL = None
state = [lambda: dict(os.environ), np.geterr, lambda: list(warnings.filters), lambda: signal.getsignal(signal.SIGINT)]
found = [look() for look in state]
for name in "backend blocks conv conv_fourier layers losses model optim retrieval measures gradcheck".split():
    importlib.import_module(f"slowae.{name}")
assert [look() for look in state] == found
from slowae import model
params = model.init_params(np.random.default_rng(0), (3, 3, 2, 4))
x = np.random.default_rng(0).standard_normal((8, 4, 4, 2), dtype=np.float32)
loss, grads = model.loss_and_gradients(params, x, model.Config())
assert np.isfinite(loss) and grads.keys() == params.keys()
"""


HELP = """
import sys
from slowae.commands import compare
assert "matplotlib" not in sys.modules
"""


@pytest.mark.parametrize(
    "program", [LITTLE, HELP], ids=["the mathematics needs numpy alone", "help waits for no figure"]
)
def test_importing_sets_nothing_and_loads_little(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_command_line_asks_the_allocator_to_keep_memory(monkeypatch):
    asked = []
    monkeypatch.setattr(blocks, "keep_memory", lambda: asked.append(1))
    assert main(["tarin"]) == 2 and asked == [1]

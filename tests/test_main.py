"""The command line: one clear sentence for everything that cannot be, and no lost stream loses a run."""

import argparse
import errno
import importlib
import os
import re
import subprocess
import sys

import pytest
from films import shot, write_film
from tiny import ROOT, process, refuse, results

from slowae import backend
from slowae.__main__ import COMMANDS, OLDEST, main, parse
from slowae.commands import OPTIONS, compare, number


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
    yield
    assert list(tmp_path.iterdir()) == []


def test_a_python_that_is_too_old_is_named_and_so_is_one_that_will_do(monkeypatch, capsys):
    oldest = "{}.{}".format(*OLDEST)
    assert f'requires-python = ">={oldest}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    assert refused(capsys) == f"slowae: Python {oldest} or newer is needed, and this is 3.10; use a newer one"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--steps 0", "argument --steps: must be between 1 and 1e+09, not 0; see python -m slowae compare --help"),
        ("--backend torch", "argument --backend: invalid choice: 'torch'"),
        ("--methods pixels layer3", "argument --methods: invalid choice: 'layer3'"),
        ("tarin", "no command 'tarin'; the commands are compare, plane, "),
        ("fetch --lits", "unrecognized arguments: --lits; see python -m slowae fetch --help"),
        ("--video nowhere.mp4", "nowhere.mp4: no such file or folder"),
        ("--video .", ". holds no video; known endings are"),
        ("--video=", "argument --video: is empty: give a file or a folder"),
        ("fetch --out=", "argument --out: is empty: give a file or a folder"),
        ("patches --filters 6", "--filters must be a multiple of 4, the group of patches, not 6"),
    ],
)
def test_words_that_make_no_sense_get_a_sentence(empty, capsys, words, sentence):
    assert sentence in refused(capsys, *words.split())


@pytest.mark.parametrize("command", sorted({*COMMANDS} - {"fetch"}))
def test_every_number_has_a_range_and_every_default_is_in_it(empty, capsys, command):
    parser = argparse.ArgumentParser()
    importlib.import_module(f"slowae.commands.{command}").add_arguments(parser)
    options = {words[2:]: action for action in parser._actions if (words := action.option_strings[0])[2:] in OPTIONS}
    assert "seed" in options and len(options) > 4
    for name, action in options.items():
        for word in ("nan", "inf", "1" + 5000 * "0", "-1"):
            said = refused(capsys, command, f"--{name}={word}")
            assert len(said) < 200 and f"argument --{name}: " in said
        shown = re.search(r"\(([^()]+)\)$", action.help)
        assert shown is None or number(*OPTIONS[name][:3])(shown[1]) is not None


@pytest.mark.parametrize(("path", "name"), [("bin/slowae", "slowae"), ("slowae/__main__.py", "python -m slowae")])
def test_help_shows_the_commands_under_the_name_the_program_was_called_by(monkeypatch, capsys, path, name):
    monkeypatch.setattr(sys, "argv", [path])
    assert refused(capsys, "fetch", "--lits").endswith(f" see {name} fetch --help")
    for words, shown in ("-h", [*COMMANDS, f"\n  {name} --video"]), ("fetch --help", [f"{name} fetch", "--list"]):
        with pytest.raises(SystemExit) as stop:
            main(words.split())
        said = capsys.readouterr().out
        assert not stop.value.code and all(word in said for word in shown)


NO_THREADS = "the system gives no more threads or processes; close other programs, or raise ulimit -u"


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (FileNotFoundError("gone"), 2, "slowae: gone"),
        (FloatingPointError("training diverged"), 2, "slowae: training diverged"),
        (MemoryError(), 2, "slowae: not enough memory; give less data, or a smaller --batch"),
        (MemoryError("Unable to allocate"), 2, "slowae: Unable to allocate; give less data, or a smaller --batch"),
        (RuntimeError("can't start new thread"), 2, f"slowae: can't start new thread: {NO_THREADS}"),
        (OSError(errno.EAGAIN, "Try again"), 2, f"slowae: [Errno {errno.EAGAIN}] Try again: {NO_THREADS}"),
        (KeyboardInterrupt(), 130, "stopped"),
        (KeyboardInterrupt("stopped after step 3"), 130, "stopped after step 3"),
    ],
)
def test_what_stops_a_command_is_one_sentence(capsys, monkeypatch, error, code, sentence):
    monkeypatch.setattr(compare, "run", refuse(error))
    assert main([]) == code
    assert capsys.readouterr().err.strip().split("\n") == [sentence]


def test_a_tilde_is_home_for_the_results_too(monkeypatch):
    monkeypatch.setenv("HOME", "/some/where")
    assert str(parse(["--out=~/runs"])[1].out) == "/some/where/runs"


def test_cupy_without_a_gpu(empty, capsys, monkeypatch):
    monkeypatch.setattr(backend, "gpu_available", lambda: False)
    assert "the cupy backend needs" in refused(capsys, "--backend", "cupy")
    monkeypatch.setattr(backend, "_chosen", None)
    for name, sentence in (("cupy", "the cupy backend needs"), ("jax", "backend must be numpy or cupy, not 'jax'")):
        monkeypatch.setenv("SLOWAE_BACKEND", name)
        assert sentence in refused(capsys)


def test_a_file_where_the_folder_for_results_should_be(tmp_path, capsys):
    film = write_film(tmp_path / "film.mkv", shot(0, 2))
    said = refused(capsys, "--video", film, "--out", film)
    assert f"cannot write into {film}" in said and "give another --out" in said


@pytest.mark.slow  # NumPy 2.0 alone, which tests import sooner than the command does, wants a stream at its own import
@pytest.mark.parametrize("shell", ["{} 2>&- | head -1", "{} >&- 2>/dev/full", "{} >/dev/full 2>&-"])
def test_a_lost_stream_loses_no_run_nor_does_a_name_that_is_no_text(tmp_path, tmp_path_factory, shell):
    data, out = tmp_path_factory.getbasetemp() / "plane", tmp_path / os.fsdecode(b"\xe9\xff")
    words = [*"plane --step 15 --steps 3 --out".split(), out]
    done = process(words, tmp_path, shell, PYTHONIOENCODING="ascii", PLAIN=1, SLOWAE_DATA=data)
    assert done.returncode == 0 and "Traceback" not in done.stdout + done.stderr
    assert results(out)["settings"]["steps"] == 3


PROGRAM = """
import os, signal, sys, time, warnings
from slowae.__main__ import program
from slowae.commands import compare

def run(args):
    {}

compare.run = run
program()
"""


def run_as(line, *options):
    """A process whose command is this line of Python -> code, stdout, stderr."""
    words = [sys.executable, *options, "-c", PROGRAM.format(line)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("name", "by"), [("SIGINT", ""), ("SIGTERM", " by SIGTERM"), ("SIGHUP", " by SIGHUP")])
def test_a_signal_ends_a_command_that_is_not_training_with_a_sentence(name, by):
    assert run_as(f"os.kill(os.getpid(), signal.{name}); time.sleep(30)") == (130, "", f"\nstopped{by}\n")


@pytest.mark.parametrize("words", ["error", "ignore"])
def test_warnings_of_the_program_are_notes_and_those_of_packages_silent(words):
    line = "warnings.warn('old', DeprecationWarning); warnings.warn('careful'); print(os.environ['MPLBACKEND'])"
    assert run_as(line, "-W", words) == (0, "agg\n", "note: careful\n")


def test_a_defect_is_a_traceback_and_code_1():
    code, _, errors = run_as("1 / 0")
    assert code == 1 and errors.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("words", [["--help"], ["compare", "--help"], ["fetch", "--list"]])
def test_a_closed_pipe_ends_what_is_only_to_be_read_quietly(words):
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "slowae", *words]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


LITTLE = """
import importlib, os, signal, sys, warnings
import numpy as np

class Block:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names and top not in ("numpy", "slowae", "threadpoolctl"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
before = set(sys.modules)
import slowae
assert set(sys.modules) - before == {"slowae"}
state = [lambda: dict(os.environ), np.geterr, lambda: list(warnings.filters), lambda: signal.getsignal(signal.SIGINT)]
before = [look() for look in state]
for name in "backend blocks conv conv_fourier layers losses model optim retrieval measures gradcheck".split():
    importlib.import_module(f"slowae.{name}")
assert [look() for look in state] == before
from slowae import model
params = model.init_params(np.random.default_rng(0), (3, 3, 2, 4))
x = np.random.default_rng(0).standard_normal((8, 4, 4, 2), dtype=np.float32)
loss, grads = model.loss_and_gradients(params, x, model.Config())
assert np.isfinite(loss) and grads.keys() == params.keys()
"""


HELP = "import sys, slowae.commands.compare; assert 'matplotlib' not in sys.modules"


ROWS = "import sys; sys.modules['av'] = None; import slowae.methods"
IDS = "the mathematics needs little", "help waits for no figure", "rows need no video library"


@pytest.mark.parametrize("program", [LITTLE, HELP, ROWS], ids=IDS)
def test_importing_sets_nothing_and_loads_little(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr

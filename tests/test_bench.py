"""bench: what disagrees is not timed; turns, medians and ratios of known times; what is written. No timed test."""

import json
import subprocess
import sys
from functools import partial

import bench
import numpy as np
import pytest
from bench import OURS, findings, measure, require_agreement

from slowae import backend
from slowae.data.whitening import Whitening
from slowae.methods.slow_autoencoder import FILTERS, POOLS
from slowae.model import Config

DENSE = partial(bench.eq_2_step, (12, 12), (8, 12), Config(size=1))
SMALL = {
    "layer1_step": partial(bench.eq_2_step, FILTERS[0], (4, 32, 32, 3), POOLS[0]),
    "layer2_step": partial(bench.eq_2_step, FILTERS[1], (4, 16, 16, 16), POOLS[1]),
    "fully_connected_step": DENSE,
    "eq_1_step": partial(bench.eq_1_step, near=8, pixels=30),
    "retrieval": partial(bench.nearest, queries=20, gallery=90, numbers=16),
    "whitening_fit": partial(bench.whitening_fit, count=90, side=4),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A small case without pauses; PyTorch, where it is installed, uncompiled."""
    monkeypatch.setitem(bench.CASES, "fully_connected_step", DENSE)
    monkeypatch.setattr(bench, "PAUSE", 0)
    monkeypatch.setattr(bench, "TURN", 1e-9)
    monkeypatch.setattr(bench, "MODES", ("eager",))
    monkeypatch.setattr(backend, "_chosen", backend._chosen)


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", SMALL)
def test_the_others_agree(name):
    rival = "faiss" if name == "retrieval" and backend.chosen() == "numpy" else "torch"
    pytest.importorskip(rival, reason=f"{rival} is not installed, so there is nobody to agree with")
    contenders = SMALL[name](rng())[0]
    assert len(contenders) > 1
    require_agreement(contenders)


def test_pytorch_finds_the_same_neighbours():
    pytest.importorskip("torch", reason="torch is not installed, so there is nobody to agree with")
    queries, gallery = (rng().standard_normal((n, 16), dtype=np.float32) for n in (20, 90))
    found = bench.in_pytorch(bench.torch_neighbours, queries, gallery, 5, lambda indices: {"indices": indices})
    expected = bench.retrieval.neighbours(queries, gallery, 5)
    require_agreement(found | {OURS: lambda: lambda: {"indices": expected}})


def planted(wrong):
    """The small case, with a contender whose results are wrong(ours)."""
    ours = DENSE(rng())[0][OURS]
    return {OURS: ours, "PyTorch: planted": lambda: lambda: wrong(ours()())}


def without_one_unit(found):
    dW_d = found["dW_d"].copy()
    dW_d[:, 3] = 0
    return found | {"dW_d": dW_d}


def scaled(name, factor):
    return lambda found: found | {name: factor * found[name]}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (scaled("loss", 1.001), "loss"),
        (scaled("dW_e", 1.001), "dW_e"),
        (scaled("db_e", 2), "db_e"),
        (scaled("dW_d", -1), "dW_d"),
        (scaled("dW_d", np.nan), "dW_d"),
        (without_one_unit, "dW_d"),
        (lambda found: found | {"dW_e": found["dW_e"].T}, "dW_e"),
        (lambda found: found | {"dW_e": found["dW_e"][1:]}, "dW_e"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_timed(wrong, named, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(bench.CASES, "fully_connected_step", lambda _: (planted(wrong), 0, 0))
    with pytest.raises(SystemExit, match="2"):
        bench.main(["--only", "fully_connected_step", "--out", str(tmp_path)])
    assert f"{named} of PyTorch: planted is not ours" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_wrong_neighbours_are_seen():
    find = SMALL["retrieval"](rng())[0][OURS]

    def next_ones():
        read, indices = find().func, find().args[0]
        return partial(read, (indices + 1) % 90)

    with pytest.raises(RuntimeError, match="similarity of faiss: off by one is not ours"):
        require_agreement({OURS: find, "faiss: off by one": next_ones})


def test_one_activation_on_the_other_side_of_its_kink_is_no_disagreement():
    value = rng().standard_normal((9, 9, 3, 64))
    other = value.copy()
    other[:, :, 0, 5] *= 1.02
    require_agreement({OURS: lambda: lambda: {"dW": value}, "other": lambda: lambda: {"dW": other}})


def test_contenders_take_turns_and_only_their_own_time_counts(monkeypatch):
    clock, order = [0.0], []

    def work(name, seconds):
        def run():
            order.append(name)
            clock[0] += seconds

        return run

    monkeypatch.setattr(bench, "TURN", 0.2)
    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(bench.time, "sleep", lambda _: work("pause", 100)())
    monkeypatch.setattr(bench.backend, "synchronise", lambda: order.append("wait"))
    found = measure({"a": work("a", 1), "b": work("b", 2), "c": work("c", 0.15)}, 4)
    assert {name: row["median"] for name, row in found.items()} == {"a": 1, "b": 2, "c": pytest.approx(0.15)}
    assert order[:4] == ["pause", "wait", "a", "wait"]
    assert "".join(name for name in order if len(name) == 1) == "abcc" + "bcca" + "ccab" + "abcc"


def test_ratios_are_to_the_fastest_variant_of_each_library():
    medians = {OURS: 2.0, "PyTorch: a": 5.0, "PyTorch: b": 4.0, "PyTorch: c": 9.0, "faiss: x": 1.0}
    row = {who: {"median": seconds} for who, seconds in medians.items()}
    assert findings(row, 0, 0, None) == {"ratio_to_pytorch": 0.5, "ratio_to_faiss": 2.0}
    assert findings({OURS: row[OURS]}, 3e9, 8, 6.0) == {"share_of_sgemm_limit": 0.25, "frames_per_second": 4.0}


def test_the_work_counted_is_five_products_of_32_mflop_a_frame():
    _, flops, frames = SMALL["layer1_step"](rng())
    assert flops == 4 * 5 * 2 * 1024 * 243 * 64 and frames == 4


def test_a_run_without_rivals(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    monkeypatch.setattr(bench, "limits", partial(bench.limits, side=8, copied=64))
    bench.main(["--only", "fully_connected_step", "limit", "--repeats", "3", "--out", str(tmp_path)])
    found = json.loads((tmp_path / "bench.json").read_text())
    seconds = found["seconds"]["fully_connected_step"]
    assert list(seconds) == [OURS] and seconds[OURS]["fastest"] <= seconds[OURS]["median"] <= seconds[OURS]["slowest"]
    assert not [name for name in found if name.startswith("ratio")]
    assert found["frames_per_second"]["fully_connected_step"] == 8 / seconds[OURS]["median"]
    work = 5 * 2 * 8 * 12 * 12 / seconds[OURS]["median"] / 1e9
    share = found["share_of_sgemm_limit"]["fully_connected_step"]
    assert share == pytest.approx(work / found["limit"]["sgemm_gflops"])
    assert found["backend"] == backend.chosen() and {"cpu", "cores", "threads"} <= set(found["machine"])
    assert "fully_connected_step" in capsys.readouterr().out


def test_memory_is_that_of_a_process_of_its_own_without_pytorch():
    """Asked of a fresh process: a peak begins with what its parent holds, here the other tests' PyTorch."""
    words = "from tests import bench; print(*bench.memory((5000, 50), ['retrieval'])['retrieval'].values())"
    root = bench.Path(__file__).parents[1]
    many, few = map(int, subprocess.check_output([sys.executable, "-c", words], cwd=root).split())
    codes = (5000 - 50) * 4096 * 4 / 2**20  # MB, held once and normalised in blocks
    assert few < 200 and 0.9 * codes < many - few < 3 * codes


def test_the_training_that_is_weighed(monkeypatch):
    identity = Whitening(np.full(3072, 128, np.float32), np.eye(3072, dtype=np.float32) / 74)
    monkeypatch.setattr(bench.whitening, "fit_whitening", lambda frames, epsilon: identity)
    assert bench.peak("training", 40) > 1

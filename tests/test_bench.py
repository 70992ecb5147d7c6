"""bench: what disagrees is not timed, medians and ratios of known times, the form of bench.json. No timed test."""

import json
from functools import partial

import numpy as np
import pytest
from films import film, write_film
from strict import Strict

from slowae import backend
from slowae.__main__ import main
from slowae.commands import bench, bench_cases, bench_memory, bench_timing, bench_torch
from slowae.commands.bench_timing import OURS, Contender, measure, ratios, require_agreement, summary

CASES = dict(bench_cases.CASES)
SMALL = {
    "layer1_step": partial(bench_cases.layer1_step, pairs=2),
    "layer2_step": partial(bench_cases.layer2_step, pairs=2),
    "fully_connected_step": partial(bench_cases.fully_connected_step, pairs=4),
    "eq_1_step": partial(bench_cases.eq_1_step, near=8, pixels=30),
    "retrieval": partial(bench_cases.retrieval, queries=20, gallery=90, numbers=16),
    "whitening_fit": partial(bench_cases.whitening_fit, count=90, side=4),
    "decoding": bench_cases.decoding,
}


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Small cases without pauses; PyTorch, where it is installed, uncompiled."""
    write_film(tmp_path / "film.mkv", film(9, height=64, width=64))
    monkeypatch.setattr(bench_cases.sources, "find_videos", lambda: [tmp_path / "film.mkv"])
    monkeypatch.setattr(bench_cases, "CASES", SMALL)
    monkeypatch.setattr(bench_memory, "memory", partial(bench_memory.memory, (50,), side=8))
    monkeypatch.setattr(bench_cases, "limits", partial(bench_cases.limits, side=8, copied=64))
    monkeypatch.setattr(bench_timing, "PAUSE", 0)
    monkeypatch.setattr(bench_timing, "TURN", 1e-9)
    monkeypatch.setattr(bench_torch, "_modes", lambda: {"eager": lambda loss: loss})
    monkeypatch.setattr(backend, "_chosen", backend._chosen)


def rng():
    return np.random.default_rng(0)


def test_every_case_has_its_section():
    assert bench.SECTIONS == ["memory", "limit", *CASES]


# Agreement


@pytest.mark.parametrize("name", SMALL)
def test_all_contenders_agree(name):
    """Ours with PyTorch, faiss and scikit-learn where installed; with itself elsewhere."""
    require_agreement(SMALL[name](rng()).contenders)


@pytest.mark.parametrize("name", ["layer1_step", "layer2_step", "fully_connected_step", "eq_1_step"])
def test_ours_on_the_stand_in_for_a_gpu(name, monkeypatch):
    ours = SMALL[name](rng()).contenders[OURS]
    expected = ours.read(ours.run())

    def to_host(value):
        return {n: v.get() for n, v in value.items()} if isinstance(value, dict) else value.get()

    monkeypatch.setattr(bench_cases, "to_device", Strict.of)
    monkeypatch.setattr(bench_cases, "to_host", to_host)
    on_host = Contender(lambda: expected, lambda found: found)
    require_agreement({OURS: on_host, "on the stand-in": SMALL[name](rng()).contenders[OURS]})


def test_what_agrees_is_the_loss_and_every_gradient():
    for name, arrays in {
        "layer1_step": {"loss", "dW_e", "db_e", "dW_d"},
        "fully_connected_step": {"loss", "dW_e", "db_e", "dW_d"},
        "eq_1_step": {"loss", "dW_1", "db_1", "dW_2"},
    }.items():
        ours = SMALL[name](rng()).contenders[OURS]
        assert set(ours.read(ours.run())) == arrays


def scaled(name, factor):
    return lambda found: found | {name: factor * found[name]}


def without_one_filter(found):
    wrong = found["dW_d"].copy()
    wrong[..., 3] = 0
    return found | {"dW_d": wrong}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (scaled("loss", 1.001), "loss"),
        (scaled("dW_e", 1.001), "dW_e"),
        (scaled("db_e", 2), "db_e"),
        (scaled("dW_d", -1), "dW_d"),
        (scaled("dW_d", np.nan), "dW_d"),
        (without_one_filter, "dW_d"),
        (lambda found: found | {"dW_e": found["dW_e"].swapaxes(0, 1)}, "dW_e"),
        (lambda found: found | {"dW_e": found["dW_e"][1:]}, "dW_e"),
    ],
)
def test_a_wrong_loss_or_gradient_is_named_and_nothing_is_timed(wrong, named, monkeypatch, tmp_path, capsys):
    def rivals(params, x, config):
        ours = bench_cases._step(bench_cases.model.loss_and_gradients, params, x, config, bench_cases.optim.ADAM)
        return {"PyTorch: planted": Contender(ours.run, lambda result: wrong(ours.read(result)))}

    monkeypatch.setattr(bench_torch, "convolutional", rivals)
    assert main(["bench", "--only", "layer1_step", "--out", str(tmp_path / "out")]) == 2
    assert f"layer1_step: {named} of PyTorch: planted is not ours" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_wrong_neighbours_are_seen():
    ours = SMALL["retrieval"](rng()).contenders[OURS]
    farther = Contender(ours.run, lambda indices: ours.read((indices + 1) % 90))
    with pytest.raises(RuntimeError, match="similarity of faiss: off by one is not ours"):
        require_agreement({OURS: ours, "faiss: off by one": farther})


def test_one_activation_on_the_other_side_of_its_kink_is_no_disagreement():
    value = rng().standard_normal((9, 9, 3, 64))
    other = value.copy()
    other[:, :, 0, 5] *= 1.02
    require_agreement(
        {who: Contender(lambda: None, lambda _, v=v: {"dW": v}) for who, v in ((OURS, value), ("b", other))}
    )


# Times


def test_contenders_take_turns_and_only_their_own_time_counts(monkeypatch):
    clock, order = [0.0], []

    def work(name, seconds):
        def run():
            order.append(name)
            clock[0] += seconds

        return run

    monkeypatch.setattr(bench_timing, "TURN", 0.2)
    monkeypatch.setattr(bench_timing.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(bench_timing.time, "sleep", lambda _: work("pause", 100)())
    monkeypatch.setattr(bench_timing.backend, "synchronise", lambda: order.append("wait"))
    seconds = measure({"a": work("a", 1), "b": work("b", 2), "c": work("c", 0.15)}, 4)
    assert seconds == {"a": [1] * 4, "b": [2] * 4, "c": pytest.approx([0.15] * 4)}
    assert order[:4] == ["pause", "wait", "a", "wait"]
    assert "".join(name for name in order if len(name) == 1) == "abcc" + "bcca" + "ccab" + "abcc"


def test_medians_spread_and_ratios():
    rows = summary({OURS: [3.0, 1.0, 2.0], "PyTorch: a": [5.0], "PyTorch: b": [4.0, 9.0, 1.0], "faiss: x": [1.0, 3.0]})
    assert rows[OURS] == {"median": 2.0, "fastest": 1.0, "slowest": 3.0}
    assert ratios(rows) == {"PyTorch": 2 / 4, "faiss": 2 / 2}
    assert ratios({OURS: rows[OURS]}) == {}


def test_the_work_counted_is_five_products_of_32_mflop_a_frame():
    case = bench_cases.layer1_step(rng(), pairs=3)
    assert case.flops == 6 * 5 * 2 * 1024 * 243 * 64
    assert case.frames == 6


# bench.json


def report(folder):
    return json.loads((folder / "bench.json").read_text())


def test_the_form_of_the_report(monkeypatch, tmp_path, capsys):
    def rivals(params, x, config):
        return {
            "PyTorch: ours": bench_cases._step(
                bench_cases.model.loss_and_gradients, params, x, config, bench_cases.optim.ADAM
            )
        }

    monkeypatch.setattr(bench_torch, "convolutional", rivals)
    assert main(["bench", "--repeats", "3", "--out", str(tmp_path)]) == 0
    found = report(tmp_path)
    assert set(found) >= {"backend", "machine", "versions", "seconds", "memory", "limit", "share_of_sgemm_limit"}
    assert set(found["seconds"]) == set(SMALL)
    assert set(found["memory"]) == {"training", "retrieval"}
    assert all(mb > 0 for row in found["memory"].values() for mb in row.values())
    assert set(found["machine"]) >= {"cpu", "cores", "threads"}
    products = {"layer1_step", "layer2_step", "fully_connected_step", "eq_1_step", "retrieval"}
    assert set(found["share_of_sgemm_limit"]) == products
    layer1 = found["seconds"]["layer1_step"]
    assert found["ratio_to_pytorch"]["layer1_step"] == layer1[OURS]["median"] / layer1["PyTorch: ours"]["median"]
    work = 4 * 5 * 2 * 1024 * 243 * 64 / layer1[OURS]["median"] / 1e9
    assert found["share_of_sgemm_limit"]["layer1_step"] == pytest.approx(work / found["limit"]["sgemm_gflops"])
    assert found["frames_per_second"]["decoding"] == 9 / found["seconds"]["decoding"][OURS]["median"]
    printed = capsys.readouterr().out
    for name in SMALL:
        assert name in printed


def test_resume_measures_what_is_missing(tmp_path, capsys):
    out = ["--out", str(tmp_path), "--repeats", "1"]
    assert main(["bench", "--only", "whitening_fit", *out]) == 0
    first = report(tmp_path)["seconds"]["whitening_fit"]
    assert main(["bench", "--only", "whitening_fit", "decoding", "--resume", *out]) == 0
    found = report(tmp_path)["seconds"]
    assert set(found) == {"whitening_fit", "decoding"} and found["whitening_fit"] == first
    changed = report(tmp_path) | {"machine": {"cpu": "another"}}
    (tmp_path / "bench.json").write_text(json.dumps(changed))
    assert main(["bench", "--only", "limit", "--resume", *out]) == 2
    assert "was measured with another machine" in capsys.readouterr().err


def test_without_rivals_there_are_no_ratios(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_torch, "torch", None)
    monkeypatch.setattr(bench_cases, "_neighbours", lambda *_: {})
    assert main(["bench", "--repeats", "1", "--only", *SMALL, "--out", str(tmp_path)]) == 0
    assert not [name for name in report(tmp_path) if name.startswith("ratio_to") or name.startswith("share")]

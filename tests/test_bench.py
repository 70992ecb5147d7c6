"""bench: contenders agree, what disagrees is not timed, and what is written. No timed test."""

import json
from functools import partial

import bench
import numpy as np
import pytest

from slowae.methods import FIRST, SECOND
from slowae.model import Config

DENSE = partial(bench.eq_2_step, (12, 12), (8, 12), Config(size=1))
SMALL = {
    "layer1_step": partial(bench.eq_2_step, bench.shapes(FIRST)[0], (4, 32, 32, 3), FIRST),
    "layer2_step": partial(bench.eq_2_step, bench.shapes(FIRST, SECOND)[1], (4, 16, 16, 16), SECOND),
    "fully_connected_step": DENSE,
    "eq_1_step": partial(bench.eq_1_step, near=8, pixels=30),
    "retrieval": partial(bench.nearest, queries=20, gallery=90, numbers=16),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A small case without pauses; PyTorch, where it is installed, uncompiled."""
    monkeypatch.setattr(bench, "CASES", {"fully_connected_step": DENSE})
    monkeypatch.setattr(bench, "PAUSE", 0)
    monkeypatch.setattr(bench, "TURN", 1e-9)
    monkeypatch.setattr(bench, "MODES", ("eager",))
    monkeypatch.setattr(bench, "limit", lambda repeats: 50.0)


@pytest.mark.parametrize("name", SMALL)
def test_the_others_agree(name):
    pytest.importorskip("faiss" if name == "retrieval" else "torch", reason="there is nobody to agree with")
    contenders, _ = SMALL[name](np.random.default_rng(0))
    assert len(contenders) > 1
    bench.require_agreement(contenders)


@pytest.mark.parametrize(("name", "factor"), [("loss", 1.001), ("dW_d", -1), ("dW_e", np.nan)])
def test_what_is_wrong_is_named_and_nothing_is_timed(name, factor, monkeypatch, tmp_path, capsys):
    contenders, flops = DENSE(np.random.default_rng(0))
    ours = contenders[bench.OURS]()()
    contenders["PyTorch: planted"] = lambda: lambda: ours | {name: factor * ours[name]}
    monkeypatch.setitem(bench.CASES, "fully_connected_step", lambda _: (contenders, flops))
    with pytest.raises(SystemExit, match="2"):
        bench.main(["--out", str(tmp_path)])
    assert f"{name} of PyTorch: planted is not ours" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_written(monkeypatch, tmp_path):
    ours = DENSE(np.random.default_rng(0))[0][bench.OURS]
    contenders = {bench.OURS: ours, "faiss: a": ours, "faiss: b": ours}
    monkeypatch.setitem(bench.CASES, "fully_connected_step", lambda _: (contenders, 1e6))
    bench.main(["--repeats", "3", "--out", str(tmp_path)])
    report = json.loads((tmp_path / "bench.json").read_text())
    seconds = report["seconds"]["fully_connected_step"]
    assert all(row["fastest"] <= row["median"] <= row["slowest"] for row in seconds.values())
    medians = [row["median"] for row in seconds.values()]
    assert report["share_of_sgemm"]["fully_connected_step"] == pytest.approx(1e-3 / medians[0] / 50)
    assert report["ratio_to_fastest_rival"] == {"fully_connected_step": medians[0] / min(medians[1:])}

"""The paper's run on tiny films and tiny batches: every stage, its cache, and the arithmetic of its table."""

import json
from argparse import Namespace

import numpy as np
import pytest
from films import shot, write_film

from slowae import backend, convnet, files, metrics, model, optim, spaces, train
from slowae.__main__ import main
from slowae.backend import to_host
from slowae.commands import paper, paper_training
from slowae.commands import train as train_command
from slowae.data import cifar, sources, video, whitening

WORDS = (
    "paper --steps 2 --grid-steps 1 --batch 2 --epochs 1 --rate 1e-4 --beta 4 --alpha2 1 --beta2 4 --epsilon 0.1 "
    "--seed 3 --backend numpy --out out"
).split()
KINDS = {"a.mkv": "live", "b.mkv": "animation"}  # the others are not in the list


def cheap_whitening(frames, epsilon):
    """Of the right shape without an eigendecomposition of 3072 x 3072."""
    frames = frames.reshape(len(frames), -1)
    scale = np.eye(frames.shape[1], dtype=np.float32) / frames.std()
    return whitening.Whitening(frames.mean(0, dtype=np.float32), scale.astype(np.float32), epsilon)


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """A folder to work in: SLOWAE_DATA holds eight films of two shots and CIFAR-10 batches of sixty."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "video").mkdir()
    for i, name in enumerate("abcdefgh"):
        frames = np.concatenate([shot(2 * i, 9 + i), shot(2 * i + 1, 16 - i)])
        write_film(folder / "video" / f"{name}.mkv", frames)
    rng = np.random.default_rng(0)
    (folder / cifar.FOLDER).mkdir()
    for name in [*cifar.BATCHES["train"], *cifar.BATCHES["test"]]:
        records = rng.integers(0, 256, (60, cifar.NUMBERS), dtype=np.uint8)
        records[:, 0] = rng.integers(0, 10, 60)
        (folder / cifar.FOLDER / name).write_bytes(records.tobytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLOWAE_DATA", str(folder))
        patch.chdir(folder)
        patch.setattr(cifar, "RECORDS", 60)
        patch.setattr(whitening, "fit_whitening", cheap_whitening)
        patch.setattr(sources, "corpus", lambda: {name: [{"kind": kind}] for name, kind in KINDS.items()})
        patch.setattr(backend, "_chosen", backend._chosen)
        assert main(WORDS) == 0
        yield folder / "out"


@pytest.fixture
def out(patched, monkeypatch):
    """The finished run's folder; SLOWAE_DATA is set again, because every test starts without."""
    monkeypatch.setenv("SLOWAE_DATA", str(patched.parent))
    monkeypatch.setattr(backend, "_chosen", backend._chosen)
    return patched


def read(path):
    return json.loads(path.read_text())


def test_every_stage_leaves_its_result_and_its_figures(out):
    results = read(out / "results.json")
    assert results.keys() == paper.STAGES.keys()
    for name, (_, settings) in paper.STAGES.items():
        assert results[name] == read(out / f"{name}.json")
        assert results[name]["settings"].keys() == set(settings.split())
        assert results[name]["seconds"] >= 0 and results[name]["versions"]["numpy"] == np.__version__
    figures = "3 4 5a 5bc 6a 6b 7a 7b".split()
    for path in [out / f"figure{n}.png" for n in figures] + [out / "grid.png"]:
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")


def test_films_are_split_whole_and_kinds_told_apart(out):
    kept = read(out / "corpus.json")
    videos = kept["videos"]
    assert sorted(name for part in videos.values() for name in part) == [f"{name}.mkv" for name in "abcdefgh"]
    temporal = read(out / "temporal.json")
    kinds = {KINDS.get(name, "other") for name in videos["test"]}
    assert {"all"} < temporal.keys() & {"all", "live", "animation", "other"} <= {"all"} | kinds
    assert temporal["all"]["scenes"] == kept["scenes"]["test"] == 2 * len(videos["test"])


def test_temporal_rows_are_what_the_kept_layers_give(out):
    """From layer2.npz, layer1.npz, whitening.npz and corpus.npz alone, by another way than the stage's."""
    arrays, two = np.load(out / "corpus.npz"), np.load(out / "layer2.npz")
    tested = read(out / "corpus.json")["videos"]["test"]
    starts = [0, *arrays["ends"][:-1]]
    frames, scene = [], []
    for i, name in enumerate(arrays["video"]):
        if name in tested:
            sampled = arrays["frames"][starts[i] : arrays["ends"][i] : arrays["step"][i]][:40]
            frames.append(sampled)
            scene += [i] * len(sampled)
    x = whitening.load_whitening(out / "whitening.npz")(np.concatenate(frames))
    params = {name: {key: two[f"{name}/{key}"] for key in ("W_e", "b_e")} for name in ("layer2_below", "layer2")}
    z1 = model.encode(params["layer2_below"], x, model.Config(group=4, size=2))
    z2 = model.encode(params["layer2"], z1 - two["layer2_below/mean"], model.Config(group=1, size=4))
    assert z1.shape[1:] == (16, 16, 16) and z2.shape[1:] == (4, 4, 64)
    found = metrics.temporal_retrieval(z2, np.unique(scene, return_inverse=True)[1])
    rows = read(out / "temporal.json")["all"]["rows"]
    assert rows["layer2"]["auc"] == pytest.approx(found.auc, abs=1e-6)
    np.testing.assert_allclose(rows["layer2"]["precision"], found.precision, atol=1e-6)
    again = metrics.temporal_retrieval(z1, np.unique(scene, return_inverse=True)[1])
    assert rows["layer1"]["auc"] == pytest.approx(again.auc, abs=1e-6)  # the scale changes no cosine
    pixels = rows["pixels"]
    assert pixels["ratio"] == 1 and pixels["way"] == 0 and pixels["ratio_95"] == [1, 1]


def test_layer_2_learned_on_codes_of_variance_1(out):
    arrays, two, one = (files.read_arrays(out / f"{name}.npz") for name in ("corpus", "layer2", "layer1"))
    assert two["layer2/W_e"].shape == (5, 5, 16, 64)
    c = (one["layer1/W_e"] / two["layer2_below/W_e"]).mean()
    np.testing.assert_allclose(two["layer2_below/W_d"], c * one["layer1/W_d"], rtol=1e-4)
    x = whitening.load_whitening(out / "whitening.npz")(arrays["frames"][:: len(arrays["frames"]) // 40])
    below = {name: two[f"layer2_below/{name}"] for name in ("W_e", "b_e", "mean")}
    z = model.encode_stack([(below, model.Config())], x)
    assert (z**2).mean() == pytest.approx(1, rel=0.3)  # exactly 1 for the frames that it was taken from
    assert np.abs(z.mean((0, 1, 2))).max() < 0.3


def test_layer_2_is_trained_on_the_frozen_code_of_layer_1(out):
    """The two steps of Adam again, by hand."""
    two = files.read_groups(out / "layer2.npz")
    frames, pairs = video.training_pairs(paper_training.scenes_by_part(Namespace(out=out))["train"])
    whiten, config = whitening.load_whitening(out / "whitening.npz"), model.Config(1.0, 4.0, group=1, size=4)
    rng = np.random.default_rng(3)
    params = model.init_params(rng, (5, 5, 16, 64))
    moments = optim.init_moments(params)
    for step in range(2):
        picks = pairs[rng.integers(len(pairs), size=2)]
        z = model.encode_stack([(two["layer2_below"], model.Config())], whiten(frames[picks.T.ravel()]))
        _, grads = model.loss_and_gradients(params, z, config)
        optim.adam(params, grads, moments, train.rate_at(step, 2, 1e-4))
        optim.project(params)
    for name, value in params.items():
        np.testing.assert_allclose(two["layer2"][name], value, atol=2e-6)


def test_classes_rows_are_what_a_loop_counts(out):
    images, labels = cifar.load("train")
    asked, asked_labels = cifar.load("test")
    rows = read(out / "classes.json")["rows"]
    q, g = (metrics.unit_rows(x.reshape(len(x), -1).astype(float)) for x in (asked, images))
    precision = np.zeros(40)
    for code, label in zip(q, asked_labels, strict=True):
        order = np.argsort(-(g @ code), kind="stable")[:40]
        precision += np.cumsum(labels[order] == label) / np.arange(1, 41)
    np.testing.assert_allclose(rows["pixels"]["precision"], precision / len(q), atol=1e-3)
    assert rows["pixels"]["recall"] == [k / 40 for k in range(1, 41)]


def test_the_supervised_layers_are_compared_too(out):
    """RECORDS = 60: 294 images train, one epoch of batches of 64 is 4 steps; 60 are asked."""
    kept, params = read(out / "supervised.json"), np.load(out / "supervised.npz")
    assert [row["step"] for row in kept["history"]] == [4]
    images, labels = cifar.load("test")
    x = whitening.load_whitening(out / "whitening.npz")(images)
    params = {name: params[name] for name in params.files}
    right = convnet.forward(params, x)[0].argmax(1) == labels
    assert kept["test_accuracy"] == pytest.approx(right.mean())
    rows = read(out / "classes.json")["rows"]
    z = [model.encode_stack(convnet.stages(params)[:n], whitening.load_whitening(out / "whitening.npz")(f)) for n, f in
         ((2, images), (2, cifar.load("train")[0]))]  # fmt: skip
    found = metrics.class_retrieval(z[0], labels, z[1], cifar.load("train")[1])
    assert rows["supervised2"]["auc"] == pytest.approx(found.auc, abs=1e-3)
    assert rows["supervised1"]["auc"] != rows["supervised2"]["auc"]


def test_without_the_supervised_network(out, tmp_path, monkeypatch):
    assert main([*WORDS, "--epochs", "0", "--only", "supervised", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "supervised.json"]


def test_the_grid_is_alpha_by_beta(out):
    grid = read(out / "grid.json")
    for title in ("temporal AUC, validation videos", "class AUC, training images"):
        assert np.shape(grid[title]) == (len(grid["alpha"]), len(grid["beta"])) == (4, 4)
    checkpoints = {path.name for path in out.glob("grid_*.checkpoint.npz")}
    assert checkpoints == {f"grid_{a:g}_{b:g}.checkpoint.npz" for a in grid["alpha"] for b in grid["beta"]}


def test_what_was_learned_is_kept_small_and_whole(out):
    kept, one, two = (files.read_groups(out / f"{name}.npz") for name in ("learned", "layer1", "layer2"))
    supervised = files.read_arrays(out / "supervised.npz")
    assert list(kept) == ["beta0", "layer1", "layer2_below", "layer2", "supervised1", "supervised2"]
    np.testing.assert_array_equal(kept["beta0"]["W_d"], one["beta0"]["W_d"])
    np.testing.assert_array_equal(kept["layer2_below"]["mean"], two["layer2_below"]["mean"])
    np.testing.assert_array_equal(kept["supervised2"]["W_e"], supervised["W_2"])
    assert (out / "learned.npz").stat().st_size < 800_000


def test_the_table_stands_beside_the_published_values(out):
    results = read(out / "results.json")
    lines = (out / "table.md").read_text().splitlines()
    assert len(lines) == 2 + len(results["temporal"]["all"]["rows"]) + 1
    assert len({line.count("|") for line in lines}) == 1
    row = next(line for line in lines if line.startswith("| layer 1 "))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    ours = results["temporal"]["all"]["rows"]["layer1"]
    assert cells[1].startswith(f"{ours['auc']:.3f} (") and cells[2] == f"{ours['ratio']:.2f}"
    assert cells[3] == "0.262, x 1.51" and cells[4].startswith(f"{ours['way']:.0%}")
    assert cells[5].startswith(f"{results['classes']['rows']['layer1']['auc']:.3f} (")
    assert cells[7] == "0.296, x 1.26"


def test_a_finished_run_does_nothing_again(out, monkeypatch):
    def never(args):
        raise AssertionError("made again")

    for name, (module, _) in paper.STAGES.items():
        monkeypatch.setattr(module, name, never)
    before = {path.name: path.read_bytes() for path in out.glob("*.npz")}
    assert main(WORDS) == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.npz")} == before
    assert read(out / "results.json").keys() == paper.STAGES.keys()


def test_only_makes_one_stage_again(out, monkeypatch):
    made = []
    for name, (module, _) in paper.STAGES.items():
        monkeypatch.setattr(module, name, lambda args, name=name: made.append(name) or {"mine": 1})
    kept = (out / "diagram.json").read_bytes()
    assert main([*WORDS, "--only", "diagram"]) == 0
    assert made == ["diagram"] and read(out / "results.json")["diagram"]["mine"] == 1
    (out / "diagram.json").write_bytes(kept)


@pytest.mark.parametrize(
    ("changed", "stage", "named"),
    [
        (["--beta2", "2"], "layer2", "beta2"),
        (["--alpha", "3", "--steps", "9"], "layer1", "steps, alpha"),
        (["--epsilon", "1"], "corpus", "epsilon"),
        (["--epochs", "2"], "supervised", "epochs"),
        (["--grid-steps", "2"], "grid", "grid_steps"),
    ],
)
def test_a_stage_made_with_other_settings_is_refused_by_name(out, capsys, changed, stage, named):
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main([*WORDS, *changed]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"{stage}.json was made with another {named}; repeat those settings or give another --out" in said
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_stage_before_its_time_says_what_is_missing(out, tmp_path, monkeypatch, capsys):
    assert main([*WORDS, "--only", "layer2", "--out", str(tmp_path)]) == 2
    assert "corpus.npz: no such file; train first" in capsys.readouterr().err
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path / "nothing"))
    assert main([*WORDS, "--out", str(tmp_path)]) == 2
    assert "nothing/video: no such file or folder; run python -m slowae fetch first" in capsys.readouterr().err
    assert main(["paper", "--only", "layer3"]) == 2
    assert "invalid choice: 'layer3'" in capsys.readouterr().err


def test_spaces_do_not_depend_on_the_block():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)
    double = spaces.on_backend(lambda x: 2.0 * x, block=3)
    np.testing.assert_array_equal(double(frames), 2.0 * frames)
    whiten = cheap_whitening(frames, 0.1)
    codes = {name: space(frames) for name, space in spaces.controls(whiten).items()}
    assert {type(code) for code in codes.values()} == {np.ndarray}
    np.testing.assert_allclose(codes["pixels_centred"].reshape(7, -1).mean(1), 0, atol=1e-3)
    np.testing.assert_allclose(codes["zca"], to_host(whiten(frames)))
    assert train_command.NAMES.items() <= paper_training.NAMES.items()

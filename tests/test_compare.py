"""The main job on tiny films: what it writes, what its caches keep apart, folds, kills, and films of little use."""

import os
import shutil
from itertools import combinations

import numpy as np
import pytest
from films import film, shot, write_film
from tiny import WORDS, cheap, cheap_whitening, compare, contents, process, results, write_films  # noqa: F401

from slowae import files, measures, model, patch_banks, plots, retrieval
from slowae.__main__ import main, parse
from slowae.commands import compare as command
from slowae.commands import paper
from slowae.commands import patches as patches_command
from slowae.data import cifar, scenes, video
from slowae.methods import METHODS, convnet

ROWS = "pixels zca random layer1 layer2".split()
NEW = {  # what is made anew
    "--optimizer sgd": {"layer1", "layer2", "temporal-layer2"},
    "--alpha2 2": {"layer2", "temporal-layer2"},
    "--epsilon 1": {"whitening", "layer1", "layer2", "temporal-layer2"},
    "--fps 12": {"layer1", "layer2", "temporal-layer2"},
    "--video other": {"whitening", "layer1", "layer2", "temporal-layer2"},
    "--methods beta0": {"beta0", "temporal-beta0"},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder with films/, other/ and out/ of a finished run in a process of its own, and what that printed."""
    folder = tmp_path_factory.mktemp("compare")
    write_films(folder / "films")
    write_films(folder / "other", first=6)
    done = process([*WORDS, "--methods", *ROWS], folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def work(kept, cheap, tmp_path, monkeypatch):  # noqa: F811
    """A copy of that folder, to work in."""
    shutil.copytree(kept[0], tmp_path / "work", copy_function=os.link)  # files are replaced, never written into
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def same(one, other):
    """Two results.json but for what clocks and memory say."""

    def steady(value):
        if isinstance(value, dict):
            return {k: steady(v) for k, v in value.items() if k not in ("seconds", "peak_mb")}
        return value

    return steady(one) == steady(other)


def made(before, after):
    """What stands first in the names of new files in cache/; the old ones are there, bit for bit."""
    assert before.items() <= after.items()
    return {name.rpartition("-")[0] for name in after.keys() - before.keys()}


def cells_of(table):
    """Markdown -> the cells of each line."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


# What is written


def test_films_become_a_table_and_pictures(kept):
    folder, done = kept
    pictures = {"curves.png", "neighbours.png", "filters.png", "training.png"}
    assert {p.name for p in (folder / "out").iterdir()} == pictures | {
        "results.json", "table.md", "learned.npz", "cache", ".lock",
    }  # fmt: skip
    for name in pictures:
        data = (folder / "out" / name).read_bytes()
        assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")
    table, found = (folder / "out" / "table.md").read_text(), results(folder / "out")
    assert table in done.stdout and "6 videos, 12 shots, 12 scenes, 1 x 1 windows a frame; split by" in done.stdout
    for name, row in found["rows"].items():
        heads, *lines = cells_of(table)
        cells = dict(zip(heads, next(c for c in lines if c[:1] == [METHODS[name].title]), strict=True))
        for head, measure in {"temporal MAP": "map", "each video once": "map_by_group", "temporal AUC": "auc"}.items():
            assert cells[head] == f"{row[f'temporal_{measure}']:.3f}"
    assert "| minus pixels" in table and "bootstrap over 1 videos" in table


def test_rows_are_what_the_learned_filters_give(work):
    """Scene by scene, from films and learned.npz alone."""
    parts, _ = scenes.split_scenes(video.load_scenes(sorted((work / "films").iterdir())))
    whiten = cheap_whitening(np.concatenate([s.frames for s in parts["train"]]), 0.05)
    learned, found = files.read_groups(work / "out" / "learned.npz"), results(work / "out")
    assert learned.keys() == {"random", "layer1", "layer2"} and found["scenes"]["tested"] == len(parts["test"])
    frames, scene = np.concatenate([s.sampled for s in parts["test"]]), []
    for i, s in enumerate(parts["test"]):
        scene += [i] * len(s.sampled)
    for name, bank in learned.items():
        assert bank.keys() == {"W_e", "b_e", "W_d"}
        np.testing.assert_allclose((bank["W_d"] ** 2).sum((0, 1, 2)), 1, rtol=1e-4)
        if name != "layer2":
            z = model.encode(bank, whiten(frames), model.Config(group=4, size=2))
            expected = retrieval.temporal_retrieval(z, scene)
            assert found["rows"][name]["temporal_map"] == pytest.approx(expected.measure("map"))
            inside = [t for t in range(1, len(scene) - 1) if scene[t - 1] == scene[t + 1]]
            turns = [measures.curvature(z[t - 1 : t + 2]) for t in inside]
            assert found["rows"][name]["turn"] == pytest.approx(np.nanmean(turns), abs=0.5)
            np.testing.assert_allclose(found["rows"][name]["temporal_precision"], expected.curves()[0], atol=1e-6)


def test_results_hold_what_is_promised_and_differences_are_differences(work):
    found = compare("--methods", *ROWS, "--folds", 2, "--seeds", 2, "--distractors", 20, "--beta2", 3, "--out", "folds")
    assert found.keys() == set(
        "rows differences oracle chance folds seeds scenes videos resampled split settings backend versions machine "
        "seconds peak_mb".split()
    )
    rows = found["rows"]
    assert list(rows) == ROWS and found["seeds"] == [5, 6] and found["folds"] == 2
    assert found["videos"] == [f"{i}.mkv" for i in range(6)] and found["scenes"]["tested"] == 12
    assert found["resampled"] == {"units": 6, "what": "videos", "shots": 12} and found["oracle"]["temporal_map"] == 1
    pairs = list(combinations(ROWS, 2))
    assert list(found["differences"]) == [f"{later} - {earlier}" for earlier, later in pairs]
    for measure in ("temporal_map", "temporal_map_by_group", "temporal_auc"):
        for row in rows.values():
            low, high = row[f"{measure}_95"]
            assert 0 <= low <= row[measure] <= high <= found["oracle"][measure] + 1e-9
            assert row[measure] == pytest.approx(np.mean(row[f"{measure}_seeds"])) and len(row[f"{measure}_seeds"]) == 2
        for earlier, later in pairs:
            value, low, high = found["differences"][f"{later} - {earlier}"][measure]
            assert value == pytest.approx(rows[later][measure] - rows[earlier][measure])
            assert low <= value <= high
        assert 0 < found["chance"].get(measure, 0.5) < found["oracle"][measure]
    assert len(set(rows["pixels"]["temporal_map_seeds"])) == 1  # nothing was drawn
    start = rows["pixels"]["temporal_map"]
    for row in rows.values():
        assert row["temporal_way"] == pytest.approx((row["temporal_map"] - start) / (1 - start))
        assert len(row["temporal_precision"]) == len(row["temporal_recall"]) == 40
        assert row["crowded_map"] <= row["temporal_map"]
    assert rows["pixels"]["crowded_map"] < start
    assert rows["layer1"]["parameters"] == 2 * 9 * 9 * 3 * 64 + 64 and rows["pixels"]["parameters"] == 0
    settings = found["settings"]
    used = dict(
        methods=ROWS,
        steps=3,
        batch=2,
        rate=1e-4,
        optimizer="adam",
        seed=5,
        seeds=2,
        folds=2,
        fps=6.0,
        epsilon=0.05,
        tiles=1,
        distractors=20,
    )
    assert used == {name: settings[name] for name in used}
    config = settings["configs"]["layer2"]
    assert (config["beta"], config["group"], config["size"]) == (3.0, 1, 4)
    assert found["versions"]["numpy"] == np.__version__ and found["machine"]["cores"] >= 1


def test_every_scene_is_tested_once_by_models_that_never_saw_its_video(work, monkeypatch):
    seen, real = [], command.find

    def spy(folds, *rest):
        seen.extend(folds)
        return real(folds, *rest)

    monkeypatch.setattr(command, "find", spy)
    found = compare("--methods", "pixels", "--folds", 3, "--out", "folds")
    films = {p.name: video.load_scenes([p]) for p in (work / "films").iterdir()}
    asked, average = [], []
    for fold in seen:
        learned = {f.tobytes() for f in fold.data.frames} | {
            f.tobytes() for s in fold.data.validation for f in s.frames
        }
        assert len(fold.data.frames) > 0 and len(fold.data.validation) > 0
        tested = set(fold.group)
        for name in tested:
            assert not learned & {f.tobytes() for s in films[name] for f in s.frames}
        asked += [fold.frames[fold.scene == i].tobytes() for i in np.unique(fold.scene)]
        np.testing.assert_array_equal(fold.data.whiten.mean, cheap_whitening(fold.data.frames, 0.05).mean)
        average += retrieval.temporal_retrieval(fold.frames, fold.scene).average_precision.tolist()
    assert found["rows"]["pixels"]["temporal_map"] == pytest.approx(np.mean(average))
    assert sorted(asked) == sorted(s.sampled.tobytes() for some in films.values() for s in some)


# Caches


def test_the_same_again_trains_nothing_and_gives_the_same_bits(work, monkeypatch):
    before, found = contents(work / "out"), results(work / "out")
    monkeypatch.setattr(model, "loss_and_gradients", None)
    monkeypatch.setattr(retrieval, "temporal_retrieval", None)
    assert same(compare("--methods", *ROWS), found)
    after = contents(work / "out")
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} <= {"results.json"}


@pytest.mark.parametrize("changed", NEW)
def test_other_settings_are_other_trainings_and_disturb_nothing(work, changed):
    before = contents(work / "out" / "cache")
    words = changed.split() if "--methods" in changed else [*changed.split(), "--methods", "layer2"]
    compare(*words)
    assert made(before, contents(work / "out" / "cache")) == NEW[changed]


def test_every_option_of_a_training_reaches_it():
    """With test_methods: whatever of a Run differs is another training."""
    options = "steps 4, batch 3, rate 2e-4, bias-rate 1, seed 6, alpha 2, beta 2, alpha2 2, beta2 2, rise 1, epochs 3"
    runs = []

    def zeros(config):
        return {weight for weight in ("alpha", *model.OF_Z) if getattr(config, weight, None) == 0}

    for words in ["", *(f"--{option}" for option in options.split(", "))]:
        args = parse(["compare", *WORDS, *words.split()])[1]
        run = command.make_run(args, args.seed)
        assert run not in runs, words
        assert all(zeros(config) == zeros(METHODS[name].config) for name, config in run.configs.items()), words
        runs.append(run)


def test_films_replaced_under_the_same_name_are_noticed(work):
    first, before = results(work / "out"), contents(work / "out" / "cache")
    (work / "films" / "0.mkv").unlink()
    (work / "other" / "6.mkv").rename(work / "films" / "0.mkv")
    second = compare("--methods", *ROWS)
    assert first["videos"] == second["videos"] and not same(first, second)
    assert made(before, contents(work / "out" / "cache")) >= {"layer1", "layer2"}


def test_two_commands_in_one_folder_do_not_disturb_one_another(work, monkeypatch):
    first, before = compare("--methods", *ROWS), contents(work / "out" / "cache")
    monkeypatch.setattr(patches_command, "UNITS", 64)
    monkeypatch.setattr(patch_banks, "SHOWN", 32)
    patches = "patches --video films --out out --pairs 60 --steps 2 --batch 4 --seed 5".split()
    assert main(patches) == 0
    assert made(before, contents(work / "out" / "cache")) == {
        "alpha0",
        "sparse",
        "free_norm",
        "free_bias",
        "subspace",
        "unitary",
    }
    monkeypatch.setattr(model, "loss_and_gradients", None)
    assert same(compare("--methods", *ROWS), first)
    assert main(patches) == 0


def test_no_resume_moves_aside_and_deletes_nothing(work, tmp_path):
    first = compare("--methods", "layer2", "--out", tmp_path)
    before = contents(tmp_path / "cache")
    for count, ending in ((1, ".old"), (2, ".old2")):
        assert same(compare("--methods", "layer2", "--out", tmp_path, "--no-resume"), first)
        after = contents(tmp_path / "cache")
        trained = {name for name in before if not name.startswith(("whitening", "temporal"))}
        assert {name for name in after if name.endswith(ending)} == {name + ending for name in trained}
        assert len(after) == len(before) + count * len(trained) and before.keys() <= after.keys()
        assert all(after[name + ".old"] == before[name] for name in trained)


def test_another_run_at_work_is_refused(work, capsys):
    before = contents(work / "out")
    with files.claim("out"):
        assert main([*WORDS, "--methods", "pixels"]) == 2
    assert "another run is at work in out; wait for it, or give another --out" in capsys.readouterr().err
    assert contents(work / "out") == before


def test_a_run_killed_again_and_again_ends_as_one_left_alone(work):
    """Where its n-th file would be moved into place: between two rows, and between two results."""
    words = [*WORDS, "--methods", *ROWS, "--out", "killed"]
    for moves in (3, 4):
        assert process(words, work, KILL=moves).returncode == -9
    assert process(words, work).returncode == 0
    whole, killed = contents(work / "out"), contents(work / "killed")
    assert whole.keys() == killed.keys()
    timed = {"results.json", *(name for name in whole if name.startswith("cache/layer"))}
    assert {name for name in whole if whole[name] != killed[name]} <= timed
    assert same(results(work / "out"), results(work / "killed"))


# Films of little use


def still(seed, count):
    """A picture of noise that hardly changes."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 250, (32, 32, 3), np.uint8) + rng.integers(0, 5, (count, 32, 32, 3), np.uint8)


@pytest.fixture
def films(tmp_path, monkeypatch, cheap):  # noqa: F811
    """films(count, frames) writes frames(0), frames(1), ... as the films of a new folder, to work in."""

    def write(count, frames):
        (tmp_path / "films").mkdir()
        for i in range(count):
            write_film(tmp_path / "films" / f"{i}.mkv", frames(i))

    monkeypatch.chdir(tmp_path)
    return write


@pytest.mark.parametrize(
    ("count", "frames", "words", "sentence"),
    [
        (6, lambda i: shot(i, 24), "", "bootstrap over 1 videos"),  # two seconds
        (6, lambda i: shot(i, 2), "--fps 12", "1 of them of fewer than five frames"),  # every scene has two frames
        (1, lambda i: film(9, 12, 8, 14, 10, 9), "", "One is too few to resample"),  # one video, shots
        (1, lambda i: shot(0, 60), "", "split by time; too few shots"),
        (6, lambda i: still(i, 9), "", "Pixels are perfect"),
    ],
)
def test_films_of_little_use_still_make_a_table(films, capsys, count, frames, words, sentence):
    films(count, frames)
    found = compare("--methods", *ROWS, "colour_histogram", *words.split())
    printed = capsys.readouterr()
    assert sentence in printed.out and "Traceback" not in printed.err
    alone = found["resampled"]["units"] == 1
    assert all((row["temporal_map_95"] is None) == alone for row in found["rows"].values())
    assert found["oracle"]["temporal_map"] == 1 and 0 <= found["chance"]["temporal_map"] <= 1 + 1e-9


@pytest.mark.parametrize(
    ("count", "frames", "words", "sentence"),
    [
        (1, lambda i: shot(0, 5), "", "too little video: no scene is left for train; give longer or more videos"),
        (1, lambda i: shot(0, 60), "--distractors 9", "distractors would be frames of the scenes that are asked"),
        (5, lambda i: shot(i, 9), "--folds 2", "2 folds need 6 videos, and there are 5; give more, or use 1 fold"),
        (1, lambda i: shot(0, 1), "", "holds no scene of 2 frames at 6 a second"),
        (1, lambda i: shot(0, 30, 24, 64), "", "is 64 x 24 pixels, smaller than the 32 x 32 needed"),
        (
            1,
            lambda i: shot(0, 9, 64, 64),
            "--tiles 3",
            "smaller than the 96 x 96 needed; use a larger video or fewer --tiles",
        ),
    ],
)
def test_films_of_no_use_get_a_sentence(films, tmp_path, capsys, count, frames, words, sentence):
    films(count, frames)
    assert main([*WORDS, "--methods", "layer1", *words.split()]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out" / "results.json").exists()


# CIFAR-10, and the paper


@pytest.fixture
def images(tmp_path, monkeypatch):
    """SLOWAE_DATA holds CIFAR-10 batches of 45."""
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path))
    monkeypatch.setattr(cifar, "RECORDS", 45)
    (tmp_path / cifar.FOLDER).mkdir()
    rng = np.random.default_rng(0)
    for name in [*cifar.BATCHES["train"], *cifar.BATCHES["test"]]:
        records = rng.integers(0, 256, (45, cifar.NUMBERS), dtype=np.uint8)
        records[:, 0] = rng.integers(0, 10, 45)
        (tmp_path / cifar.FOLDER / name).write_bytes(records.tobytes())


def test_the_paper_compares_classes_too(work, images, tmp_path, monkeypatch):
    monkeypatch.setattr(paper, "ALPHAS", (0.5, 1.0))
    monkeypatch.setattr(paper, "BETAS", (2.0,))
    figures, tables = set(), "results.json table.md overview.md".split()
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.add(path.name))
    monkeypatch.setattr(convnet, "image_accuracy", lambda params, images, labels: 0.25 + len(images))
    out, rows = tmp_path / "out", "pixels layer1 supervised1 supervised2".split()
    words = ["paper", *WORDS, *f"--out {out} --folds 1 --seeds 1 --grid-steps 1 --epochs 1 --methods".split(), *rows]
    assert main(words) == 0
    assert {
        "figure3.png",
        "figure4.png",
        "standings.png",
        "grid.png",
        "curves_classes.png",
        "neighbours_classes.png",
    } <= figures
    assert all((out / name).exists() for name in tables)
    found = results(out)
    grid = found["grid"]
    assert np.shape(grid["class AUC, training images"]) == (len(grid["alpha"]), len(grid["beta"])) == (2, 1)
    # Classes by a loop, recall k / 40.
    (gallery, gallery_labels), (asked, labels) = cifar.load("train"), cifar.load("test")
    q, g = (x.reshape(len(x), -1).astype(float) for x in (asked, gallery))
    q, g = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, g))
    precision = np.zeros(40)
    for code, label in zip(q, labels, strict=True):
        order = np.argsort(-(g @ code), kind="stable")[:40]
        precision += np.cumsum(gallery_labels[order] == label) / np.arange(1, 41) / len(q)
    np.testing.assert_allclose(found["rows"]["pixels"]["class_precision"], precision, atol=1e-6)
    assert found["rows"]["pixels"]["class_recall"] == [k / 40 for k in range(1, 41)]
    network = found["rows"]["supervised2"]
    assert network["test_accuracy_seeds"] == [network["test_accuracy"]] == [0.25 + len(asked)]
    # The published values stand beside ours as ratios to pixels.
    cells = next(c for c in cells_of((out / "overview.md").read_text()) if c[0] == "layer 1")
    for cell, task, published in ((1, "temporal", "1.51"), (3, "class", "1.26")):
        ours, pixels = (found["rows"][name][f"{task}_auc"] for name in ("layer1", "pixels"))
        assert cells[cell].startswith(f"{ours:.3f} (") and cells[cell + 1] == f"{ours / pixels:.2f} ({published})"
    groups = found["rows"]["layer1"]["groups"]
    assert cells[5] == f"{groups['within'] / groups['between']:.2f}" and cells[7] == "31,168"
    # They are read back.
    monkeypatch.setattr(retrieval, "class_retrieval", None)
    images, args = {part: cifar.load(part) for part in ("train", "test")}, parse(words)[1]
    again, _ = command.class_retrieval("pixels", {}, images, args)
    assert found["rows"]["pixels"]["class_map"] == pytest.approx(again.measure("map"))
    with pytest.raises(TypeError):  # those of other parameters are not
        command.class_retrieval("pixels", {"W_e": np.ones(1)}, images, args)


def test_the_paper_needs_its_corpus(cheap, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path))
    assert main(["paper", "--out", str(tmp_path / "out")]) == 2
    assert "video: no such file or folder; run python -m slowae fetch first" in capsys.readouterr().err

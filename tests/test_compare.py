"""The main job on tiny films: what it writes, what its caches keep apart, folds, kills, and films of little use."""

import json
import os
import re
import shutil
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from films import film, shot, write_film
from test_methods import make_data
from tiny import WORDS, cheap, cheap_whitening, compare, contents, process, results, write_films  # noqa: F401

from slowae import files, judging, model, patch_banks, plots, report, retrieval, scores, table
from slowae.__main__ import main, parse
from slowae.commands import compare as command
from slowae.commands import paper
from slowae.data import cifar, scenes, sources, video
from slowae.methods import METHODS, Run, controls

ROWS = "pixels zca random layer1 layer2".split()
NEW = {  # what is made anew
    "--alpha2 2": {"layer2"},
    "--epsilon 1": {"whitening", "layer1", "layer2"},
    "--fps 12": {"layer1", "layer2"},
    "--methods beta0": {"beta0"},
}


def value(found, row, task="temporal", measure="map"):
    return table.score(found, row, task, measure)["value"]


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
    one, other = (re.sub(r'"(seconds|peak_mb)": [^,}]+', "", json.dumps(found)) for found in (one, other))
    return one == other


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
    written = {p.name for p in (folder / "out").iterdir()}
    assert written == pictures | {"results.json", "table.md", "learned.npz", "cache", ".lock"}
    text, found = (folder / "out" / "table.md").read_text(), results(folder / "out")
    assert text in done.stdout and "6 videos, 12 shots; split by video" in done.stdout
    heads, *lines = cells_of(text)
    shown = {"MAP, all scenes": ("temporal", "map"), "AUC, moving third": ("moving", "auc")}
    for name in ROWS:
        cells = dict(zip(heads, next(c for c in lines if c[:1] == [METHODS[name].title]), strict=True))
        for head, of in shown.items():
            assert cells[head] == f"{value(found, name, *of):.3f}"
    assert "| minus pixels" in text and "95 %" not in text
    assert "no intervals, with 1 of the 8 videos that they need" in text


def test_rows_are_what_the_learned_filters_give(work):
    """Scene by scene, from films and learned.npz alone."""
    parts, _ = scenes.split_scenes(video.load_scenes(sorted((work / "films").iterdir())))
    whiten = cheap_whitening(np.concatenate([s.frames for s in parts["train"]]), 0.05)
    learned, found = files.read_groups(work / "out" / "learned.npz"), results(work / "out")
    assert learned.keys() == {"random", "layer1", "layer2"} and found["scenes"]["tested"] == len(parts["test"])
    frames, scene = scenes.retrieval_frames(parts["test"])
    for name in ("random", "layer1"):
        code = model.encode(learned[name], whiten(frames), model.Config())
        expected = retrieval.temporal_retrieval(code, scene)
        for measure in ("map", "auc"):
            assert value(found, name, measure=measure) == pytest.approx(expected.measure(measure))


def test_results_hold_what_is_promised_and_differences_are_differences(work, monkeypatch):
    monkeypatch.setattr(scores, "ENOUGH", 3)
    words = "--folds 2 --seeds 2 --distractors 20 --beta2 3 --filters2 32 --out folds".split()
    found = compare("--methods", *ROWS, *words)
    keys = "rows scores differences tasks scenes videos split settings backend versions machine seconds peak_mb"
    assert found.keys() == set(keys.split())
    assert list(found["rows"]) == ROWS and found["videos"] == [f"{i}.mkv" for i in range(6)]
    assert found["scenes"]["tested"] == 12 and found["split"]["folds"] == 2
    assert found["tasks"]["temporal"] == {"queries": 12, "units": 6, "what": "videos"}
    assert found["tasks"]["moving"]["queries"] == 4 and found["tasks"].keys() == {"temporal", "moving", "crowded"}
    for task, measure in product(found["tasks"], scores.MEASURES):
        for name in ROWS:
            record = table.score(found, name, task, measure)
            assert 0 <= record["low"] <= record["value"] <= record["high"] <= 1 and len(record["seeds"]) == 2
            assert record["value"] == pytest.approx(np.mean(record["seeds"]))
        for earlier, later in combinations(ROWS, 2):
            record = table.difference(found, later, earlier, task, measure)
            apart = value(found, later, task, measure) - value(found, earlier, task, measure)
            assert record["value"] == pytest.approx(apart) and record["low"] <= apart <= record["high"]
            turned = table.difference(found, earlier, later, task, measure)
            ends = [turned[key] for key in ("value", "high", "low")]
            assert ends == [-record[key] for key in ("value", "low", "high")]
    assert len(found["differences"]) == 10 * 6 and value(found, "oracle") == 1 > value(found, "chance") > 0
    assert len(set(table.score(found, "pixels", "temporal", "map")["seeds"])) == 1  # nothing was drawn
    assert len(set(table.score(found, "random", "temporal", "map")["seeds"])) == 2
    for name in ROWS:
        assert value(found, name, "crowded") <= value(found, name)
    # The settings are those that were used.
    settings = found["settings"]
    used = "steps 3, batch 2, rate 1e-4, seed 5, seeds 2, folds 2, fps 6, epsilon 0.05, distractors 20"
    assert all(settings[name] == float(number) for name, number in map(str.split, used.split(", ")))
    config = settings["configs"]["layer2"]
    assert (config["beta"], config["filters"], config["group"], config["size"]) == (3, 32, 1, 4)
    assert found["rows"]["layer1"]["learned"] == 2 * 9 * 9 * 3 * 64 + 64 and "learned" not in found["rows"]["random"]
    assert found["rows"]["layer2"]["units"]["of"] == 32


def test_every_scene_is_tested_once_by_models_that_never_saw_its_video(work, monkeypatch):
    seen, judge = [], command.judge
    monkeypatch.setattr(command, "judge", lambda *given: seen.extend(given[2]) or judge(*given))
    found = compare("--methods", "pixels", "--folds", 3, "--out", "folds")
    films = {p.name: video.load_scenes([p]) for p in (work / "films").iterdir()}
    asked, average, order = [], [], []
    for fold in seen:
        validated = {f.tobytes() for s in fold.data.validation for f in s.frames}
        learned = {f.tobytes() for f in fold.data.frames} | validated
        assert len(fold.data.frames) > 0 and len(fold.data.validation) > 0
        for name in set(fold.group):
            assert not learned & {f.tobytes() for s in films[name] for f in s.frames}
        asked += [fold.frames[fold.scene == i].tobytes() for i in np.unique(fold.scene)]
        np.testing.assert_array_equal(fold.data.whiten.mean, cheap_whitening(fold.data.frames, 0.05).mean)
        average += retrieval.temporal_retrieval(fold.frames, fold.scene).average_precision.tolist()
        for i, query in enumerate(retrieval.middle_frames(fold.scene)):
            others = fold.frames[(fold.scene == i) & (np.arange(len(fold.scene)) != query)].astype(float)
            order.append(np.abs(others - fold.frames[query]).mean())
    assert value(found, "pixels") == pytest.approx(np.mean(average))
    assert sorted(asked) == sorted(s.sampled.tobytes() for some in films.values() for s in some)
    # The moving third: of all folds' queries those whose frames differ most from them.
    moving = np.argsort(order)[-4:]
    assert value(found, "pixels", "moving") == pytest.approx(np.mean(np.array(average)[moving]))
    assert found["scenes"]["moving_from"] == pytest.approx(np.sort(order)[-4])


def test_a_row_whose_codes_are_equal_is_said_to_be_dead(work, monkeypatch, capsys):
    dead = METHODS["random"]._replace(encode=lambda params, frames: np.ones((len(frames), 5)))
    monkeypatch.setitem(METHODS, "random", dead)
    found = compare("--methods", "pixels", "random", "--out", "dead")
    assert found["rows"]["random"]["dead"] and not found["rows"]["pixels"]["dead"]
    assert value(found, "random") == pytest.approx(value(found, "chance"))
    printed = capsys.readouterr().out
    assert "random weights has a constant code" in printed and "pixels has a" not in printed


def test_an_interval_excludes_0_where_it_lies_on_one_side():
    ends = {"pixels": (0.1, 0.2), "zca": (-0.2, -0.1), "random": (-0.1, 0.1)}
    of = {"row": "layer1", "task": "temporal", "measure": "map", "value": 0.0}
    records = [of | {"minus": name, "low": low, "high": high} for name, (low, high) in ends.items()]
    results = {"rows": {name: {"title": name} for name in [*ends, "layer1"]}, "differences": records}
    assert [line[-1] for line in cells_of(table.differences(results, "temporal"))[2:]] == ["yes", "yes", "no"]


def test_distractors_are_frames_that_the_models_learned_from():
    data = make_data(labelled=False)
    frames, scene = scenes.retrieval_frames(data.validation)
    data = replace(
        data, frames=frames[retrieval.middle_frames(scene)].repeat(41, 0)
    )  # nothing right comes before these
    fold = judging.Fold(data, frames, scene, scene, None)
    found = judging._temporal("pixels", judging.Row(), Run(), fold, 10**6)
    assert (found["crowded"].found == 0).all() and found["temporal"].measure("map") > 0


def test_results_of_a_run_that_asked_less_can_be_read(kept):
    """As they were stored before there was a moving third."""
    found = results(kept[0] / "out")
    less = {key: [record for record in found[key] if record["task"] != "moving"] for key in ("scores", "differences")}
    less = found | less | {"tasks": {"temporal": found["tasks"]["temporal"]}}
    heads = cells_of(table.table(less, "moving", "temporal"))[0]
    assert "MAP, all scenes" in heads and "MAP, moving third" in table.table(found, "moving")
    assert "all scenes" in table.differences(less, "moving", "temporal")
    assert table.table(less, "moving") == table.differences(less, "moving") == ""
    less["differences"] += [record | {"task": "class", "measure": "auc"} for record in less["differences"]]
    assert "all scenes" in paper.standing(less).axes[0].get_xlabel()


# Pictures


def test_a_picture_that_fails_costs_neither_numbers_nor_other_pictures(work, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(path.name))

    def fail(*_, **__):
        assert (work / "new" / "results.json").exists() and (work / "new" / "table.md").exists()
        raise RuntimeError("no room\nfor this")

    monkeypatch.setattr(plots, "precision_recall", fail)
    compare("--methods", "pixels", "layer1", "--out", "new")
    assert set(drawn) == {"filters.png", "training.png", "neighbours.png"}
    assert "note: new/curves.png could not be drawn: no room" in capsys.readouterr().err.splitlines()


def test_pictures_show_the_rows_that_matter_most_and_a_query_where_they_differ():
    assert report.shown(METHODS, 8) == [name for name in METHODS if name in report.SHOWN]
    assert report.shown(["pixels", "zca", "sfa", "layer1"], 3) == ["pixels", "zca", "layer1"]
    scene = np.repeat(np.arange(4), 3)
    fold = judging.Fold(None, np.arange(12), scene, scene, np.array([1.0, 9, 8, 7]))
    right, wrong = np.array([[1, 2], [3, 4], [6, 7], [9, 10]]), np.array([[4, 5], [3, 5], [6, 1], [0, 1]])
    rows = {"pixels": judging.Row(nearest={"temporal": right}), "layer1": judging.Row(nearest={"temporal": wrong})}
    for moving, query in (([1, 2, 7], 7), ([7], 1)):  # among all, query 0 differs most
        _, shown, nearest, _ = report._neighbours(rows, fold, np.array(moving))
        assert shown == query
        if query == 7:
            assert {title: i.tolist() for title, i in nearest.items()} == {"pixels": [6, 7], "layer 1": [6, 1]}


# Caches


def test_the_same_again_trains_nothing_and_gives_the_same_bits(work, monkeypatch):
    before, found = contents(work / "out"), results(work / "out")
    monkeypatch.setattr(model, "loss_and_gradients", None)
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
    options = "steps 4, batch 3, rate 2e-4, optimizer sgd, bias-rate 1, seed 6, alpha 2, beta 2, alpha2 2, beta2 2"
    runs = []
    for words in [
        "",
        *(f"--{o}" for o in f"{options}, rise 1, epochs 3, filters 8, filters2 8, labels 50".split(", ")),
    ]:
        runs.append(command.settings_of(parse(["compare", *WORDS, *words.split()])[1]).run())
        assert runs[-1] not in runs[:-1], words
        for name, config in runs[-1].configs.items():
            for weight in ("alpha", *model.TERMS_OF_Z):  # a term that a row does without stays out
                zero = getattr(METHODS[name].config, weight, None) == 0
                assert (getattr(config, weight, None) == 0) == zero, words
    assert runs[0].configs == {}  # what was not said stays as METHODS has it
    with pytest.raises(ValueError, match=r"--filters must be a multiple of 4, the group of .*, not 6"):
        command.configurations({"filters": 6})
    both = command.configurations({"alpha": 7.0, "filters": 8, "labels": 50})
    assert both["layer1"] == replace(METHODS["layer1"].config, alpha=7, filters=8) and "layer2" not in both
    assert both["group_sparse"].alpha == METHODS["group_sparse"].config.alpha
    shown = METHODS["coherent"].config
    assert both["coherent"].epochs * 50 == shown.epochs * shown.labels


def test_films_replaced_under_the_same_name_are_noticed(work):
    first, before = results(work / "out"), contents(work / "out" / "cache")
    (work / "films" / "0.mkv").unlink()
    (work / "other" / "6.mkv").rename(work / "films" / "0.mkv")
    second = compare("--methods", *ROWS)
    assert first["videos"] == second["videos"] and not same(first, second)
    assert made(before, contents(work / "out" / "cache")) >= {"layer1", "layer2"}


def test_two_commands_in_one_folder_do_not_disturb_one_another(work, monkeypatch):
    before, first = contents(work / "out" / "cache"), results(work / "out")
    monkeypatch.setattr(patch_banks, "SHOWN", 32)
    patches = "patches --video films --out out --pairs 60 --steps 2 --batch 4 --seed 5 --filters 64".split()
    assert main(patches) == 0
    trained = "alpha0 sparse subspace unitary"
    assert made(before, contents(work / "out" / "cache")) == set(trained.split())
    monkeypatch.setattr(model, "loss_and_gradients", None)
    assert same(compare("--methods", *ROWS), first)
    assert main(patches) == 0


def test_no_resume_moves_aside_and_deletes_nothing(work, tmp_path):
    first = compare("--methods", "layer2", "--out", tmp_path)
    before = contents(tmp_path / "cache")
    assert same(compare("--methods", "layer2", "--out", tmp_path, "--no-resume"), first)
    after = contents(tmp_path / "cache")
    assert after.keys() == before.keys() | {name + ".old" for name in before}
    assert all(after[name + ".old"] == before[name] for name in before)


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
        (6, lambda i: shot(i, 24), "", "no intervals, with 1 of the 8 videos"),  # two seconds
        (6, lambda i: shot(i, 2), "--fps 12", "1 of them of fewer than five frames"),  # every scene has two frames
        (1, lambda i: film(9, 12, 8, 14, 10, 9), "", "no intervals, with 1 of the 8 shots"),  # one video, shots
        (1, lambda i: shot(0, 60), "", "earlier and later parts of the same shots"),
    ],
)
def test_films_of_little_use_still_make_a_table(films, capsys, count, frames, words, sentence):
    films(count, frames)
    found = compare("--methods", *ROWS, "colour_histogram", *words.split())
    printed = capsys.readouterr()
    assert sentence in printed.out and "Traceback" not in printed.err
    assert all(record["low"] is None for record in found["scores"] + found["differences"])
    assert value(found, "oracle") == 1 and 0 <= value(found, "chance") <= 1 + 1e-9


def test_films_of_one_place_are_one_unit(work, monkeypatch):
    write_films(Path("films"), count=2, first=6)
    monkeypatch.setattr(sources, "place", lambda path: "house" if path.name in ("0.mkv", "7.mkv") else "")
    found = compare("--methods", "pixels", "--folds", 2, "--out", "places")["tasks"]["temporal"]
    assert (found["queries"], found["units"], found["what"]) == (16, 7, "places")


def test_windows_of_one_shot_are_one_unit(films, monkeypatch):
    """Four windows of one shot are four scenes and one unit."""
    films(1, lambda i: film(*[8] * 8, height=64, width=64))
    monkeypatch.setattr(scenes, "SHARES", {"train": 0.1, "validation": 0.1, "test": 0.8})
    monkeypatch.setattr(scenes, "thin_out", lambda tested: tested[1:])
    found = compare("--methods", "pixels", "zca", "--tiles", 2)
    assert found["tasks"]["temporal"] == {"queries": 23, "units": 6, "what": "shots"}


@pytest.mark.parametrize(
    ("frames", "words", "sentence"),
    [
        (5, "", "too little video: no scene is left for train; give longer or more videos"),
        (60, "--distractors 9", "distractors would be frames of the scenes that are asked"),
    ],
)
def test_films_of_no_use_get_a_sentence(films, tmp_path, capsys, frames, words, sentence):
    films(1, lambda i: shot(i, frames))
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


def test_figure_4_shows_long_scenes_of_other_places_that_move():
    def scene(video, place, *levels):
        frames = np.ones((1, 32, 32, 3), np.uint8) * np.array(levels, np.uint8)[:, None, None, None]
        return scenes.Scene(video, 0, 1, 0, frames, place)

    tested = [scene("moves", "a", 5, 9), scene("still", "a", 5, 5), scene("long", "b", 5, 5, 5)]
    assert [name for name, _ in paper.longest(tested)] == ["long", "moves"]


def test_the_paper_compares_classes_too(work, images, tmp_path, monkeypatch):
    for name, small in {"ALPHAS": (0.5, 1.0), "BETAS": (2.0,), "GRID_STEPS": 1}.items():
        monkeypatch.setattr(paper, name, small)
    figures = set()
    monkeypatch.setattr(plots, "draw", lambda path, *_, **__: figures.add(path.name))
    method = METHODS["supervised2"]._replace(accuracy=lambda params, images, labels: 0.25 + len(images))
    monkeypatch.setitem(METHODS, "supervised2", method)
    out, rows = tmp_path / "out", "pixels layer1 supervised1 supervised2".split()
    words = ["paper", *WORDS, *f"--out {out} --folds 1 --seeds 1 --filters 4 --epochs 1 --methods".split(), *rows]
    assert main(words) == 0
    assert set("figure4.png standings.png grid.png curves_classes.png neighbours_classes.png".split()) <= figures
    found = results(out)
    settings = found["settings"]
    assert (settings["rate"], settings["classes"]) == (1e-4, True)  # said, and the paper's
    assert np.shape(found["grid"]["class AUC, training images"]) == (2, 1)
    (gallery, of_gallery), (asked, labels) = cifar.load("train"), cifar.load("test")
    classes = retrieval.class_retrieval(asked, labels, gallery, of_gallery)
    assert value(found, "pixels", "class") == pytest.approx(classes.measure("map"))
    record = table.score(found, "pixels", "class", "map")
    assert record["low"] < record["value"] < record["high"]  # 45 images
    network = found["rows"]["supervised2"]
    assert network["test_accuracy_seeds"] == [network["test_accuracy"]] == [0.25 + len(asked)]
    # Standings: from pixels, with names.
    figure = paper.standing(found)
    assert {text.get_text() for text in figure.axes[0].texts} == {found["rows"][name]["title"] for name in rows[1:]}


def test_class_retrieval_is_cached_under_its_codes(images, tmp_path, monkeypatch):
    """Who edits a row's `encode` gets the new scores; so does who asks to start afresh."""
    images, searches, search = {part: cifar.load(part) for part in ("train", "test")}, [], retrieval.class_retrieval
    monkeypatch.setattr(retrieval, "class_retrieval", lambda *words: searches.append(1) or search(*words))
    settings = replace(command.DEFAULT, out=tmp_path / "out")

    def asked(run):
        return judging._classes("colour_histogram", judging.Row(), {}, images, run).measure("map")

    first = asked(settings.run())
    assert asked(settings.run()) == first and len(searches) == 1
    assert asked(replace(settings, resume=False).run()) == first and len(searches) == 2
    coarse = METHODS["colour_histogram"]._replace(encode=lambda p, frames: controls.colour_histogram(p, frames, 2))
    monkeypatch.setitem(METHODS, "colour_histogram", coarse)
    assert asked(settings.run()) != first and len(searches) == 3


def test_the_paper_needs_its_corpus(cheap, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setenv("SLOWAE_DATA", str(tmp_path))
    assert main(["paper", "--out", str(tmp_path / "out")]) == 2
    assert "video: no such file or folder; run python -m slowae fetch first" in capsys.readouterr().err

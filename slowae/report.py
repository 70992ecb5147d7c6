"""What the rows scored -> results.json, table.md, learned.npz, and then the pictures."""

import warnings
from itertools import combinations, product

import numpy as np

from slowae import files, measures, retrieval, scores
from slowae.backend import to_host
from slowae.judging import evenly
from slowae.methods import METHODS, pooled_decoder

SHOWN = "pixels colour_histogram random beta0 layer1 layer2 unitary drlim1".split()  # before others, in pictures


def _compared(rows, task, measure):
    """{name: Row} -> one record for each row, and one for each two, of the later minus the earlier."""
    retrievals = {name: row.retrievals[task] for name, row in rows.items()}
    groups = next(iter(retrievals.values()))[0].groups
    records, differences, draws, of = [], [], {}, {"task": task, "measure": measure}
    for name, some in retrievals.items():
        seeds = [float(r.measure(measure)) for r in some]
        draws[name] = np.mean([r.bootstrap(measure) for r in some], 0)
        low, high = scores.interval(draws[name], groups)
        records.append({"row": name, **of, "seeds": seeds, "value": float(np.mean(seeds)), "low": low, "high": high})
    for one, other in combinations(records, 2):
        low, high = scores.interval(draws[other["row"]] - draws[one["row"]], groups)
        value = other["value"] - one["value"]
        differences.append({"row": other["row"], "minus": one["row"], **of, "value": value, "low": low, "high": high})
    return records, differences


def _oracle(folds):
    return scores.join([retrieval.oracle_retrieval(fold.scene, fold.group) for fold in folds])


def _limits(folds, moving):
    """Records of the oracle and of chance, among all scenes and in the moving third."""
    oracle, chance = _oracle(folds), [retrieval.chance(fold.scene) for fold in folds]
    records, none = [], {"low": None, "high": None, "seeds": []}
    for (task, queries), measure in product({"temporal": slice(None), "moving": moving}.items(), ("map", "auc")):
        expected = np.concatenate([c[measure] for c in chance])[queries].mean()
        for row, value in (("oracle", oracle.only(queries).measure(measure)), ("chance", expected)):
            records.append({"row": row, "task": task, "measure": measure, "value": float(value), **none})
    return records


def _facts(name, row):
    """What is said of a row beside its scores."""
    about, method = row.about, METHODS[name]
    facts = {"title": method.title, "kind": method.kind, "seconds": round(row.seconds, 1), "dead": row.dead}
    if "learned" in about:
        facts["learned"] = int(about["learned"])
    if "silent" in about:
        facts["units"] = {"silent": about["silent"], "of": about["filters"].shape[3]}
    if 1 < about.get("group", 1) < about["filters"].shape[3]:  # two groups or more
        within, between = measures.group_similarity(about["filters"], about["group"])
        facts["groups"] = {"of": about["group"], "within": within, "between": between}
    if "errors" in about:
        facts["decoded"] = about["errors"]
    if row.history:
        facts["last"] = row.history[-1]
    if row.accuracy:
        facts |= {"test_accuracy": float(np.mean(row.accuracy)), "test_accuracy_seeds": row.accuracy}
    return facts


def results(rows, folds, parted, moving):
    """{name: Row}, the queries that move -> what results.json says of scores: names are the same whatever was asked."""
    how = parted[0][1]
    records, differences, tasks = _limits(folds, moving), [], {}
    for task, some in next(iter(rows.values())).retrievals.items():
        what = "images" if task == "class" else "shots" if how.by == "time" else f"{how.by}s"
        tasks[task] = {"queries": len(some[0].found), "units": some[0].groups, "what": what}
        for measure in scores.MEASURES:
            of_rows, of_pairs = _compared(rows, task, measure)
            records += of_rows
            differences += of_pairs
    tested = np.concatenate([np.unique(fold.scene, return_counts=True)[1] for fold in folds])
    motion = np.concatenate([fold.motion for fold in folds])[moving]
    scenes = {"tested": len(tested), "under_five_frames": int((tested < 5).sum()), "moving_from": float(motion.min())}
    return {
        "rows": {name: _facts(name, row) for name, row in rows.items()},
        "scores": records,
        "differences": differences,
        "tasks": tasks,
        "scenes": scenes | {part: [len(parts[part]) for parts, _ in parted] for part in parted[0][0]},
        "videos": sorted({s.video for parts, _ in parted for part in parts.values() for s in part}),
        "split": how._asdict() | {"folds": len(folds)},
    }


def write(out, results, text, rows):
    """results.json, table.md and learned.npz."""
    files.write_json(out / "results.json", results)
    with files.replacing(out / "table.md") as file:
        file.write(text.encode(errors="surrogateescape"))
    names = "W_e", "b_e", "W_d", "W", "pool"
    banks = {f"{name}/{key}": row.params[key] for name, row in rows.items() for key in names if key in row.params}
    files.write_arrays(out / "learned.npz", banks)


def shown(names, most):
    """The rows of a picture, at most so many: first those of SHOWN, then others, in the order of the table."""
    chosen = sorted(names, key=lambda name: name not in SHOWN)[:most]
    return [name for name in names if name in chosen]


def draw(out, rows, folds, moving, images):
    """The pictures. moving: which of all queries; the first of these are the first fold's."""
    try:
        from slowae import plots  # here: Matplotlib takes longer to import than all the rest
    except Exception as error:  # for one, a matplotlibrc in another encoding
        return warnings.warn(f"there are no pictures, because Matplotlib does not start: {error}", stacklevel=2)
    titles = {name: METHODS[name].title for name in rows}
    trained = {titles[name]: row for name, row in rows.items() if row.history}
    grouped = {title: row.about for title, row in trained.items() if row.about.get("group", 1) > 1}
    if grouped:
        parts = ({title: about.get(key) for title, about in grouped.items()} for key in ("filters", "group", "silent"))
        plots.draw(out / "filters.png", plots.filters, *parts)
    histories = {title: row.history for title, row in trained.items() if "reconstruction" in row.history[-1]}
    if histories:
        plots.draw(out / "training.png", plots.training_curves, histories)
    for name, row in rows.items():
        if "errors" in row.about:  # eight of the frames tested, and what each way of decoding makes of them
            whitened, decoded = pooled_decoder.reconstructed_frames(row.params, evenly(folds[0].frames, 8))
            pictures = {f"{way}\n{row.about['errors'][way]:.2f}": to_host(x_hat) for way, x_hat in decoded.items()}
            pictures = {"whitened film": to_host(whitened), **pictures}
            plots.draw(out / f"{name}.png", plots.reconstructions, pictures)
    title = "the third of the scenes that move most"
    oracle = _oracle(folds).only(moving).curves()
    plots.draw(out / "curves.png", plots.precision_recall, _curves(rows, "moving"), oracle, title=title)
    plots.draw(out / "neighbours.png", plots.nearest_frames, *_neighbours(rows, folds[0], moving))
    if "class" in next(iter(rows.values())).retrievals:
        plots.draw(out / "curves_classes.png", plots.precision_recall, _curves(rows, "class"), recall="recall: k / 40")
        frames, labels = (np.concatenate([images["test"][i][:1], images["train"][i]]) for i in range(2))
        nearest = {titles[name]: 1 + rows[name].nearest["class"] for name in shown(rows, 10)}
        plots.draw(out / "neighbours_classes.png", plots.nearest_frames, frames, 0, nearest, labels, "class")


def _curves(rows, task):
    """{title: (P_k, R_k, area)}, each the mean over seeds, of at most eight rows."""
    curves = {}
    for name in shown(rows, 8):
        some = rows[name].retrievals[task]
        area = np.mean([r.measure("auc") for r in some])
        curves[METHODS[name].title] = (*np.mean([r.curves() for r in some], 0), area)
    return curves


def _neighbours(rows, fold, moving):
    """Of the first fold's queries in the moving third, if any, that where the rows' numbers of right neighbours differ
    most -> frames, the query, its nearest in each of at most ten rows, scenes."""
    queries, names = retrieval.middle_frames(fold.scene), shown(rows, 10)
    right = [(fold.scene[rows[n].nearest["temporal"]] == fold.scene[queries, None]).sum(1) for n in names]
    among = moving[moving < len(queries)] if moving[0] < len(queries) else np.arange(len(queries))
    query = among[np.ptp(right, axis=0)[among].argmax()]
    nearest = {METHODS[name].title: rows[name].nearest["temporal"][query] for name in names}
    return fold.frames, queries[query], nearest, fold.scene

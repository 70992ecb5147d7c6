"""What the rows found -> results.json, learned.npz and the pictures."""

import time
from itertools import combinations

import numpy as np

from slowae import files, measures, retrieval
from slowae.backend import chosen, to_device, to_host
from slowae.environment import machine, peak_mb, versions
from slowae.methods import METHODS, pooled_decoder
from slowae.methods import slow_autoencoder as eq2


def _interval(draws, groups):
    """95 % of the drawings; None where one video, or one scene, is all there is to resample."""
    return np.percentile(draws, [2.5, 97.5]).tolist() if groups > 1 else None


def _compared(found, start, end):
    """{row: Retrievals of each seed} -> {row: what results.json says}, {"a - b": {measure: [value, low, high]}}.

    way: the row's share, in mean average precision, of the way from `start`, pixels, to `end`, the oracle.
    """
    groups = len(np.unique(next(iter(found.values()))[0].group))
    values = {(n, m): np.mean([r.measure(m) for r in some]) for n, some in found.items() for m in retrieval.MEASURES}
    draws = {
        (n, m): np.mean([r.bootstrap(m) for r in some], 0) for n, some in found.items() for m in retrieval.MEASURES
    }
    rows, differences = {}, {}
    for name, some in found.items():
        row = rows[name] = {}
        for m in retrieval.MEASURES:
            row |= {m: float(values[name, m]), f"{m}_95": _interval(draws[name, m], groups)}
            if len(some) > 1:
                row[f"{m}_seeds"] = [float(r.measure(m)) for r in some]
        row["precision"], row["recall"] = (
            np.mean(c, 0).tolist() for c in zip(*(r.curves() for r in some), strict=True)
        )
        row["way"] = row["way_95"] = None
        if start in found and values[start, "map"] < end:
            row["way"] = float((values[name, "map"] - values[start, "map"]) / (end - values[start, "map"]))
            left = end - draws[start, "map"]
            row["way_95"] = _interval((draws[name, "map"] - draws[start, "map"])[left > 0] / left[left > 0], groups)
    for one, other in combinations(found, 2):
        differences[f"{other} - {one}"] = {
            m: [
                float(values[other, m] - values[one, m]),
                *(_interval(draws[other, m] - draws[one, m], groups) or (None, None)),
            ]
            for m in retrieval.MEASURES
        }
    return rows, differences


def _oracle_and_chance(folds):
    """Of the scenes tested -> {"map", "auc"} each."""
    oracle = retrieval.join([retrieval.oracle_retrieval(fold.scene, fold.group) for fold in folds])
    chance = [retrieval.chance(fold.scene) for fold in folds]
    return ({m: float(oracle.measure(m)) for m in retrieval.MEASURES},
            {m: float(np.concatenate([c[m] for c in chance]).mean()) for m in chance[0]})  # fmt: skip


def _filters(params):
    """What a row's filters look like: its atoms, or where nothing is decoded, its filters; None where it has none."""
    return next((params[name] for name in ("W_d", "W", "W_e") if name in params), None)


def _evenly(rows, most):
    """At most so many of the rows, from first to last."""
    return rows[:: -(-len(rows) // most)]


def _turn(name, params, fold, most=300):
    """The angle between successive steps of a row's code along the scenes tested, degrees; None where nothing moves."""
    middle = 1 + np.flatnonzero(fold.scene[:-2] == fold.scene[2:])
    if len(middle) == 0:
        return None
    some = _evenly(middle, most)
    angles = measures.curvature(METHODS[name].encode(params, fold.frames[np.concatenate([some - 1, some, some + 1])]))
    return float(np.nanmean(angles)) if np.isfinite(angles).any() else None


def _learned(name, row, fold, seed):
    """What a row says of its training, beside its scores."""
    params, some = row.params, _evenly(fold.data.frames, 300)
    numbers = sum(int(np.size(value)) for key, value in params.items() if key not in ("mean", "matrix"))
    said = {"title": METHODS[name].title, "kind": METHODS[name].kind, "seconds": round(row.seconds, 1)}
    said |= {"parameters": numbers, "turn": _turn(name, params, fold)}
    W = _filters(params)
    if "W_q" in params:
        said["decoded"] = pooled_decoder.errors(params, _evenly(fold.frames, 300), whole=True)
    elif W is not None:
        if "W_e" in params:
            silent = eq2.silent(params, some)
            said["units"] = {"silent": np.flatnonzero(silent).tolist(), "of": len(silent)}
        group = W.shape[3] // METHODS[name].encode(params, some[:1]).shape[3]
        if group > 1:
            within, between = measures.group_similarity(W, group)
            said["groups"] = {"of": group, "within": within, "between": between}
    if row.history:
        said["last"] = row.history[-1]
        if "W_d" in params and "units" in said:
            said["units"]["still"] = np.flatnonzero(eq2.still(params, seed)).tolist()
    if row.accuracy:
        said |= {"test_accuracy": float(np.mean(row.accuracy)), "test_accuracy_seeds": row.accuracy}
    return said


def _decoded(row, fold, errors):
    """Eight of the frames tested, whitened, and what each way of decoding the pooled code makes of them."""
    whitened, found = pooled_decoder.reconstructed_frames(to_device(row.params), to_device(_evenly(fold.frames, 8)))
    shown = {f"{what}\n{errors[what]:.2f}": to_host(x_hat) for what, x_hat in found.items()}
    return {"whitened film": to_host(whitened), **shown}


def results(rows, folds, parted, settings, start):
    """{name: Row} -> what results.json holds; shapes and names are the same whatever was asked."""
    oracle, chance = _oracle_and_chance(folds)
    told = {name: _learned(name, row, folds[0], settings["seed"]) for name, row in rows.items()}
    differences = {}
    for task in next(iter(rows.values())).found:
        compared, apart = _compared({name: row.found[task] for name, row in rows.items()}, "pixels", 1.0)
        for name, row in compared.items():
            told[name] |= {f"{task}_{key}": value for key, value in row.items()}
        for pair, values in apart.items():
            differences.setdefault(pair, {}).update({f"{task}_{m}": value for m, value in values.items()})
    tested = [count for fold in folds for count in np.unique(fold.scene, return_counts=True)[1]]
    units = np.unique(np.concatenate([fold.group for fold in folds]))
    parts = {part: [len(p[part]) for p, _ in parted] for part in parted[0][0]}
    videos = sorted({s.video for p, _ in parted for part in p.values() for s in part})
    return {
        "rows": told,
        "differences": differences,
        "oracle": {f"temporal_{m}": value for m, value in oracle.items()},
        "chance": {f"temporal_{m}": value for m, value in chance.items()},
        "folds": len(folds),
        "seeds": [settings["seed"] + i for i in range(settings["seeds"])],
        "scenes": {"tested": len(tested), "under_five_frames": int(sum(n < 5 for n in tested)), **parts},
        "videos": videos,
        "resampled": {
            "units": len(units),
            "what": "videos" if parted[0][1].by == "video" else "scenes",
            "shots": len({(s.video, s.shot) for p, _ in parted for s in p["test"]}),
        },
        "split": parted[0][1]._asdict(),
        "settings": settings,
        "backend": chosen(),
        "versions": versions(),
        "machine": machine(),
        "seconds": round(time.perf_counter() - start, 1),
        "peak_mb": peak_mb(),
    }


def write(out, found, rows, fold, images):
    """results.json, learned.npz and the pictures, into `out`."""
    from slowae import plots  # here: Matplotlib takes longer to import than all the rest

    titles = {name: METHODS[name].title for name in rows}
    banks = {
        name: {key: row.params[key] for key in ("W_e", "b_e", "W_d", "W") if key in row.params}
        for name, row in rows.items()
    }
    files.write_groups(out / "learned.npz", {name: bank for name, bank in banks.items() if bank})
    shown = [n for n, row in rows.items() if row.history and found["rows"][n].get("groups")]
    if shown:
        told = {titles[n]: found["rows"][n] for n in shown}
        silent = {title: row.get("units", {}).get("silent", []) for title, row in told.items()}
        groups = {title: row["groups"]["of"] for title, row in told.items()}
        filters = {titles[n]: _filters(banks[n]) for n in shown}
        plots.save(plots.filters(filters, groups, silent), out / "filters.png")
    histories = {
        titles[n]: row.history for n, row in rows.items() if row.history and "reconstruction" in row.history[-1]
    }
    if histories:
        plots.save(plots.training_curves(histories), out / "training.png")
    for name, row in rows.items():
        if "W_q" in row.params:
            plots.save(plots.reconstructions(_decoded(row, fold, found["rows"][name]["decoded"])), out / f"{name}.png")
    told = {titles[name]: row for name, row in found["rows"].items()}
    oracle = retrieval.oracle_retrieval(fold.scene, fold.group).curves()
    plots.save(plots.precision_recall(told, "temporal", oracle), out / "curves.png")
    nearest = {name: row.nearest["temporal"] for name, row in rows.items()}
    query = _query(next(iter(nearest.values())), fold)
    asked = retrieval.middle_frames(fold.scene)[query]
    picture = plots.nearest_frames(fold.frames, asked, {titles[n]: i[query] for n, i in nearest.items()}, fold.scene)
    plots.save(picture, out / "neighbours.png")
    if "class" in next(iter(rows.values())).found:
        plots.save(plots.precision_recall(told, "class", recall="recall: k / 40"), out / "curves_classes.png")
        images, labels = (np.concatenate([images["test"][i][:1], images["train"][i]]) for i in range(2))
        nearest = {titles[name]: 1 + row.nearest["class"] for name, row in rows.items()}
        plots.save(plots.nearest_frames(images, 0, nearest, labels, "class"), out / "neighbours_classes.png")
    files.write_json(out / "results.json", found)


def _query(nearest, fold):
    """Which query to show: of the first fold's scenes of ten frames or more, the middle one by how many of its nine
    nearest the first row of the table gets right."""
    queries = retrieval.middle_frames(fold.scene)
    right = (fold.scene[nearest] == fold.scene[queries, None]).sum(1)
    long = np.bincount(np.unique(fold.scene, return_inverse=True)[1]) > min(9, nearest.shape[1])
    among = np.flatnonzero(long if long.any() else ~long)
    return int(among[np.argsort(right[among], kind="stable")[len(among) // 2]])

"""results.json in words: the tables, what is told apart and what is not."""

from slowae.methods import METHODS


def describe(parted, scenes, tiles, fps):
    """What was found in the films, before anything is trained."""
    how, lines = parted[0][1], []
    reason = {"video": "", "shot": "; too few videos", "time": "; too few shots"}[how.by]
    lines.append(f"{how.videos} videos, {how.shots} shots, {len(scenes)} scenes, {tiles} x {tiles} windows a frame; "
                 f"split by {how.by}{reason}" + (f", {len(parted)} folds" if len(parted) > 1 else ""))  # fmt: skip
    for part, some in parted[0][0].items():
        frames = sum(len(s.sampled) for s in some)
        lines.append(f"  {part:<11}{len(some):>5} scenes {frames:>7} frames at {fps:g} a second")
    return "\n".join(lines)


def number(value, sign=""):
    """Three digits; nothing for None."""
    return "" if value is None else f"{value:{sign}.3f}"


def between(interval, sign=""):
    """The ends of an interval; nothing where there was none."""
    return "" if interval is None or interval[0] is None else f"{interval[0]:{sign}.3f} to {interval[1]:{sign}.3f}"


def markdown(lines):
    """Rows of cells, the first the heads -> a table in Markdown that can be read as it stands."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    aligned = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join([aligned[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *aligned[1:]])


def _mean_measures(found, task):
    """{measure: what its column is called}: each video once only where videos have several queries."""
    by_video = task != "class" and found["resampled"]["what"] == "videos"
    return {"map": f"{task} MAP"} | ({"map_by_group": "each video once"} if by_video else {})


def table(found, task="temporal"):
    """results.json -> one task's table."""
    way = "times pixels' AUC" if task == "class" else "of the way, pixels to oracle"
    columns, seeds = _mean_measures(found, task), ["of each seed"] * (len(found["seeds"]) > 1)
    heads = [head for name in columns.values() for head in (name, *seeds, "95 %")]
    lines = [["representation", *heads, way, f"{task} AUC", "95 %"]]

    def line(title, get, share):
        cells = [title]
        for m in columns:
            each = [" ".join(map(number, get.get(f"{m}_seeds", ())))] * len(seeds)
            cells += [number(get.get(m)), *each, between(get.get(f"{m}_95"))]
        lines.append([*cells, share, number(get["auc"]), between(get.get("auc_95"))])

    for row in found["rows"].values():
        get = {key.removeprefix(f"{task}_"): value for key, value in row.items()}
        if task != "class":
            share = "" if get["way"] is None else f"{get['way']:.0%}"
        else:
            pixels = found["rows"].get("pixels", {}).get("class_auc")
            share = f"{get['auc'] / pixels:.2f} x" if pixels else ""
        line(row["title"], get, share)
    if task == "temporal":
        for name in ("oracle", "chance"):
            line(name, {key.removeprefix("temporal_"): value for key, value in found[name].items()}, "")
    return markdown(lines)


def differences(found, task="temporal"):
    """results.json -> the last layer of Eq. 2 in the table against all other rows: difference, interval, told apart?"""
    best = next((name for name in ("layer2", "layer1") if name in found["rows"]), None)
    columns = {m: name.removeprefix(f"{task} MAP") for m, name in _mean_measures(found, task).items()}
    heads = [head for name in columns.values() for head in (name or "difference", "95 %", "told apart?")]
    lines = [[f"{task} MAP of {METHODS[best].title}" if best else "", *heads]]
    for pair, values in found["differences"].items():
        one, _, other = pair.partition(" - ")
        if best not in (one, other) or f"{task}_map" not in values:
            continue
        cells = [f"minus {METHODS[other if one == best else one].title}"]
        for m in columns:
            value, *ends = (v if v is None or one == best else -v for v in values[f"{task}_{m}"])
            low, high = ends if one == best else ends[::-1]
            apart = "" if low is None else "yes" if low > 0 or high < 0 else "no"
            cells += [number(value, "+"), between((low, high), "+"), apart]
        lines.append(cells)
    return markdown(lines) if len(lines) > 1 else ""


def alike(row):
    """How much more alike filters are within groups than those of two groups."""
    groups = row.get("groups")
    return f"{groups['within'] / groups['between']:.2f}" if groups else ""


def learning(found):
    """results.json -> what each row that learns has become.

    turn: the angle between successive steps of its code along the scenes tested, 0 straight on, 120 by chance.
    """
    lines = [["learned", "seconds", "numbers", "turn", "alike", "units silent", "still as they began"]]
    for row in found["rows"].values():
        if row["parameters"]:
            units = row.get("units", {})
            counts = (f"{len(units[key])} of {units['of']}" if key in units else "" for key in ("silent", "still"))
            turn = "" if row["turn"] is None else f"{row['turn']:.0f} deg"
            lines.append([row["title"], f"{row['seconds']:.0f}", f"{row['parameters']:,}", turn, alike(row), *counts])
    return markdown(lines) if len(lines) > 1 else ""


def text(found):
    """results.json -> all of it in words."""
    scenes, resampled = found["scenes"], found["resampled"]
    parts = [table(found), differences(found)]
    parts.append(
        f"MAP: mean average precision at 40. {scenes['tested']} scenes asked, {scenes['under_five_frames']} of them of "
        f"fewer than five frames; intervals: bootstrap over {resampled['units']} {resampled['what']}"
        + (f" of {resampled['shots']} shots, so too narrow." if resampled["what"] == "scenes" else ".")
    )
    if resampled["units"] < 2:
        parts.append("One is too few to resample: there are no intervals, and nothing can be told apart.")
    pixels = found["rows"].get("pixels")
    if pixels and pixels["temporal_way"] is None:
        parts.append("Pixels are perfect on these scenes: there is no way from them to the oracle.")
    for task in ("crowded", "class"):
        if any(f"{task}_map" in row for row in found["rows"].values()):
            parts += [table(found, task), differences(found, task)]
    parts.append(learning(found))
    for row in found["rows"].values():
        if "decoded" in row:
            shares = ", ".join(f"{name} {share:.3f}" for name, share in row["decoded"].items())
            parts.append(f"{row['title']}, error as a share of the frames' variance: {shares}")
        if "test_accuracy" in row:
            each = ", ".join(f"{share:.1%}" for share in row["test_accuracy_seeds"])
            parts.append(f"{row['title']}: {row['test_accuracy']:.1%} of the test images right; of each seed {each}")
    return "\n\n".join(part for part in parts if part) + "\n"

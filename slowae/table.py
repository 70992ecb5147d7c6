"""results.json in words: tables of scores, differences and intervals, and what must be known to read them."""

from itertools import product

from slowae.scores import ENOUGH, MEASURES

TASKS = {"moving": "moving third", "temporal": "all scenes", "crowded": "among distractors", "class": "classes"}
NAMES = {"map": "MAP", "auc": "AUC"}
ABSENT = {"value": None, "low": None, "high": None, "seeds": []}  # the score of a row, or of a task, that is not there


def describe(parted, fps):
    """What was read from the films, before anything is trained."""
    how = parted[0][1]
    reason = {"shot": "; too few videos", "time": "; too few shots"}.get(how.by, "")
    folds = f", {len(parted)} folds" if len(parted) > 1 else ""
    lines = [f"{how.videos} videos, {how.shots} shots; split by {how.by}{reason}{folds}"]
    for part, some in parted[0][0].items():
        frames = sum(len(s.sampled) for s in some)
        lines.append(f"  {part:<11}{len(some):>5} scenes {frames:>7} frames at {fps:g} a second")
    return "\n".join(lines)


def number(value, sign=""):
    """Three digits; nothing for None."""
    return "" if value is None else f"{value:{sign}.3f}"


def between(record, sign=""):
    """The ends of a record's interval; nothing where there is none."""
    return "" if record["low"] is None else f"{record['low']:{sign}.3f} to {record['high']:{sign}.3f}"


def markdown(columns):
    """Columns of cells, each one's head first -> a table in Markdown that can be read as it stands.

    Columns without a cell are left out, and so are lines without a cell beside the first column's; "" if none is left.
    """
    columns = [column for column in columns if any(column[1:])]
    lines = [line for line in zip(*columns, strict=True) if any(line[1:])]
    if not lines:
        return ""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines)


def score(results, row, task, measure):
    """One record of results["scores"]; ABSENT where there is none."""
    wanted = {"row": row, "task": task, "measure": measure}
    return next((record for record in results["scores"] if wanted.items() <= record.items()), ABSENT)


def difference(results, row, minus, task, measure):
    """row - minus, whichever way round results["differences"] has it: a record; None where there is none."""
    for record in results["differences"]:
        if (record["task"], record["measure"]) != (task, measure):
            continue
        if (record["row"], record["minus"]) == (row, minus):
            return record
        if (record["minus"], record["row"]) == (row, minus):
            low, high = (None if end is None else -end for end in (record["high"], record["low"]))
            return record | {"row": row, "minus": minus, "value": -record["value"], "low": low, "high": high}
    return None


def table(results, *tasks):
    """results.json -> the scores of some tasks."""
    titles = {name: row["title"] for name, row in results["rows"].items()} | {"oracle": "oracle", "chance": "chance"}
    columns = [["representation", *titles.values()]]
    for measure, task in product(MEASURES, tasks):
        records = [score(results, name, task, measure) for name in titles]
        seeds = [" ".join(map(number, record["seeds"])) if len(set(record["seeds"])) > 1 else "" for record in records]
        columns.append([f"{NAMES[measure]}, {TASKS[task]}", *(number(record["value"]) for record in records)])
        columns.append(["of each seed", *seeds])
        columns.append(["95 %", *map(between, records)])
    return markdown(columns)


def differences(results, *tasks):
    """results.json -> MAP of the last layer of Eq. 2 in the table minus that of each other row."""
    rows = results["rows"]
    best = next((name for name in ("layer2", "layer1") if name in rows), None)
    if best is None:
        return ""
    others = [name for name in rows if name != best]
    columns = [[f"MAP of {rows[best]['title']}", *(f"minus {rows[name]['title']}" for name in others)]]
    for task in tasks:
        records = [difference(results, best, name, task, "map") for name in others]
        if None in records:
            continue
        apart = ["" if r["low"] is None else "yes" if r["low"] > 0 or r["high"] < 0 else "no" for r in records]
        columns.append([TASKS[task], *(number(record["value"], "+") for record in records)])
        columns.append(["95 %", *(between(record, "+") for record in records)])
        columns.append(["excludes 0", *apart])
    return markdown(columns)


def _resampled(results):
    """What the intervals are worth, or why there are none."""
    sentences = []
    for task, about in results["tasks"].items():
        units, what = about["units"], about["what"]
        how = f"intervals by bootstrap over {units} {what}"
        if units < ENOUGH:
            how = f"no intervals, with {units} of the {ENOUGH} {what} that they need"
        sentences.append(f"{TASKS[task].capitalize()}: {how}.")
    if any(task["units"] >= ENOUGH for task in results["tasks"].values()):
        sentences.append("In simulations such intervals held the true value in 89 % of cases with 10 videos, in 92 % "
                         "with 20 and in 94 % with 50.")  # fmt: skip
    if results["split"]["by"] == "time":
        sentences.append("There are too few shots: training and test see earlier and later parts of the same shots.")
    return " ".join(sentences)


def text(results):
    """results.json -> all of it in words."""
    scenes, moving = results["scenes"], results["tasks"]["moving"]["queries"]
    parts = [table(results, "moving", "temporal"), differences(results, "moving", "temporal")]
    parts.append(
        f"MAP: mean average precision at 40. {scenes['tested']} scenes asked, {scenes['under_five_frames']} of them of "
        f"fewer than five frames. The moving third, {moving} of them: those whose frames differ most from their query, "
        f"by {scenes['moving_from']:.1f} grey levels or more. Where little moves there is little to learn."
    )
    parts.append(_resampled(results))
    for task in ("crowded", "class"):
        parts += [table(results, task), differences(results, task)]
    lines = [("representation", "likeness ratio", "seconds", "parameters", "units silent")]
    for row in results["rows"].values():
        groups, units = row.get("groups"), row.get("units")
        likeness = f"{groups['within'] / groups['between']:.2f}" if groups else ""
        seconds, learned = (f"{row['seconds']:.0f}", f"{row['learned']:,}") if "learned" in row else ("", "")
        silent = f"{len(units['silent'])} of {units['of']}" if units else ""
        lines.append((row["title"], likeness, seconds, learned, silent))
    parts.append(markdown(zip(*lines, strict=True)))
    for row in results["rows"].values():
        title = row["title"]
        if row["dead"]:
            parts.append(f"{title} has a constant code, and scores what chance does.")
        if "decoded" in row:
            shares = ", ".join(f"{name} {share:.3f}" for name, share in row["decoded"].items())
            parts.append(f"{title}, error as a share of the frames' variance: {shares}")
        if "test_accuracy" in row:
            each = ", ".join(f"{share:.1%}" for share in row["test_accuracy_seeds"])
            parts.append(f"{title}: {row['test_accuracy']:.1%} of the test images right; of each seed {each}")
    return "\n\n".join(part for part in parts if part) + "\n"

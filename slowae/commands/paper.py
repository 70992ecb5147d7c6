"""The convolutional model at the paper's scale: two layers, retrieval in video and in CIFAR-10 (Figures 3 to 7).

Stages run in order. Each leaves OUT/STAGE.json and is not done again; a training stage goes on from its checkpoint.
"""

from time import perf_counter

from slowae import files
from slowae.backend import chosen, require
from slowae.commands import number, paper_retrieval, paper_training, peak_mb, versions
from slowae.commands import train as first
from slowae.data import sources

CORPUS = "fps tiles epsilon"
LAYER1 = f"{CORPUS} seed steps batch rate alpha beta"
LAYER2 = f"{LAYER1} alpha2 beta2"
SUPERVISED = f"{CORPUS} seed epochs"
STAGES = {  # name: the module that has it, and the settings that it depends on
    "corpus": (paper_training, CORPUS),
    "diagram": (paper_training, ""),
    "baselines": (paper_retrieval, CORPUS),
    "layer1": (paper_training, LAYER1),
    "layer2": (paper_training, LAYER2),
    "supervised": (paper_training, SUPERVISED),
    "temporal": (paper_retrieval, f"{LAYER2} epochs"),
    "classes": (paper_retrieval, f"{LAYER2} epochs"),
    "grid": (paper_retrieval, f"{CORPUS} seed batch rate grid_steps"),
}
# Published: temporal AUC, class AUC; the supervised ones are read off Figure 7.
PUBLISHED = {
    "pixels": (0.174, 0.235),
    "zca": (0.142, 0.192),
    "layer1": (0.262, 0.296),
    "layer2": (0.301, 0.305),
    "supervised1": (0.313, 0.316),
    "supervised2": (0.386, 0.487),
}


def add_arguments(parser):
    first.add_arguments(parser)
    parser.set_defaults(tiles=1, steps=3000, epsilon=30.0, rate=1e-3)  # chosen on validation data, README
    parser.add_argument("--alpha2", type=number(float, least=0), default=1.0, help="alpha of layer 2 (%(default)s)")
    parser.add_argument("--beta2", type=number(float, least=0), default=4.0, help="beta of layer 2 (%(default)s)")
    parser.add_argument(
        "--grid-steps", type=number(int, least=1), default=800, help="for each cell of alpha x beta (%(default)s)"
    )
    parser.add_argument(
        "--epochs", type=number(int, least=0), default=20, help="of the supervised ConvNet; 0: without (%(default)s)"
    )
    parser.add_argument("--only", choices=STAGES, help="this stage alone, made again from what the others left")


def done(path, settings):
    """Has the stage been made with these settings? ValueError if with others."""
    if not path.exists():
        return False
    kept = files.read_json(path)["settings"]
    changed = ", ".join(name for name in settings if kept.get(name) != settings[name])
    require(not changed, f"{path} was made with another {changed}; repeat those settings or give another --out")
    return True


def table(results):
    """{stage: result} -> the table of the README, in Markdown: ours beside the published value."""
    video, images = results["temporal"]["all"], results["classes"]
    lines = [
        "| representation | temporal AUC (95 %) | x pixels | published | of the way to the oracle (95 %) "
        "| class AUC (95 %) | x pixels | published |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in video["rows"].items():
        other = images["rows"][name]
        cells = [paper_training.NAMES[name]]
        for which, r in enumerate((row, other)):
            known = PUBLISHED.get(name)
            cells += [
                "{:.3f} ({:.3f} to {:.3f})".format(r["auc"], *r["auc_95"]),
                f"{r['ratio']:.2f}",
                f"{known[which]:.3f}, x {known[which] / PUBLISHED['pixels'][which]:.2f}" if known else "",
            ]
            if r is row:
                cells.append("" if r["way"] is None else "{:.0%} ({:.0%} to {:.0%})".format(r["way"], *r["way_95"]))
        lines.append("| " + " | ".join(cells) + " |")
    lines.append(f"| oracle | {video['oracle']:.3f} | | | 100% | {images['oracle']:.3f} | | |")
    return "\n".join(lines) + "\n"


def run(args):
    args.video = args.video or sources.data_dir() / "video"
    missing = f"{args.video}: no such file or folder; run python -m slowae fetch first, or give --video"
    require(args.video.exists() or args.only not in (None, "corpus"), missing)
    args.resume = True
    results = {}
    for name, (module, depends) in STAGES.items():
        path, settings = args.out / f"{name}.json", {key: getattr(args, key) for key in depends.split()}
        if args.only == name or (not args.only and not done(path, settings)):
            stage = getattr(module, name)
            print(f"{name}: {stage.__doc__}")
            start = perf_counter()
            result = stage(args)
            cost = {"seconds": round(perf_counter() - start, 1), "peak_mb": peak_mb()}
            context = {"settings": settings, "backend": chosen(), "versions": versions()}
            files.write_json(path, {**result, **cost, **context})
        if path.exists():
            results[name] = files.read_json(path)
    files.write_json(args.out / "results.json", results)
    if "layer2" in results:
        files.write_groups(args.out / "learned.npz", paper_training.learned(args))
    if {"temporal", "classes"} <= results.keys():
        with files.replacing(args.out / "table.md") as file:
            file.write(table(results).encode())
        print(table(results))
    print(f"results.json and the figures are in {args.out}")

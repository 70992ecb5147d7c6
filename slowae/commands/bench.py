"""Speed and memory: beside PyTorch and faiss where they are installed, and beside the most that the machine can do.

All in one process, in turns, so that a machine that slows down slows all alike. What is compared does the same work:
losses, gradients and neighbours must agree before anything is timed.
"""

import time

import numpy as np
from tqdm import tqdm

from slowae import backend, files
from slowae.backend import require
from slowae.commands import bench_memory, number, versions
from slowae.commands.bench_timing import OURS, measure, ratios, require_agreement, summary

SECTIONS = ["memory", "limit", "layer1_step", "layer2_step", "fully_connected_step", "eq_1_step", "retrieval"]
SECTIONS += ["whitening_fit", "decoding"]
RIVALS = ("torch", "faiss-cpu", "scikit-learn")


def add_arguments(parser):
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these alone; shares need the limit")
    parser.add_argument("--repeats", type=number(int, least=1), default=7, help="of each measurement (%(default)s)")


def measure_limit(work, repeats):
    """bench_cases.limits -> GFLOP/s in a large float32 product, and GB/s, read and written, in a copy."""
    for function, _ in work.values():
        function()
    seconds = summary(measure({name: function for name, (function, _) in work.items()}, repeats))
    rate = {name: amount / seconds[name]["median"] / 1e9 for name, (_, amount) in work.items()}
    return {"sgemm_gflops": rate["sgemm"], "copy_gb_per_s": rate["copy"]}


def measure_case(name, case, repeats):
    """-> {contender: summary}. RuntimeError that names the case unless all contenders agree."""
    try:
        require_agreement(case.contenders)
    except RuntimeError as error:
        raise RuntimeError(f"{name}: {error}") from error

    def progress(rounds):
        return tqdm(rounds, desc=name, unit="round", dynamic_ncols=True, leave=False)

    return summary(measure({who: one.run for who, one in case.contenders.items()}, repeats, progress))


def judge(report, name, case):
    """Add to the report what follows from the seconds of a case: ratios, share of the limit, frames a second."""
    ours = report["seconds"][name][OURS]["median"]
    for library, ratio in ratios(report["seconds"][name]).items():
        report.setdefault(f"ratio_to_{library.lower().replace('-', '_')}", {})[name] = ratio
    if case.flops and "limit" in report:
        share = case.flops / ours / 1e9 / report["limit"]["sgemm_gflops"]
        report.setdefault("share_of_sgemm_limit", {})[name] = share
    if case.frames:
        report.setdefault("frames_per_second", {})[name] = case.frames / ours


def show(report, name):
    """Print one case, the fastest first, and what follows from it."""
    for who, row in sorted(report["seconds"][name].items(), key=lambda item: item[1]["median"]):
        median, fastest, slowest = (f"{1e3 * row[key]:.1f}" for key in ("median", "fastest", "slowest"))
        print(f"  {who:<68}{median:>9} ms ({fastest} to {slowest})")
    for quantity, values in report.items():
        if quantity.startswith(("ratio", "share", "frames")) and name in values:
            print(f"  {quantity.replace('_', ' '):<68}{values[name]:>9.4g}")


def run(args):
    begun = time.perf_counter()
    path = args.out / "bench.json"
    about = {"backend": backend.chosen(), "machine": backend.machine(), "versions": versions(RIVALS)}
    report = files.read_json(path) if args.resume and path.exists() else about | {"seconds": {}}
    changed = [name for name in about if report.get(name) != about[name]]
    require(not changed, f"{path} was measured with another {', '.join(changed)}; leave --resume out, or change --out")
    for name in [section for section in SECTIONS if section in (args.only or SECTIONS)]:
        if name in report or name in report["seconds"]:
            continue
        print(name, flush=True)
        if name == "memory":
            report[name] = bench_memory.memory()
            for what, row in report[name].items():
                print(f"  {what}: " + ", ".join(f"{count} frames {mb} MB" for count, mb in row.items()))
            files.write_json(path, report)
            continue
        from slowae.commands import bench_cases  # not sooner: it may import PyTorch, and that weighs

        rng = np.random.default_rng(args.seed)
        if name == "limit":
            report[name] = measure_limit(bench_cases.limits(rng), args.repeats)
            print("  " + ", ".join(f"{what} {value:.4g}" for what, value in report[name].items()))
        else:
            case = bench_cases.CASES[name](rng)
            report["seconds"][name] = measure_case(name, case, args.repeats)
            judge(report, name, case)
            show(report, name)
        files.write_json(path, report)
    print(f"all of it is in {path}; {time.perf_counter() - begun:.0f} s")

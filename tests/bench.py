"""Speed and memory, beside PyTorch and faiss where they are installed, and beside the most that the machine can do.

What is compared does the same work: losses, gradients and neighbours must agree before anything is timed. All run in
turns in one process, so that a machine that slows down slows all alike.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from slowae import backend, files, model, optim, retrieval
from slowae.backend import array_module, to_device, to_host
from slowae.blocks import keep_memory, threads
from slowae.commands import add_options, machine, number, peak_mb, versions
from slowae.data import sources, video, whitening
from slowae.data.scenes import Scene
from slowae.methods import METHODS, Data, Run, drlim
from slowae.methods.slow_autoencoder import FILTERS, POOLS

OURS = "slowae"
PAUSE = 0.05  # seconds: after a threaded product, BLAS's idle threads spin on the cores for a while
TURN = 0.2  # seconds


class Contender(NamedTuple):
    """run() -> a result, timed; read(result) -> {name: host array}, not timed: what must agree."""

    run: Callable
    read: Callable


class Case(NamedTuple):
    """contenders: {name: Contender}, ours among them; frames of one run, and flops.

    flops: of its matrix products, those of convolutions by patches; who convolves with fewer may pass the limit.
    """

    contenders: dict
    flops: float = 0.0
    frames: int = 0


def require_agreement(contenders):
    """Run each once. RuntimeError that names contender and array, unless all others read as ours does.

    In float32 an activation within rounding of its kink may fall to either side, which shows in the few filters
    concerned: so nearly everything must agree to 1e-4, and all of it in norm to 1e-2.
    """
    most_typical, most_overall = (0.1, 0.1) if tf32() else (1e-4, 1e-2)  # TF32 keeps three digits, so many fall
    expected = contenders[OURS].read(contenders[OURS].run())
    for who in [name for name in contenders if name != OURS]:
        found = contenders[who].read(contenders[who].run())
        for name, value in expected.items():
            off = np.abs(found[name] - value) if np.shape(found[name]) == np.shape(value) else np.array(np.inf)
            size = np.sqrt(np.square(value).mean())
            typical, overall = np.median(off) / size, np.sqrt(np.square(off).mean()) / size
            if not (typical < most_typical and overall < most_overall):
                raise RuntimeError(f"{name} of {who} is not ours, off by {overall:.2g} of its size: nothing was timed")


def measure(runs, repeats, title=""):
    """{name: function} -> {name: median, fastest, slowest, in seconds}: in every round each has a turn.

    Each round another one begins. A turn repeats the run for TURN, and the last one counts: those before have woken
    the threads, as in training.
    """
    names, seconds = list(runs), {name: [] for name in runs}
    for turn in tqdm(range(repeats), desc=title, unit="round", dynamic_ncols=True, leave=False, disable=None):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(PAUSE)
            backend.synchronise()
            began = ended = time.perf_counter()
            while ended - began < TURN:
                last = ended
                runs[name]()
                backend.synchronise()
                ended = time.perf_counter()
            seconds[name].append(ended - last)
    return {n: {"median": float(np.median(s)), "fastest": min(s), "slowest": max(s)} for n, s in seconds.items()}


def ratios(row):
    """{contender: seconds} -> {library: our median over that of its fastest variant}, "library: variant" the names."""
    best = {}
    for who, seconds in row.items():
        library = who.split(":")[0]
        best[library] = min(best.get(library, np.inf), seconds["median"])
    return {library: best[OURS] / median for library, median in best.items() if library != OURS}


# The others


def installed(name):
    """The module, imported only now, or None: a process whose memory is measured must not hold it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def tf32():
    """Whether products on the GPU may use TF32: CuPy's own switch, which PyTorch follows here."""
    return backend.chosen() == "cupy" and os.environ.get("CUPY_TF32") == "1"


def in_pytorch(variants, *work):
    """variants(torch, device, *work), set up as the chosen backend is; {} where PyTorch cannot do the same work."""
    torch, device = installed("torch"), "cuda" if backend.chosen() == "cupy" else "cpu"
    if torch is None or (device == "cuda" and not torch.cuda.is_available()):
        return {}
    torch.set_num_threads(threads())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32()
    torch.backends.cudnn.benchmark = True
    return {f"PyTorch: {name}": contender for name, contender in variants(torch, device, *work).items()}


def torch_modes(torch):
    """{name: what to wrap a loss in}; torch.compile needs a C++ compiler."""
    compiled = {"compiled": lambda loss: torch.compile(loss, dynamic=False)} if shutil.which("g++") else {}
    return {"eager": lambda loss: loss} | compiled


def torch_step(loss, optimizer, leaves, project=lambda: None, back=()):
    """The whole training step of loss(); leaves {name: tensor}, back {name: gradient -> the same in our shape}."""

    def step():
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        project()
        return value

    def read(value):
        grads = {name: dict(back).get(name, lambda grad: grad)(leaf.grad) for name, leaf in leaves.items()}
        return {"loss": value.item()} | {f"d{name}": grad.cpu().numpy() for name, grad in grads.items()}

    return Contender(step, read)


def torch_eq_2(torch, forward, leaves, atom, config, wrap, back=()):
    """forward() -> x, h, x_hat, and q, the sums of squares that z is the root of; atom: the axes of one in W_d."""

    def loss():
        x, h, x_hat, q = forward()
        N, z = len(x) // 2, q.clamp_min(1e-30).sqrt()  # its gradient at 0 is 0, as ours is
        return (((x_hat - x) ** 2).sum() + config.alpha * h.sum() + config.beta * (z[:N] - z[N:]).abs().sum()) / N

    @torch.no_grad()
    def project():
        leaves["W_d"].div_(torch.linalg.vector_norm(leaves["W_d"], dim=atom, keepdim=True))
        leaves["b_e"].clamp_(max=0)

    return torch_step(wrap(loss), torch.optim.Adam(leaves.values(), lr=0.0), leaves, project, back)


def torch_convolutional(torch, device, params, x, config):
    """Eq. 2 for frames (2N, H, W, C): the plainest variants, and those that were the fastest on one machine or another."""
    F, pad, modes = torch.nn.functional, len(params["W_e"]) // 2, torch_modes(torch)
    params = {name: torch.tensor(value, device=device) for name, value in params.items()}
    x = torch.tensor(x, device=device).permute(0, 3, 1, 2)

    def variant(layout, decoder, mode):
        layout = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[layout]
        flipped = decoder == "conv2d"  # W_d as the filters of a convolution from K maps to C
        W_e, W_d = params["W_e"].permute(3, 2, 0, 1), params["W_d"].permute(3, 2, 0, 1)
        W_d = W_d.transpose(0, 1).flip(2, 3) if flipped else W_d
        frames, W_e, W_d = (array.contiguous(memory_format=layout) for array in (x, W_e, W_d))
        leaves = {"W_e": W_e, "b_e": params["b_e"].clone(), "W_d": W_d}
        for leaf in leaves.values():
            leaf.requires_grad_()

        def forward():
            h = F.relu(F.conv2d(frames, W_e, leaves["b_e"], padding=pad))
            q = F.avg_pool2d(h * h, config.size, divisor_override=1).unflatten(1, (-1, config.group)).sum(2)
            return frames, h, getattr(F, decoder)(h, W_d, padding=pad), q

        def ours(grad):
            return grad.permute(2, 3, 1, 0)

        back = {"W_e": ours, "W_d": (lambda grad: ours(grad.flip(2, 3).transpose(0, 1))) if flipped else ours}
        return torch_eq_2(torch, forward, leaves, (0, 2, 3) if flipped else (1, 2, 3), config, modes[mode], back)

    best = "compiled" if "compiled" in modes else "eager"
    choices = product(("channels_last", "contiguous"), ("conv2d", "conv_transpose2d"))
    choices = [(*choice, best if choice[0] == "channels_last" else "eager") for choice in choices]
    return {", ".join(choice): variant(*choice) for choice in choices}


def torch_fully_connected(torch, device, params, x, config):
    """Eq. 2 for frames (2N, D)."""
    frames = torch.tensor(x, device=device)

    def variant(wrap):
        leaves = {name: torch.tensor(value, device=device, requires_grad=True) for name, value in params.items()}

        def forward():
            h = torch.relu(torch.addmm(leaves["b_e"], frames, leaves["W_e"]))
            return frames, h, h @ leaves["W_d"].T, (h * h).unflatten(1, (-1, config.group)).sum(2)

        return torch_eq_2(torch, forward, leaves, 0, config, wrap)

    return {mode: variant(wrap) for mode, wrap in torch_modes(torch).items()}


def torch_eq_1(torch, device, params, batch, config):
    x, first, second, near = (torch.tensor(array, device=device) for array in batch)

    def variant(wrap):
        leaves = {name: torch.tensor(value, device=device, requires_grad=True) for name, value in params.items()}

        def loss():
            h = torch.relu(torch.addmm(leaves["b_1"], x, leaves["W_1"]))
            z = torch.addmm(leaves["b_2"], h, leaves["W_2"])
            distance = (z[first] - z[second]).norm(dim=1)
            return torch.where(near, distance, torch.relu(config.margin - distance)).mean()

        return torch_step(wrap(loss), torch.optim.SGD(leaves.values(), lr=0.0, momentum=0.9), leaves)

    return {mode: variant(wrap) for mode, wrap in torch_modes(torch).items()}


def torch_whitening(torch, _, frames, epsilon):
    """In float64 on the host, as ours."""
    frames = torch.tensor(frames.reshape(len(frames), -1))

    def fit():
        x = frames.double()
        D, E = torch.linalg.eigh(torch.cov(x.T, correction=0))
        gain = (D.clamp(min=0) + epsilon * D.mean()).rsqrt()
        scale = (gain**2 * D).mean().rsqrt()
        return (scale * (E * gain) @ E.T).float()

    return {"eager": Contender(fit, lambda matrix: {"matrix": matrix.numpy()})}


def torch_neighbours(torch, device, queries, gallery, k, read, block=2048):
    queries, gallery = (torch.tensor(codes, device=device) for codes in (queries, gallery))

    def search():
        ours, theirs = (torch.nn.functional.normalize(codes) for codes in (queries, gallery))
        return torch.cat([(part @ theirs.T).topk(k).indices for part in ours.split(block)])

    return {"matmul, topk": Contender(search, lambda indices: read(indices.cpu().numpy()))}


def in_faiss(queries, gallery, k, read):
    """{} where it is not installed."""
    faiss = installed("faiss")
    if faiss is None:
        return {}
    faiss.omp_set_num_threads(threads())
    queries, gallery = queries.copy(), gallery.copy()  # normalised in place

    def search():
        faiss.normalize_L2(queries)
        faiss.normalize_L2(gallery)
        index = faiss.IndexFlatIP(gallery.shape[1])
        index.add(gallery)
        return index.search(queries, k)[1]

    return {"faiss: IndexFlatIP": Contender(search, read)}


# What is timed


def step(loss_and_gradients, params, batch, config, optimizer, project=lambda params: None):
    """The whole of our training step at rate 0, so that every repeat does the same work."""
    params, batch = to_device(params), tuple(map(to_device, batch)) if isinstance(batch, tuple) else to_device(batch)
    optimizer = optim.OPTIMIZERS[optimizer]
    state = optimizer.init(params)

    def run():
        loss, grads = loss_and_gradients(params, batch, config)
        optimizer.step(params, grads, state, 0.0)
        project(params)
        return loss, grads

    def read(result):
        loss, grads = result
        grads = {name: grad for name, grad in to_host(grads).items() if name != "b_2"}  # Eq. 1's is 0 but for rounding
        return {"loss": float(loss)} | {f"d{name}": grad for name, grad in grads.items()}

    return Contender(run, read)


def eq_2_step(rivals, shape, frames, config, rng):
    params, x = model.init_params(rng, shape), rng.standard_normal(frames, dtype=np.float32)
    ours = step(model.loss_and_gradients, params, x, config, "adam", optim.project)
    flops = 5 * 2.0 * np.prod(frames[:-1]) * np.prod(shape)
    return Case({OURS: ours} | in_pytorch(rivals, params, x, config), flops, len(x))


def eq_1_step(rng, near=100, pixels=96 * 96):
    config = drlim.Config(near=near)
    views = np.arange(1000)
    frames, *pairs = drlim.draw_pairs(rng, np.column_stack([views[:-1], views[1:]]), config)
    batch = rng.standard_normal((len(views), pixels), dtype=np.float32)[frames], *pairs
    params = drlim.init_params(rng, pixels, config.hidden)
    ours = step(drlim.loss_and_gradients, params, batch, config, "sgd")
    flops = 2 * 2.0 * len(frames) * pixels * config.hidden
    return Case({OURS: ours} | in_pytorch(torch_eq_1, params, batch, config), flops, len(frames))


def retrieval_case(rng, queries=10_000, gallery=50_000, numbers=4096, k=retrieval.K):
    queries, gallery = (np.abs(rng.standard_normal((n, numbers), dtype=np.float32)) for n in (queries, gallery))

    def read(indices, some=100):  # the similarities found, for equal ones may change places
        unit, found = (
            retrieval.unit_rows(queries[:some]),
            retrieval.unit_rows(gallery[indices[:some]].reshape(-1, numbers)),
        )
        return {"similarity": np.einsum("qd,qkd->qk", unit, found.reshape(len(unit), k, numbers))}

    on_device = to_device(queries), to_device(gallery)
    ours = Contender(lambda: retrieval.neighbours(*on_device, k), lambda indices: read(to_host(indices)))
    work = queries, gallery, k, read
    rivals = in_pytorch(torch_neighbours, *work) if backend.chosen() == "cupy" else in_faiss(*work)
    return Case({OURS: ours} | rivals, 2.0 * numbers * len(queries) * len(gallery))


def whitening_fit(rng, count=10_000, side=32):
    frames = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    ours = Contender(lambda: whitening.fit_whitening(frames, 0.1), lambda whiten: {"matrix": whiten.matrix})
    return Case({OURS: ours} | in_pytorch(torch_whitening, frames, 0.1), frames=count)


def decoding(rng):
    """One of the clips that come along."""
    path = sources.find_videos()[0]
    ours = Contender(lambda: sum(1 for _ in video.decode(path, 32, 32)), lambda count: {"frames": count})
    return Case({OURS: ours}, frames=ours.run())


CASES = {
    "layer1_step": partial(eq_2_step, torch_convolutional, FILTERS[0], (64, 32, 32, 3), POOLS[0]),
    "layer2_step": partial(eq_2_step, torch_convolutional, FILTERS[1], (64, 16, 16, 16), POOLS[1]),
    "fully_connected_step": partial(eq_2_step, torch_fully_connected, (400, 512), (256, 400), model.Config(size=1)),
    "eq_1_step": eq_1_step,
    "retrieval": retrieval_case,
    "whitening_fit": whitening_fit,
    "decoding": decoding,
}


def limits(rng, repeats, side=4096, copied=2**28):
    """-> GFLOP/s in a large float32 product, and GB/s, read and written, in a copy."""
    a, b = (to_device(rng.standard_normal((side, side), dtype=np.float32)) for _ in range(2))
    source = array_module(a).zeros(copied // 4, np.float32)
    seconds = measure({"sgemm": lambda: a @ b, "copy": source.copy}, repeats)
    amounts = {"sgemm_gflops": ("sgemm", 2.0 * side**3), "copy_gb_per_s": ("copy", 2.0 * copied)}
    return {name: amount / seconds[what]["median"] / 1e9 for name, (what, amount) in amounts.items()}


def train_on(count):
    """Layer 1 on so many frames, whitening included."""
    frames = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    windows = np.column_stack([np.arange(count - 1), np.arange(1, count)])
    data = Data(frames, windows, whitening.fit_whitening(frames, 0.1), [Scene("random", 0, 1, 0, frames[:40])])
    METHODS["layer1"].fit(data, METHODS["layer1"].config, Run(steps=5, batch=32, rate=1e-5))


def search_among(count, queries=1000, numbers=4096):
    """The nearest 40 among so many of layer 1's codes."""
    gallery = np.random.default_rng(0).random((count, numbers), dtype=np.float32)
    retrieval.neighbours(gallery[:queries], gallery)


def peak_of(work, count):
    """The peak in MB of a process that does nothing else, on the host."""
    backend.use("numpy")
    keep_memory()
    work(count)
    return peak_mb()


def memory(counts=(10_000, 50_000, 150_000)):
    """{what: {frames: MB}}, each in a process of its own, whose peak begins with what this one holds: so first of all."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {
            what: {str(count): pool.apply(peak_of, (work, count)) for count in counts}
            for what, work in (("training", train_on), ("retrieval", search_among))
        }


# The report


def judge(report, name, case):
    """Add to the report what follows from the seconds of a case: ratios, share of the limit, frames a second."""
    row = report["seconds"][name]
    found = {f"ratio_to_{library.lower()}": ratio for library, ratio in ratios(row).items()}
    if case.flops and "limit" in report:
        found["share_of_sgemm_limit"] = case.flops / row[OURS]["median"] / 1e9 / report["limit"]["sgemm_gflops"]
    if case.frames:
        found["frames_per_second"] = case.frames / row[OURS]["median"]
    for quantity, value in found.items():
        report.setdefault(quantity, {})[name] = value
    for who, times in sorted(row.items(), key=lambda item: item[1]["median"]):
        median, fastest, slowest = (f"{1e3 * times[key]:.1f}" for key in ("median", "fastest", "slowest"))
        print(f"  {who:<54}{median:>9} ms ({fastest} to {slowest})")
    for quantity, value in found.items():
        print(f"  {quantity.replace('_', ' '):<54}{value:>9.4g}")


SECTIONS = ["memory", "limit", *CASES]


def run(args):
    """The chosen sections, one after the other -> OUT/bench.json, written after each."""
    about = {"backend": backend.chosen(), "machine": machine(), "versions": versions(("torch", "faiss-cpu"))}
    report, path = about | {"seconds": {}}, args.out / "bench.json"
    for name in [section for section in SECTIONS if section in args.only]:
        print(name, flush=True)
        rng = np.random.default_rng(args.seed)
        if name in CASES:
            case = CASES[name](rng)
            require_agreement(case.contenders)
            report["seconds"][name] = measure({w: c.run for w, c in case.contenders.items()}, args.repeats, name)
            judge(report, name, case)
        else:
            report[name] = memory() if name == "memory" else limits(rng, args.repeats)
            print(*(f"  {what}: {value}" for what, value in report[name].items()), sep="\n")
        files.write_json(path, report)
    print(f"all of it is in {path}")


def main(argv=None):
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="these alone; shares need the limit"
    )
    parser.add_argument("--repeats", type=number(int, 1, 1000), default=7, help="of each measurement (%(default)s)")
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="(default: SLOWAE_BACKEND, else numpy)")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of bench.json (%(default)s)")
    add_options(parser, "seed")
    args = parser.parse_args(argv)
    keep_memory()
    try:
        if args.backend:
            backend.use(args.backend)
        run(args)
    except RuntimeError as error:
        parser.exit(2, f"bench: {error}\n")


if __name__ == "__main__":
    main()

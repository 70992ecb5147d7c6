"""Speed and memory, beside PyTorch and faiss where installed, and beside the most that the machine can do.

What is compared does the same work: losses, gradients and neighbours must agree before anything is timed. All run in
turns in one process, so that a machine that slows down slows all alike. Steps are whole ones, optimizer and projection
included, at rate 0, so that every repeat does the same work.

A contender is a function: contender() -> read is timed, and read() -> {name: array} must be the same for all. A case is
{"library: variant": contender}, the flops of its products, convolutions counted by patches, and its frames.
"""

import argparse
import multiprocessing
import shutil
import time
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from tqdm import tqdm

from slowae import backend, files, model, optim, retrieval
from slowae.backend import array_module, to_device, to_host
from slowae.blocks import keep_memory, threads
from slowae.commands import add_options, number
from slowae.data import scenes, sources, video, whitening
from slowae.environment import machine, peak_mb, versions
from slowae.methods import METHODS, Data, Run, drlim
from slowae.methods.slow_autoencoder import FILTERS, POOLS

OURS = "slowae"
PAUSE = 0.05  # seconds: after a threaded product, BLAS's idle threads spin on the cores for a while
TURN = 0.2  # seconds
MODES = ("eager", "compiled") if shutil.which("g++") else ("eager",)  # of PyTorch, whose compiler needs a C++ one


def require_agreement(contenders):
    """RuntimeError that names contender and array, unless all read as ours does.

    An activation within rounding of its kink may fall to either side, which shows in the few filters concerned: so
    nearly everything must agree to 1e-4, and all of it in norm to 1e-2; but TF32 rounds to three digits.
    """
    tolerance = (0.1, 0.1) if machine().get("tf32") else (1e-4, 1e-2)
    expected = contenders[OURS]()()
    for who in [name for name in contenders if name != OURS]:
        found = contenders[who]()()
        for name, value in expected.items():
            off = np.abs(found[name] - value) if np.shape(found[name]) == np.shape(value) else np.array(np.inf)
            errors = np.array([np.median(off), np.sqrt(np.square(off).mean())]) / np.sqrt(np.square(value).mean())
            if not (errors < tolerance).all():
                raise RuntimeError(
                    f"{name} of {who} is not ours, off by {errors[1]:.2g} of its size: nothing was timed"
                )


def measure(runs, repeats, title=""):
    """{name: function} -> {name: {median, fastest, slowest}, seconds}: each has a turn in every round.

    A turn repeats the run for TURN, and the last one counts: those before have woken the threads, as in training.
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


def findings(row, flops, frames, limit):
    """{contender: seconds} -> ratios of our median to that of each library's fastest variant, share of the limit, in
    GFLOP/s, and frames a second, where there are such."""
    ours = row[OURS]["median"]
    best = {}
    for who, seconds in row.items():
        library = who.split(":")[0].lower()
        best[library] = min(best.get(library, np.inf), seconds["median"])
    found = {f"ratio_to_{library}": ours / median for library, median in best.items() if library != OURS}
    if flops and limit:
        found["share_of_sgemm_limit"] = flops / ours / 1e9 / limit
    return found | ({"frames_per_second": frames / ours} if frames else {})


# The others


def in_pytorch(variants, *work):
    """variants(torch, tensor, *work), set up as the chosen backend is; {} where PyTorch cannot do the same work."""
    if not find_spec("torch"):
        return {}
    import torch  # no sooner: a process whose memory is measured must not hold it

    device = "cuda" if backend.chosen() == "cupy" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        return {}
    torch.set_num_threads(threads())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = machine().get("tf32", False)
    torch.backends.cudnn.benchmark = True
    found = variants(torch, partial(torch.tensor, device=device), *work)
    return {f"PyTorch: {name}": contender for name, contender in found.items()}


def torch_step(torch, tensor, loss, params, mode):
    """The whole step of loss(leaves), which PyTorch differentiates: of Eq. 2 if there is a W_d, else of Eq. 1."""
    leaves = {name: tensor(value, requires_grad=True) for name, value in params.items()}
    values, W_d = leaves.values(), leaves.get("W_d")
    optimizer = torch.optim.SGD(values, 0.0, momentum=0.9) if W_d is None else torch.optim.Adam(values, 0.0)
    if mode == "compiled":
        loss = torch.compile(loss, dynamic=False)

    def step():
        optimizer.zero_grad()
        value = loss(leaves)
        value.backward()
        optimizer.step()
        if W_d is not None:
            with torch.no_grad():
                W_d.div_(torch.linalg.vector_norm(W_d, dim=tuple(range(W_d.ndim - 1)), keepdim=True))
                leaves["b_e"].clamp_(max=0)
        return lambda: {"loss": value.item()} | {f"d{name}": leaf.grad.cpu().numpy() for name, leaf in leaves.items()}

    return step


def torch_eq_2(torch, tensor, params, x, config):
    """Which layout of the frames and which form of the decoder is the fastest depends on the machine."""
    F, pad, N, frames = torch.nn.functional, len(params["W_e"]) // 2, len(x) // 2, tensor(x)

    def terms(x, h, x_hat, squares):
        z = squares.unflatten(1, (-1, config.group)).sum(2).clamp_min(1e-30).sqrt()  # its gradient at 0 is 0, as ours
        return (((x_hat - x) ** 2).sum() + config.alpha * h.sum() + config.beta * (z[:N] - z[N:]).abs().sum()) / N

    def fully_connected(p):
        h = F.relu(torch.addmm(p["b_e"], frames, p["W_e"]))
        return terms(frames, h, h @ p["W_d"].T, h * h)

    def convolutional(x, decoder, p):
        W_e, W_d = (p[name].permute(3, 2, 0, 1) for name in ("W_e", "W_d"))
        h = F.relu(F.conv2d(x, W_e, p["b_e"], padding=pad))
        W_d = W_d.transpose(0, 1).flip(2, 3) if decoder == "conv2d" else W_d
        x_hat = getattr(F, decoder)(h, W_d, padding=pad)
        return terms(x, h, x_hat, F.avg_pool2d(h * h, config.size, divisor_override=1))

    if x.ndim == 2:
        return {mode: torch_step(torch, tensor, fully_connected, params, mode) for mode in MODES}
    frames = frames.permute(0, 3, 1, 2)
    layouts = ("contiguous", frames.contiguous(), "eager"), ("channels_last", frames, MODES[-1])
    return {
        f"{layout}, {decoder}, {mode}": torch_step(torch, tensor, partial(convolutional, x, decoder), params, mode)
        for (layout, x, mode), decoder in product(layouts, ("conv2d", "conv_transpose2d"))
    }


def torch_eq_1(torch, tensor, params, batch, config):
    x, first, second, near = map(tensor, batch)

    def loss(p):
        h = torch.relu(torch.addmm(p["b_1"], x, p["W_1"]))
        z = torch.addmm(p["b_2"], h, p["W_2"])
        distance = (z[first] - z[second]).norm(dim=1)
        return torch.where(near, distance, torch.relu(config.margin - distance)).mean()

    return {mode: torch_step(torch, tensor, loss, params, mode) for mode in MODES}


def torch_whitening(torch, _, frames, epsilon):
    frames = torch.tensor(frames.reshape(len(frames), -1))  # on the host, as ours

    def fit():
        D, E = torch.linalg.eigh(torch.cov(frames.double().T, correction=0))
        gain = (D.clamp(min=0) + epsilon * D.mean()).rsqrt()
        matrix = ((E * gain) @ E.T / (gain**2 * D).mean().sqrt()).float()
        return lambda: {"matrix": matrix.numpy()}

    return {"eager": fit}


def torch_neighbours(torch, tensor, queries, gallery, k, read):
    queries, gallery = tensor(queries), tensor(gallery)

    def search():
        ours, theirs = map(torch.nn.functional.normalize, (queries, gallery))
        found = torch.cat([(part @ theirs.T).topk(k).indices for part in ours.split(2048)])
        return lambda: read(found.cpu().numpy())

    return {"matmul, topk": search}


def in_faiss(queries, gallery, k, read):
    if not find_spec("faiss"):
        return {}
    import faiss

    faiss.omp_set_num_threads(threads())
    queries, gallery = queries.copy(), gallery.copy()  # normalised in place

    def search():
        faiss.normalize_L2(queries)
        faiss.normalize_L2(gallery)
        index = faiss.IndexFlatIP(gallery.shape[1])
        index.add(gallery)
        return partial(read, index.search(queries, k)[1])

    return {"faiss: IndexFlatIP": search}


# The cases


def our_step(loss_and_gradients, params):
    """The whole step of loss_and_gradients(params): of Eq. 2 if there is a W_d, else of Eq. 1."""
    params, optimizer = to_device(params), optim.OPTIMIZERS["adam" if "W_d" in params else "sgd"]
    state = optimizer.init(params)

    def step():
        loss, grads = loss_and_gradients(params)
        optimizer.step(params, grads, state, 0.0)
        if "W_d" in params:
            optim.project(params)
        named = {f"d{name}": grad for name, grad in grads.items() if name != "b_2"}  # Eq. 1's is 0 but for rounding
        return lambda: {"loss": float(loss)} | to_host(named)

    return step


def eq_2_step(shape, frames, config, rng):
    params, x = model.init_params(rng, shape), rng.standard_normal(frames, dtype=np.float32)
    here = to_device(x)
    ours = our_step(lambda params: model.loss_and_gradients(params, here, config), params)
    flops = 5 * 2.0 * np.prod(frames[:-1]) * np.prod(shape)
    return {OURS: ours} | in_pytorch(torch_eq_2, params, x, config), flops, len(x)


def eq_1_step(rng, near=100, pixels=96 * 96):
    config, views = drlim.Config(near=near), np.arange(1000)
    frames, *pairs = drlim.draw_pairs(rng, np.column_stack([views[:-1], views[1:]]), config)
    batch = rng.standard_normal((len(views), pixels), dtype=np.float32)[frames], *pairs
    params, here = drlim.init_params(rng, pixels, config.hidden), tuple(map(to_device, batch))
    ours = our_step(lambda params: drlim.loss_and_gradients(params, here, config), params)
    flops = 2 * 2.0 * len(frames) * pixels * config.hidden
    return {OURS: ours} | in_pytorch(torch_eq_1, params, batch, config), flops, len(frames)


def nearest(rng, queries=10_000, gallery=50_000, numbers=4096, k=retrieval.K):
    queries, gallery = (np.abs(rng.standard_normal((n, numbers), dtype=np.float32)) for n in (queries, gallery))
    here = to_device(queries), to_device(gallery)

    def read(indices, some=100):  # the similarities found, for equal ones may change places
        asked, theirs = queries[:some], gallery[to_host(indices)[:some].ravel()]
        asked, theirs = retrieval.unit_rows(asked), retrieval.unit_rows(theirs)
        return {"similarity": np.einsum("qd,qkd->qk", asked, theirs.reshape(len(asked), k, numbers))}

    work = queries, gallery, k, read
    rivals = in_pytorch(torch_neighbours, *work) if backend.chosen() == "cupy" else in_faiss(*work)
    ours = {OURS: lambda: partial(read, retrieval.neighbours(*here, k))}
    return ours | rivals, 2.0 * numbers * len(queries) * len(gallery), 0


def whitening_fit(rng, count=10_000, side=32):
    frames = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    ours = {OURS: lambda: partial(dict, matrix=whitening.fit_whitening(frames, 0.1).matrix)}
    return ours | in_pytorch(torch_whitening, frames, 0.1), 0, count


def decoding(_):
    path = sources.find_videos()[0]  # one of the clips that come along
    ours = {OURS: lambda: partial(dict, frames=sum(1 for _ in video.decode(path, 32, 32)))}
    return ours, 0, ours[OURS]()()["frames"]


CASES = {
    "layer1_step": partial(eq_2_step, FILTERS[0], (64, 32, 32, 3), POOLS[0]),
    "layer2_step": partial(eq_2_step, FILTERS[1], (64, 16, 16, 16), POOLS[1]),
    "fully_connected_step": partial(eq_2_step, (400, 512), (256, 400), model.Config(size=1)),
    "eq_1_step": eq_1_step,
    "retrieval": nearest,
    "whitening_fit": whitening_fit,
    "decoding": decoding,
}
SECTIONS = ["memory", "limit", *CASES]


def limits(rng, repeats, side=4096, copied=2**28):
    """-> GFLOP/s in a large float32 product, and GB/s, read and written, in a copy."""
    a, b = (to_device(rng.standard_normal((side, side), dtype=np.float32)) for _ in range(2))
    found = measure({"sgemm": lambda: a @ b, "copy": array_module(a).zeros(copied // 4, np.float32).copy}, repeats)
    sgemm, copy = (found[name]["median"] for name in ("sgemm", "copy"))
    return {"sgemm_gflops": 2e-9 * side**3 / sgemm, "copy_gb_per_s": 2e-9 * copied / copy}


def peak(what, count):
    """MB of a process that does nothing else: layer 1 on `count` frames, whitening included, or 1,000 searches among
    so many of its codes; on the host."""
    backend.use("numpy")
    keep_memory()
    rng = np.random.default_rng(0)
    if what == "training":
        frames = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        pairs = np.column_stack([np.arange(count - 1), np.arange(1, count)])
        validation = [scenes.Scene("random", shot=0, step=1, start=0, frames=frames[:40])]
        data = Data(frames, pairs, whitening.fit_whitening(frames, 0.1), validation)
        METHODS["layer1"].fit(data, METHODS["layer1"].config, Run(steps=5, batch=32, rate=1e-5))
    else:
        gallery = rng.random((count, 4096), dtype=np.float32)
        retrieval.neighbours(gallery[:1000], gallery)
    return peak_mb()


def memory(counts=(10_000, 50_000, 150_000), works=("training", "retrieval")):
    """{what: {frames: MB}}, each in a process of its own. Its peak begins with what this one holds: so first of all."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return {what: {str(n): pool.apply(peak, (what, n)) for n in counts} for what in works}


def report_on(name, rng, repeats, report):
    """Add one section to the report, and print it."""
    print(name, flush=True)
    if name not in CASES:
        report[name] = memory() if name == "memory" else limits(rng, repeats)
        print(*(f"  {what}: {value}" for what, value in report[name].items()), sep="\n")
        return
    contenders, flops, frames = CASES[name](rng)
    require_agreement(contenders)
    row = report["seconds"][name] = measure(contenders, repeats, name)
    for who, seconds in sorted(row.items(), key=lambda item: item[1]["median"]):
        print(f"  {who:<54}", *(f"{key} {1e3 * value:.1f}" for key, value in seconds.items()), "ms")
    for quantity, value in findings(row, flops, frames, report.get("limit", {}).get("sgemm_gflops")).items():
        report.setdefault(quantity, {})[name] = value
        print(f"  {quantity:<54} {value:.4g}")


def main(argv=None):
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="these; shares need the limit")
    parser.add_argument("--repeats", type=number(int, 1, 1000), default=7, help="of each measurement (%(default)s)")
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="(default: SLOWAE_BACKEND, else numpy)")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of bench.json (%(default)s)")
    add_options(parser, "seed")
    args = parser.parse_args(argv)
    keep_memory()
    try:
        if args.backend:
            backend.use(args.backend)
        about = {"backend": backend.chosen(), "machine": machine(), "versions": versions(("torch", "faiss-cpu"))}
        report, path = about | {"seconds": {}}, args.out / "bench.json"
        for name in [section for section in SECTIONS if section in args.only]:
            report_on(name, np.random.default_rng(args.seed), args.repeats, report)
            files.write_json(path, report)
    except (RuntimeError, OSError) as error:
        parser.exit(2, f"bench: {error}\n")
    print(f"all of it is in {path}")


if __name__ == "__main__":
    main()

"""Speed beside PyTorch and faiss where installed, and beside the most that the machine can do.

Losses, gradients and neighbours must agree before anything is timed. All take turns in one process, so that a machine
that slows down slows all alike. Steps are whole ones, at rate 0, so that every repeat does the same work.

A contender is a function: contender() -> read is timed, and read() -> {name: array} must be the same for all. A case is
{"library: variant": contender}, ours first, and the flops of its products, convolutions counted by patches.
"""

import argparse
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import numpy as np
from tqdm import tqdm

from slowae import backend, files, model, optim, retrieval
from slowae.backend import to_device, to_host
from slowae.blocks import blas, keep_memory
from slowae.commands import number
from slowae.environment import machine, versions
from slowae.methods import FIRST, SECOND, drlim
from slowae.methods.slow_autoencoder import shapes

OURS = "slowae"
PAUSE, TURN = 0.05, 0.2  # seconds: after a threaded product, BLAS's idle threads spin on the cores for a while
MODES = ("eager", "compiled") if which("g++") else ("eager",)  # of PyTorch, whose compiler needs a C++ one


def require_agreement(contenders):
    """RuntimeError that names contender and array, unless all read as ours does.

    An activation within rounding of its kink may fall to either side, which shows in the few filters concerned: so
    nearly everything must agree to 1e-4, and all of it in norm to 1e-2; but TF32 rounds to three digits.
    """
    tolerance = (0.1, 0.1) if machine().get("tf32") else (1e-4, 1e-2)
    expected = contenders[OURS]()()
    for who, contender in contenders.items():
        theirs = contender()()
        for name, value in expected.items():
            off = np.abs(theirs[name] - value)
            errors = np.array([np.median(off), np.sqrt(np.square(off).mean())]) / np.sqrt(np.square(value).mean())
            if not (errors < tolerance).all():
                raise RuntimeError(f"{name} of {who} is not ours, off by {errors[1]:.2g} of it: nothing was timed")


def synchronise():
    """Wait until the device has done all its work, before a time is measured."""
    if backend.chosen() == "cupy":
        backend.cupy.cuda.runtime.deviceSynchronize()


def measure(runs, repeats, title=""):
    """{name: function} -> {name: {median, fastest, slowest}}, seconds: each has a turn in every round.

    A turn repeats the run for TURN, and the last one counts: those before have woken the threads, as in training.
    """
    seconds = {name: [] for name in runs}
    for _ in tqdm(range(repeats), desc=title, unit="round", dynamic_ncols=True, leave=False, disable=None):
        for name, run in runs.items():
            time.sleep(PAUSE)
            synchronise()
            began = ended = time.perf_counter()
            while ended - began < TURN:
                last = ended
                run()
                synchronise()
                ended = time.perf_counter()
            seconds[name].append(ended - last)
    return {n: {"median": float(np.median(s)), "fastest": min(s), "slowest": max(s)} for n, s in seconds.items()}


def in_pytorch(variants, *work):
    """variants(torch, tensor, *work), set up as the chosen backend is; {} without PyTorch."""
    if not find_spec("torch"):
        return {}
    import torch

    torch.set_num_threads(blas()[1])
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = machine().get("tf32", False)
    torch.backends.cudnn.benchmark = True
    tensor = partial(torch.tensor, device="cuda" if backend.chosen() == "cupy" else "cpu")
    return {f"PyTorch: {name}": contender for name, contender in variants(torch, tensor, *work).items()}


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
    variants = {}
    for layout, x, mode in (("contiguous", frames.contiguous(), "eager"), ("channels_last", frames, MODES[-1])):
        for decoder in ("conv2d", "conv_transpose2d"):
            loss = partial(convolutional, x, decoder)
            variants[f"{layout}, {decoder}, {mode}"] = torch_step(torch, tensor, loss, params, mode)
    return variants


def torch_eq_1(torch, tensor, params, batch, config):
    x, first, second, near = map(tensor, batch)

    def loss(p):
        h = torch.relu(torch.addmm(p["b_1"], x, p["W_1"]))
        z = torch.addmm(p["b_2"], h, p["W_2"])
        distance = (z[first] - z[second]).norm(dim=1)
        return torch.where(near, distance, torch.relu(config.margin - distance)).mean()

    return {mode: torch_step(torch, tensor, loss, params, mode) for mode in MODES}


def in_faiss(queries, gallery, k, read):
    if not find_spec("faiss"):
        return {}
    import faiss

    faiss.omp_set_num_threads(blas()[1])
    queries, gallery = queries.copy(), gallery.copy()  # normalised in place

    def search():
        faiss.normalize_L2(queries)
        faiss.normalize_L2(gallery)
        index = faiss.IndexFlatIP(gallery.shape[1])
        index.add(gallery)
        return partial(read, index.search(queries, k)[1])

    return {"faiss: IndexFlatIP": search}


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
    ours = our_step(partial(model.loss_and_gradients, x=to_device(x), config=config), params)
    return {OURS: ours} | in_pytorch(torch_eq_2, params, x, config), 5 * 2.0 * np.prod(frames[:-1]) * np.prod(shape)


def eq_1_step(rng, near=100, pixels=96 * 96):
    config, views = drlim.Config(near=near), np.arange(1000)
    frames, *pairs = drlim.draw_pairs(rng, np.column_stack([views[:-1], views[1:]]), config)
    batch = rng.standard_normal((len(views), pixels), dtype=np.float32)[frames], *pairs
    params, here = drlim.init_params(rng, pixels, config.hidden), tuple(map(to_device, batch))
    ours = our_step(partial(drlim.loss_and_gradients, batch=here, config=config), params)
    return {OURS: ours} | in_pytorch(torch_eq_1, params, batch, config), 2 * 2.0 * len(frames) * pixels * config.hidden


def nearest(rng, queries=10_000, gallery=50_000, numbers=4096, k=retrieval.K):
    queries, gallery = (np.abs(rng.standard_normal((n, numbers), dtype=np.float32)) for n in (queries, gallery))
    here = to_device(queries), to_device(gallery)

    def read(indices, some=100):  # the similarities, for equal ones may change places
        asked, theirs = map(retrieval.unit_rows, (queries[:some], gallery[to_host(indices)[:some].ravel()]))
        return {"similarity": np.einsum("qd,qkd->qk", asked, theirs.reshape(len(asked), k, numbers))}

    contenders = {OURS: lambda: partial(read, retrieval.neighbours(*here, k))} | in_faiss(queries, gallery, k, read)
    return contenders, 2.0 * numbers * len(queries) * len(gallery)


CASES = {
    "layer1_step": partial(eq_2_step, shapes(FIRST, SECOND)[0], (64, 32, 32, 3), FIRST),
    "layer2_step": partial(eq_2_step, shapes(FIRST, SECOND)[1], (64, 16, 16, 16), SECOND),
    "fully_connected_step": partial(eq_2_step, (400, 512), (256, 400), model.Config(size=1)),
    "eq_1_step": eq_1_step,
    "retrieval": nearest,
}


def limit(repeats, side=4096):
    """GFLOP/s in a large float32 product."""
    a, b = to_device(np.random.default_rng(0).standard_normal((2, side, side), dtype=np.float32))
    return 2e-9 * side**3 / measure({"sgemm": lambda: a @ b}, repeats)["sgemm"]["median"]


def main(argv=None):
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, help="these alone")
    parser.add_argument("--repeats", type=number(int, 1, 1000), default=7, help="of each measurement (%(default)s)")
    parser.add_argument("--backend", choices=("numpy", "cupy"), help="(default: SLOWAE_BACKEND, else numpy)")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of bench.json (%(default)s)")
    args = parser.parse_args(argv)
    keep_memory()
    try:
        backend.use(args.backend or backend.chosen())
        report = {"backend": backend.chosen(), "machine": machine(), "versions": versions(("torch", "faiss-cpu"))}
        report |= dict(sgemm_gflops=limit(args.repeats), seconds={}, share_of_sgemm={}, ratio_to_fastest_rival={})
        for name in args.only:
            contenders, flops = CASES[name](np.random.default_rng(0))
            require_agreement(contenders)
            row = report["seconds"][name] = measure(contenders, args.repeats, name)
            for who, seconds in row.items():
                print(f"{name:<22}{who:<50}", *(f"{key} {1e3 * value:.1f}" for key, value in seconds.items()), "ms")
            ours, *rivals = (seconds["median"] for seconds in row.values())
            report["share_of_sgemm"][name] = flops / ours / 1e9 / report["sgemm_gflops"]
            report["ratio_to_fastest_rival"][name] = ours / min(rivals) if rivals else None
            files.write_json(args.out / "bench.json", report)
    except (RuntimeError, OSError) as error:
        parser.exit(2, f"bench: {error}\n")


if __name__ == "__main__":
    main()

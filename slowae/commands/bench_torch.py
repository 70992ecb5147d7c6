"""The same work in PyTorch, where it is installed: only for `bench` to compare with.

It differentiates Eq. 1 and Eq. 2 by itself. It gets every variant that might be its fastest: two layouts, two forms of
the decoder and of the pooling, and `torch.compile` where there is a C++ compiler.
"""

import os
import shutil
from itertools import product

import numpy as np

from slowae import backend
from slowae.commands.bench_timing import Contender

try:
    import torch
    from torch.nn import functional as F
except ImportError:
    torch = None


def _device():
    """Where PyTorch can do the same work as the chosen backend, set up alike; None where it cannot."""
    if torch is None or (backend.chosen() == "cupy" and not torch.cuda.is_available()):
        return None
    if backend.chosen() == "numpy":
        torch.set_num_threads(backend.threads())
        return "cpu"
    tf32 = os.environ.get("CUPY_TF32") == "1"  # CuPy's own switch, which its batched products do not ask
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    return "cuda"


def _modes():
    """{name: what to wrap a loss function in}."""
    if not shutil.which("g++"):
        return {"eager": lambda loss: loss}
    torch._dynamo.config.recompile_limit = 64  # every variant of every case is its own compilation, for its own shapes
    return {"eager": lambda loss: loss, "compiled": lambda loss: torch.compile(loss, dynamic=False)}


def _contender(loss, optimizer, grads, project=lambda: None):
    """The whole training step of loss(); grads() -> {name: tensor, in our shape}, after it."""

    def step():
        optimizer.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimizer.step()
        project()
        return value

    def read(value):
        return {"loss": value.item()} | {f"d{name}": grad.cpu().numpy() for name, grad in grads().items()}

    return Contender(step, read)


def _leaves(device, *arrays):
    return [torch.tensor(array, device=device, requires_grad=True) for array in arrays]


def _adam(W_e, b_e, W_d, dim):
    """Adam at rate 0 and the projection, as in `bench_cases`."""

    @torch.no_grad()
    def project():
        W_d.div_(torch.linalg.vector_norm(W_d, dim=dim, keepdim=True))
        b_e.clamp_(max=0)

    return torch.optim.Adam([W_e, b_e, W_d], lr=0.0), project


def _eq_2(h, q, x_hat, x, config):
    """q: the sums of squares that z is the root of. Its gradient at 0 is 0, as ours is."""
    z, N = q.clamp_min(1e-30).sqrt(), len(x) // 2
    return (((x_hat - x) ** 2).sum() + config.alpha * h.sum() + config.beta * (z[:N] - z[N:]).abs().sum()) / N


def _pools(config, K, device):
    """{name: function of h * h (N, K, H, W) -> its sums over the pool groups}."""

    def by_sums(squares):
        return F.avg_pool2d(squares, config.size, divisor_override=1).unflatten(1, (-1, config.group)).sum(2)

    maps = torch.eye(K // config.group, device=device).repeat_interleave(config.group, 1)[:, :, None, None]
    maps = maps.repeat(1, 1, config.size, config.size)
    return {"pooled by sums": by_sums, "pooled by conv2d": lambda squares: F.conv2d(squares, maps, stride=config.size)}


def convolutional(params, x, config):
    """Eq. 2's step for frames (2N, H, W, C) -> {variant: Contender}."""
    device = _device()
    if device is None:
        return {}
    F_, K = params["W_e"].shape[0], params["W_e"].shape[-1]
    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    decoders = {"conv2d": F.conv2d, "conv_transpose2d": F.conv_transpose2d}
    pools = _pools(config, K, device)

    def variant(layout, decoder, pool, mode):
        flipped = decoder == "conv2d"  # W_d as the filters of a convolution from K maps to C
        W_d = params["W_d"].transpose(2, 3, 0, 1)[:, :, ::-1, ::-1] if flipped else params["W_d"].transpose(3, 2, 0, 1)
        arrays = params["W_e"].transpose(3, 2, 0, 1), W_d, x.transpose(0, 3, 1, 2)
        W_e, W_d, frames = (
            torch.tensor(np.ascontiguousarray(array), device=device).to(memory_format=layouts[layout])
            for array in arrays
        )
        W_e.requires_grad_()
        W_d.requires_grad_()
        (b_e,) = _leaves(device, params["b_e"])

        def loss():
            h = F.relu(F.conv2d(frames, W_e, b_e, padding=F_ // 2))
            return _eq_2(h, pools[pool](h * h), decoders[decoder](h, W_d, padding=F_ // 2), frames, config)

        def grads():
            dW_d = W_d.grad.flip(2, 3).permute(2, 3, 0, 1) if flipped else W_d.grad.permute(2, 3, 1, 0)
            return {"W_e": W_e.grad.permute(2, 3, 1, 0), "b_e": b_e.grad, "W_d": dW_d}

        optimizer, project = _adam(W_e, b_e, W_d, (0, 2, 3) if flipped else (1, 2, 3))
        return _contender(_modes()[mode](loss), optimizer, grads, project)

    return {"PyTorch: " + ", ".join(choice): variant(*choice) for choice in product(layouts, decoders, pools, _modes())}


def fully_connected(params, x, config):
    """Eq. 2's step for frames (2N, D) -> {variant: Contender}."""
    device = _device()
    if device is None:
        return {}
    frames = torch.tensor(x, device=device)

    def variant(mode):
        W_e, b_e, W_d = _leaves(device, params["W_e"], params["b_e"], params["W_d"])

        def loss():
            h = F.relu(torch.addmm(b_e, frames, W_e))
            squares = (h * h).unflatten(1, (-1, config.group)).sum(2)
            return _eq_2(h, squares, h @ W_d.T, frames, config)

        optimizer, project = _adam(W_e, b_e, W_d, 0)
        grads = lambda: {"W_e": W_e.grad, "b_e": b_e.grad, "W_d": W_d.grad}  # noqa: E731
        return _contender(_modes()[mode](loss), optimizer, grads, project)

    return {f"PyTorch: {mode}": variant(mode) for mode in _modes()}


def eq_1(params, batch, config):
    """Eq. 1's step -> {variant: Contender}."""
    device = _device()
    if device is None:
        return {}
    x, first, second, near = (torch.tensor(array, device=device) for array in batch)

    def variant(mode):
        leaves = dict(zip(params, _leaves(device, *params.values()), strict=True))

        def loss():
            h = F.relu(torch.addmm(leaves["b_1"], x, leaves["W_1"]))
            z = torch.addmm(leaves["b_2"], h, leaves["W_2"])
            distance = (z[first] - z[second]).norm(dim=1)
            return torch.where(near, distance, F.relu(config.margin - distance)).mean()

        optimizer = torch.optim.SGD(leaves.values(), lr=0.0, momentum=0.9)
        return _contender(_modes()[mode](loss), optimizer, lambda: {name: v.grad for name, v in leaves.items()})

    return {f"PyTorch: {mode}": variant(mode) for mode in _modes()}


def whitening(frames, epsilon):
    """The ZCA matrix of frames (N, D) uint8, in float64 on the host -> {variant: Contender}."""
    if torch is None:
        return {}
    torch.set_num_threads(backend.threads())
    frames = torch.tensor(frames.reshape(len(frames), -1))

    def fit():
        x = frames.double()
        D, E = torch.linalg.eigh(torch.cov(x.T, correction=0))
        gain = (D.clamp(min=0) + epsilon * D.mean()).rsqrt()
        scale = (gain**2 * D).mean().rsqrt()
        return (scale * (E * gain) @ E.T).float()

    return {"PyTorch: eager": Contender(fit, lambda matrix: {"matrix": matrix.numpy()})}


def neighbours(queries, gallery, k, read, block=2048):
    """The k nearest by cosine, codes (N, D); read(indices (Q, k)) -> what must agree -> {variant: Contender}."""
    device = _device()
    if device is None:
        return {}
    queries, gallery = (torch.tensor(codes, device=device) for codes in (queries, gallery))

    def search():
        ours, theirs = F.normalize(queries), F.normalize(gallery)
        return torch.cat([(part @ theirs.T).topk(k).indices for part in ours.split(block)])

    return {"PyTorch: matmul, topk": Contender(search, lambda indices: read(indices.cpu().numpy()))}

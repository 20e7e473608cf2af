"""Cost of one reaction–diffusion step against the number of snippets: it must grow no faster than linearly.

    OMP_NUM_THREADS=1 python benchmarks/solver_cost.py [--channels 64] [--batch 1] [--device cpu]

Prints the best time of several repetitions in milliseconds: factorising (once per query), a step (factors at hand),
its implicit solve alone, and a training step (forward and backward of a step). The last column divides the growth of
the step's time by the growth of T since the row above: 1 is linear, under 1 means that fixed overhead still counts,
over 1 that the arrays have outgrown a cache.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from rdmf_cli.fusion.gray_scott import diffusion_factors, step
from rdmf_cli.fusion.laplacian import solve
from rdmf_cli.fusion.stability import system_for_wavelength

LENGTHS = (75, 1_000, 20_000, 80_000)  # at 2 s a snippet: a QVHighlights video, half an hour, 11 hours, 2 days


def best_ms(work: Callable[[], object], device: str, budget_s: float = 1.0) -> float:
    """Best of as many runs as fit the budget, at least 3, after one to warm up."""
    work()
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - started < budget_s:
        if device != "cpu":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


def measure(num_snippets: int, *, batch: int, channels: int, device: str) -> dict[str, float]:
    shape = (batch, channels, num_snippets)
    generator = torch.Generator().manual_seed(0)
    u, v, catalysis = (torch.rand(shape, generator=generator).to(device) for _ in range(3))
    conductance = torch.rand(batch, num_snippets - 1, generator=generator).to(device)
    system = system_for_wavelength(torch.logspace(0.5, 1.9, channels, device=device))
    seed = torch.zeros_like(v)
    factors = diffusion_factors(u, system=system, conductance=conductance, dt=1.0)
    stacked = torch.stack((u, v))

    @torch.no_grad()
    def infer() -> None:
        step(u, v, system=system, dt=1.0, catalysis=catalysis, seed=seed, conductance=conductance, factors=factors)

    def train() -> None:
        learned = catalysis.detach().requires_grad_()
        edges = conductance.detach().requires_grad_()
        after = step(u, v, system=system, dt=1.0, catalysis=learned, seed=seed, conductance=edges)
        torch.autograd.backward(after[1].sum())

    return {
        "factorise": best_ms(lambda: diffusion_factors(u, system=system, conductance=conductance, dt=1.0), device),
        "solve": best_ms(lambda: solve(stacked, factors), device),
        "step": best_ms(infer, device),
        "train": best_ms(train, device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of one reaction-diffusion step against T.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(f"B={options.batch} C={options.channels} {options.device}, {torch.get_num_threads()} threads, float32")
    print(f"{'T':>7} {'factorise ms':>13} {'solve ms':>9} {'step ms':>9} {'train ms':>9} {'growth / growth of T':>21}")
    before: tuple[int, float] | None = None
    for num_snippets in LENGTHS:
        cost = measure(num_snippets, batch=options.batch, channels=options.channels, device=options.device)
        ratio = "" if before is None else f"{cost['step'] / before[1] / (num_snippets / before[0]):.2f}"
        columns = f"{cost['factorise']:13.2f} {cost['solve']:9.2f} {cost['step']:9.2f} {cost['train']:9.2f}"
        print(f"{num_snippets:7d} {columns} {ratio:>21}")
        before = (num_snippets, cost["step"])


if __name__ == "__main__":
    main()

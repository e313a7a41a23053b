"""Two ways of doing the same, timed in turn and held against a target."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from tqdm.auto import tqdm

AT_LEAST, AT_MOST, WITHIN = 5, 101, 10.0
"""Turns of a comparison: as many as `WITHIN` seconds hold, in these bounds.

A network of 40 ms a run needs more of them for a median than one of a second.
"""


def seconds(run: Callable[[], Any], device: torch.device) -> float:
    """The time of one run, to the end of what it left the device to do."""
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def compare(
    title: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    names: tuple[str, str],
    amount: float,
    unit: str,
    target: float | None,
    device: torch.device,
) -> bool:
    """Time both in turn, print medians and their ratio, and return whether it meets the target.

    `amount` is what one run gets done, in `unit`.
    """
    ours(), theirs()  # warm-up
    pairs: list[tuple[float, ...]] = []
    start = time.perf_counter()
    for turn in tqdm(range(AT_MOST), desc=title, disable=None, leave=False):
        if turn >= AT_LEAST and time.perf_counter() - start > WITHIN:
            break
        # In turn, and each first as often as the other, so that a busy moment hits both.
        both = (ours, theirs) if turn % 2 else (theirs, ours)
        found = tuple(seconds(run, device) for run in both)
        pairs.append(found if turn % 2 else found[::-1])
    rates = [amount / statistics.median(times) for times in zip(*pairs, strict=True)]
    ratio = statistics.median(other / own for own, other in pairs)
    met = target is None or ratio >= target
    verdict = (
        "no target" if target is None else f"at least {target:g}: {'met' if met else 'MISSED'}"
    )
    print(f"{title}:")
    for rate, name in zip(rates, names, strict=True):
        shown = f"{rate:10,.0f}" if rate >= 100 else f"{rate:10.2f}"
        print(f"  {shown} {unit}/s  {name} (median of {len(pairs)})")
    print(f"  {ratio:10.2f} median ratio, {verdict}", flush=True)
    return met

"""The whole ward: the rooms in which patients lie, and who is asked for."""

from __future__ import annotations

import importlib

from companion.ward.patients import Patient, registered

# The modules that register patients, in the order of the book.
ROOMS: tuple[str, ...] = (
    "labels_numbers",
    "labels_sources",
    "folders_broken",
    "model_heads",
    "model_freezing",
    "model_layers",
    "model_loading",
    "labels_healthy",
    "folders_healthy",
    "model_healthy",
    "model_kept",
    "model_beyond",
    "sampling_broken",
    "sampling_healthy",
    "loss_broken",
    "loss_healthy",
    "optimiser_broken",
    "optimiser_steps",
    "optimiser_schedules",
    "optimiser_healthy",
    "optimiser_healthy_schedules",
    "protocol_broken",
    "protocol_reports",
    "protocol_healthy",
    "protocol_beyond",
)


def patients(
    kind: str | None = None, *, area: str | None = None, half: str | None = None
) -> list[Patient]:
    """Return the patients of the ward, or those of a kind, an area, a half.

    `kind` is "broken", "healthy" or "beyond"; `half` is "open" (its patients may be looked at
    while checks are written) or "set aside". Raises `ValueError` for words that are none of them.

    >>> patients(half="open", kind="broken")[0].kind
    'broken'
    """
    for room in ROOMS:
        importlib.import_module(f"companion.ward.{room}")
    return registered(kind, area=area, half=half)

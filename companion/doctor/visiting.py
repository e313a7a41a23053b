"""A visit to the ward: what the check-up says of a patient, and whether it is right."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from companion.doctor.examination import Examination
from companion.doctor.examining import BROKEN, examine
from companion.doctor.examining_folders import examine_checkpoint, examine_folders
from companion.ward import Patient


@dataclass(frozen=True)
class Visit:
    """What an examination said of a patient: the codes of its errors, warnings and notes.

    `seen` says whether a fault was found at all, an error or a warning, and `named` whether one of
    the codes that name this patient's fault is among them. `failed` are checks that broke.
    """

    patient: Patient
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    failed: tuple[str, ...] = ()

    @property
    def seen(self) -> bool:
        """Whether an error or a warning was found, right or wrong."""
        return bool(self.errors or self.warnings)

    @property
    def named(self) -> bool:
        """Whether an error or a warning names the fault."""
        return bool({*self.errors, *self.warnings} & {*self.patient.expects})


def visit(patient: Patient) -> Visit:
    """Return what the check-up says of a patient, which is made anew in a temporary folder.

    >>> from companion.ward import patients
    >>> visit(patients("broken", area="labels", half="open")[0]).named
    True
    """
    with tempfile.TemporaryDirectory() as folder:
        found = examined(patient, Path(folder))
    listed = {word: _codes(found, word) for word in ("error", "warning", "note")}
    failed = tuple(code for code in listed["note"] if code == BROKEN)
    return Visit(
        patient,
        listed["error"],
        listed["warning"],
        tuple(code for code in listed["note"] if code != BROKEN),
        failed,
    )


def examined(patient: Patient, folder: Path) -> Examination:
    """Return the examination of a patient that is made in a folder.

    >>> from companion.ward import patients
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     examined(patients("healthy", area="labels")[0], Path(place)).ok
    True
    """
    made: dict[str, Any] = patient.make(folder)
    if patient.entry == "examine":
        return examine(**made, progress=False)
    if patient.entry == "examine_folders":
        return examine_folders(made, progress=False)
    return examine_checkpoint(made["file"], folders=made.get("folders"), progress=False)


def _codes(found: Examination, severity: str) -> tuple[str, ...]:
    return tuple(each.code for each in found.findings if each.severity == severity)

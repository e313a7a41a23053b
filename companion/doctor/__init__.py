"""The check-up: what is wrong with a classifier, with its data, and with what trains and judges it.

The top floor: imports every room below, and no room imports it.
"""

import companion.doctor.every_check  # noqa: F401  (registers the checks, in their order)
from companion.doctor.comparing import compare
from companion.doctor.examination import Examination, FaultError
from companion.doctor.examining import examine
from companion.doctor.examining_folders import examine_checkpoint, examine_folders
from companion.doctor.explaining import explain
from companion.doctor.pages import Page
from companion.doctor.registry import CHECKS, Check, false_error_rate
from companion.doctor.visiting import Visit, visit
from companion.doctor.words import Outcome

__all__ = [
    "CHECKS",
    "Check",
    "Examination",
    "FaultError",
    "Outcome",
    "Page",
    "Visit",
    "compare",
    "examine",
    "examine_checkpoint",
    "examine_folders",
    "explain",
    "false_error_rate",
    "visit",
]

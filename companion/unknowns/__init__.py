"""Images of classes that a network never saw: how to tell, to reject, and to take them in.

Imports the lowest floor, `labels` and `datasets`, and nothing above them.
"""

from companion.unknowns.one_vs_rest import OneVsRest, against_rest, one_vs_rest_loss
from companion.unknowns.prototypes import Prototypes
from companion.unknowns.rejection import (
    Detection,
    RejectionCurve,
    detection,
    rejection_curve,
    threshold_keeping,
)
from companion.unknowns.scores import confidence, maximum_logit, negative_energy
from companion.unknowns.stacking import SeenUnseenCurve, calibrated_stacking, seen_unseen_curve

__all__ = [
    "Detection",
    "OneVsRest",
    "Prototypes",
    "RejectionCurve",
    "SeenUnseenCurve",
    "against_rest",
    "calibrated_stacking",
    "confidence",
    "detection",
    "maximum_logit",
    "negative_energy",
    "one_vs_rest_loss",
    "rejection_curve",
    "seen_unseen_curve",
    "threshold_keeping",
]

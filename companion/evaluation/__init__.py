"""Logits first, scores second: prediction, reports by class, and intervals over seeds.

Imports `labels` and `datasets`, and nothing above them.
"""

from companion.evaluation.intervals import Interval, mean_interval, paired_difference
from companion.evaluation.prediction import predict
from companion.evaluation.reports import Report, evaluate, report
from companion.evaluation.rescue import Rescue, permutation_rescue

__all__ = [
    "Interval",
    "Report",
    "Rescue",
    "evaluate",
    "mean_interval",
    "paired_difference",
    "permutation_rescue",
    "predict",
    "report",
]

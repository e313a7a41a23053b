"""Logits first, scores second: prediction, reports by class, and intervals over seeds.

Imports `inputs`, `states`, `labels`, and nothing above them.
"""

from companion.evaluation.heat_maps import draw_shares
from companion.evaluation.intervals import (
    Interval,
    crossed_interval,
    mean_interval,
    paired_difference,
    paired_ratio,
    share_interval,
)
from companion.evaluation.naming import label_map_of
from companion.evaluation.prediction import predict
from companion.evaluation.reports import Report
from companion.evaluation.rescue import Rescue, permutation_rescue
from companion.evaluation.scoring import evaluate, report

__all__ = [
    "Interval",
    "Report",
    "Rescue",
    "crossed_interval",
    "draw_shares",
    "evaluate",
    "label_map_of",
    "mean_interval",
    "paired_difference",
    "paired_ratio",
    "permutation_rescue",
    "predict",
    "report",
    "share_interval",
]

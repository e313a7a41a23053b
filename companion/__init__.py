"""The Missing Class: tools for the gap between a classifier's labels and those it is judged on."""

from companion.datasets import (
    DatasetUnavailableError,
    LabelledImages,
    Splits,
    digits,
    glyphs,
    image_folder,
    join,
    load,
    long_tailed,
    noisy_labels,
    pool,
)
from companion.evaluation import (
    Interval,
    Report,
    evaluate,
    mean_interval,
    paired_difference,
    predict,
    report,
)
from companion.labels import LabelMap, UnknownLabelError
from companion.networks import linear, mlp, small_cnn
from companion.training import History, NonFiniteLossError, default_device, fit, repeat

__all__ = [
    "DatasetUnavailableError",
    "History",
    "Interval",
    "LabelMap",
    "LabelledImages",
    "NonFiniteLossError",
    "Report",
    "Splits",
    "UnknownLabelError",
    "default_device",
    "digits",
    "evaluate",
    "fit",
    "glyphs",
    "image_folder",
    "join",
    "linear",
    "load",
    "long_tailed",
    "mean_interval",
    "mlp",
    "noisy_labels",
    "paired_difference",
    "pool",
    "predict",
    "repeat",
    "report",
    "small_cnn",
]

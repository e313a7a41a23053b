"""What comes from other people, read once: names, numbers, labels, logits, batches, models.

One of the three lowest rooms: it imports nothing from the rest of the package.
"""

from companion.inputs.calling import called, refusals_explained
from companion.inputs.iterating import each_batch, refuse_no_batches
from companion.inputs.labels import IGNORE_INDEX, check_labels_fit, integer_labels
from companion.inputs.loaders import HeldSet, batches, input_batches, is_held, is_pair
from companion.inputs.logits import checked_logits, real_numbers
from companion.inputs.models import (
    device_of,
    dtype_of,
    refuse_lazy,
    refuse_unready,
    trainable_parameters,
)
from companion.inputs.names import ClassName, brief, listed_names, plain, plain_names
from companion.inputs.numbers import (
    arrays_equal,
    distinct,
    positive_number,
    refuse_without_values,
    whole_number,
)
from companion.inputs.order import out_of_order
from companion.inputs.outputs import compute_logits, logits_of, moved
from companion.inputs.reading import LABEL_NAMES, BatchReader, Selector, checked_inputs

__all__ = [
    "IGNORE_INDEX",
    "LABEL_NAMES",
    "BatchReader",
    "ClassName",
    "HeldSet",
    "Selector",
    "arrays_equal",
    "batches",
    "brief",
    "called",
    "check_labels_fit",
    "checked_inputs",
    "checked_logits",
    "compute_logits",
    "device_of",
    "distinct",
    "dtype_of",
    "each_batch",
    "input_batches",
    "integer_labels",
    "is_held",
    "is_pair",
    "listed_names",
    "logits_of",
    "moved",
    "out_of_order",
    "plain",
    "plain_names",
    "positive_number",
    "real_numbers",
    "refusals_explained",
    "refuse_lazy",
    "refuse_no_batches",
    "refuse_unready",
    "refuse_without_values",
    "trainable_parameters",
    "whole_number",
]

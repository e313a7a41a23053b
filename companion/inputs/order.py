"""Whether a loader gives the rows of its data set in their order."""

from __future__ import annotations

from typing import Any

from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler


def out_of_order(data: Any) -> str | None:
    """Return why a loader's rows are not those of its data set, in order; None where they are.

    Of an iterable that is no `DataLoader`, nor a progress bar over one, nothing is known, and its
    own order counts.

    >>> loader = DataLoader([0, 1, 2], batch_size=2, drop_last=True)
    >>> out_of_order(loader)
    'it drops the last batch, which is smaller'
    """
    if not isinstance(data, DataLoader):
        wrapped = getattr(data, "iterable", None)  # tqdm's name for what it goes through
        return None if wrapped is None else out_of_order(wrapped)
    if data.num_workers and not getattr(data, "in_order", True):
        return "its workers hand over batches as they finish (in_order=False)"
    if isinstance(data.dataset, IterableDataset):
        if data.num_workers > 1:
            return f"the {data.num_workers} workers take turns over its IterableDataset"
        # How many rows there are is not known, so neither whether the last batch is full.
        return "it may drop the last batch (drop_last)" if data.drop_last else None
    # A batch sampler that was passed in brings a sampler of its own.
    drawn: Any = data.batch_sampler
    if drawn is None:
        return _drawn_otherwise(data.sampler, data.dataset)
    if type(drawn) is not BatchSampler:
        return f"it draws batches by {type(drawn).__name__}"
    reason = _drawn_otherwise(drawn.sampler, data.dataset)
    if reason is None and drawn.drop_last and len(drawn.sampler) % drawn.batch_size:  # type: ignore[arg-type]
        return "it drops the last batch, which is smaller"
    return reason


def _drawn_otherwise(sampler: Any, dataset: Any) -> str | None:
    """Return why a sampler does not go once through a data set from its first item on."""
    try:
        count = len(dataset)
    except TypeError:
        count = len(sampler) if isinstance(sampler, SequentialSampler) else -1
    if isinstance(sampler, list | tuple | range) and list(sampler) == list(range(count)):
        return None
    if type(sampler) is not SequentialSampler:
        return f"it draws by {type(sampler).__name__}"
    if len(sampler) != count:
        return f"its sampler draws {len(sampler)} of {count} items"
    return None

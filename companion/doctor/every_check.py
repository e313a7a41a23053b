"""All checks, imported in the order in which they are run: what is cheap and exact comes first."""

from importlib import import_module

MODULES = (
    "loader_checks",
    "judged_set_checks",
    "picture_checks",
    "label_checks",
    "class_checks",
    "map_checks",
    "item_checks",
    "model_checks",
    "surgery_checks",
    "checkpoint_checks",
    "preprocessing_checks",
    "structure_checks",
    "normalisation_checks",
    "loss_checks",
    "loss_fit_checks",
    "sampler_checks",
    "drawing_checks",
    "weight_checks",
    "optimizer_checks",
    "step_checks",
    "decay_checks",
    "scheduler_checks",
    "schedule_checks",
    "loop_checks",
    "split_checks",
    "naming_checks",
    "learning_checks",
    "rate_checks",
    "statistics_checks",
    "mode_checks",
    "score_checks",
    "batch_loss_checks",
    "history_checks",
    "comparing",
)

for name in MODULES:
    import_module(f"companion.doctor.{name}")

"""What each room gives to `companion`: the one table that imports, checkers and editors read.

A new public name goes here, under its room, and into `__all__` of `__init__.py`. `name as name`
says that it is passed on.
"""
# ruff: noqa: I001 (which would give every such name an import of its own)

from . import (
    datasets as datasets,
    doctor as doctor,
    evaluation as evaluation,
    findings as findings,
    heads as heads,
    inputs as inputs,
    labels as labels,
    learning_rate as learning_rate,
    networks as networks,
    replicas as replicas,
    sampling as sampling,
    states as states,
    teaching as teaching,
    training as training,
    unknowns as unknowns,
    ward as ward,
)
from .datasets import (
    DatasetUnavailableError as DatasetUnavailableError,
    FolderImages as FolderImages,
    LabelledImages as LabelledImages,
    Splits as Splits,
    digits as digits,
    draw_classes as draw_classes,
    few_of_each as few_of_each,
    folder_loader as folder_loader,
    glyphs as glyphs,
    image_folder as image_folder,
    join as join,
    load as load,
    long_tailed as long_tailed,
    noisy_labels as noisy_labels,
    pool as pool,
)
from .doctor import (
    Examination as Examination,
    FaultError as FaultError,
    compare as compare,
    examine as examine,
    examine_checkpoint as examine_checkpoint,
    examine_folders as examine_folders,
)
from .evaluation import (
    Interval as Interval,
    Report as Report,
    Rescue as Rescue,
    crossed_interval as crossed_interval,
    evaluate as evaluate,
    mean_interval as mean_interval,
    paired_difference as paired_difference,
    paired_ratio as paired_ratio,
    permutation_rescue as permutation_rescue,
    predict as predict,
    report as report,
    share_interval as share_interval,
)
from .findings import (
    Finding as Finding,
)
from .heads import (
    AmbiguousHeadError as AmbiguousHeadError,
    Head as Head,
    extend_head as extend_head,
    features as features,
    find_head as find_head,
    freeze as freeze,
    parameter_groups as parameter_groups,
    replace_head as replace_head,
    skeleton as skeleton,
    unfreeze as unfreeze,
)
from .inputs import (
    BatchReader as BatchReader,
)
from .labels import (
    LabelMap as LabelMap,
    UnknownLabelError as UnknownLabelError,
)
from .learning_rate import (
    RangeTest as RangeTest,
    SharpnessNotFoundError as SharpnessNotFoundError,
    SimulatedSchedule as SimulatedSchedule,
    Sweep as Sweep,
    range_test as range_test,
    sharpness as sharpness,
    simulate_schedule as simulate_schedule,
    sweep as sweep,
)
from .networks import (
    linear as linear,
    mlp as mlp,
    small_cnn as small_cnn,
)
from .replicas import (
    Replicas as Replicas,
    fit_replicas as fit_replicas,
)
from .sampling import (
    BalancedSampler as BalancedSampler,
    Draw as Draw,
    LogitAdjustedLoss as LogitAdjustedLoss,
    WeightedLoss as WeightedLoss,
    audit_sampler as audit_sampler,
    balanced_sampler as balanced_sampler,
    class_counts as class_counts,
    class_weights as class_weights,
    double_correction as double_correction,
    expected_coverage as expected_coverage,
    labels_of as labels_of,
    logit_adjustment as logit_adjustment,
    mismatched_sampler as mismatched_sampler,
    shift_prior as shift_prior,
)
from .training import (
    CheckpointError as CheckpointError,
    History as History,
    NonFiniteLossError as NonFiniteLossError,
    TrainingRun as TrainingRun,
    default_device as default_device,
    epochs_for as epochs_for,
    fit as fit,
    repeat as repeat,
)
from .unknowns import (
    Detection as Detection,
    OneVsRest as OneVsRest,
    Prototypes as Prototypes,
    RejectionCurve as RejectionCurve,
    SeenUnseenCurve as SeenUnseenCurve,
    against_rest as against_rest,
    calibrated_stacking as calibrated_stacking,
    confidence as confidence,
    detection as detection,
    maximum_logit as maximum_logit,
    negative_energy as negative_energy,
    one_vs_rest_loss as one_vs_rest_loss,
    rejection_curve as rejection_curve,
    seen_unseen_curve as seen_unseen_curve,
    threshold_keeping as threshold_keeping,
)

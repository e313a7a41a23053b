"""Healthy training scripts that many people start from, each written anew as a tiny pipeline.

Each says after which script it was made. Nothing of a script is copied: settings and habits are,
on small pictures of a few classes, with a network of the same kind that is small enough.
"""

import reference_pipelines.hugging_face
import reference_pipelines.timm_script
import reference_pipelines.torchvision_reference
import reference_pipelines.tutorials
import reference_pipelines.tutorials_of_transfer  # noqa: F401  (each registers its scripts)
from reference_pipelines.registered import SCRIPTS, Script

__all__ = ["SCRIPTS", "Script"]

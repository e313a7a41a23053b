"""Replicas: many small networks trained at once, one seed and one learning rate each.

Imports `training` and what is below it.
"""

from companion.replicas.fitting import fit_replicas
from companion.replicas.results import Replicas

__all__ = ["Replicas", "fit_replicas"]

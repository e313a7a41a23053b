"""Small broken and healthy pipelines, by area; `EVERY` has them all."""

from doctor_cases import labels, losses, models, protocol, training
from doctor_cases.cases import CASES as EVERY
from doctor_cases.cases import KINDS, Case

__all__ = ["EVERY", "KINDS", "Case", "labels", "losses", "models", "protocol", "training"]

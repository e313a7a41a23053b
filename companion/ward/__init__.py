"""A ward of pipelines, broken and healthy, on which a check-up shows what it sees and what not.

Each is written as people write them, in plain PyTorch, with the story of how it came about. It is
for `companion.doctor`, and for any other tool that claims to find what is wrong with a training
pipeline: half of it is set aside, for whoever writes checks and wants to know how good they are.
"""

from companion.ward.patients import AREAS, HALVES, KINDS, Patient
from companion.ward.recorded import first_sight, other_tools
from companion.ward.rounds import patients

__all__ = ["AREAS", "HALVES", "KINDS", "Patient", "first_sight", "other_tools", "patients"]

"""What the chapters need to state claims, glue numbers into prose and draw figures."""

from companion.teaching import plots
from companion.teaching.claims import BrokenClaimError, check, claim
from companion.teaching.glueing import glue_interval, glue_number, glue_percent, glue_points

__all__ = [
    "BrokenClaimError",
    "check",
    "claim",
    "glue_interval",
    "glue_number",
    "glue_percent",
    "glue_points",
    "plots",
]

"""What the chapters need to state claims, glue numbers into prose and draw figures."""

from companion.teaching import plots
from companion.teaching.claims import BrokenClaimError, check, claim
from companion.teaching.glueing import glue_interval, glue_number, glue_percent, glue_points
from companion.teaching.needs import TooLittleDataError, needs, with_images

__all__ = [
    "BrokenClaimError",
    "TooLittleDataError",
    "check",
    "claim",
    "glue_interval",
    "glue_number",
    "glue_percent",
    "glue_points",
    "needs",
    "plots",
    "with_images",
]

"""What the chapters need to state claims, glue numbers into prose and draw figures."""

from companion.teaching import plots
from companion.teaching.claims import BrokenClaimError, claim, glue_interval, glue_number

__all__ = ["BrokenClaimError", "claim", "glue_interval", "glue_number", "plots"]

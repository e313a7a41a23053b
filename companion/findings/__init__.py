"""What was found: one form for whatever an audit, a simulation or a check-up has to say.

One of the three lowest rooms: it imports nothing from the rest of the package.
"""

from companion.findings.finding import SEVERITIES, Finding, by_severity

__all__ = ["SEVERITIES", "Finding", "by_severity"]

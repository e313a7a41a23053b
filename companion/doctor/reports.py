"""Findings in the forms that code hosts read: SARIF, and the commands of GitHub's runners."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from companion.doctor.registry import CHECKS
from companion.findings import Finding

LEVELS = {"error": "error", "warning": "warning", "note": "note"}
COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(findings: Sequence[Finding], file: str) -> dict[str, Any]:
    """Return findings as a SARIF log of one run.

    >>> sarif([Finding("LBL003", "error", "seen")], "data")["runs"][0]["results"][0]["ruleId"]
    'LBL003'
    """
    codes = sorted({found.code for found in findings})
    rules = [
        {"id": code, "shortDescription": {"text": CHECKS[code].title if code in CHECKS else code}}
        for code in codes
    ]
    results = [
        {
            "ruleId": found.code,
            "ruleIndex": codes.index(found.code),
            "level": LEVELS[found.severity],
            "message": {"text": " ".join(filter(None, (found.seen, found.why, found.remedy)))},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": file}}}],
        }
        for found in findings
    ]
    driver = {"name": "companion.doctor", "rules": rules}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def annotation(found: Finding, file: str) -> str:
    """Return a finding as a workflow command.

    >>> annotation(Finding("LBL003", "note", "a, b", remedy="mend"), "data")
    '::notice file=data,title=LBL003::a, b%0Amend'
    """
    told = "\n".join(filter(None, (found.seen, found.why, found.remedy)))
    place = f"file={_property(file)}," if file else ""
    return f"::{COMMANDS[found.severity]} {place}title={found.code}::{_data(told)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")

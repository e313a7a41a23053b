"""What a notebook's cell put out, as texts that can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

PICTURES = ("image/png", "image/jpeg", "image/svg+xml", "application/pdf")


def describe(output: Any) -> str:
    """The kind of an output: its stream, or the forms in which it was displayed."""
    if output.output_type == "stream":
        return f"text on {output.name}"
    if output.output_type == "error":
        return f"an error: {output.ename}"
    return f"{output.output_type} of {', '.join(sorted(output.get('data', {})))}"


def texts(output: Any) -> Iterator[tuple[str, str]]:
    """Each text of an output with its form; pictures and other bytes have none."""
    if output.output_type == "stream":
        yield output.name, output.text
    elif output.output_type == "error":
        yield "error", f"{output.ename}: {output.evalue}"
    for form, text in output.get("data", {}).items():
        if isinstance(text, str) and not form.endswith(PICTURES):
            yield form, text

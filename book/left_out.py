"""A Sphinx extension: references to what a reader's build left out lead to the note that says why.

`gone.json` beside the pages has the labels that went, each with the words that stand for it and the
page and note that took its place. Where that file is not there, as in the book itself, nothing is
done.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, cast

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

FILE = "gone.json"


@functools.cache
def read_gone(path: Path) -> dict[str, dict[str, str]]:
    """The labels that are gone; none where there is no such file."""
    if not path.is_file():
        return {}
    found: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return found


class MendReferences(SphinxPostTransform):
    """Replaces references to labels that are gone, before Sphinx and MyST look for them."""

    default_priority = 4

    def run(self, **kwargs: Any) -> None:
        """Look at every reference of the page."""
        gone = read_gone(Path(self.env.srcdir) / FILE)
        if not gone:
            return
        for node in list(self.document.findall(addnodes.pending_xref)):
            label = str(node.get("reftarget", "")).lower()
            if node.get("refdomain") == "doc":
                self.mend_document(node)
            elif node.get("reftype") != "term" and label in gone:
                node.replace_self(self.reference(node, gone[label]))

    def reference(self, node: addnodes.pending_xref, place: dict[str, str]) -> nodes.Node:
        """A link to the note, or words alone where no note took the place."""
        said = node.astext() if node.get("refexplicit") else place["words"]
        text = nodes.inline(said, said)
        if not place["page"]:
            return text
        assert self.app.builder is not None
        return make_refnode(self.app.builder, self.env.docname, place["page"], place["note"], text)

    def mend_document(self, node: addnodes.pending_xref) -> None:
        """Let a link to a heading that is gone lead to its page."""
        slugs = cast(Any, self.env.metadata).get(node["reftarget"], {}).get("myst_slugs", {})
        if node.get("reftargetid") and node["reftargetid"] not in slugs:
            node["reftargetid"] = None


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of what is mended."""
    app.add_post_transform(MendReferences)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

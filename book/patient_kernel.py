"""A kernel for cells that may fail: it says why, goes on after, and ends with whoever started it.

For a reader's images a cell that raises, takes too long or brings its kernel down is a thing to be
told, and no reason to stop.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from jupyter_core.utils import ensure_async
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

import execute

SECONDS_TO_STOP = 10  # what an interrupted cell may take to end before its kernel is ended
LONGEST_REASON = 700  # letters: an error that lists a thousand files is cut
ANSI = re.compile(r"\x1b\[[0-9;]*m")
UNKNOWN_NAME = re.compile(r"name '(?P<name>\w+)' is not defined")

# What the kernel says of the error that it raised last: whether it is one of the companion's, and
# what was asserted where it was raised. It forgets it, with all that it holds.
ASK_OF_ERROR = """
def _ask():
    import ast, json, linecache, sys
    from pathlib import Path
    import companion
    frame, ours, asserted = getattr(sys, "last_traceback", None), False, None
    while frame is not None:
        place, line, frame = frame.tb_frame.f_code.co_filename, frame.tb_lineno, frame.tb_next
        if frame is None:
            ours = Path(companion.__file__).parent in Path(place).parents
            try:
                nodes = list(ast.walk(ast.parse("".join(linecache.getlines(place)))))
            except (SyntaxError, ValueError):
                nodes = []
            for node in nodes:
                if isinstance(node, ast.Assert) and node.lineno <= line <= node.end_lineno:
                    asserted = ast.unparse(node.test)
    sys.last_type = sys.last_value = sys.last_traceback = None
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    print(json.dumps([ours, asserted]))
_ask()
del _ask
"""
# A module that a cell changed is still the module.
FORGET = """
def _forget(names):
    from types import ModuleType
    for name in names:
        if not isinstance(globals().get(name), ModuleType):
            globals().pop(name, None)
_forget({names!r})
del _forget
"""


class Failure(NamedTuple):
    """Why a cell did not end well."""

    reason: str
    missing: str | None = None  # the name that was not there, where that is the reason
    lost: bool = False  # whether the kernel is gone with all that it knew


class PatientKernel:
    """One kernel of a chapter, in which cells are run one at a time."""

    def __init__(self, folder: Path, environment: dict[str, str], seconds: float, python: str):
        self.folder, self.environment, self.seconds = folder, environment, seconds
        self.manager = execute.manager_for(python)
        self.client: NotebookClient | None = None

    async def start(self) -> None:
        """Start a kernel; `RuntimeError` where none comes up."""
        scratch = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()])
        quiet = logging.getLogger("the-missing-class.kernels")
        quiet.addHandler(logging.NullHandler())
        quiet.propagate = False  # what it would say is told on the page
        self.client = execute.client_for(
            scratch, self.folder, kernel_manager_class=self.manager, log=quiet
        )
        self.client.timeout = None  # how long a cell may take is counted here
        self.client.km = self.client.create_kernel_manager()
        await self.client.async_start_new_kernel(env=self.environment)
        await self.client.async_start_new_kernel_client()

    async def stop(self) -> None:
        """End the kernel at once, whatever it does."""
        client, self.client = self.client, None
        if client is None:
            return
        try:
            if client.km is not None and client.km.has_kernel:
                await ensure_async(client.km.shutdown_kernel(now=True))
        finally:
            if client.kc is not None:
                client.kc.stop_channels()

    async def run(self, cell: NotebookNode) -> Failure | None:
        """Run a cell, which gets its outputs; of one that fails return why, without outputs."""
        running = self._begin(cell)
        try:
            failure = await self._ended(running, cell)
        finally:
            running.cancel()
            await asyncio.wait({running}, timeout=1)
        if failure:
            cell.outputs = []
            return failure
        cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        return None

    def _begin(self, cell: NotebookNode, **options: Any) -> asyncio.Future[Any]:
        assert self.client is not None
        running = asyncio.ensure_future(self.client.async_execute_cell(cell, 0, **options))
        # What it raises after nobody waits for it any more is no news.
        running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return running

    async def _ended(self, running: asyncio.Future[Any], cell: NotebookNode) -> Failure | None:
        assert self.client is not None
        done, _ = await asyncio.wait({running}, timeout=self.seconds)
        if not done:
            assert self.client.km is not None
            await ensure_async(self.client.km.interrupt_kernel())
            done, _ = await asyncio.wait({running}, timeout=SECONDS_TO_STOP)
            if done:
                await self.ask(ASK_OF_ERROR)
            return Failure(too_long(self.seconds), lost=not done)
        error = running.exception()
        if error is None:
            # A figure is drawn after its cell, which ends well where the drawing fails.
            shown = next((o for o in cell.get("outputs", []) if o.output_type == "error"), None)
            return await self._reason(shown.ename, shown.evalue) if shown else None
        if not isinstance(error, CellExecutionError):
            return Failure(
                "the process that ran it ended without an error message, as it does where memory "
                "runs out",
                lost=True,
            )
        return await self._reason(error.ename, error.evalue)

    async def _reason(self, name: str, message: str) -> Failure:
        """What an error says, so that a reader can make something of it."""
        unknown = UNKNOWN_NAME.search(message) if name == NameError.__name__ else None
        said = " ".join(ANSI.sub("", message).split())
        ours, asserted = await self.ask(ASK_OF_ERROR) or (False, None)
        if name == AssertionError.__name__ and asserted and not said:
            said = f"its code takes for granted that {asserted}, which is not so here"
        elif not ours:
            said = f"{name}: {said}" if said else name
        return Failure(shortened(said), missing=unknown["name"] if unknown else None)

    async def ask(self, code: str) -> Any:
        """What a piece of code prints as JSON; None where it fails, which is no failure."""
        cell = nbformat.v4.new_code_cell(code)
        asked = self._begin(cell, store_history=False)
        done, _ = await asyncio.wait({asked}, timeout=self.seconds)
        asked.cancel()
        if not done or asked.exception() is not None:
            return None
        printed = [each.text for each in cell.outputs if each.get("name") == "stdout"]
        return json.loads(printed[0]) if printed else None


def shortened(reason: str) -> str:
    """A reason that a page can hold."""
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"


def too_long(seconds: float) -> str:
    """How a time limit reads."""
    limit = f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"
    return f"a cell may take {limit}, and it had not ended by then"

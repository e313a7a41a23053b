"""A Chromium, and the rendered pages served to it on this machine alone."""

from __future__ import annotations

import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ADVICE = (
    "no Chromium was found: install one (Debian: apt-get install chromium; "
    "elsewhere: python -m playwright install chromium)"
)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and keeps its log to itself."""

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def address(rendered: Path) -> Iterator[str]:
    handler = functools.partial(QuietHandler, directory=str(rendered))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        own = Path(playwright.chromium.executable_path)
        if found is None and not own.is_file():
            pytest.skip(ADVICE)
        try:
            chromium = playwright.chromium.launch(executable_path=found, args=FLAGS)
        except Error as error:
            pytest.fail(f"{found or own} was found and does not start: {error}")
        yield chromium
        chromium.close()

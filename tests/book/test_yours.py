"""The book on a reader's images: nothing that fails stops it, and each page says so."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from bs4 import BeautifulSoup
from bs4.element import Tag
from nbformat import NotebookNode

import execute
import patient_kernel
import render
import your_book
import yours
from book_files import BOOK, ROOT
from execute import ChapterError
from mended import Glued, Mender, glued_in
from progress import Progress
from replicate import lock
from your_images import YourImages
from yours import run_chapter

HEADER = "---\nkernelspec:\n  name: python3\n  display_name: X\n  language: python\n---\n\n"
OPENS, CLOSES = "\n\n```{code-cell} ipython3\n", "\n```\n\n"
IMAGES = YourImages(
    "/some/photos", [60, 20, 20], [3, 32, 32], 2, [[500, 500]], 30, 30,
    ["pictures shrink by up to 16 times a side"], {"PyTorch": "2.6"}, "CPU", "2026-01-02",
)  # fmt: skip
LINE = "{}  {}: 0.3000 [0.2000, 0.4000], at least {}"


def cell(code: str) -> str:
    return OPENS + code + CLOSES


def write_chapter(folder: Path, name: str, text: str) -> Path:
    path = folder / "chapters" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + text, encoding="utf-8")
    return path


FIRST = (
    "# A first chapter\n\nIt found {glue:text}`kept:s` and {glue:text}`lost:s`.\n\n## Images\n"
    + cell("def load(name): return [1, 2, 3]\nimages = load('digits')\nold = 1\nrows = [1]")
    + "(broken)=\n## What is `broken`\n\nBefore."
    + cell("import sys\nprint('kept')\nprint('warned', file=sys.stderr)")
    + cell(
        "import math\nlimit = 4\ndef twice(x): return 2 * x\nimport matplotlib.pyplot as plt\n"
        "plt.plot([1, 2])\nrows.append(2)\nold = images['seven']"
    )
    + "After.\n\n(inner)=\n### Inner\n\n$$ x = 1 $$ (eq-lost)\n"
    + cell(
        "---\nmystnb:\n  figure:\n    caption: A caption.\n    name: fig-lost\n"
        "  image:\n    alt: A line that rises.\n---\nplt.plot([1, 2])"
    )
    + cell("from myst_nb import glue\nglue('lost', 'found', display=False)\nother = len(images)")
    + "## After\n\nSee {eq}`eq-lost`, {numref}`fig-lost`, [](inner), {ref}`broken`, [so](inner)."
    + cell("print(twice(limit), math.pi)\nglue('kept', 0.84, display=False)")
    + cell(
        f"print({LINE.format('holds', 'It gains', 0.1)!r})\n"
        f"print({LINE.format('differs', 'It gains much', 0.25)!r})\n"
        f"print({LINE.format('holds', 'Of points alone', 0.1)!r})"
    )
    + cell("old + 1")
    + "## In place\n"
    + cell("rows")
    + "## Ours\n"
    + cell("from companion import LabelMap\nLabelMap(['a', 'a'])")
    + "## Asserted\n"
    + cell("few = 1\nassert (\n    few\n    > 2\n)")
    + "## Undrawn\n"
    + cell("plt.title('a $' + chr(92) + 'class$')")
    + "## Exercises\n\n:::{exercise-start} Do it\n:label: ex-do\n:::\nTask.\n\n"
    + ":::{exercise-end}\n:::\n\n:::{solution-start} ex-do\n:class: dropdown\n:::\n\nTry."
    + cell("other")
    + "More.\n\n:::{solution-end}\n:::\n"
    + cell("print('between exercises')")
    + ":::{exercise} Think\n:label: ex-think\n\nTask.\n:::\n\n"
    + ":::{solution} ex-think\n\nAnswer.\n:::\n"
    + cell("{'a': 1}['<b>']")
    + ":::{exercise} Gone\n:label: ex-gone\n\nTask.\n:::\n\n## Further reading\n\nNothing.\n"
)
SECOND = (
    "# A second chapter\n\n{glue:text}`lost` of it.\n\n## Images\n"
    + cell("images = load('digits')")
    + "## Then\n\n[](broken)\n"
    + cell("print('never')")
)
LOST = (
    "# A third chapter\n\n## Start\n"
    + cell("here = 1")
    + "## Slow\n"
    + cell("import time\nhere += 2\ntime.sleep(60)")
    + "## Dead\n"
    + cell("import os\nos._exit(1)")
    + "## Alive\n"
    + cell("print('alive')\nhere")
    + "## Fine\n"
    + cell("print('fine')")
    + "## Dead again\n"
    + cell("import os\nos._exit(1)")
    + "## Never\n"
    + cell("print('never')")
)
PAGE = """# A page

(the-page)=
## Its section

{glue:text}`notebooks/01-first.ipynb::lost:s`, {glue:text}`notebooks/01-first.ipynb::kept:s`,
[](inner), {ref}`inner`, [words](inner), {numref}`fig-lost`, {eq}`eq-lost`, {ref}`ex-gone`,
{numref}`fig-front`, [slug](notebooks/01-first.ipynb#inner), {ref}`ex-do`, {ref}`broken`.

:::{admonition} Inside
```{glue:figure} notebooks/01-first.ipynb::none
A caption.
```
:::

:::{solution} ex-gone
An answer to what is gone.
:::

```{where-it-holds}
```
"""
INTRO = """# A book

What it is about.

## More

```{figure} _pictures/none.png
:alt: A line that nobody drew, rising.
:name: fig-front

A caption.
```
"""


@pytest.fixture(scope="module")
def small_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of three chapters and two pages."""
    book = tmp_path_factory.mktemp("small") / "book"
    write_chapter(book, "01-first", FIRST)
    write_chapter(book, "02-second", SECOND)
    write_chapter(book, "03-lost", LOST)
    (book / "notebooks").mkdir()
    (book / "intro.md").write_text(INTRO, encoding="utf-8")
    (book / "where-it-holds.md").write_text(PAGE, encoding="utf-8")
    (book / "references.bib").touch()
    files = "".join(f"  - file: {n}\n" for n in (
        "where-it-holds", "notebooks/01-first", "notebooks/02-second", "notebooks/03-lost"
    ))  # fmt: skip
    (book / "_toc.yml").write_text(f"format: jb-book\nroot: intro\nchapters:\n{files}")
    (book / "_static").symlink_to(BOOK / "_static")
    return book


@pytest.fixture(scope="module")
def into(small_book: Path) -> Path:
    """Where the book was built on a reader's images, and rendered, any warning an error."""
    folder = small_book.parent / "yours"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(your_book, "look_at", lambda data, environment: IMAGES)
        patch.setattr(yours, "run_chapter", impatiently)
        patch.setattr(your_book, "notebooks_in", lambda folder: {"01-first": ours()})
        copy = your_book.make_your_book("digits", book=small_book, into=folder)
    render.render(copy, folder / "_build")
    return folder


def impatiently(source: Path, *given: Any, **options: Any) -> NotebookNode:
    """Run a chapter, and wait little for the one whose cells do not end."""
    patience = {"seconds": 4} if source.stem == "03-lost" else {}
    return run_chapter(source, *given, **options | patience)


def ours() -> NotebookNode:
    """The first chapter as the book has it, with a claim that its own images alone support."""
    said = ("It gains", "It gains much", "Lost")
    lines = [LINE.format("holds", each, 0.1).replace("0.3000", "0.3500") for each in said]
    lines.append(LINE.format("holds", "Of points alone", 0.1))
    printed = nbformat.v4.new_output("stream", name="stdout", text="\n".join(lines))
    title, code = nbformat.v4.new_markdown_cell("# A first chapter"), nbformat.v4.new_code_cell()
    code.outputs = [printed]
    return nbformat.v4.new_notebook(cells=[title, code])


def page(into: Path, name: str) -> Tag:
    html = (into / "_build" / "html" / f"{name}.html").read_text(encoding="utf-8")
    found = BeautifulSoup(html, "html.parser").select_one("article")
    assert found is not None
    return found


def run_of(into: Path, name: str) -> NotebookNode:
    return nbformat.read(into / "runs" / f"{name}.ipynb", as_version=4)


def printed(run: NotebookNode) -> str:
    outputs = [each for c in run.cells for each in c.get("outputs", [])]
    return "".join(each.get("text", "") for each in outputs)


def reasons(run: NotebookNode) -> dict[str, str]:
    return {part["title"]: part["why"] for part in run.metadata["left_out"]}


def words(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


class TestWhatIsRun:
    def test_each_part_that_failed_says_why(self, into: Path) -> None:
        assert reasons(run_of(into, "01-first")) == {
            "What is broken": "TypeError: list indices must be integers or slices, not str",
            "After": "it builds on the section What is broken, which was left out",
            "In place": "it builds on the section What is broken, which was left out",
            "Ours": "each class must be named once; 'a' occurs more than once. Remove the "
            "duplicates, or rename classes that only share a name.",
            "Asserted": "its code takes for granted that few > 2, which is not so here",
            "Undrawn": "ValueError: \\class ^ ParseFatalException: Unknown symbol: \\class, found "
            "'\\' (at char 0), (line:1, col:1)",
            "Exercises: Do it": "it builds on the section What is broken, which was left out",
            "Exercises": "KeyError: '<b>'",
        }

    def test_what_a_part_only_defines_is_there_for_the_next(self, into: Path) -> None:
        assert "8 3.14159" in printed(run_of(into, "01-first"))

    def test_nothing_of_the_failed_cell_and_no_half_figure_is_left(self, into: Path) -> None:
        run = run_of(into, "01-first")
        sources = [each.source for each in run.cells]
        assert not any("old = images" in source or "After." in source for source in sources)
        assert "Before." in "".join(sources)
        shown = [
            o for c in run.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})
        ]
        assert shown == []

    def test_what_cells_say_on_stderr_is_not_shown(self, into: Path) -> None:
        said = printed(run_of(into, "01-first"))
        assert "kept" in said
        assert "warned" not in said

    def test_a_solution_that_fails_takes_nothing_else_along(self, into: Path) -> None:
        run = run_of(into, "01-first")
        assert "between exercises" in printed(run)
        assert any(each.source.startswith(":::{solution-end}") for each in run.cells)

    def test_without_images_the_whole_chapter_is_left_out(self, into: Path) -> None:
        run = run_of(into, "02-second")
        assert reasons(run) == {"A second chapter": "NameError: name 'load' is not defined"}
        assert [c.cell_type for c in run.cells] == ["markdown"] * 3
        assert "The rest of this chapter was left out" in run.cells[-1].source

    def test_a_slow_cell_and_a_dead_kernel_are_told_and_the_chapter_goes_on(
        self, into: Path
    ) -> None:
        run = run_of(into, "03-lost")
        why = reasons(run)
        assert why["Slow"] == "a cell may take 4 seconds, and it had not ended by then"
        assert "ended without an error message" in why["Dead"]
        assert "alive" not in printed(run)
        assert why["Alive"] == "it builds on the section Slow, which was left out"
        assert "fine" in printed(run)
        assert list(why) == ["Slow", "Dead", "Alive", "Dead again"]
        assert "never" not in printed(run), "a second death ends the chapter"

    def test_the_parts_that_are_kept_are_numbered_like_a_run(self, into: Path) -> None:
        run = run_of(into, "01-first")
        assert {"seconds", "date", "key"} <= set(run.metadata["run"])


class TestPages:
    """Rendering them with warnings as errors is a test of its own: `into` does it."""

    def test_a_note_stands_where_something_was_left_out(self, into: Path) -> None:
        notes = page(into, "notebooks/01-first").select(".admonition.left-out")
        assert len(notes) == 8
        assert "left out on these images: TypeError: list indices must be" in words(notes[0])
        assert "KeyError: ‘<b>’" in words(notes[-1])
        link = notes[1].select_one("a.reference")
        assert link is not None
        assert (link["href"], link.get_text()) == ("#left-out-01-1", "What is broken")

    def test_numbers_that_nobody_measured_read_so(self, into: Path) -> None:
        assert "It found 0.84 and (not measured here)." in words(page(into, "notebooks/01-first"))
        assert "(not measured here) of it." in words(page(into, "notebooks/02-second"))

    def test_references_from_other_pages_lead_to_the_note(self, into: Path) -> None:
        found = page(into, "where-it-holds")
        text = words(found)
        assert text.count("(not measured here)") == 2
        note = "notebooks/01-first.html#left-out-01-1"
        links = [words(a) for a in found.select("a.reference") if a["href"] == note]
        figure, formula = "a figure that was left out", "a formula that was left out"
        assert links == ["Inner", "Inner", "words", figure, formula]
        assert "An answer to what is gone" not in text
        assert f"Gone, {figure}, slug, Exercise 1, What is broken." in text

    def test_targets_stay_as_anchors(self, into: Path) -> None:
        found = page(into, "notebooks/01-first")
        for label in ("broken", "inner", "fig-lost", "eq-lost", "left-out-01-1"):
            assert found.find(id=label) is not None, label

    def test_a_picture_that_nobody_drew_reads_as_words(self, into: Path) -> None:
        assert "A figure was left out here" in words(page(into, "intro"))

    def test_every_link_leads_somewhere(self, into: Path) -> None:
        html = into / "_build" / "html"
        for name in ("intro", "where-it-holds", "notebooks/01-first", "notebooks/02-second"):
            for link in page(into, name).select("a.reference.internal"):
                path, _, mark = str(link["href"]).partition("#")
                target = (html / f"{name}.html").parent / path if path else html / f"{name}.html"
                assert target.is_file()
                assert not mark or f'id="{mark}"' in target.read_text(encoding="utf-8"), link

    def test_the_front_page_sums_up(self, into: Path) -> None:
        found = page(into, "intro")
        text = words(found)
        assert "100 images of 2 classes (60 to train on, 30 of each class" in text
        assert "in colour at 32×32 (from files of 500×500)" in text
        assert "pictures shrink by up to 16 times a side" in text
        assert "2026-01-02, with PyTorch 2.6, on CPU" in text
        first, *_ = found.select(".holds-summary tbody tr")
        assert [td.get_text() for td in first.select("td")][:7] == [
            "1",
            "1",
            "0",
            "0",
            "1",
            "1",
            "4",
        ]
        listed = found.select("li li")
        assert len(listed) == 5 + 1 + 3
        assert words(listed[0]).startswith("What is broken: TypeError")
        along = "With it went what builds on it: After; In place; Exercises: Do it."
        assert words(listed[0]).endswith(along)
        notes = [str(a["href"]) for a in listed[0].select("a")]
        assert notes == [f"notebooks/01-first.html#left-out-01-{n}" for n in (1, 2, 3, 7)]
        assert all(words(each).endswith(".") for each in listed)
        assert text.index("On your images") < text.index("More")

    def test_cards_say_what_held_here(self, into: Path) -> None:
        cards = page(into, "notebooks/01-first").select(".claim-card")
        assert [words(each.select_one(".claim-yours")) for each in cards] == [  # type: ignore[arg-type]
            "on your images: ● holds",
            "on your images: ◐ weaker",
            "on your images: ● holds",  # on these pages only the real book's claims are known
        ]
        assert words(cards[1].select_one(".claim-verdict")) == "weaker"  # type: ignore[arg-type]

    def test_the_table_has_a_column_of_their_own(self, into: Path) -> None:
        found = page(into, "where-it-holds")
        heads = [words(each) for each in found.select(".holds-matrix thead th")]
        assert heads[:2] == ["Claim", "your images"]
        states = [
            row.select("td")[0]["data-state"] for row in found.select(".holds-matrix tbody tr")
        ]
        assert states == ["holds", "weaker", "not reached"]


def left_out_of(*why: str) -> str:
    parts = [{"title": "Part", "note": "n", "why": each, "reason": each} for each in why]
    run = nbformat.v4.new_notebook(metadata={"left_out": parts})
    return your_book.left_out_list({"01-a": your_book.Chapter("A", [])}, {"01-a": run})


def test_numbers_of_a_chapter_are_told_from_those_of_all_images() -> None:
    assert left_out_of() == "Nothing: every cell of every chapter could be run."
    assert left_out_of("it is so").splitlines()[1:] == ["  - [Part](n): it is so."]
    counted = left_out_of("this part needs at least 4 classes; here: 2.")
    assert counted.startswith("A number after “here” counts what the chapter took of your images")


TRIVIAL = "# A chapter\n\n## One\n" + cell("print('one')") + "## Two\n" + cell("1 / 0")


class Bench:
    """A book of one trivial chapter, and the means to build it on no images at all."""

    def __init__(self, folder: Path) -> None:
        self.book, self.into = folder / "book", folder / "yours"
        write_chapter(self.book, "01-only", TRIVIAL)
        (self.book / "notebooks").mkdir()
        (self.book / "intro.md").write_text(INTRO, encoding="utf-8")

    def make(self, **options: Any) -> Path:
        return your_book.make_your_book("digits", book=self.book, into=self.into, **options)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(your_book, "look_at", lambda data, environment: IMAGES)
    return Bench(tmp_path)


class TestWhatIsKept:
    def test_a_chapter_that_failed_in_part_is_run_once_and_survives_a_full_disk(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        bench.make()
        assert "01-only) done, 1 part left out" in capsys.readouterr().out
        kept = bench.into / "runs" / "01-only.ipynb"
        before = kept.read_bytes()

        def not_again(*_: Any, **__: Any) -> None:
            raise AssertionError("run again")

        with monkeypatch.context() as patch:
            patch.setattr(yours, "run_chapter", not_again)
            bench.make()
            assert "01-only) unchanged" in capsys.readouterr().out
            with pytest.raises(AssertionError, match="run again"):
                bench.make(everything=True)
        write_text = Path.write_text

        def full(self: Path, *given: Any, **named: Any) -> int:
            if self.suffix == ".part":
                write_text(self, "half")
                raise OSError(28, "No space left on device")
            return write_text(self, *given, **named)

        done = nbformat.v4.new_notebook(metadata={"run": {"seconds": 1.0}, "left_out": []})
        monkeypatch.setattr(yours, "run_chapter", lambda *_, **__: done)
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(ChapterError, match=r"No space left.*Make room.*that are done are kept"):
            bench.make(everything=True)
        assert kept.read_bytes() == before
        assert [each.name for each in kept.parent.iterdir()] == [kept.name]

    def test_two_at_once_are_refused(self, bench: Bench) -> None:
        with lock(bench.into), pytest.raises(ChapterError, match="Another build of a book on"):
            bench.make()

    def test_what_cannot_be_written_is_said(self, bench: Bench) -> None:
        bench.into.write_text("a file where the folder should be")
        with pytest.raises(ChapterError, match=r"is written into .*yours, which failed"):
            bench.make()

    def test_images_that_cannot_be_loaded_are_refused_before_anything_runs(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.undo()
        (bench.book.parent / "photos").mkdir()
        with pytest.raises(ChapterError, match=r"an image folder holds pictures as .*found none"):
            your_book.make_your_book(
                str(bench.book.parent / "photos"), book=bench.book, into=bench.into
            )
        assert not (bench.into / "runs").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_says_how_to_go_on_and_leaves_no_kernel(tmp_path: Path) -> None:
    book, into = tmp_path / "book", tmp_path / "yours"
    write_chapter(book, "01-quick", "# Quick\n" + cell("print(1)"))
    slow = f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    write_chapter(book, "02-slow", "# Slow\n" + cell(slow + "time.sleep(900)"))
    (book / "notebooks").mkdir()
    script = (
        "import sys, collections\nfrom pathlib import Path\nimport render, your_book\n"
        f"render.BOOK, render.YOURS = Path({str(book)!r}), Path({str(into)!r})\n"
        "your_book.look_at = lambda *_: None\nyour_book.described = str\n"
        "sys.exit(render.main(['--data', 'digits']))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(BOOK), str(ROOT)])}
    command = [sys.executable, "-W", "ignore", "-c", script]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:
        pid = tmp_path / "pid"
        patience = time.monotonic() + 400  # where others work
        while not (pid.is_file() and pid.read_text()) and time.monotonic() < patience:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=200)
    assert "the same command goes on from here" in said
    assert "Traceback" not in said
    assert process.returncode == render.INTERRUPTED
    assert [each.name for each in (into / "runs").iterdir()] == ["01-quick.ipynb"]
    kernel = int(pid.read_text())
    while psutil.pid_exists(kernel) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not psutil.pid_exists(kernel)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def timed(seconds: float) -> NotebookNode:
    return nbformat.v4.new_notebook(metadata={"run": {"seconds": seconds}})


BEFORE = {"01-a": timed(600), "02-b": timed(600), "03-c": timed(1200)}


class TestProgress:
    def test_a_terminal_has_one_line_that_is_written_over(self) -> None:
        out, clock = Terminal(), Clock()
        progress = Progress(BEFORE, {"01-a"}, out=out, clock=clock)
        progress.unchanged("01-a")
        told = progress.begin("02-b")
        told(1, 10, "import torch")
        clock.now = 150.0  # half of what was expected for five cells of ten
        told(6, 10, "x" * 200)
        shown = out.getvalue().split("\r\x1b[K")
        assert shown[2] == "chapter 2 of 3 (02-b), cell 1 of 10, about 30 min left: import torch"
        assert shown[3].startswith("chapter 2 of 3 (02-b), cell 6 of 10, about 14 min left: xx")
        assert len(shown[3]) < 80
        assert out.getvalue().count("\n") == 1

    def test_elsewhere_there_is_a_line_for_each_chapter(self) -> None:
        out, clock = io.StringIO(), Clock()
        progress = Progress(BEFORE, set(), out=out, clock=clock)
        for name, parts in (("01-a", 0), ("02-b", 2), ("03-c", 1)):
            progress.begin(name)(1, 10, "import torch")
            clock.now += 600.0
            progress.end(name, parts)
        assert out.getvalue().splitlines() == [
            "chapter 1 of 3 (01-a) done; about 30 min left",
            "chapter 2 of 3 (02-b) done, 2 parts left out; about 20 min left",
            "chapter 3 of 3 (03-c) done, 1 part left out",
        ]

    def test_what_never_ran_is_guessed_from_the_books_own_images(self) -> None:
        out, names = Terminal(), [path.stem for path in execute.find_sources([])]
        Progress(dict.fromkeys(names), set(), out=out).begin(names[0])(1, 2, "x")
        assert "min left: x" in out.getvalue()


GLUED = {"01-a": Glued({"number", "drawn"}, {"drawn"})}


class TestMending:
    @pytest.mark.parametrize(
        ("text", "mended"),
        [
            ("{glue:text}`number:s`", "{glue:text}`number:s`"),
            ("{glue:text}`none:s`", "(not measured here)"),
            ("{glue:}`none`", "(not measured here)"),
            ("{glue:text}`x/01-a.ipynb::number`", "{glue:text}`x/01-a.ipynb::number`"),
            ("{glue:text}`x/02-b.ipynb::number`", "(not measured here)"),
            ("```{glue:figure} drawn\nSaid.\n```\n", "```{glue:figure} drawn\nSaid.\n```\n"),
            ("```{glue:figure} none\nSaid.\n```\n", "(not measured here)\n"),
            ("```{glue:math} none\n:label: e\n```\n", "(not measured here)\n"),
            ("```{figure} ../_pictures/drawn.png\n```", "```{figure} ../_pictures/drawn.png\n```"),
            ("```{figure} own.png\n```", "```{figure} own.png\n```"),
            (":::{solution} there\nx\n:::\n", ":::{solution} there\nx\n:::\n"),
            (":::{solution} gone\nx\n:::\n", ""),
            (":::{solution-start} gone\n:::\nx\n:::{solution-end}\n:::\ny", "x\ny"),
        ],
    )
    def test_what_is_there_stays_and_what_is_not_reads_as_words(
        self, text: str, mended: str
    ) -> None:
        assert Mender(GLUED, {"gone"}).text(text, "01-a") == mended

    def test_what_cells_glued_is_known(self) -> None:
        run = nbformat.read(sorted((BOOK / "notebooks").glob("02-*"))[0], as_version=4)
        found = glued_in(run)
        assert "ceiling-figure" in found.pictures
        assert found.names > found.pictures


@pytest.mark.parametrize("data", ["no/such/folder", "{tmp}/file.txt", "~/nowhere-at-all"])
def test_a_folder_that_is_none_is_refused_with_what_to_name(tmp_path: Path, data: str) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(ChapterError, match=r"is no folder\. Name the one that holds train/CLASS"):
        execute.resolve_data(data.format(tmp=tmp_path))


def test_a_long_reason_is_cut() -> None:
    assert len(patient_kernel.shortened("x" * 5000)) == patient_kernel.LONGEST_REASON

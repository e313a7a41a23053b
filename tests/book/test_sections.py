"""Where a part of a chapter ends, and what a cell that is left out would have made."""

from __future__ import annotations

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from definitions import bound_by, changed, definitions
from sections import escaped, labels_in, part_around, split_cells, split_text

TEXT = """# Title

Words.

(one)=
(uno)=
## One

```
# no heading
```

:::{note}
## none either
:::

### Inner

:::{exercise-start} Try
:label: ex
:::
Task.
:::{exercise-end}
:::
after

## Two"""


def test_text_is_divided_where_parts_begin() -> None:
    pieces = split_text(TEXT)
    assert [piece.splitlines()[0] for piece in pieces] == [
        "# Title", "(one)=", "### Inner", ":::{exercise-start} Try", ":::{exercise-end}", "## Two",
    ]  # fmt: skip
    joined = "\n\n".join(pieces)
    assert [line for line in joined.splitlines() if line] == [
        line for line in TEXT.splitlines() if line
    ]


def chapter(*cells: str) -> list:
    """Cells: code where a text begins with an exclamation mark."""
    made = [new_code_cell(c[1:]) if c[0] == "!" else new_markdown_cell(c) for c in cells]
    return split_cells(made)


@pytest.mark.parametrize(
    ("cells", "rest", "title"),
    [
        (["# T", "## A", "!x", "text\n\n## B", "!y"], ["## B", "y"], "A"),
        (["# T", "## A", "!x", "### A1", "!y", "# U"], ["# U"], "A"),
        (["# T", "## A", "### A1", "!x", "### A2", "!y"], ["### A2", "y"], "A1"),
        (["# T", "## A", "### A1", "!x", "## B"], ["## B"], "A1"),
        (["# T", "!x", "## A", "!y"], [], "T"),
        (["# T", "## Last", "!x", "text"], [], "Last"),
    ],
)
def test_a_part_ends_at_the_next_heading_as_high(
    cells: list[str], rest: list[str], title: str
) -> None:
    made = chapter(*cells)
    end, said = part_around(made, next(i for i, c in enumerate(made) if c.source == "x"))
    assert ([cell.source for cell in made[end:]], said) == (rest, title)


def test_a_part_inside_a_solution_ends_with_it() -> None:
    gates = (
        "## Exercises\n\n:::{exercise-start} Do\n:label: ex-do\n:::\nTask.\n:::{exercise-end}\n:::",
        ":::{solution-start} ex-do\n:class: dropdown\n:::\nTry:",
        "!x",
        "Words.\n\n:::{solution-end}\n:::",
        "!y",
    )
    made = chapter("# T", *gates)
    end, title = part_around(made, [cell.source for cell in made].index("x"))
    assert made[end].source.startswith(":::{solution-end}")
    assert title == "Exercises: Do"
    end, title = part_around(made, [cell.source for cell in made].index("y"))
    assert (end, title) == (len(made), "Exercises")


def test_labels_have_the_words_that_stand_for_them() -> None:
    figure = new_code_cell("draw()", metadata={"mystnb": {"figure": {"name": "fig-a"}}})
    assert labels_in(figure) == {"fig-a": "a figure that was left out"}
    text = "(sec)=\n## A `code` heading\n\n$$x$$ (eq-a)\n\n:::{exercise} Do\n:label: ex-a\n:::\n"
    text += "(loose)=\nWords."
    assert labels_in(new_markdown_cell(text)) == {
        "sec": "A code heading",
        "eq-a": "a formula that was left out",
        "ex-a": "Do",
        "loose": "a part that was left out",
    }


def test_an_error_message_is_shown_and_not_read() -> None:
    assert escaped("`a` {b} $c$ <d>") == r"\`a\` \{b\} \$c\$ \<d\>"


def test_definitions_are_kept_and_what_is_computed_is_not() -> None:
    cell = (
        "import os\nn = -3\nm = [1, (2, 'a')]\nq = range(n)\nr = range(2)\nx = f(n)\ndef g(): pass"
    )
    made = definitions([cell])
    for kept in ("import os", "n = -3", "m = [1, (2, 'a')]", "def g()", "r = range(2)"):
        assert kept in made
    assert "q =" not in made
    assert "x =" not in made


def test_a_constant_that_is_changed_later_is_none() -> None:
    made = definitions(["total = 0\nrows = []", "total += f()\nrows.append(1)"])
    assert made == ""


def test_one_definition_that_fails_does_not_stop_the_next() -> None:
    space: dict[str, object] = {}
    exec(definitions(["import no_such_module\na = 1 / 0\nb = 2"]), space)
    assert space["b"] == 2
    assert "a" not in space


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a = f()", {"a"}),
        ("a, (b, *c) = f()", {"a", "b", "c"}),
        ("for i in f(): a = i", {"i", "a"}),
        ("with f() as a: b = 1", {"a", "b"}),
        ("if (a := f()): pass", {"a"}),
        ("a += 1", {"a"}),
        ("try:\n  import a\nexcept ImportError: b = 1", {"a", "b"}),
        ("[a for a in f()]", set()),
        ("def f(): a = g()", set()),
        ("a['k'] = 1; b.c = 2", {"a", "b"}),
        ("a.append(1); b.c.load_state_dict(d)", {"a", "b"}),
        ("h = fit(model, part)", {"h", "model"}),
        ("{s: fit(m, s) for s in t}", {"m"}),
        ("nn.init.zeros_(head.weight)", {"nn", "head"}),
        ("print(a); claim('x', a); a.mean()", set()),
        ("%magic", set()),
    ],
)
def test_what_a_cell_would_have_changed(cell: str, names: set[str]) -> None:
    assert changed([cell]) == names


@pytest.mark.parametrize(
    ("cell", "before", "names"),
    [
        ("def f(): found['k'] = 1\nf()", "", {"found"}),
        ("def f(): g()\ndef g(): found.append(1)\nx = [f() for _ in y]", "", {"found", "x"}),
        ("f()", "def f():\n  global n\n  n = 1", {"n"}),
        ("f(a)", "def f(b):\n  b['k'] = 1\n  c = {}\n  c['k'] = 1", set()),
        ("def f(): found['k'] = 1", "f()", set()),
        ("Run().go()", "class Run:\n  def go(self):\n    self.a = 1; found.add(self)", {"found"}),
    ],
)
def test_what_a_function_changes_that_a_cell_uses(cell: str, before: str, names: set[str]) -> None:
    assert changed([cell], before=[before]) == names


def test_what_a_function_would_have_filled_is_no_constant_but_a_module_stays() -> None:
    made = definitions(
        ["from torch import nn\nfound = {}\ndef f(): found['k'] = nn.init.ones_(1)\nf()"]
    )
    assert "found = {}" not in made
    assert "import nn" in made
    assert "def f()" in made


def test_what_a_cell_binds_has_its_definitions_too() -> None:
    assert bound_by(["import a.b as c, d.e\ndef f(): x = 1\ng = 1"]) == {"c", "d", "f", "g"}

"""What a cell that is left out would have defined, and what it would have changed.

Imports, functions, classes and plain constants need no image: they are run all the same, so that
later parts can use them. Every other name that the cell binds, and what it or a function that it
calls changes in place, must be forgotten, so that nothing takes an old value for a new one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
IMPORTS = (ast.Import, ast.ImportFrom)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# What changes its first argument, and what changes the object whose method it is.
CHANGING_CALLS = {"fit", "freeze", "unfreeze", "replace_head", "shuffle", "setattr"}
CHANGING_METHODS = {
    "add", "append", "backward", "clear", "discard", "extend", "insert", "load_state_dict", "pop",
    "remove", "reverse", "setdefault", "sort", "step", "update",
}  # fmt: skip
CONSTANT_NODES = (
    ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.operator,
    ast.unaryop, ast.expr_context,
)  # fmt: skip


def statements(source: str) -> list[ast.stmt]:
    """The statements of a cell; none where it is not plain Python."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []


def definitions(sources: Iterable[str], before: Iterable[str] = ()) -> str:
    """Code that makes what these cells only define, each on its own: one may fail without another.

    What the cells change besides is left out, even where it begins as a constant, but for modules;
    `before` are the cells above them, as of `changed`.

    >>> print(definitions(["import math", "n = 3", "m = n + 1; k = 0; k += m"]))
    try:
        import math
    except Exception:
        pass
    try:
        n = 3
    except Exception:
        pass
    """
    sources = list(sources)
    spoilt = changed(sources, before)
    tried = []
    for each in (statement for source in sources for statement in statements(source)):
        if not only_defines(each) or (bound(each) & spoilt and not isinstance(each, IMPORTS)):
            continue
        handler = ast.ExceptHandler(ast.Name("Exception", ast.Load()), None, [ast.Pass()])
        whole = ast.Module([ast.Try([each], [handler], [], [])], [])
        tried.append(ast.unparse(ast.fix_missing_locations(whole)))
    return "\n".join(tried)


def only_defines(statement: ast.stmt) -> bool:
    """Whether a statement is an import, a function, a class or a plain constant."""
    if isinstance(statement, (*FUNCTIONS, *IMPORTS)):
        return True
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return all(map(is_name, targets)) and is_constant(statement.value)
    return False


def is_name(target: ast.expr) -> bool:
    """Whether what is assigned to is a name, or several."""
    if isinstance(target, ast.Tuple):
        return all(map(is_name, target.elts))
    return isinstance(target, ast.Name)


def is_constant(value: ast.expr | None) -> bool:
    """Whether a value is written out: numbers, texts, lists of them, sums, and ranges."""
    if isinstance(value, ast.Call):
        is_range = isinstance(value.func, ast.Name) and value.func.id == "range"
        return is_range and not value.keywords and all(map(is_constant, value.args))
    return value is not None and all(isinstance(each, CONSTANT_NODES) for each in ast.walk(value))


def changed(sources: Iterable[str], before: Iterable[str] = ()) -> set[str]:
    """The names that cells bind by computing, and those whose objects they change in place.

    So are those that a function changes which the cells use; it may be one of the cells `before`.

    >>> sorted(changed(["def f(): x = 1", "a = f(); b.append(a); c[0] = 1; fit(d, e)"]))
    ['a', 'b', 'c', 'd']
    >>> sorted(changed(["kept(1)"], before=["def kept(n): found[n] = n"]))
    ['found']
    """
    sources = list(sources)
    computed = [each for source in sources for each in statements(source) if not only_defines(each)]
    names = {name for each in computed for name in bound(each) | changed_in_place(each)}
    return names | changed_by_calls(computed, functions_in([*before, *sources]))


def functions_in(sources: Iterable[str]) -> dict[str, ast.stmt]:
    """The functions and classes that cells define, by their names."""
    found = (each for source in sources for each in statements(source))
    return {each.name: each for each in found if isinstance(each, FUNCTIONS)}


def changed_by_calls(computed: Iterable[ast.stmt], functions: dict[str, ast.stmt]) -> set[str]:
    """The names of the module that are changed by functions which some statements use."""
    names: set[str] = set()
    seen: set[str] = set()
    waiting = {name for each in computed for name in named_in(each)}
    while waiting := (waiting - seen) & functions.keys():
        seen |= waiting
        used = [functions[name] for name in waiting]
        names |= {name for each in used for name in changed_outside(each)}
        waiting = {name for each in used for name in named_in(each)}
    return names


def named_in(node: ast.AST) -> set[str]:
    """All names that are read anywhere in a node."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def changed_outside(definition: ast.AST) -> set[str]:
    """The names that are not a function's own, whose objects it changes or binds all the same."""
    own, theirs, names = set(), set(), set()
    for node in ast.walk(definition):
        if isinstance(node, ast.Global):
            theirs |= set(node.names)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        names |= changed_by(node)
    return (names - own) | theirs


def bound_by(sources: Iterable[str]) -> set[str]:
    """All names that cells bind, by defining or computing."""
    return {n for source in sources for each in statements(source) for n in bound(each)}


def bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds outside of functions and comprehensions."""
    names = set()
    for node in in_scope(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        elif isinstance(node, FUNCTIONS):
            names.add(node.name)
        elif isinstance(node, IMPORTS):
            names |= {(each.asname or each.name).split(".")[0] for each in node.names}
    return names


def changed_in_place(statement: ast.stmt) -> set[str]:
    """The names of the objects that a statement changes without binding them anew."""
    nodes = in_scope(statement, comprehensions=True)
    return {name for node in nodes for name in changed_by(node)}


def changed_by(node: ast.AST) -> set[str]:
    """The names of the objects that a node itself changes, as a call or as a place to store in."""
    names = set()
    if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
        names |= root(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        method = node.func.attr
        in_place = method.endswith("_") and not method.startswith("_")
        if method in CHANGING_METHODS or in_place:
            names |= root(node.func.value)
        if node.args and (method in CHANGING_CALLS or in_place):
            names |= root(node.args[0])
    elif isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Name):
        names |= root(node.args[0]) if node.func.id in CHANGING_CALLS else set()
    return names


def root(value: ast.expr) -> set[str]:
    """The name at the beginning of `name.part[index]`, if there is one."""
    while isinstance(value, ast.Attribute | ast.Subscript):
        value = value.value
    return {value.id} if isinstance(value, ast.Name) else set()


def in_scope(node: ast.AST, *, comprehensions: bool = False) -> Iterator[ast.AST]:
    """A node and what is below it in the same scope; a function's inside is its own affair."""
    yield node
    if isinstance(node, (*FUNCTIONS, ast.Lambda)):
        return
    if comprehensions or not isinstance(node, COMPREHENSIONS):
        for child in ast.iter_child_nodes(node):
            yield from in_scope(child, comprehensions=comprehensions)

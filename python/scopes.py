"""What a name means where it is used: a variable of the code, a module that it imported, or a builtin of Python.

A variable hides a builtin of its name (`open = df["open"]` is honest), but only where Python cannot fall back to the builtin: anywhere in a
function that binds the name, and at the top level after a line that always binds it.
"""

import ast
import re
from collections.abc import Iterator
from typing import Literal

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Scope:
    def __init__(self, kind: Literal["module", "class", "function"], parent: "Scope | None", deep: bool = False) -> None:
        self.kind = kind
        self.parent = parent
        self.deep: bool = parent.deep if parent else deep
        """Whether the code has `:=` anywhere, which binds a name within an expression."""
        self.bound: set[str] = set()
        self.imported: dict[str, list[str]] = {}
        """Name -> the dotted paths that it was imported from."""
        self.from_line: dict[str, int] = {}
        """At the top level: the line that always binds the name."""
        self.passed_on: set[str] = set()
        """Names that `global` and `nonlocal` take from elsewhere."""
        self.deleted: set[str] = set()
        self.receiver: str | None = None
        """The first parameter of a method."""

    def owner(self, name: str, line: int) -> "Scope | None":
        """The scope whose variable the name is at that line; None when it can be Python's own."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bound and name not in scope.passed_on and (scope.kind == "function" or name in scope.imported):
                return scope
            if scope.kind == "module" and name not in scope.deleted and scope.from_line.get(name, line) < line:
                return scope
            scope = scope.parent
        return None

    def imports(self, name: str, line: int) -> list[str]:
        owner = self.owner(name, line)
        return owner.imported.get(name, []) if owner else []


def of_module(tree: ast.Module, code: str) -> Scope:
    scope = Scope("module", None, deep=":=" in code)
    _bind_all(scope, tree.body)
    unbound = {name for node in ast.walk(tree) if isinstance(node, ast.Delete) for name in _named(node)} if re.search(r"\bdel\b", code) else set()
    for statement in tree.body:
        for name in _always_bound(statement):
            scope.from_line.setdefault(name, statement.end_lineno or statement.lineno)
    # A function can unbind what it declares global.
    scope.deleted |= unbound
    return scope


def _named(node: ast.AST) -> list[str]:
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]


def of_class(node: ast.ClassDef, parent: Scope) -> Scope:
    scope = Scope("class", parent)
    _bind_all(scope, node.body)
    return scope


def of_function(node: Function, parent: Scope) -> Scope:
    scope = Scope("function", parent)
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))]
    scope.bound |= {argument.arg for argument in arguments}
    positional = [*node.args.posonlyargs, *node.args.args]
    if parent.kind == "class" and positional:
        scope.receiver = positional[0].arg
    _bind_all(scope, node.body if isinstance(node.body, list) else [node.body])
    return scope


def of_comprehension(node: Comprehension, parent: Scope) -> Scope:
    scope = Scope("function", parent)
    scope.receiver = parent.receiver
    for generator in node.generators:
        scope.bound |= {part.id for part in ast.walk(generator.target) if isinstance(part, ast.Name)}
    return scope


def of_columns(names: set[str], parent: Scope) -> Scope:
    """Of an expression of `df.query`: its bare names are columns."""
    scope = Scope("function", parent)
    scope.bound |= names
    return scope


def _bind_all(scope: Scope, body: list[ast.stmt] | list[ast.expr]) -> None:
    for node in _own_nodes(body, scope.deep):
        if isinstance(node, ast.Expr | ast.Return | ast.Call | ast.Constant):
            continue
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                scope.bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                scope.bound.add(name)
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                scope.bound.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                scope.passed_on |= set(names)
            case ast.Import(names=aliases):
                for alias in aliases:
                    path = alias.name if alias.asname else alias.name.partition(".")[0]
                    _bind_import(scope, alias.asname or path, path)
            case ast.ImportFrom(module=module, names=aliases):
                for alias in aliases:
                    _bind_import(scope, alias.asname or alias.name, f"{module}.{alias.name}")


def _bind_import(scope: Scope, name: str, path: str) -> None:
    scope.bound.add(name)
    scope.imported.setdefault(name, []).append(path)


def _own_nodes(body: list[ast.stmt] | list[ast.expr], deep: bool) -> Iterator[ast.AST]:
    """All nodes that can bind in this scope: not those inside of other functions and classes, whose names alone are bound here. Only `:=`
    binds within an expression; without it (`deep`) expressions are passed over."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, INNER):
            # Only `:=` binds outside of a comprehension.
            pending += [part.target for part in ast.walk(node) if isinstance(part, ast.NamedExpr)] if deep and isinstance(node, Comprehension) else []
        elif deep or isinstance(node, ast.Starred):
            pending += children(node)
        else:
            pending += children(node, BINDING_FIELDS)


INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
BINDING_FIELDS = frozenset(("body", "orelse", "finalbody", "handlers", "targets", "target", "optional_vars", "items", "cases", "pattern", "patterns", "elts"))
LEAVES = frozenset(("ctx", "op", "ops", "id", "attr", "kind", "type_comment", "conversion", "level", "simple", "is_async", "arg", "asname"))
_fields: dict[type, tuple[str, ...]] = {}


def children(node: ast.AST, only: frozenset[str] | None = None) -> list[ast.AST]:
    """As `ast.iter_child_nodes`, without operators and contexts, in a fraction of its time."""
    kind = type(node)
    fields = _fields.get(kind)
    if fields is None:
        fields = _fields[kind] = tuple(name for name in kind._fields if name not in LEAVES)
    found: list[ast.AST] = []
    for name in fields:
        if only is not None and name not in only:
            continue
        value = getattr(node, name, None)
        if type(value) is list:
            found += [part for part in value if isinstance(part, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def _always_bound(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Assign(targets=targets):
            return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case _:
            return []

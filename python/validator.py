"""What is wrong with a code, with line and column. Never runs any of it.

It is there for good messages: code that would fail behind the walls, and tries to reach through them, are told before they run. The walls
do not rest on it. What may be used is listed (allowed.py) and not what may not; attributes of values are free, so that a column can have any
name (`df.open`, `df.source`), except for those that lead into Python itself and those that name a file.

A finding is `{code, line, col, end_line, end_col, message, hint}`: lines count from 1, columns from 0 in characters, ends are exclusive.
"""

import ast
import builtins
import re
import string
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

import scopes
from allowed import ALLOWED, BUILTINS, MODULES, names
from scopes import Scope, children

CODE_LIMIT = 500_000
FINDING_LIMIT = 100

BUILTIN_NAMES = frozenset(dir(builtins))
DUNDER_NAMES = frozenset({"__name__", "__doc__", "__debug__"})
DUNDER_ATTRIBUTES = frozenset({"__name__", "__doc__"})
PRIVATE_ATTRIBUTES = frozenset({"_asdict", "_replace", "_fields"})
"""Of the named tuples that `df.itertuples()` gives."""

INSIDES = names("""
    gi_frame gi_code gi_yieldfrom gi_running cr_frame cr_code cr_await cr_origin cr_running ag_frame ag_code ag_await ag_running
    tb_frame tb_next tb_lasti tb_lineno f_back f_builtins f_code f_globals f_lasti f_lineno f_locals f_trace f_trace_lines
    f_trace_opcodes co_code co_consts co_names co_varnames co_cellvars co_freevars func_globals func_code func_closure im_func im_self
    ctypes
    """)
"""Attributes of frames, generators, coroutines, tracebacks, code and raw memory."""

FILE_METHODS = names("to_parquet to_excel to_feather to_hdf to_pickle to_sql to_stata to_orc to_gbq to_clipboard to_iceberg tofile")
TEXT_METHODS = names("to_csv to_json to_string to_html to_latex to_markdown to_xml")
"""They give text, unless they are told a file."""
FILE_ARGUMENTS = frozenset({"path_or_buf", "path_or_buffer", "buf"})
CALLED_METHODS = frozenset({"dump", "dumps"})
"""Refused only when they are called: a column may have the name."""
NAMING_METHODS = frozenset({"agg", "aggregate", "apply", "transform", "map", "pipe"})
"""They take the name of another method as text."""

RESULT_HINT = "Return the DataFrame: what process(df) returns is saved as Parquet."
INPUT_HINT = "Read the data set that process(df) gets."
NAME_HINTS = {
    "open": INPUT_HINT,
    "input": "A job has no one to ask; write the value into the code.",
    "eval": "Write the expression itself, or use df.eval with a text.",
    "exec": "Write the statements themselves.",
    "compile": "Write the code itself.",
    "__import__": "Write an import line.",
    "globals": "Use a dictionary of your own.",
    "locals": "Use a dictionary of your own.",
    "vars": "Use a dictionary of your own.",
    "dir": "Columns are df.columns.",
    "exit": "End with a return of the DataFrame.",
    "quit": "End with a return of the DataFrame.",
    "breakpoint": "Use print: what is printed is in the log of the job.",
    "help": "Use print: what is printed is in the log of the job.",
    "delattr": "Use df.drop(columns=[...]).",
    "memoryview": "Use a numpy array.",
}
MODULE_HINTS = {
    "os": "A job sees no files and no environment. " + INPUT_HINT,
    "sys": "A job sees nothing of the machine. Use print for the log.",
    "pathlib": "A job sees no files. " + INPUT_HINT,
    "io": "A job sees no files. " + INPUT_HINT,
    "json": "For a column of JSON texts use pd.json_normalize, df.to_json() or re.",
    "random": "Use np.random.default_rng().",
    "time": "Use pd.Timestamp.now() or datetime.",
    "pyarrow": "What process(df) returns is turned into Arrow and Parquet for you.",
    "catch24": "It is a part of catch22: catch22_all(values, catch24=True).",
} | dict.fromkeys(
    ("socket", "requests", "urllib", "http", "urllib3", "httpx", "aiohttp", "ftplib"),
    "A job has no network. Put the data into the data set, or join two tables first.",
)
MODULES_HINT = "These can be imported: numpy, pandas, catch22 (pycatch22), math, datetime and re."

Finding = dict[str, Any]
Pending = list[tuple[ast.AST, Scope]]


def check(code: str, given: tuple[str, ...] = ()) -> list[Finding]:
    """`given` are the names of what `process` gets beside the DataFrame."""
    if len(code) > CODE_LIMIT:
        return [_finding("code.too_long", (1, 0, 1, 0), f"The code has {len(code)} characters; {CODE_LIMIT} is the most", "Put data into the data set.")]
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return [_syntax(error)]
    except (ValueError, UnicodeError) as error:
        return [_finding("syntax", (1, 0, 1, 0), f"This is no Python: {error}", None)]
    except (RecursionError, MemoryError):
        return [_finding("syntax", (1, 0, 1, 0), "The code is nested too deeply", "Divide the expression into several lines.")]
    return _Check(code, given).of(tree)


def _syntax(error: SyntaxError) -> Finding:
    line, col = error.lineno or 1, max(0, (error.offset or 1) - 1)
    end_line, end_col = error.end_lineno or line, max(0, (error.end_offset or 0) - 1)
    if (end_line, end_col) <= (line, col):
        end_line, end_col = line, col + 1
    return _finding("syntax", (line, col, end_line, end_col), f"This is no Python: {error.msg}", None)


def _finding(code: str, place: tuple[int, int, int, int], message: str, hint: str | None) -> Finding:
    line, col, end_line, end_col = place
    return {"code": code, "line": line, "col": col, "end_line": end_line, "end_col": end_col, "message": message, "hint": hint}


class _Check:
    """One pass over the tree. Nodes wait in a list, each with the scope that its names belong to, so that no depth of code is too deep."""

    def __init__(self, code: str, given: tuple[str, ...] = ()) -> None:
        self.lines = re.split(r"\r\n|\r|\n", code)
        self.given = given
        self.findings: list[Finding] = []
        self.pending: Pending = []

    def of(self, tree: ast.Module) -> list[Finding]:
        scope = scopes.of_module(tree, "\n".join(self.lines))
        self._process(tree, scope)
        self.pending = [(statement, scope) for statement in tree.body]
        while self.pending and len(self.findings) < FINDING_LIMIT:
            self._look(*self.pending.pop())
        return sorted(self.findings, key=lambda finding: (finding["line"], finding["col"], finding["end_line"], finding["end_col"]))

    def _look(self, node: ast.AST, scope: Scope) -> None:
        look = _LOOKS.get(type(node))
        if look:
            look(self, node, scope)
        else:
            self._later(children(node), scope)

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        self._later([*node.decorator_list, *node.bases, *node.keywords], scope)
        self._later(node.body, scopes.of_class(node, scope))

    def _pattern(self, node: ast.MatchClass, scope: Scope) -> None:
        for attribute in node.kwd_attrs:
            self._attribute_name(node, attribute, scope, None)
        self._later(children(node), scope)

    def _later(self, nodes: Any, scope: Scope) -> None:
        self.pending += [(node, scope) for node in nodes if node is not None]

    def _report(self, code: str, node: Any, message: str, hint: str | None) -> None:
        self.findings.append(_finding(code, self._place(node), message, hint))

    # --- places ---

    def _place(self, node: Any) -> tuple[int, int, int, int]:
        end_line = node.end_lineno or node.lineno
        end = self._characters(end_line, node.end_col_offset or 0)
        if isinstance(node, ast.Attribute):
            # The attribute's own name, which is the end of the expression.
            return (end_line, max(0, end - len(node.attr)), end_line, end)
        return (node.lineno, self._characters(node.lineno, node.col_offset), end_line, end)

    def _characters(self, line: int, offset: int) -> int:
        """The tree counts bytes of UTF-8."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return offset if text.isascii() else len(text.encode("utf-8", errors="replace")[:offset].decode("utf-8", errors="ignore"))

    # --- process ---

    def _process(self, tree: ast.Module, scope: Scope) -> None:
        own = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "process"]
        if "process" not in scope.bound:
            last = len(self.lines)
            self.findings.append(
                _finding(
                    "process.missing",
                    (1, 0, last, len(self.lines[-1])),
                    "The code has no function named process",
                    "Write: def process(df): ... return df",
                )
            )
        elif own:
            self._signature(own[-1])

    def _signature(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        place = self._definition(node)
        if isinstance(node, ast.AsyncFunctionDef):
            self.findings.append(_finding("process.async", place, "process is async", "Write def process(df), without async and await."))
        positional = len(node.args.posonlyargs) + len(node.args.args)
        needed = [argument.arg for argument in [*node.args.posonlyargs, *node.args.args][1 : positional - len(node.args.defaults)]]
        needed += [argument.arg for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if default is None]
        if any(name not in self.given for name in needed) or (positional == 0 and node.args.vararg is None):
            self.findings.append(
                _finding(
                    "process.parameters",
                    place,
                    f"process must take the DataFrame and {', '.join(self.given)}" if self.given else "process must take one argument, the DataFrame",
                    f"Write def process({', '.join(('df', *self.given))}); give other parameters a default.",
                )
            )

    def _definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[int, int, int, int]:
        text = self.lines[node.lineno - 1]
        start = text.find(node.name, self._characters(node.lineno, node.col_offset))
        start = max(0, start)
        return (node.lineno, start, node.lineno, start + len(node.name))

    # --- imports ---

    def _import(self, node: ast.Import | ast.ImportFrom, _: Scope) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._module(alias, alias.name)
                self._alias(alias)
            return None
        module = node.module or ""
        if node.level > 0:
            return self._report("import.not_allowed", node, "There is nothing beside the code to import from", MODULES_HINT)
        if module.partition(".")[0] not in MODULES:
            return self._report("import.not_allowed", node, f"{module} cannot be imported", _module_hint(module))
        if module not in ALLOWED:
            return self._report(
                "import.not_allowed", node, f"{module} is not among what code may use of {module.partition('.')[0]}", _member_hint(module, module)
            )
        for alias in node.names:
            if alias.name == "*":
                self._report("import.star", alias, f"{module} cannot be imported as a whole", f"Name what you use: from {module} import ...")
            elif alias.name not in ALLOWED[module]:
                self._member(alias, module, alias.name, "import.not_allowed")
            self._alias(alias)
        return None

    def _module(self, node: ast.alias, path: str) -> None:
        root = path.partition(".")[0]
        if root not in MODULES or root == "__future__":
            self._report("import.not_allowed", node, f"{root} cannot be imported", _module_hint(root))
        elif path not in ALLOWED:
            self._report("import.not_allowed", node, f"{path} is not among what code may use of {root}", _member_hint(path, path))

    def _alias(self, alias: ast.alias) -> None:
        if alias.asname and _is_dunder(alias.asname):
            self._report("name.not_allowed", alias, f"{alias.asname} is a name of Python itself", "Choose another name.")

    # --- names ---

    def _name(self, node: ast.Name, scope: Scope) -> None:
        name = node.id
        if _is_dunder(name) and name not in DUNDER_NAMES:
            return self._report("name.not_allowed", node, f"{name} cannot be used", NAME_HINTS.get(name))
        if not isinstance(node.ctx, ast.Load):
            return None
        if self._is_builtin(node, scope) and name not in BUILTINS:
            return self._report("name.not_allowed", node, f"{name} cannot be used", NAME_HINTS.get(name))
        modules = [path for path in scope.imports(name, node.lineno) if path in ALLOWED]
        if modules:
            self._report(
                "module.as_value",
                node,
                f"{name} is a module and can only be used as {name}.something",
                f"Use a part of it by name, such as {name}.{_example(modules[0])}.",
            )
        return None

    def _is_builtin(self, node: ast.expr, scope: Scope, name: str | None = None) -> bool:
        return isinstance(node, ast.Name) and (name is None or node.id == name) and node.id in BUILTIN_NAMES and scope.owner(node.id, node.lineno) is None

    # --- attributes ---

    def _attribute(self, node: ast.Attribute, scope: Scope) -> None:
        if self._member_of_module(node, scope):
            return
        self._attribute_name(node, node.attr, scope, node.value)
        if node.attr in TEXT_METHODS:
            self._report("file.not_allowed", node, f"{node.attr} can only be called", f"Write .{node.attr}() without a file: it gives text. {RESULT_HINT}")
        if node.attr in ("format", "format_map"):
            self._template_as_value(node, scope)
        self._later([node.value], scope)

    def _member_of_module(self, node: ast.Attribute, scope: Scope, called: bool = False) -> bool:
        """Whether this is `np.something`, which is looked at here and now."""
        paths = self._paths(node.value, scope)
        if not paths:
            return False
        for path in paths:
            if node.attr not in ALLOWED[path]:
                self._member(node, path, node.attr, "attribute.not_allowed")
                return True
        if f"{paths[0]}.{node.attr}" in ALLOWED and not called:
            self._report(
                "module.as_value",
                node,
                f"{paths[0]}.{node.attr} is a module and can only be used with one of its names",
                f"Write it out, such as {ast.unparse(node)}.{_example(f'{paths[0]}.{node.attr}')}.",
            )
        if not isinstance(node.ctx, ast.Load):
            self._report("attribute.not_allowed", node, f"{paths[0]}.{node.attr} cannot be changed", "Keep the value in a variable of your own.")
        return True

    def _paths(self, node: ast.expr, scope: Scope) -> list[str]:
        """The modules that an expression such as `np.linalg` means."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return []
        found: list[str] = []
        for root in scope.imports(node.id, node.lineno):
            path = root
            for name in reversed(names):
                path = f"{path}.{name}" if path in ALLOWED and name in ALLOWED[path] else ""
            if path in ALLOWED:
                found.append(path)
        return found

    def _member(self, node: Any, path: str, name: str, code: str) -> None:
        self._report(code, node, f"{path}.{name} is not among what code may use of {path.partition('.')[0]}", _member_hint(path, name))

    def _attribute_name(self, node: Any, name: str, scope: Scope, value: ast.expr | None) -> None:
        if name in INSIDES or (_is_dunder(name) and name not in DUNDER_ATTRIBUTES):
            if not (value is not None and self._is_super(value, scope)):
                self._report("attribute.not_allowed", node, f"{name} leads into Python itself and cannot be used", None)
        elif name in FILE_METHODS:
            self._report("file.not_allowed", node, f"{name} writes a file, and a job has none", RESULT_HINT)
        elif name.startswith("_") and not self._is_own(name, value, scope):
            self._report("attribute.not_allowed", node, f"{name} is a private part and cannot be used", f'For a column of that name write df["{name}"].')

    def _is_own(self, name: str, value: ast.expr | None, scope: Scope) -> bool:
        if _is_dunder(name) or name in PRIVATE_ATTRIBUTES or re.fullmatch(r"_\d+", name):
            return True
        inner: Scope | None = scope
        while inner is not None and isinstance(value, ast.Name):
            if inner.receiver == value.id:
                return True
            inner = inner.parent
        return False

    def _is_super(self, value: ast.expr, scope: Scope) -> bool:
        return isinstance(value, ast.Call) and self._is_builtin(value.func, scope, "super")

    # --- calls ---

    def _call(self, node: ast.Call, scope: Scope) -> None:
        function = node.func
        children: list[ast.AST] = [*node.args, *node.keywords]
        if isinstance(function, ast.Name) and self._is_builtin(function, scope):
            self._builtin_call(node, function.id)
        if isinstance(function, ast.Attribute):
            paths = self._paths(function.value, scope)
            if paths:
                self._member_of_module(function, scope)
                if paths[0] == "pandas":
                    self._pandas_call(node, function.attr, scope)
            else:
                self._method_call(node, function, scope)
                children.append(function.value)
        else:
            children.append(function)
        self._later(children, scope)

    def _builtin_call(self, node: ast.Call, name: str) -> None:
        if name == "type" and (len(node.args) != 1 or node.keywords):
            self._report("name.not_allowed", node, "type can only tell the type of a value", "Write a class statement.")
        if name not in ("getattr", "hasattr", "setattr"):
            return
        wanted = node.args[1] if len(node.args) > 1 else None
        if not (isinstance(wanted, ast.Constant) and isinstance(wanted.value, str)):
            self._report(
                "attribute.not_literal",
                node,
                f"{name} needs the name as text",
                "Write the name itself, or use df[name] for a column and .agg(name) for a method.",
            )
        else:
            self._named_method(wanted, wanted.value)

    def _named_method(self, node: ast.expr, name: str) -> None:
        if name.startswith("_") or name in INSIDES:
            self._report("attribute.not_allowed", node, f"{name} leads into Python itself and cannot be used", None)
        elif name in FILE_METHODS or name in TEXT_METHODS:
            self._report("file.not_allowed", node, f"{name} writes a file, and a job has none", RESULT_HINT)

    def _pandas_call(self, node: ast.Call, name: str, scope: Scope) -> None:
        if name == "eval":
            self._expression(node, scope)
        if name in ("set_option", "option_context") and not all(_is_plain_option(argument) for argument in node.args[::2]):
            self._report(
                "option.not_allowed",
                node,
                f"{name} takes options of display and mode only",
                'Write the option itself, such as pd.set_option("display.width", 200).',
            )

    def _method_call(self, node: ast.Call, function: ast.Attribute, scope: Scope) -> None:
        name = function.attr
        if name in TEXT_METHODS:
            if (
                (node.args and not _is_none(node.args[0]))
                or any(keyword.arg in FILE_ARGUMENTS and not _is_none(keyword.value) for keyword in node.keywords)
                or _spreads(node)
            ):
                self._report("file.not_allowed", function, f"{name} writes a file, and a job has none", f"{RESULT_HINT} Without a file it gives text.")
            return
        if name in CALLED_METHODS:
            self._report("file.not_allowed", function, f"{name} writes Python's own format, and a job has no files", RESULT_HINT)
        if name in ("query", "eval"):
            self._expression(node, scope)
        if name in ("format", "format_map"):
            self._template(function, scope)
        if name in NAMING_METHODS:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                for text in _texts(argument):
                    self._named_method(text, str(text.value))
        self._attribute_name(function, name, scope, function.value)

    # --- texts that Python or pandas reads as code ---

    def _template(self, function: ast.Attribute, scope: Scope) -> None:
        texts = self._constant_texts(function.value, scope)
        if texts is None:
            return self._report(
                "format.not_literal",
                function,
                f"{function.attr} needs its template as text",
                'Write an f-string, or the template where it is used: "{:.2f}".format(value).',
            )
        for text in texts:
            self._check_template(function, text)
        return None

    def _template_as_value(self, node: ast.Attribute, scope: Scope) -> None:
        """`"{:.2f}".format` given to map; anything else is a column named format."""
        if self._is_builtin(node.value, scope, "str"):
            self._report("format.not_literal", node, f"str.{node.attr} needs its template as text", 'Write "{:.2f}".format.')
        for text in self._constant_texts(node.value, scope) or []:
            self._check_template(node, text)

    def _constant_texts(self, node: ast.expr, scope: Scope) -> list[str] | None:
        if isinstance(node, ast.Constant):
            return [node.value] if isinstance(node.value, str) else []
        return None

    def _check_template(self, node: ast.Attribute, template: str) -> None:
        for attribute in _template_attributes(template):
            if attribute.startswith("_") or attribute in INSIDES:
                self._report("format.attribute", node, f"The template reads {attribute}, which leads into Python itself", "Give the value to format itself.")

    def _expression(self, node: ast.Call, scope: Scope) -> None:
        """What `df.query` and `df.eval` read: bare names are columns, `@name` is a variable of the code."""
        given = node.args[0] if node.args else next((keyword.value for keyword in node.keywords if keyword.arg == "expr"), None)
        if given is None:
            return
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "0" for part in given.values) if isinstance(given, ast.JoinedStr) else None
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            text = given.value
        if text is None:
            if any("__" in str(part.value) for part in ast.walk(given) if isinstance(part, ast.Constant)):
                self._report(
                    "expression.not_allowed",
                    given,
                    "The expression leads into Python itself",
                    'Write a condition on columns, such as df.query("price > 10").',
                )
            return
        try:
            tree = ast.parse(re.sub(r"`[^`]*`", "column", text.replace("@", "at_the_code_")).strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return  # pandas says it better
        columns: set[str] = set()
        for part in ast.walk(tree):
            if isinstance(part, ast.Name):
                if part.id.startswith("at_the_code_"):
                    part.id = part.id.removeprefix("at_the_code_")
                else:
                    part.id = f"column {part.id}"
                    columns.add(part.id)
            if hasattr(part, "lineno"):
                ast.copy_location(part, given)
        inside = _Check("")
        inside.lines = self.lines
        inside.pending = [(statement, scopes.of_columns(columns, scope)) for statement in tree.body]
        while inside.pending and not inside.findings:
            inside._look(*inside.pending.pop())
        for finding in inside.findings:
            self._report("expression.not_allowed", given, f"The expression cannot be used: {finding['message']}", finding["hint"])

    # --- scopes ---

    def _function(self, node: scopes.Function, scope: Scope) -> None:
        inner = scopes.of_function(node, scope)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))]
        self._later([*node.args.defaults, *node.args.kw_defaults, *(argument.annotation for argument in arguments)], scope)
        if isinstance(node, ast.Lambda):
            return self._later([node.body], inner)
        self._later([*node.decorator_list, node.returns], scope)
        return self._later(node.body, inner)

    def _comprehension(self, node: scopes.Comprehension, scope: Scope) -> None:
        inner = scopes.of_comprehension(node, scope)
        first, *rest = node.generators
        self._later([first.iter], scope)
        self._later([first.target, *first.ifs, *rest], inner)
        self._later([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt], inner)


_LOOKS: dict[type[ast.AST], Callable[[_Check, Any, Scope], None]] = {
    ast.Import: _Check._import,
    ast.ImportFrom: _Check._import,
    ast.Name: _Check._name,
    ast.Attribute: _Check._attribute,
    ast.Call: _Check._call,
    ast.ClassDef: _Check._class,
    ast.MatchClass: _Check._pattern,
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda), _Check._function),
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), _Check._comprehension),
}


def _is_dunder(name: str) -> bool:
    return len(name) > 4 and name.startswith("__") and name.endswith("__")


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _spreads(node: ast.Call) -> bool:
    return any(isinstance(argument, ast.Starred) for argument in node.args) or any(keyword.arg is None for keyword in node.keywords)


def _is_plain_option(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(("display.", "mode.", "compute.", "future."))


def _texts(node: ast.expr) -> Iterator[ast.Constant]:
    """Texts of an argument itself, or of the list or dictionary that it is."""
    match node:
        case ast.Constant(value=str()):
            yield node
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
            for part in parts:
                yield from _texts(part)
        case ast.Dict(values=parts):
            for part in parts:
                yield from _texts(part)


def _template_attributes(template: str) -> list[str]:
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError:
        return []
    found: list[str] = []
    for _, field, specification, _ in fields:
        found += re.findall(r"\.([^.\[]+)", field or "")
        found += _template_attributes(specification) if specification and "{" in specification else []
    return found


def _example(path: str) -> str:
    examples = {
        "numpy": "mean",
        "pandas": "concat",
        "math": "sqrt",
        "re": "sub",
        "datetime": "timedelta",
        "numpy.random": "default_rng",
        "numpy.linalg": "norm",
    }
    return examples.get(path) or min(ALLOWED[path])


def _module_hint(name: str) -> str:
    own = MODULE_HINTS.get(name.partition(".")[0])
    near = get_close_matches(name, MODULES, 1)
    return own or (f"Did you mean {near[0]}?" if near else MODULES_HINT)


def _member_hint(path: str, name: str) -> str | None:
    if name.startswith(("read_", "load", "fromfile", "genfromtxt", "from_csv", "HDFStore", "ExcelFile", "memmap")) or name == "open":
        return INPUT_HINT
    if name.startswith(("save", "to_", "ExcelWriter")):
        return RESULT_HINT
    near = get_close_matches(name, ALLOWED.get(path, ()), 1, 0.8)
    return f"Did you mean {path}.{near[0]}?" if near else None

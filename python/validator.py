"""What is wrong with a code, with line and column. Never runs any of it."""

import ast
from typing import Any

MODULES = {"numpy", "pandas", "pycatch22", "catch22", "math", "datetime", "re"}


def check(code: str) -> list[dict[str, Any]]:
    try:
        tree = ast.parse(code)
    except SyntaxError as error:
        return [_finding("syntax", error.lineno or 1, (error.offset or 1) - 1, f"This is no Python: {error.msg}", None)]
    found = []
    for node in ast.walk(tree):
        names = (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        )
        for name in names:
            if name.split(".")[0] not in MODULES:
                found.append(
                    _finding("import.not_allowed", node.lineno, node.col_offset, f"{name} cannot be imported", "Use numpy, pandas or catch22.")
                )
    if not any(isinstance(node, ast.FunctionDef) and node.name == "process" for node in tree.body):
        found.append(_finding("process.missing", 1, 0, "There is no function named process", "Write: def process(df): ... return df"))
    return found


def _finding(code: str, line: int, col: int, message: str, hint: str | None) -> dict[str, Any]:
    return {"code": code, "line": line, "col": col, "end_line": line, "end_col": col, "message": message, "hint": hint}

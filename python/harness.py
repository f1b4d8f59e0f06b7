"""One job in its child: validate the code, load the data set, run `process(df)`, store what it returns.

Whatever the code does comes back as a plain dictionary with a status, and in words for its writer: where in the code it went wrong, and
never a frame of ours. Nothing here is a wall: once the code has run, this process is the code's, and its answer is to be read as such.
"""

import inspect
import io
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, TracebackType
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
import pycatch22

import frames
import validator

FILE = "<process>"
"""What the code is called in its tracebacks."""
LINE_LIMIT = 8_192
"""Most characters of a line of the log; a longer one is told in parts."""
MESSAGE_LIMIT = 2_000
FRAME_LIMIT = 30
NOTHING: Mapping[str, int] = {}

# Writers know the package by the name of what it computes.
sys.modules.setdefault("catch22", pycatch22)


def run(
    job: dict[str, Any],
    input_fd: int,
    out_fd: int,
    emit: Callable[[str], None],
    more: Mapping[str, int] = NOTHING,
    begun: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """`job` is `{"code": text, "validate": bool, "output_bytes": int, "arguments": {name: JSON value}}`; `emit` takes each line that the code
    prints. `more` are further data sets by the names under which `process` gets them. `begun` is called when the code is found to be honest.

    Answers `{"status", "message", "line", "traceback", "findings", "rows", "columns", "timings"}`: the status is success, rejected, error,
    memory or output_too_large; timings are milliseconds of validating, loading, running and storing.
    """
    answer: dict[str, Any] = dict.fromkeys(("message", "line", "traceback", "rows", "columns")) | {"findings": [], "timings": {}}
    try:
        return answer | _run(job, input_fd, out_fd, emit, answer["timings"], more, begun)
    except BaseException as error:
        return answer | _told(error, job["code"])


def _run(
    job: dict[str, Any],
    input_fd: int,
    out_fd: int,
    emit: Callable[[str], None],
    timings: dict[str, float],
    more: Mapping[str, int],
    begun: Callable[[], None],
) -> dict[str, Any]:
    code = job["code"]
    arguments: dict[str, Any] = job.get("arguments", {})
    given = (*more, *arguments)
    if job["validate"]:
        with _timed(timings, "validating"):
            findings = validator.check(code, given)
        if findings:
            return _rejected(findings)
        begun()
    # Every child comes from the same parent: without this all would draw the same numbers.
    random.seed()
    np.random.seed()
    columns: list[str] = []
    process: Any = None
    with _captured(emit):
        try:
            with _timed(timings, "running"):
                namespace: dict[str, Any] = {"__name__": "process"}
                exec(compile(code, FILE, "exec", dont_inherit=True), namespace)
                process = _process_of(namespace, given)
            with _timed(timings, "loading"):
                frame = frames.load(input_fd)
                others = {name: frames.load(descriptor) for name, descriptor in more.items()}
            columns = list(frame.columns)
            with _timed(timings, "running"):
                result = process(frame, **others, **arguments)
            with _timed(timings, "storing"):
                kept = frames.store(result, out_fd, job["output_bytes"], frames.schema(input_fd))
        except _Misshapen as error:
            return {"status": "error", "message": str(error), "line": error.line}
        except frames.ResultError as error:
            return {"status": "error", "message": str(error), "line": _line_of(process)}
        except frames.TooLarge as error:
            return {"status": "output_too_large", "message": str(error)}
        except BaseException as error:
            return _told(error, code, columns)
    return {"status": "success", **kept}


def warm_up() -> None:
    """Does once, in the process that children are forked from, what libraries do only at their first use. Starts no thread, which a fork would
    lose."""
    frame = pd.DataFrame({"a": [1.5, 2.5, None], "b": ["x", "y", "x"], "c": [1, 2, 3], "d": pd.to_datetime(["2024-01-01", "2024-01-02", None])})
    described: list[str] = []
    descriptors = [os.memfd_create("warm", os.MFD_CLOEXEC) for _ in range(3)]
    arrow, out, parquet = descriptors
    try:
        frames.store(frame, arrow, 1 << 20)
        job = {"code": WARM_UP, "validate": True, "output_bytes": 1 << 20}
        answer = run(job, arrow, out, described.append)
        if answer["status"] != "success":
            raise RuntimeError(f"The packages do not work together: {answer['message']}")
        frames.encode(out, parquet, 3)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


WARM_UP = """
import numpy as np
import pandas as pd

def process(df):
    df = df.assign(e=df["a"].rolling(2).mean(), f=df["b"].str.upper(), g=np.where(df["c"] > 1, "many", "one"))
    print(df.describe(), df.groupby("b")["a"].agg(["mean", "sum"]))
    df = df.merge(df.groupby("b", as_index=False)["c"].max(), on="b").sort_values("c_x")
    return df[df["b"].isin(["x", "y"])].dropna(subset=["b"]).reset_index(drop=True)
"""


@contextmanager
def _timed(timings: dict[str, float], phase: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        timings[phase] = round(timings.get(phase, 0) + (time.perf_counter() - began) * 1000, 3)


def _rejected(findings: list[dict[str, Any]]) -> dict[str, Any]:
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return {"status": "rejected", "message": f"Line {first['line']}: {first['message']}{more}", "line": first["line"], "findings": findings}


# --- the function ---------------------------------------------------------------------------------------------------------------------


class _Misshapen(Exception):
    """There is no `process` that can be called with what it gets."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def _process_of(namespace: dict[str, Any], given: tuple[str, ...]) -> Callable[..., Any]:
    process = namespace.get("process")
    if process is None:
        raise _Misshapen("The code has no function named process; write: def process(df): ... return df")
    line = _line_of(process)
    if not callable(process):
        raise _Misshapen("process is no function; write: def process(df): ... return df", line)
    if inspect.iscoroutinefunction(process) or inspect.isasyncgenfunction(process):
        raise _Misshapen("process is async; write def process(df), without async and await", line)
    if inspect.isgeneratorfunction(process):
        raise _Misshapen("process yields; it must return one DataFrame, such as: return pd.concat(parts)", line)
    if not _takes(process, given):
        what = f"the DataFrame and {', '.join(given)}" if given else "one argument, the DataFrame"
        raise _Misshapen(f"process must take {what}: def process({', '.join(('df', *given))})", line)
    return process


def _takes(process: Callable[..., Any], given: tuple[str, ...]) -> bool:
    try:
        signature = inspect.signature(process)
    except (TypeError, ValueError):
        return True  # it does not say; the call will tell
    try:
        signature.bind(None, **dict.fromkeys(given))
    except TypeError:
        return False
    return True


def _line_of(process: Any) -> int | None:
    return process.__code__.co_firstlineno if isinstance(process, FunctionType) and process.__code__.co_filename == FILE else None


# --- what went wrong ------------------------------------------------------------------------------------------------------------------


def _told(error: BaseException, code: str, columns: list[str] | None = None) -> dict[str, Any]:
    status = "memory" if isinstance(error, MemoryError) else "error"
    try:
        lines = code.splitlines()
        message = _message(error, columns or [])
        line = error.lineno if _is_of_code(error) else _deepest(error.__traceback__)
        return {"status": status, "message": message, "line": line, "traceback": _traceback(error, lines)}
    except BaseException:
        return {"status": status, "message": "The code failed with an error that cannot be shown"}


def _message(error: BaseException, columns: list[str]) -> str:
    if isinstance(error, MemoryError):
        return "The job needs more memory than its limit; raise max_memory, or use fewer columns and rows at a time"
    if isinstance(error, SystemExit):
        return "The code asked to exit; end it with a return of the DataFrame instead"
    advice = _advice(error, columns)
    return f"{_name_and_text(error)}{'; ' if advice else ''}{advice}"


def _advice(error: BaseException, columns: list[str]) -> str:
    if isinstance(error, KeyError) and len(error.args) == 1 and isinstance(error.args[0], str) and error.args[0] not in columns and columns:
        shown = ", ".join(repr(name[:100]) for name in columns[:20])
        return f"the data set has the columns {shown}{' and more' if len(columns) > 20 else ''}"
    if isinstance(error, TypeError) and "boolean value of NA is ambiguous" in _text(error):
        return "fill the missing values first, such as with .fillna(0)"
    return ""


def _name_and_text(error: BaseException) -> str:
    name = _shown(lambda: type(error).__name__)
    text = _text(error)
    return f"{name}: {text}" if text else name


def _text(error: BaseException) -> str:
    if _is_of_code(error):
        return _shown(lambda: error.msg)
    return _shown(lambda: str(error))


def _shown(read: Callable[[], Any]) -> str:
    """Text that the code may have written itself: it may fail, be endless, or not be text at all."""
    try:
        text = read()
        if not isinstance(text, str):
            return "?"
        bounded = str.__str__(text)[:MESSAGE_LIMIT]
        return bounded.encode("utf-8", errors="backslashreplace").decode("utf-8")
    except BaseException:
        return "(an error whose text cannot be read)"


def _is_of_code(error: BaseException) -> TypeGuard[SyntaxError]:
    """A syntax error of the code itself, not one of a text that the code gave to something else."""
    return isinstance(error, SyntaxError) and error.filename == FILE


def _own_frames(traceback: TracebackType | None) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == FILE:
            found.append((traceback.tb_lineno, traceback.tb_frame.f_code.co_name))
        traceback = traceback.tb_next
    return found


def _deepest(traceback: TracebackType | None) -> int | None:
    own = _own_frames(traceback)
    return own[-1][0] if own else None


def _traceback(error: BaseException, lines: list[str], depth: int = 0) -> str | None:
    """As Python writes it, with nothing but the code's own frames."""
    if _is_of_code(error):
        place = error.lineno or 1
        return f'  File "{FILE}", line {place}\n{_source(lines, place)}{_name_and_text(error)}'
    own = _own_frames(error.__traceback__)
    if not own:
        return None
    before = ""
    earlier, said = _earlier(error)
    if earlier is not None and depth < 3 and (text := _traceback(earlier, lines, depth + 1)):
        before = f"{text}\n\n{said}\n\n"
    left_out = len(own) - FRAME_LIMIT
    shown = own if left_out <= 0 else own[: FRAME_LIMIT // 2] + own[-FRAME_LIMIT // 2 :]
    parts = [f'  File "{FILE}", line {line}, in {name}\n{_source(lines, line)}' for line, name in shown]
    if left_out > 0:
        parts.insert(FRAME_LIMIT // 2, f"  ... {left_out} more ...\n")
    return f"{before}Traceback (most recent call last):\n{''.join(parts)}{_name_and_text(error)}"


def _earlier(error: BaseException) -> tuple[BaseException | None, str]:
    if error.__cause__ is not None:
        return error.__cause__, "The above exception was the direct cause of the following exception:"
    if error.__suppress_context__:
        return None, ""
    return error.__context__, "During handling of the above exception, another exception occurred:"


def _source(lines: list[str], line: int) -> str:
    text = lines[line - 1].strip()[:200] if 0 < line <= len(lines) else ""
    return f"    {text}\n" if text else ""


# --- the log --------------------------------------------------------------------------------------------------------------------------


class _Log(io.TextIOBase):
    """What the code prints, as lines."""

    def __init__(self, emit: Callable[[str], None]) -> None:
        self.emit = emit
        self.rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        *whole, self.rest = (self.rest + text).split("\n")
        for line in whole:
            self._tell(line)
        while len(self.rest) > LINE_LIMIT:
            self._tell(self.rest[:LINE_LIMIT])
            self.rest = self.rest[LINE_LIMIT:]
        return len(text)

    def finish(self) -> None:
        if self.rest:
            self._tell(self.rest)
            self.rest = ""

    def _tell(self, line: str) -> None:
        for start in range(0, max(1, len(line)), LINE_LIMIT):
            part = line[start : start + LINE_LIMIT]
            self.emit(part.encode("utf-8", errors="backslashreplace").decode("utf-8"))


@contextmanager
def _captured(emit: Callable[[str], None]) -> Iterator[None]:
    """Prints and warnings go to the log; each warning once. There is nothing to read from."""
    log = _Log(emit)
    shown: set[tuple[str, str]] = set()

    def show(message: Any, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
        text = (_shown(lambda: category.__name__), _shown(lambda: str(message)))
        if text not in shown and len(shown) < 1000:
            shown.add(text)
            log.write(f"{text[0]}: {text[1]}{f' (line {lineno})' if filename == FILE else ''}\n")

    before = (sys.stdin, sys.stdout, sys.stderr)
    sys.stdin = io.StringIO()  # of its own, because `exit()` closes it
    sys.stdout = sys.stderr = log
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = show
            yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        log.finish()

"""What comes out of a child is hostile: here its bytes become a report of the expected shape, or are refused. Pure; standard library only."""

from __future__ import annotations

import json

MESSAGE_CHARACTERS = 8_000
TRACEBACK_CHARACTERS = 32_000
FINDINGS = 200
COLUMNS = 100_000
STATUSES = ("success", "rejected", "error", "memory", "output_too_large")


class Refused(Exception):
    """The report is not one that our own code writes: the user's code wrote it."""


def parse(data: bytes) -> dict:
    try:
        report = json.loads(data, parse_constant=lambda name: None)
    except (ValueError, RecursionError) as error:
        raise Refused("not JSON") from error
    if not isinstance(report, dict):
        raise Refused("not an object")
    return report


def run_report(data: bytes) -> dict:
    """Of a child that ran users' code. Rows and columns are left out: the child that encodes the result counts them."""
    report = parse(data)
    status = report.get("status")
    if status not in STATUSES:
        raise Refused("status")
    findings = report.get("findings", [])
    if not isinstance(findings, list) or len(findings) > FINDINGS:
        raise Refused("findings")
    timings = report.get("timings")
    return {
        "status": status,
        "message": text(report.get("message"), MESSAGE_CHARACTERS),
        "line": count(report.get("line")),
        "traceback": text(report.get("traceback"), TRACEBACK_CHARACTERS),
        "findings": [finding(item) for item in findings],
        "validating": duration(timings.get("validating")) if isinstance(timings, dict) else 0.0,
    }


def ok_or_error(data: bytes) -> tuple[dict | None, str | None]:
    """`{"ok": {...}}` or `{"error": "words for the user"}`."""
    report = parse(data)
    ok, error = report.get("ok"), report.get("error")
    if isinstance(ok, dict):
        return ok, None
    if isinstance(error, str):
        return None, error[:MESSAGE_CHARACTERS]
    raise Refused("neither a result nor an error")


def encoded(ok: dict) -> dict:
    rows, columns, preview = count(ok.get("rows")), ok.get("columns"), ok.get("preview")
    if rows is None or not isinstance(columns, list) or len(columns) > COLUMNS or not isinstance(preview, list):
        raise Refused("result")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in preview):
        raise Refused("preview")
    return {"rows": rows, "columns": [column(item) for item in columns], "preview": preview}


def findings_of(ok: dict) -> list[dict]:
    findings = ok.get("findings")
    if not isinstance(findings, list):
        raise Refused("findings")
    return [finding(item) for item in findings[:FINDINGS]]


def column(item: object) -> dict:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str) or not isinstance(item.get("type"), str):
        raise Refused("column")
    return {"name": item["name"], "type": item["type"]}


def finding(item: object) -> dict:
    if not isinstance(item, dict):
        raise Refused("finding")
    positions = {name: count(item.get(name)) for name in ("line", "col", "end_line", "end_col")}
    if None in positions.values():
        raise Refused("position")
    words = {name: text(item.get(name), MESSAGE_CHARACTERS) for name in ("code", "message", "hint")}
    if words["code"] is None or words["message"] is None:
        raise Refused("finding")
    return {**positions, **words}


def text(value: object, most: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused("text")
    # A lone surrogate is no text outside of Python.
    return value[:most].encode("utf-8", "replace").decode()


def count(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise Refused("number")
    return value


def duration(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9 else 0.0

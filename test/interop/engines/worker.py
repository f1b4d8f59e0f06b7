"""What every engine's worker shares: one JSON object per line in and out, and how a value of a Delta type crosses as JSON.

A request is {"op": name, ...}; the answer is {"result": ...} or {"error": {"type": ..., "message": ...}}. The worker ends when
its input does.

A cell is null, or by type:
  byte, short, integer, long   text of digits
  decimal                      text with all digits of the scale
  float, double                a number, or one of the texts NaN, Infinity, -Infinity, -0
  boolean, string              as in JSON
  binary                       base64
  date                         YYYY-MM-DD
  timestamp                    YYYY-MM-DDTHH:MM:SS.ffffffZ
  timestamp_ntz                the same without Z
  array, struct, map           a list, a list in the order of the fields, a list of [key, value]
"""

import base64
import datetime
import decimal
import json
import math
import os
import sys

decimal.getcontext().prec = 76

# Answers have the pipe to themselves: what a library or a JVM prints goes to the log. Before anything is started, which would inherit it.
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

WHOLE = {"byte", "short", "integer", "long"}


def encode(value, kind):
    if value is None:
        return None
    if isinstance(kind, dict):
        if kind["type"] == "array":
            return [encode(item, kind["elementType"]) for item in value]
        if kind["type"] == "map":
            entries = value.items() if isinstance(value, dict) else value
            return [[encode(key, kind["keyType"]), encode(item, kind["valueType"])] for key, item in entries]
        fields = kind["fields"]
        cells = [value[field["name"]] for field in fields]
        return [encode(cell, field["type"]) for cell, field in zip(cells, fields)]
    if kind in WHOLE:
        return str(int(value))
    if kind in ("float", "double"):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return "-0" if value == 0 and math.copysign(1, value) < 0 else float(value)
    if kind == "binary":
        return base64.b64encode(bytes(value)).decode()
    if kind == "date":
        return value.isoformat()
    if kind in ("timestamp", "timestamp_ntz"):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return value.isoformat(timespec="microseconds") + ("Z" if kind == "timestamp" else "")
    if kind.startswith("decimal"):
        # Some engines hand over more or fewer zeros at the end than the scale has.
        scale = int(kind.rstrip(")").split(",")[1])
        return format(value.quantize(decimal.Decimal(1).scaleb(-scale)), "f")
    return value


def decode(cell, kind):
    if cell is None:
        return None
    if isinstance(kind, dict):
        if kind["type"] == "array":
            return [decode(item, kind["elementType"]) for item in cell]
        if kind["type"] == "map":
            return {decode(key, kind["keyType"]): decode(item, kind["valueType"]) for key, item in cell}
        return {field["name"]: decode(item, field["type"]) for item, field in zip(cell, kind["fields"])}
    if kind in WHOLE:
        return int(cell)
    if kind in ("float", "double"):
        return float(cell)
    if kind == "binary":
        return base64.b64decode(cell)
    if kind == "date":
        return datetime.date.fromisoformat(cell)
    if kind in ("timestamp", "timestamp_ntz"):
        value = datetime.datetime.fromisoformat(cell.removesuffix("Z"))
        return value.replace(tzinfo=datetime.timezone.utc) if kind == "timestamp" else value
    if kind.startswith("decimal"):
        return decimal.Decimal(cell)
    return cell


def row_dicts(request):
    """The rows of a request as dictionaries by column."""
    return [decode(row, request["schema"]) for row in request["rows"]]


def serve(operations):
    def say(answer):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    say({"result": "ready"})
    for line in sys.stdin:
        try:
            request = json.loads(line)
            say({"result": operations[request.pop("op")](request)})
        except Exception as error:  # noqa: BLE001 - the caller decides what an error means
            say({"error": {"type": type(error).__name__, "message": str(error)[:600]}})

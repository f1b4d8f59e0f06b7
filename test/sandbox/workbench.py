"""Takes the steps of a job one by one for the tests, without walls: one JSON request a line in, one JSON answer a line out."""

import base64
import datetime
import decimal
import io
import json
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))

import frames
import harness
import numpy as np
import pandas as pd
import pyarrow as pa
import validator
from pyarrow import parquet

MADE = {"pa": pa, "np": np, "pd": pd, "datetime": datetime, "decimal": decimal, "Decimal": decimal.Decimal}


def memfd(data=b""):
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(descriptor, data)
    return descriptor


def content(descriptor):
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def parquet_of(table):
    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def check(request):
    return validator.check(request["code"])


def job(request):
    """`data` is base64, or `table` is an expression that makes an Arrow table, which is given as Parquet."""
    table = eval(request["table"], MADE) if "table" in request else None
    data = parquet_of(table) if table is not None else base64.b64decode(request["data"])
    source, arrow, out, result = memfd(data), memfd(), memfd(), memfd()
    log = []
    try:
        try:
            decoded = frames.decode(source, request.get("format", "parquet"), arrow, request.get("limit", frames.DECODED_LIMIT))
        except frames.DataError as error:
            return {"dataError": str(error)}
        order = {"code": request.get("code", "def process(df):\n    return df\n"), "validate": request.get("validate", True)}
        answer = harness.run(order | {"output_bytes": request.get("outputBytes", 1 << 30)}, arrow, out, log.append)
        if answer["status"] != "success":
            return {"decoded": decoded, "answer": answer, "log": log}
        encoded = frames.encode(out, result, 20)
        back = parquet.read_table(pa.BufferReader(content(result)))
        changed = {} if table is None else changes(table, back)
        return {"decoded": decoded, "answer": answer, "log": log, "encoded": encoded, "rows": back.slice(0, 20).to_pylist(), "changed": changed}
    finally:
        for descriptor in (source, arrow, out, result):
            os.close(descriptor)


def changes(before, after):
    """Columns whose type, as Parquet knows it, or whose values are not what they were."""
    found = {}
    for name in before.column_names:
        if name not in after.column_names:
            found[name] = "gone"
            continue
        types = [str(bare(table.schema.field(name).type)) for table in (before, after)]
        values = [table.column(name).to_pylist() for table in (before, after)]
        if types[0] != types[1] or repr(values[0]) != repr(values[1]):
            found[name] = {"types": types, "values": values}
    return found


def bare(type):
    """How wide offsets are, and what the parts of a list are called, is not told apart."""
    text = str(type).replace("large_", "").replace("item: ", "element: ").replace(" ('m')", "")
    return text.replace("indices=int32", "indices=int8")


def fuzz(request):
    """Breaks good Arrow files, and tells how `encode` took each; one that it took must be readable and say what Arrow itself reads in it."""
    table = eval(request["table"], MADE)
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    good = out.getvalue()
    chance = random.Random(request["seed"])
    counts = {"refused": 0, "died": 0, "taken": 0, "wrong": []}
    for turn in range(request["times"]):
        how = broken_encode(break_it(good, chance))
        if how.startswith("wrong"):
            counts["wrong"].append([turn, how])
        else:
            counts[how] += 1
    return counts


def break_it(good, chance):
    data = bytearray(good)
    kind = chance.randrange(4)
    if kind == 0:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 1:
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    if kind == 2:
        place = chance.randrange(0, len(data) - 8, 8)
        data[place : place + 8] = chance.choice([b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", (1 << 40).to_bytes(8, "little"), b"\0" * 8])
    if kind == 3:
        # The footer has the offsets and lengths of everything else.
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(max(0, len(data) - 400), len(data))] = chance.randrange(256)
    return bytes(data)


def broken_encode(data):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.write(write, encode_told(data).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        how = told.read()
    os.waitpid(child, 0)
    return how or "died"


def encode_told(data):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    arrow, result = memfd(data), memfd()
    try:
        told = frames.encode(arrow, result, 20)
    except (frames.DataError, MemoryError):
        return "refused"
    except BaseException as error:
        return f"wrong: {type(error).__name__}: {error}"
    back = parquet.read_table(pa.BufferReader(content(result)))
    back.validate(full=True)
    meant = pa.ipc.open_file(pa.py_buffer(data)).read_all()
    return "taken" if back.num_rows == told["rows"] == meant.num_rows and back.to_pylist() == meant.to_pylist() else "wrong: other values"


def hostile(request):
    """`encode` of an Arrow file of a table that no honest job writes."""
    table = eval(request["table"], MADE)
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    arrow, result = memfd(out.getvalue()), memfd()
    try:
        return {"encoded": frames.encode(arrow, result, 20)}
    except frames.DataError as error:
        return {"dataError": str(error)}
    finally:
        os.close(arrow)
        os.close(result)


def speed(request):
    """Milliseconds of processor time: what other processes do at the same time does not count."""
    rng = np.random.default_rng(1)
    source, arrow = memfd(parquet_of(pa.table({f"c{n}": rng.normal(size=request["rows"]) for n in range(5)}))), memfd()
    frames.decode(source, "parquet", arrow)
    took = {"load": [], "store": [], "encode": []}
    for _ in range(5):
        out, result = memfd(), memfd()
        frame = clocked(took["load"], lambda: frames.load(arrow))
        clocked(took["store"], lambda: frames.store(frame, out, 1 << 30, frames.schema(arrow)))
        clocked(took["encode"], lambda: frames.encode(out, result, 20))
        os.close(out)
        os.close(result)
    return {name: min(times) for name, times in took.items()}


def check_speed(request):
    times = []
    for _ in range(20):
        clocked(times, lambda: validator.check(request["code"]))
    return min(times)


def clocked(times, work):
    began = time.process_time()
    answer = work()
    times.append((time.process_time() - began) * 1000)
    return answer


def doors(request):
    """Allowed names that are modules without a list, and modules that are reached by another name than their own."""
    import functools
    import types

    found = []
    for path, names in validator.ALLOWED.items():
        root, *parts = path.split(".")
        module = functools.reduce(getattr, parts, __import__(root))
        for name in names:
            value = getattr(module, name, None)
            if isinstance(value, types.ModuleType) and f"{path}.{name}" not in validator.ALLOWED:
                found.append(f"{path}.{name}")
    return sorted(found)


STEPS = {step.__name__: step for step in (check, job, fuzz, hostile, speed, check_speed, doors)}



def plain(value):
    """As JSON has it."""
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


for line in sys.stdin:
    wanted = json.loads(line)
    print(json.dumps(plain(STEPS[wanted["step"]](wanted)), default=str), flush=True)

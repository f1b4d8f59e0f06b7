"""What a user's process wrote, as Parquet with a preview. Every value is checked first: nothing of it is trusted."""

import base64
import fcntl
import json
import math
import mmap
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from kinds import COLUMN_LIMIT, EXACT, NAME_LIMIT, DataError, check_type, first_line, is_binary, type_name, without_metadata

CELL_LIMIT = 200
"""Most characters of a text in the preview."""
ITEM_LIMIT = 100
"""Most items of a list in the preview."""
FAST_BYTES = 8 << 20
"""From this size on a result is written for speed rather than for size."""
BATCH_ROWS = 1 << 17
"""How many values a column is written by: the library's own 1,024 cost a twentieth of the time."""
PREVIEW_LIMIT = 256_000
"""Most characters of the whole preview; rows that do not fit are left away."""


def encode(arrow_fd: int, parquet_fd: int, preview: int) -> dict[str, Any]:
    """Checks every value of what a user's process wrote, then writes it as Parquet. Nothing of it is trusted, not even that it stays the same."""
    try:
        table = _checked_table(_unchanging(arrow_fd))
        with open(parquet_fd, "wb", buffering=0, closefd=False) as file:
            parquet.write_table(table, pa.PythonFile(file, mode="w"), **_layout(table))
        return {
            "rows": table.num_rows,
            "columns": [{"name": field.name, "type": type_name(field.type)} for field in table.schema],
            "preview": _preview(table, preview),
        }
    except (DataError, MemoryError):
        raise
    except (pa.ArrowException, UnicodeError, ValueError, TypeError, OSError, OverflowError, NotImplementedError, RecursionError) as error:
        raise DataError(f"The result cannot be written as Parquet: {first_line(error)}") from error


def _unchanging(fd: int) -> pa.Buffer:
    """The bytes, mapped when the kernel vouches that nobody can change them any more, else as a copy."""
    wanted = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & wanted == wanted
    except OSError:
        sealed = False
    if sealed:
        return pa.py_buffer(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
    with open(fd, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        return pa.py_buffer(file.readall())


def _checked_table(data: pa.Buffer) -> pa.Table:
    reader = pa.ipc.open_file(data, options=pa.ipc.IpcReadOptions(use_threads=False))
    if len(reader.schema) > COLUMN_LIMIT:
        raise DataError(f"The result has {len(reader.schema)} columns; {COLUMN_LIMIT} is the most")
    for field in reader.schema:
        if len(field.name) > NAME_LIMIT:
            raise DataError("The result has a column with too long a name")
        check_type(field.name, field.type, DataError)
    if len(set(reader.schema.names)) < len(reader.schema):
        raise DataError("The result has two columns of the same name")
    # Values without bytes, such as those of a column of nothing, could be any number.
    most = max(100_000_000, 8 * data.size)
    batches: list[pa.RecordBatch] = []
    for place in range(reader.num_record_batches):
        batch = reader.get_batch(place)
        batch.validate(full=True)
        batches.append(batch)
        most -= batch.num_rows
        if most < 0:
            raise DataError("The result says that it has more rows than it can have")
    table = pa.Table.from_batches(batches, schema=reader.schema)
    bare = pa.schema([without_metadata(field) for field in table.schema])
    return table.cast(bare) if bare != table.schema else table.replace_schema_metadata(None)


# --- how it is written ---


def _layout(table: pa.Table) -> dict[str, Any]:
    """How each column is written, as a sample of it suggests: numbers get a dictionary only where they recur, and compression where it helps.

    A large table is written for speed. Whole numbers are told by their differences, and what is compressed is so with Snappy, where that leaves less than
    two fifths: Zstandard makes it a quarter smaller and takes as long as all the rest of the job.
    """
    is_large = table.nbytes >= FAST_BYTES
    numbers, worth = ("snappy", 0.4) if is_large else ("zstd", 0.9)
    recurring: list[str] = []
    codecs: dict[str, str] = {}
    encodings: dict[str, str] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        leaves = _leaves(field.name, field.type)
        sample = _sample(column) if _is_number(field.type) else None
        recurs = sample is None or _recurs(sample)
        by_differences = is_large and (pa.types.is_int64(field.type) or pa.types.is_int32(field.type))
        if by_differences:
            encodings |= dict.fromkeys(leaves, "DELTA_BINARY_PACKED")
        elif recurs:
            recurring += leaves
        codecs |= dict.fromkeys(leaves, "zstd" if sample is None else numbers if recurs or by_differences or _shrinks(sample, numbers, worth) else "none")
    return {"use_dictionary": recurring, "column_encoding": encodings, "compression": codecs, "write_batch_size": BATCH_ROWS}


def _leaves(path: str, type: pa.DataType) -> list[str]:
    """The names of a column's parts in Parquet."""
    if pa.types.is_struct(type):
        return [leaf for field in type for leaf in _leaves(f"{path}.{field.name}", field.type)]
    if pa.types.is_map(type):
        return [f"{path}.key_value.key", *_leaves(f"{path}.key_value.value", type.item_type)]
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        return _leaves(f"{path}.list.element", type.value_type)
    return [path]


def _is_number(type: pa.DataType) -> bool:
    return pa.types.is_floating(type) or pa.types.is_integer(type) or pa.types.is_temporal(type)


def _sample(column: pa.ChunkedArray) -> np.ndarray:
    part = column.slice(column.length() // 2, 2048).combine_chunks()
    values = np.frombuffer(part.buffers()[1] or b"", dtype=f"u{part.type.bit_width // 8}")
    return values[part.offset : part.offset + len(part)]


def _recurs(sample: np.ndarray) -> bool:
    return np.unique(sample).size < 0.9 * sample.size


def _shrinks(sample: np.ndarray, codec: str, worth: float) -> bool:
    return len(pa.compress(sample.tobytes(), codec=codec, asbytes=True)) < worth * sample.nbytes


# --- what is shown of it ---


def _preview(table: pa.Table, rows: int) -> list[list[Any]]:
    """The first rows as JSON shows them, in the way of the platform's queries."""
    told: list[list[Any]] = []
    left = PREVIEW_LIMIT
    for place in range(min(rows, table.num_rows)):
        row = [_cell(column[place]) for column in table.columns]
        left -= len(json.dumps(row))
        if left < 0:
            break
        told.append(row)
    return told


def _cell(scalar: pa.Scalar, depth: int = 0) -> Any:
    type = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_dictionary(type):
        return _cell(scalar.value, depth)
    if pa.types.is_temporal(type):
        return _time_cell(scalar.value, type)
    if type.num_fields > 0 and depth > 3:
        return "..."
    if pa.types.is_struct(type):
        return {field.name: _cell(scalar[place], depth + 1) for place, field in enumerate(list(type)[:ITEM_LIMIT])}
    if pa.types.is_map(type):
        return [{"key": _cell(item["key"], depth + 1), "value": _cell(item["value"], depth + 1)} for item in scalar.values[:ITEM_LIMIT]]
    if type.num_fields > 0:
        return [_cell(item, depth + 1) for item in scalar.values[:ITEM_LIMIT]]
    if is_binary(type) or pa.types.is_fixed_size_binary(type):
        return base64.b64encode(scalar.as_buffer()[:CELL_LIMIT]).decode("ascii")
    return _simple_cell(scalar.as_py())


def _simple_cell(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= CELL_LIMIT else f"{value[:CELL_LIMIT]}..."
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= EXACT else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, float) else str(value)


def _time_cell(value: int, type: pa.DataType) -> str:
    """ISO text, also for times that Python's own types cannot hold."""
    if pa.types.is_date(type):
        return str(np.datetime64(value, "D" if pa.types.is_date32(type) else "ms").astype("datetime64[D]"))
    if pa.types.is_duration(type):
        return str(np.timedelta64(value, type.unit))
    text = _short_fraction(str(np.datetime64(value, type.unit)))
    if pa.types.is_time(type):
        return text.partition("T")[2]
    return f"{text}Z" if type.tz else text


def _short_fraction(text: str) -> str:
    """Milliseconds always; micro- and nanoseconds only where there are any."""
    seconds, _, digits = text.partition(".")
    digits = digits.ljust(3, "0")
    while len(digits) > 3 and digits.endswith("000"):
        digits = digits[:-3]
    return f"{seconds}.{digits}"

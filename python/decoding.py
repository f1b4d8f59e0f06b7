"""CSV, JSON and Parquet to Arrow, in the way that the head of frames.py tells."""

import csv
import functools
import io
import json
import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pyarrow import compute, parquet
from pyarrow import csv as arrow_csv
from pyarrow import json as arrow_json

from kinds import EXACT, DataError, check_type, is_binary, shown, too_large_input, without_metadata
from sources import BLOCK, Made, NotUtf8, Source, in_its_encoding, text_stream


def read(source: Source, format: str) -> pa.Table:
    """`format` is csv, json (one object a line, or one array of them) or parquet."""
    if format == "csv":
        return in_its_encoding(source, _read_csv)
    if format == "json":
        return in_its_encoding(source, _read_json)
    if format == "parquet":
        return _read_parquet(source)
    raise DataError(f"{shown(format)} is no format that is read; those are csv, json and parquet")


# --- CSV ---

MISSING = [
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
]
"""Texts that mean no value, as for `pd.read_csv`."""


class _Dialect:
    """How this CSV divides its values, found in its first lines."""

    def __init__(self, head: str) -> None:
        named = re.match(r"sep=(.)\r?\n", head)  # Excel's own way to say it
        self.skip = 1 if named else 0
        lines = _some_records(head[named.end() :] if named else head)
        self.delimiter = named[1] if named else _delimiter_of(lines)
        values = [value for record in csv.reader(lines, delimiter=self.delimiter) for value in record]
        commas = sum(1 for value in values if re.fullmatch(r"\s*[+-]?\d+,\d+\s*", value))
        points = sum(1 for value in values if re.fullmatch(r"\s*[+-]?\d+\.\d+\s*", value))
        self.decimal = "," if self.delimiter != "," and commas > points else "."


def _some_records(head: str) -> list[str]:
    """Whole lines of the head, without the last one that may be cut."""
    lines = [line for line in head.splitlines() if line.strip()]
    return lines[:100] if len(lines) < 2 or head.endswith("\n") else lines[:-1][:100]


def _delimiter_of(lines: list[str]) -> str:
    """The one by which most lines have as many values as the header, and among those the one that gives the most."""

    def fit(delimiter: str) -> tuple[float, int]:
        counts = [len(record) for record in csv.reader(lines, delimiter=delimiter)]
        if not counts or counts[0] < 2:
            return (0.0, 0)
        return (sum(count == counts[0] for count in counts) / len(counts), counts[0])

    best = max(",;\t|", key=fit)
    return best if fit(best)[1] > 1 else ","


def _read_csv(source: Source, encoding: str) -> pa.Table:
    head = source.head().decode(encoding, errors="replace")
    if "\0" in head:
        raise DataError("The data set is no CSV: it holds bytes that are no text")
    if not head.strip("\ufeff\r\n "):
        raise DataError("The data set is empty: its first line must name the columns")
    dialect = _Dialect(head)
    table = _as_pandas_would(lambda types: _parse_csv(source, encoding, dialect, types))
    return table.rename_columns(_distinct(table.column_names))


def _parse_csv(source: Source, encoding: str, dialect: _Dialect, types: dict[str, pa.DataType]) -> pa.Table:
    """With the types of some columns given. Whole numbers too long for 64 bits, such as the keys of documents, stay text."""
    table = _parse_csv_with(source, encoding, dialect, types)
    huge = [name for name in table.column_names if table.column_names.count(name) == 1 and _is_huge(table.column(name))]
    if not huge:
        return table
    texts = _parse_csv_with(source, encoding, dialect, types | dict.fromkeys(huge, pa.string()))
    return functools.reduce(_with_whole_numbers, [(name, texts.column(name)) for name in huge], table)


def _is_huge(column: pa.ChunkedArray) -> bool:
    return pa.types.is_float64(column.type) and (compute.max(compute.abs(column)).as_py() or 0) >= 2**63


def _with_whole_numbers(table: pa.Table, texts: tuple[str, pa.ChunkedArray]) -> pa.Table:
    name, column = texts
    if not compute.all(compute.match_substring_regex(column, r"^\s*[+-]?\d+\s*$")).as_py():
        return table
    try:
        column = column.cast(pa.uint64())
    except pa.ArrowInvalid:
        pass
    return table.set_column(table.column_names.index(name), name, column)


def _parse_csv_with(source: Source, encoding: str, dialect: _Dialect, types: dict[str, pa.DataType]) -> pa.Table:
    def parse(stream: Any, delimiter: str, skip: int) -> pa.Table:
        return arrow_csv.read_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=arrow_csv.ReadOptions(block_size=BLOCK, skip_rows=skip),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(column_types=types, null_values=MISSING, strings_can_be_null=True, decimal_point=dialect.decimal),
        )

    try:
        return _in_utf8(parse(text_stream(source, encoding), dialect.delimiter, dialect.skip))
    except pa.ArrowInvalid as error:
        if "invalid UTF8" in str(error) and encoding.startswith("utf-8"):
            raise NotUtf8 from error
        if "columns, got" not in str(error):
            raise
        return _in_utf8(parse(_evened(text_stream(source, encoding), dialect), ",", 0))


def _evened(stream: io.RawIOBase, dialect: _Dialect) -> Made:
    """Records with fewer values than the header get missing ones; more values than the header are an error unless they are empty."""
    text = io.TextIOWrapper(io.BufferedReader(stream, BLOCK), encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(2**31 - 1)
    records = csv.reader(text, delimiter=dialect.delimiter)
    for _ in range(dialect.skip):
        next(records)
    width = 0

    def even(record: list[str]) -> list[str]:
        if any(value.strip() for value in record[width:]):
            raise DataError(f"Line {records.line_num} has {len(record)} values, but the first line names {width} columns")
        return record[:width] + [""] * (width - len(record))

    def more() -> bytes:
        nonlocal width
        part = io.StringIO(newline="")
        writer = csv.writer(part)
        for record in records:
            width = width or len(record)
            if record:
                writer.writerow(even(record))
            if part.tell() >= BLOCK:
                break
        return part.getvalue().encode("utf-8", errors="surrogateescape")

    return Made(more)


def _distinct(names: list[str]) -> list[str]:
    """As pandas names columns without a name, or with one that was there before: `Unnamed: 0`, `price.1`."""
    seen: set[str] = set()
    told: list[str] = []
    for place, name in enumerate(names):
        base = name or f"Unnamed: {place}"
        candidate, count = base, 0
        while candidate in seen or (count > 0 and candidate in names):
            count += 1
            candidate = f"{base}.{count}"
        seen.add(candidate)
        told.append(candidate)
    return told


# --- JSON ---


def _read_json(source: Source, encoding: str) -> pa.Table:
    start = source.head().decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
    if not start:
        raise DataError("The data set is empty: it must be one JSON object a line, or one array of objects")
    lines = _lines_of_array(source, encoding) if start.startswith("[") else None
    if lines == b"":
        return pa.table({})
    return _as_pandas_would(lambda types: _parse_json(source, encoding, lines, types))


def _lines_of_array(source: Source, encoding: str) -> bytes:
    text = io.TextIOWrapper(io.BufferedReader(source.open(), BLOCK), encoding="utf-8-sig" if encoding == "utf-8" else encoding)
    try:
        rows = json.load(text)
    except json.JSONDecodeError as error:
        raise DataError(f"The data set is no JSON: {error.msg} in line {error.lineno}") from error
    except UnicodeDecodeError as error:
        raise NotUtf8 from error
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f'Row {place + 1} of the array is no object: each must be one, such as {{"a": 1}}')
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", errors="replace")


def _parse_json(source: Source, encoding: str, lines: bytes | None, types: dict[str, pa.DataType]) -> pa.Table:
    options = arrow_json.ParseOptions(explicit_schema=pa.schema(list(types.items())) if types else None, newlines_in_values=True)
    stream = pa.BufferReader(lines) if lines is not None else pa.PythonFile(text_stream(source, encoding), mode="r")
    # A row must fit into a block.
    return _in_utf8(arrow_json.read_json(stream, read_options=arrow_json.ReadOptions(block_size=16 * BLOCK), parse_options=options))


# --- what both have in common ---


def _as_pandas_would(parse: Callable[[dict[str, pa.DataType]], pa.Table]) -> pa.Table:
    """Types are Arrow's guess, except that times stay the text that they are; to get that, they are named and the file is read again."""
    guessed = parse({})
    textual = {field.name: _textual(field.type) for field in guessed.schema if _textual(field.type) != field.type}
    table = parse(textual).select(guessed.column_names) if textual else guessed
    columns = [_loose(column, table.num_rows) for column in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _in_utf8(table: pa.Table) -> pa.Table:
    """Arrow takes text that is no UTF-8 for binary values in CSV, and for text in JSON."""
    try:
        names = table.column_names
        table.validate(full=True)
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise NotUtf8 from error
    if any("\ufffd" in name or is_binary(table.schema.field(place).type) for place, name in enumerate(names)):
        raise NotUtf8
    return table


def _textual(type: pa.DataType) -> pa.DataType:
    if pa.types.is_temporal(type):
        return pa.string()
    if pa.types.is_list(type):
        return pa.list_(_textual(type.value_type))
    if pa.types.is_struct(type):
        return pa.struct([pa.field(field.name, _textual(field.type)) for field in type])
    return type


def _loose(column: pa.ChunkedArray, rows: int) -> pa.ChunkedArray:
    if pa.types.is_null(column.type) and rows > 0:
        return column.cast(pa.float64())
    if not pa.types.is_integer(column.type) or column.null_count == 0:
        return column
    extremes = compute.min_max(column)
    fits = all(extremes[end].as_py() is None or abs(extremes[end].as_py()) <= EXACT for end in ("min", "max"))
    return column.cast(pa.float64()) if fits else column


# --- Parquet ---


def _read_parquet(source: Source) -> pa.Table:
    with source.raw() as raw:
        file = parquet.ParquetFile(pa.PythonFile(raw, mode="r"))
        schema = pa.schema([without_metadata(field) for field in file.schema_arrow])
        for field in schema:
            check_type(field.name, field.type, DataError)
        if file.metadata.num_rows * sum(_least_width(field.type) for field in schema) > source.limit:
            raise too_large_input(source.limit)
        # Batch by batch: a few bytes of Parquet can stand for any number of rows.
        batches: list[pa.RecordBatch] = []
        size = 0
        for batch in file.iter_batches(batch_size=1 << 17, use_threads=True):
            size += batch.nbytes
            if size > source.limit:
                raise too_large_input(source.limit)
            batches.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    table = pa.Table.from_batches(batches, schema=schema)
    # The row labels of a frame that pandas wrote; they had no name.
    return table.select([name for name in table.column_names if not re.fullmatch(r"__index_level_\d+__", name)])


def _least_width(type: pa.DataType) -> int:
    try:
        return max(1, type.bit_width // 8)
    except ValueError:
        return 1

"""Data sets to frames, and frames to Parquet. Between the children that decode, run and encode, data travels as one Arrow IPC file a step.

decode   bytes of an object (CSV, JSON or Parquet, also compressed)  ->  Arrow       never sees a user's code
load     Arrow  ->  the DataFrame that `process(df)` gets
store    the DataFrame that it returned  ->  Arrow
encode   that Arrow, which may be hostile  ->  Parquet and a preview                 never sees a user's code

What pandas would give for the same file is what a user gets, except where pandas loses something:

- Text formats follow `pd.read_csv` and `pd.read_json`: dates stay text, whole numbers with missing values are float64. They stay whole
  (Int64) when a float64 could not hold them exactly.
- Typed formats keep their types: whole numbers and booleans with missing values are pandas' nullable Int64 and boolean. Dates, decimals,
  lists and structs are the objects that `pd.read_parquet` gives, and go back to the very type that they came from while they fit it.
- A float64 cannot tell a missing value from NaN: both are written as missing. pandas' nullable Float64 can, and both are kept.
- The row labels: levels of the index that have a name become columns, one without a name is dropped. Periods and intervals become text.

What is wrong with the data, in words for its owner, is a DataError; with the result, in words for the writer of the code, a ResultError.
A MemoryError is passed on.
"""

import base64
import codecs
import csv
import fcntl
import io
import json
import math
import mmap
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

DECODED_LIMIT = 4 << 30
"""Most bytes that a data set may be once it is decompressed, and again once it is in columns."""
COLUMN_LIMIT = 10_000
NAME_LIMIT = 1_000
CELL_LIMIT = 200
"""Most characters of a text in the preview, and of a value in a message."""
ITEM_LIMIT = 100
"""Most items of a list in the preview."""
PREVIEW_LIMIT = 256_000
"""Most characters of the whole preview; rows that do not fit are left away."""

HEAD = 1 << 16
BLOCK = 1 << 20
EXACT = 2**53
"""The largest whole number up to which a float64 holds every one."""


class DataError(Exception):
    """The bytes are no data set of that format."""


class ResultError(Exception):
    """What `process` returned cannot be kept."""


class TooLarge(Exception):
    """What `process` returned is larger than the job's limit."""


# --- decode ---------------------------------------------------------------------------------------------------------------------------


def decode(source_fd: int, format: str, out_fd: int, limit: int = DECODED_LIMIT) -> dict[str, Any]:
    """Reads a regular file whole and writes it as Arrow with one record batch, so that `load` can map each column."""
    try:
        table = _READERS[format](_Source(source_fd, limit))
        _check_input_names(table.column_names)
        table = pa.Table.from_arrays([_loadable(column) for column in table.columns], schema=pa.schema(_loadable_fields(table.schema)))
        if table.nbytes > limit:
            raise _too_large_input(limit)
        size = _write(table, out_fd, None)
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, UnicodeError, csv.Error, OSError, EOFError, ValueError, RecursionError) as error:
        raise DataError(f"The data set cannot be read as {format}: {_first_line(error)}") from error
    return {"rows": table.num_rows, "columns": table.column_names, "bytes": size}


class _Source:
    """The decompressed bytes of a file, from the start as often as wanted, never more than the limit."""

    def __init__(self, fd: int, limit: int) -> None:
        self.fd = fd
        self.limit = limit
        with self.raw() as raw:
            self.compression = _compression(raw.read(4))

    def raw(self) -> io.FileIO:
        raw = open(self.fd, "rb", buffering=0, closefd=False)
        raw.seek(0)
        return raw

    def open(self) -> "_Bounded":
        raw = self.raw()
        stream = pa.PythonFile(raw, mode="r")
        return _Bounded(pa.CompressedInputStream(stream, self.compression) if self.compression else stream, self.limit)

    def head(self) -> bytes:
        stream = self.open()
        parts: list[bytes] = []
        while (left := HEAD - sum(map(len, parts))) > 0 and (part := stream.read(left)):
            parts.append(part)
        return b"".join(parts)


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than so many bytes: a small compressed file can be a very large one."""

    def __init__(self, stream: Any, limit: int) -> None:
        self.stream = stream
        self.left = self.limit = limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        block = self.stream.read(BLOCK if size < 0 else size)
        self.left -= len(block)
        if self.left < 0:
            raise _too_large_input(self.limit)
        return block

    def readinto(self, buffer: Any) -> int:
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


class _Recoded(io.RawIOBase):
    """Text of another encoding as UTF-8."""

    def __init__(self, stream: _Bounded, encoding: str) -> None:
        self.stream = stream
        self.decoder = codecs.getincrementaldecoder(encoding)(errors="lagoa_latin1" if encoding == "cp1252" else "strict")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while True:
            block = self.stream.read(BLOCK if size < 0 else size)
            text = self.decoder.decode(block, final=not block)
            if text or not block:
                return text.encode()

    def readinto(self, buffer: Any) -> int:
        # One byte of an old encoding is at most three of UTF-8, one of UTF-16 at most two.
        block = self.read(max(1, len(buffer) // 3))
        buffer[: len(block)] = block
        return len(block)


def _latin1(error: UnicodeError) -> tuple[str, int]:
    """The five bytes that windows-1252 leaves open are what they are in latin-1, as browsers read them."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error("lagoa_latin1", _latin1)


def _compression(magic: bytes) -> str | None:
    if magic[:2] == b"\x1f\x8b":
        return "gzip"
    if magic == b"\x28\xb5\x2f\xfd":
        return "zstd"
    return "bz2" if magic[:3] == b"BZh" else None


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"


class _NotUtf8(Exception):
    pass


def _in_its_encoding(source: _Source, read: Any) -> pa.Table:
    """Text is UTF-8 unless a mark at its start or its bytes say otherwise; then it is windows-1252, which any bytes can be."""
    encoding = _encoding(source.head())
    try:
        return read(source, encoding)
    except _NotUtf8:
        return read(source, "cp1252")


def _text_stream(source: _Source, encoding: str) -> io.RawIOBase:
    # Arrow knows UTF-8 and its mark.
    return source.open() if encoding.startswith("utf-8") else _Recoded(source.open(), encoding)


# --- CSV ---


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


def _read_csv(source: _Source) -> pa.Table:
    return _in_its_encoding(source, _read_csv_as)


def _read_csv_as(source: _Source, encoding: str) -> pa.Table:
    head = source.head().decode("cp1252" if encoding == "cp1252" else encoding, errors="replace")
    if not head.strip("\ufeff\r\n "):
        raise DataError("The data set is empty: its first line must name the columns")
    dialect = _Dialect(head)
    table = _as_pandas_would(lambda pinned: _parse_csv(source, encoding, dialect, pinned))
    return table.rename_columns(_distinct(table.column_names))


def _parse_csv(source: _Source, encoding: str, dialect: _Dialect, types: dict[str, pa.DataType]) -> pa.Table:
    def parse(stream: Any, delimiter: str, skip: int) -> pa.Table:
        return pa.csv.read_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pa.csv.ReadOptions(block_size=BLOCK, skip_rows=skip),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True, decimal_point=dialect.decimal),
        )

    try:
        return parse(_text_stream(source, encoding), dialect.delimiter, dialect.skip)
    except pa.ArrowInvalid as error:
        if "invalid UTF8" in str(error) and encoding.startswith("utf-8"):
            raise _NotUtf8 from error
        if "columns, got" not in str(error):
            raise
        return parse(_Evened(_text_stream(source, encoding), encoding, dialect), ",", 0)


class _Evened(io.RawIOBase):
    """Records with fewer values than the header get missing ones; more values than the header are an error unless they are empty."""

    def __init__(self, stream: io.RawIOBase, encoding: str, dialect: _Dialect) -> None:
        text = io.TextIOWrapper(io.BufferedReader(stream, BLOCK), encoding="utf-8-sig", errors="surrogateescape", newline="")
        csv.field_size_limit(DECODED_LIMIT)
        self.records = csv.reader(text, delimiter=dialect.delimiter)
        for _ in range(dialect.skip):
            next(self.records)
        self.width = 0
        self.buffer = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        wanted = BLOCK if size < 0 else size
        while len(self.buffer) < wanted and (more := self._more()):
            self.buffer += more
        block, self.buffer = self.buffer[:wanted], self.buffer[wanted:]
        return block

    def _more(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        for record in self.records:
            if record:
                writer.writerow(self._even(record))
            if text.tell() >= BLOCK:
                break
        return text.getvalue().encode("utf-8", errors="surrogateescape")

    def _even(self, record: list[str]) -> list[str]:
        self.width = self.width or len(record)
        if any(value.strip() for value in record[self.width :]):
            raise DataError(f"Line {self.records.line_num} has {len(record)} values, but the first line names {self.width} columns")
        return record[: self.width] + [""] * (self.width - len(record))


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


def _read_json(source: _Source) -> pa.Table:
    return _in_its_encoding(source, _read_json_as)


def _read_json_as(source: _Source, encoding: str) -> pa.Table:
    start = source.head().decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
    if not start:
        raise DataError("The data set is empty: it must be one JSON object a line, or one array of objects")
    lines = _lines_of_array(source, encoding) if start.startswith("[") else None
    if lines == b"":
        return pa.table({})
    return _as_pandas_would(lambda types: _parse_json(source, encoding, lines, types))


def _lines_of_array(source: _Source, encoding: str) -> bytes:
    text = io.TextIOWrapper(io.BufferedReader(source.open(), BLOCK), encoding="utf-8-sig" if encoding == "utf-8" else encoding)
    try:
        rows = json.load(text)
    except json.JSONDecodeError as error:
        raise DataError(f"The data set is no JSON: {error.msg} in line {error.lineno}") from error
    except UnicodeDecodeError as error:
        raise _NotUtf8 from error
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"Row {place + 1} of the array is no object: each must be one, such as {{\"a\": 1}}")
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", errors="surrogatepass")


def _parse_json(source: _Source, encoding: str, lines: bytes | None, types: dict[str, pa.DataType]) -> pa.Table:
    options = pa.json.ParseOptions(explicit_schema=pa.schema(list(types.items())) if types else None, newlines_in_values=True)
    stream = pa.BufferReader(lines) if lines is not None else pa.PythonFile(_text_stream(source, encoding), mode="r")
    # A row must fit into a block.
    return pa.json.read_json(stream, read_options=pa.json.ReadOptions(block_size=16 * BLOCK), parse_options=options)


# --- what both text formats share ---


def _as_pandas_would(parse: Any) -> pa.Table:
    """Types are Arrow's guess, except that times stay the text that they are; to get that, they are named and the file is read again."""
    table = parse({})
    textual = {field.name: _textual(field.type) for field in table.schema if _textual(field.type) != field.type}
    if textual:
        table = parse(textual)
    if any(_is_binary(field.type) or not _is_text(field.name) for field in table.schema):
        raise _NotUtf8
    columns = [_loose(column, table.num_rows) for column in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _textual(type: pa.DataType) -> pa.DataType:
    if pa.types.is_temporal(type):
        return pa.string()
    if pa.types.is_list(type):
        return pa.list_(_textual(type.value_type))
    if pa.types.is_struct(type):
        return pa.struct([pa.field(field.name, _textual(field.type)) for field in type])
    return type


def _is_binary(type: pa.DataType) -> bool:
    return pa.types.is_binary(type) or pa.types.is_large_binary(type)


def _is_text(name: str) -> bool:
    return "\ufffd" not in name


def _loose(column: pa.ChunkedArray, rows: int) -> pa.ChunkedArray:
    if pa.types.is_null(column.type) and rows > 0:
        return column.cast(pa.float64())
    if not pa.types.is_integer(column.type) or column.null_count == 0:
        return column
    extremes = pa.compute.min_max(column)
    fits = all(extremes[end].as_py() is None or abs(extremes[end].as_py()) <= EXACT for end in ("min", "max"))
    return column.cast(pa.float64()) if fits else column


# --- Parquet ---


def _read_parquet(source: _Source) -> pa.Table:
    with source.raw() as raw:
        file = pa.parquet.ParquetFile(pa.PythonFile(raw, mode="r"))
        schema = pa.schema([_without_metadata(field) for field in file.schema_arrow])
        for field in schema:
            _check_type(field.name, field.type, DataError)
        if file.metadata.num_rows * sum(_least_width(field.type) for field in schema) > source.limit:
            raise _too_large_input(source.limit)
        # Batch by batch: a few bytes of Parquet can stand for any number of rows.
        batches: list[pa.RecordBatch] = []
        size = 0
        for batch in file.iter_batches(batch_size=1 << 17, use_threads=True):
            size += batch.nbytes
            if size > source.limit:
                raise _too_large_input(source.limit)
            batches.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    table = pa.Table.from_batches(batches, schema=schema)
    # The row labels of a frame that pandas wrote; they had no name.
    return table.select([name for name in table.column_names if not re.fullmatch(r"__index_level_\d+__", name)])


_READERS = {"csv": _read_csv, "json": _read_json, "parquet": _read_parquet}


def _least_width(type: pa.DataType) -> int:
    try:
        return max(1, type.bit_width // 8)
    except ValueError:
        return 1


def _loadable_fields(schema: pa.Schema) -> list[pa.Field]:
    return [pa.field(field.name, pa.large_string() if pa.types.is_string(field.type) else field.type) for field in schema]


def _loadable(column: pa.ChunkedArray) -> pa.Array:
    """One chunk, and text with the wide offsets that pandas' own text has: both so that loading copies nothing."""
    wide = column.cast(pa.large_string()) if pa.types.is_string(column.type) else column
    return wide.combine_chunks() if wide.num_chunks != 1 else wide.chunk(0)


def _check_input_names(names: list[str]) -> None:
    if len(names) > COLUMN_LIMIT:
        raise DataError(f"The data set has {len(names)} columns; {COLUMN_LIMIT} is the most")
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise DataError(f"The data set has more than one column named {_shown(twice[0])}")


def _too_large_input(limit: int) -> DataError:
    return DataError(f"The data set is larger than {limit} bytes once it is unpacked")


# --- load -----------------------------------------------------------------------------------------------------------------------------


def load(arrow_fd: int) -> pd.DataFrame:
    """The frame over a private mapping of the file: numbers without missing values are not copied, and writing to them stays in this process."""
    view = mmap.mmap(arrow_fd, 0, access=mmap.ACCESS_COPY)
    batch = _only_batch(view)
    columns = {field.name: _to_pandas(batch.column(place), field.type, view) for place, field in enumerate(batch.schema)}
    return pd.DataFrame(columns, index=pd.RangeIndex(batch.num_rows), copy=False)


def schema(arrow_fd: int) -> pa.Schema:
    """The types that the data set came with: what `store` may go back to."""
    # Mapped, because Arrow reads files in threads, which a job may not start.
    return pa.ipc.open_file(pa.py_buffer(mmap.mmap(arrow_fd, 0, access=mmap.ACCESS_READ))).schema


def _only_batch(view: mmap.mmap) -> pa.RecordBatch:
    reader = pa.ipc.open_file(pa.py_buffer(view), options=pa.ipc.IpcReadOptions(use_threads=False))
    if reader.num_record_batches == 1:
        return reader.get_batch(0)
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in reader.schema], schema=reader.schema)


def _to_pandas(array: pa.Array, type: pa.DataType, view: mmap.mmap) -> Any:
    if array.null_count == 0 and len(array) > 0 and _maps_to_numpy(type):
        buffer = array.buffers()[1]
        offset = buffer.address - pa.py_buffer(view).address + array.offset * (type.bit_width // 8)
        return np.frombuffer(view, dtype=type.to_pandas_dtype(), count=len(array), offset=offset)
    if pa.types.is_large_string(type):
        return pd.StringDtype(na_value=np.nan).__from_arrow__(array)
    if array.null_count > 0 and type in _NULLABLE:
        return _NULLABLE[type].__from_arrow__(array)
    return array.to_pandas(date_as_object=True, use_threads=False)


def _maps_to_numpy(type: pa.DataType) -> bool:
    if pa.types.is_timestamp(type):
        return type.tz is None
    return pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_duration(type)


_NULLABLE: dict[pa.DataType, Any] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


# --- store ----------------------------------------------------------------------------------------------------------------------------


def store(result: Any, out_fd: int, limit: int, like: pa.Schema | None = None) -> dict[str, Any]:
    """Writes what `process` returned. `like` is the schema of its input: see the head of this file."""
    frame = _checked_frame(result)
    fields = {} if like is None else {field.name: field.type for field in like}
    arrays = {name: _to_arrow(name, column, fields.get(name)) for name, column in _columns(frame)}
    # Without columns a table would forget how many rows it has.
    table = pa.table(arrays) if arrays else pa.Table.from_batches([pa.RecordBatch.from_pandas(pd.DataFrame(index=frame.index), preserve_index=False)])
    if table.nbytes > limit:
        raise _too_large_result(limit)
    _write(table, out_fd, limit)
    return {"rows": len(frame), "columns": list(arrays)}


def _checked_frame(result: Any) -> pd.DataFrame:
    if isinstance(result, pd.DataFrame):
        return result
    if result is None:
        raise ResultError("process returned nothing (None): end it with a return of the DataFrame, such as: return df")
    if isinstance(result, pd.Series):
        raise ResultError("process returned a Series; return a DataFrame: result.to_frame(), or result.reset_index() to keep its labels")
    if isinstance(result, np.ndarray | list | tuple | dict):
        raise ResultError(f"process returned a {_type_of(result)}; return a DataFrame: pd.DataFrame(result)")
    raise ResultError(f"process returned a value of type {_type_of(result)}; it must return a DataFrame")


def _columns(frame: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    levels = [(name, frame.index.get_level_values(place)) for place, name in enumerate(frame.index.names) if name is not None]
    own = list(frame.columns)
    if isinstance(frame.columns, pd.MultiIndex):
        raise ResultError('The columns have several levels; make one name of each: df.columns = ["_".join(map(str, name)) for name in df.columns]')
    _check_result_names([name for name, _ in levels if not _repeats(frame, name, own)] + own)
    for name, values in levels:
        if name not in own:
            yield name, values.to_series(index=frame.index) if isinstance(values, pd.MultiIndex) else pd.Series(values, index=frame.index)
    for place, name in enumerate(own):
        yield name, frame.iloc[:, place]


def _repeats(frame: pd.DataFrame, name: Any, own: list[Any]) -> bool:
    """Whether a level of the index says what a column of its name says as well, as after `set_index(name, drop=False)`."""
    return own.count(name) == 1 and frame.index.get_level_values(name).equals(pd.Index(frame[name]))


def _check_result_names(names: list[Any]) -> None:
    if len(names) > COLUMN_LIMIT:
        raise ResultError(f"The result has {len(names)} columns; {COLUMN_LIMIT} is the most")
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise ResultError(
                f"The name of a column must be text, and {_shown(name)} is of type {_type_of(name)}; make them text: df.columns = df.columns.astype(str)"
            )
        if len(name) > NAME_LIMIT:
            raise ResultError(f"The name of a column has {len(name)} characters; {NAME_LIMIT} is the most: {_shown(name)}")
        if name in seen:
            raise ResultError(
                f"The result has more than one column named {_shown(name)}, counting the index when it has a name; rename one, or use reset_index(drop=True)"
            )
        seen.add(name)


def _to_arrow(name: str, column: pd.Series, like: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    try:
        values = _plain(column)
        if values.dtype == object and like is not None and pa.types.is_map(like):
            return pa.array(values, type=like, from_pandas=True)
        array = _numbers(values) if isinstance(values.dtype, np.dtype) and values.dtype.kind == "f" else pa.array(values, from_pandas=True)
        if values.dtype == object and like is not None and array.type != like and _same_family(array.type, like):
            array = _as_before(array, like)
        _check_type(name, array.type, ResultError)
        return array
    except (ResultError, MemoryError):
        raise
    except UnicodeError as error:
        raise ResultError(f"The column {_shown(name)} holds text that is not Unicode: {_first_line(error)}") from error
    except (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise ResultError(_why_not(name, column, error)) from error


def _plain(column: pd.Series) -> pd.Series:
    """What Arrow would only know by an extension of pandas, as values that anybody can read."""
    dtype = column.dtype
    if isinstance(dtype, pd.SparseDtype):
        return column.sparse.to_dense()
    if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype):
        return column.astype(str).where(column.notna(), None)
    if isinstance(dtype, pd.CategoricalDtype) and isinstance(dtype.categories.dtype, pd.PeriodDtype | pd.IntervalDtype):
        return column.cat.rename_categories(dtype.categories.astype(str))
    return column


def _numbers(values: pd.Series) -> pa.Array:
    numbers = values.to_numpy()
    return pa.array(numbers, from_pandas=bool(np.isnan(numbers).any()))


def _same_family(inferred: pa.DataType, like: pa.DataType) -> bool:
    families = (
        pa.types.is_null,
        pa.types.is_decimal,
        pa.types.is_time,
        pa.types.is_struct,
        lambda type: _is_binary(type) or pa.types.is_fixed_size_binary(type),
        lambda type: pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type),
    )
    return pa.types.is_null(inferred) or any(family(inferred) and family(like) for family in families)


def _as_before(array: pa.Array, like: pa.DataType) -> pa.Array:
    try:
        return array.cast(like, safe=True)
    except (pa.ArrowException, ValueError):
        return array


def _why_not(name: str, column: pd.Series, error: Exception) -> str:
    types = sorted({_type_of(value) for value in column.head(10_000) if not _is_missing(value)}) if column.dtype == object else []
    if len(types) > 1:
        return (
            f"The column {_shown(name)} mixes values of types {', '.join(types[:5])}; make them one type,"
            f" for example: df[{_shown(name)}] = df[{_shown(name)}].astype(str)"
        )
    if types:
        return f"The column {_shown(name)} holds values of type {types[0]}, which Parquet cannot hold: {_first_line(error)}"
    return f"The column {_shown(name)} is of type {column.dtype}, which Parquet cannot hold: {_first_line(error)}"


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


def _too_large_result(limit: int) -> TooLarge:
    return TooLarge(f"The result is larger than the {limit} bytes that this job may write")


# --- encode ---------------------------------------------------------------------------------------------------------------------------


def encode(arrow_fd: int, parquet_fd: int, preview: int) -> dict[str, Any]:
    """Checks every value of what a user's process wrote, then writes it as Parquet. Nothing of it is trusted, not even that it stays the same."""
    try:
        table = _checked_table(_unchanging(arrow_fd))
        with open(parquet_fd, "wb", buffering=0, closefd=False) as file:
            pa.parquet.write_table(table, pa.PythonFile(file, mode="w"), **_layout(table))
        return {
            "rows": table.num_rows,
            "columns": [{"name": field.name, "type": _type_name(field.type)} for field in table.schema],
            "preview": _preview(table, preview),
        }
    except (DataError, MemoryError):
        raise
    except (pa.ArrowException, UnicodeError, ValueError, TypeError, OSError, OverflowError, NotImplementedError, RecursionError) as error:
        raise DataError(f"The result cannot be written as Parquet: {_first_line(error)}") from error


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
        _check_type(field.name, field.type, DataError)
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
    bare = pa.schema([_without_metadata(field) for field in table.schema])
    return table.cast(bare) if bare != table.schema else table.replace_schema_metadata(None)


def _check_type(name: str, type: pa.DataType, error: type[DataError] | type[ResultError], depth: int = 0) -> None:
    """Only types that Parquet has; above all no extension, whose own code would run over the values."""
    inner = [type.field(place).type for place in range(type.num_fields)] if not isinstance(type, pa.BaseExtensionType) else []
    if pa.types.is_dictionary(type):
        inner = [type.value_type]
    empty = (pa.types.is_struct(type) and not inner) or (pa.types.is_fixed_size_list(type) and type.list_size < 1)
    if depth > 16 or type.id not in _KINDS or empty or (pa.types.is_fixed_size_binary(type) and type.byte_width < 1):
        raise error(f"The column {_shown(name)} is of type {_shown(str(type))}, which cannot be kept")
    if pa.types.is_dictionary(type) and (inner[0].num_fields > 0 or pa.types.is_dictionary(inner[0])):
        raise error(f"The column {_shown(name)} is a category of {_shown(str(inner[0]))}, which cannot be kept")
    for part in inner:
        _check_type(name, part, error, depth + 1)


_KINDS = {
    type.id
    for type in (
        *(pa.null(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.binary(1)),
        *(pa.date32(), pa.date64(), pa.time32("s"), pa.time64("us"), pa.timestamp("us"), pa.duration("us")),
        *(pa.decimal128(1), pa.decimal256(1), pa.list_(pa.null()), pa.large_list(pa.null()), pa.list_(pa.null(), 1)),
        *(pa.struct([]), pa.map_(pa.string(), pa.null()), pa.dictionary(pa.int8(), pa.null())),
    )
}


def _without_metadata(field: pa.Field) -> pa.Field:
    return pa.field(field.name, _bare(field.type), nullable=True)


def _bare(type: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(type):
        return pa.struct([_without_metadata(field) for field in type])
    if pa.types.is_map(type):
        return pa.map_(pa.field("key", _bare(type.key_type), nullable=False), _without_metadata(type.item_field), type.keys_sorted)
    if pa.types.is_fixed_size_list(type):
        return pa.list_(_without_metadata(type.value_field), type.list_size)
    if pa.types.is_large_list(type):
        return pa.large_list(_without_metadata(type.value_field))
    return pa.list_(_without_metadata(type.value_field)) if pa.types.is_list(type) else type


def _layout(table: pa.Table) -> dict[str, Any]:
    """How each column is written, as a sample of it suggests: numbers get a dictionary only where they recur, and compression where it helps."""
    recurring: list[str] = []
    codecs: dict[str, str] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        leaves = _leaves(field.name, field.type)
        sample = _sample(column) if _is_number(field.type) else None
        recurs = sample is None or _recurs(sample)
        recurring += leaves if recurs else []
        codecs |= dict.fromkeys(leaves, "zstd" if sample is None or recurs or _shrinks(sample) else "none")
    return {"use_dictionary": recurring, "compression": codecs}


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
    part = column.slice(column.length() // 2, 8192).combine_chunks()
    values = np.frombuffer(part.buffers()[1] or b"", dtype=f"u{part.type.bit_width // 8}")
    return values[part.offset : part.offset + len(part)]


def _recurs(sample: np.ndarray) -> bool:
    return np.unique(sample).size < 0.9 * sample.size


def _shrinks(sample: np.ndarray) -> bool:
    return len(pa.compress(sample.tobytes(), codec="zstd", asbytes=True)) < 0.9 * sample.nbytes


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
    if _is_binary(type) or pa.types.is_fixed_size_binary(type):
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


def _type_name(type: pa.DataType) -> str:
    """As Parquet keeps it: how wide the offsets were in memory, and which values a category allowed, is not in the file."""
    if pa.types.is_dictionary(type):
        return _type_name(type.value_type)
    if pa.types.is_large_string(type):
        return "string"
    if pa.types.is_large_binary(type):
        return "binary"
    if pa.types.is_struct(type):
        return f"struct<{', '.join(f'{field.name}: {_type_name(field.type)}' for field in type)}>"
    if pa.types.is_map(type):
        return f"map<{_type_name(type.key_type)}, {_type_name(type.item_type)}>"
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        return f"list<{_type_name(type.value_type)}>"
    return str(type)


# --- what all four share --------------------------------------------------------------------------------------------------------------


def _write(table: pa.Table, fd: int, limit: int | None) -> int:
    """As an Arrow IPC file with one record batch. Answers its size."""
    with open(fd, "wb", buffering=0, closefd=False) as file:
        sink = pa.PythonFile(_Limited(file, limit) if limit is not None else file, mode="w")
        with pa.ipc.new_file(sink, table.schema) as writer:
            for batch in table.combine_chunks().to_batches():
                writer.write_batch(batch)
        return file.tell()


class _Limited(io.RawIOBase):
    def __init__(self, file: io.FileIO, limit: int) -> None:
        self.file = file
        self.limit = limit

    def writable(self) -> bool:
        return True

    def write(self, block: Any) -> int:
        if self.file.tell() + len(block) > self.limit:
            raise _too_large_result(self.limit)
        return self.file.write(block)

    def tell(self) -> int:
        return self.file.tell()


def _first_line(error: BaseException) -> str:
    return _shortened(str(error).partition("\n")[0])


def _shown(value: Any) -> str:
    return _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= CELL_LIMIT else f"{text[:CELL_LIMIT]}..."


def _type_of(value: Any) -> str:
    return _shortened(str(type(value).__name__))

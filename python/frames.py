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

import csv
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from decoding import read
from encoding import encode
from kinds import (
    COLUMN_LIMIT,
    NAME_LIMIT,
    DataError,
    ResultError,
    TooLarge,
    check_type,
    first_line,
    is_binary,
    shown,
    too_large_input,
    too_large_result,
    type_of,
    write,
)
from sources import Source

__all__ = ["DataError", "ResultError", "TooLarge", "decode", "encode", "load", "schema", "store"]

DECODED_LIMIT = 4 << 30
"""Most bytes that a data set may be once it is decompressed, and again once it is in columns."""


def decode(source_fd: int, format: str, out_fd: int, limit: int = DECODED_LIMIT) -> dict[str, Any]:
    """Reads a regular file whole and writes it as Arrow with one record batch, so that `load` can map each column."""
    try:
        table = read(Source(source_fd, limit), format)
        _check_input_names(table.column_names)
        table = pa.Table.from_arrays([_loadable(column) for column in table.columns], schema=pa.schema(_loadable_fields(table.schema)))
        if table.nbytes > limit:
            raise too_large_input(limit)
        table.validate(full=True)
        size = write(table, out_fd, None)
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, UnicodeError, csv.Error, OSError, EOFError, ValueError, RecursionError) as error:
        raise DataError(f"The data set cannot be read as {format}: {first_line(error)}") from error
    return {"rows": table.num_rows, "columns": table.column_names, "bytes": size}


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
        raise DataError(f"The data set has more than one column named {shown(twice[0])}")


# --- load ---


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
    if pa.types.is_time64(type) and type.unit == "ns":
        return pd.array(array, dtype=pd.ArrowDtype(type))  # Python's own time of day ends at microseconds
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


# --- store ---


def store(result: Any, out_fd: int, limit: int, like: pa.Schema | None = None) -> dict[str, Any]:
    """Writes what `process` returned. `like` is the schema of its input: see the head of this file."""
    frame = _checked_frame(result)
    fields = {} if like is None else {field.name: field.type for field in like}
    arrays = {name: _to_arrow(name, column, fields.get(name)) for name, column in _columns(frame)}
    # Without columns a table would forget how many rows it has.
    table = pa.table(arrays) if arrays else pa.Table.from_batches([pa.RecordBatch.from_pandas(pd.DataFrame(index=frame.index), preserve_index=False)])
    if table.nbytes > limit:
        raise too_large_result(limit)
    write(table, out_fd, limit)
    return {"rows": len(frame), "columns": list(arrays)}


def _checked_frame(result: Any) -> pd.DataFrame:
    if isinstance(result, pd.DataFrame):
        return result
    if result is None:
        raise ResultError("process returned nothing (None): end it with a return of the DataFrame, such as: return df")
    if isinstance(result, pd.Series):
        raise ResultError("process returned a Series; return a DataFrame: result.to_frame(), or result.reset_index() to keep its labels")
    if isinstance(result, np.ndarray | list | tuple | dict):
        raise ResultError(f"process returned a {type_of(result)}; return a DataFrame: pd.DataFrame(result)")
    raise ResultError(f"process returned a value of type {type_of(result)}; it must return a DataFrame")


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
                f"The name of a column must be text, and {shown(name)} is of type {type_of(name)}; make them text: df.columns = df.columns.astype(str)"
            )
        if len(name) > NAME_LIMIT:
            raise ResultError(f"The name of a column has {len(name)} characters; {NAME_LIMIT} is the most: {shown(name)}")
        if name in seen:
            raise ResultError(
                f"The result has more than one column named {shown(name)}, counting the index when it has a name; rename one, or use reset_index(drop=True)"
            )
        seen.add(name)


def _to_arrow(name: str, column: pd.Series, like: pa.DataType | None) -> pa.Array | pa.ChunkedArray:
    try:
        values = _plain(column)
        if values.dtype == object and like is not None and pa.types.is_map(like):
            return pa.array(values, type=like, from_pandas=True)
        array = _inferred(values)
        if values.dtype == object and like is not None and array.type != like and _same_family(array.type, like):
            array = _as_before(array, like)
        check_type(name, array.type, ResultError)
        return array
    except (ResultError, MemoryError):
        raise
    except UnicodeError as error:
        raise ResultError(f"The column {shown(name)} holds text that is not Unicode: {first_line(error)}") from error
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


def _inferred(values: pd.Series) -> pa.Array | pa.ChunkedArray:
    if isinstance(values.dtype, np.dtype) and values.dtype.kind == "f":
        return _numbers(values)
    try:
        return pa.array(values, from_pandas=True)
    except pa.ArrowException:
        # What `groupby(...).unique()` gives: arrays of pandas as values. Arrow knows lists.
        if not any(isinstance(value, pd.api.extensions.ExtensionArray | pd.Series | pd.Index) for value in values):
            raise
        return pa.array([value.tolist() if hasattr(value, "tolist") else value for value in values], from_pandas=True)


def _numbers(values: pd.Series) -> pa.Array:
    numbers = values.to_numpy()
    with np.errstate(all="ignore"):
        # A sum is read off faster than each value; one that is no number may also come of infinities.
        missing = bool(np.isnan(numbers.sum()) and np.isnan(numbers).any())
    return pa.array(numbers, from_pandas=missing)


def _same_family(inferred: pa.DataType, like: pa.DataType) -> bool:
    families = (
        pa.types.is_null,
        pa.types.is_decimal,
        pa.types.is_time,
        pa.types.is_struct,
        lambda type: is_binary(type) or pa.types.is_fixed_size_binary(type),
        lambda type: pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type),
    )
    return pa.types.is_null(inferred) or any(family(inferred) and family(like) for family in families)


def _as_before(array: pa.Array, like: pa.DataType) -> pa.Array:
    try:
        return array.cast(like, safe=True)
    except (pa.ArrowException, ValueError):
        return array


def _why_not(name: str, column: pd.Series, error: Exception) -> str:
    types = sorted({type_of(value) for value in column.head(10_000) if not is_missing(value)}) if column.dtype == object else []
    if len(types) > 1:
        return (
            f"The column {shown(name)} mixes values of types {', '.join(types[:5])}; make them one type,"
            f" for example: df[{shown(name)}] = df[{shown(name)}].astype(str)"
        )
    if types:
        return f"The column {shown(name)} holds values of type {types[0]}, which Parquet cannot hold: {first_line(error)}"
    return f"The column {shown(name)} is of type {column.dtype}, which Parquet cannot hold: {first_line(error)}"


def is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)

"""What a data set may be on its way through the children: which types, how large, and in which words it is told when it is not."""

import io
from typing import Any

import pyarrow as pa

COLUMN_LIMIT = 10_000
NAME_LIMIT = 1_000
SHOWN_LIMIT = 200
"""Most characters of a value in a message."""
EXACT = 2**53
"""The largest whole number up to which a float64 holds every one."""


class DataError(Exception):
    """The bytes are no data set of that format."""


class ResultError(Exception):
    """What `process` returned cannot be kept."""


class TooLarge(Exception):
    """What `process` returned is larger than the job's limit."""


def check_type(name: str, type: pa.DataType, error: type[DataError] | type[ResultError], depth: int = 0) -> None:
    """Only types that Parquet has; above all no extension, whose own code would run over the values."""
    inner = [type.field(place).type for place in range(type.num_fields)] if not isinstance(type, pa.BaseExtensionType) else []
    if pa.types.is_dictionary(type):
        inner = [type.value_type]
    empty = (pa.types.is_struct(type) and not inner) or (pa.types.is_fixed_size_list(type) and type.list_size < 1)
    if depth > 16 or type.id not in _KINDS or empty or (pa.types.is_fixed_size_binary(type) and type.byte_width < 1):
        raise error(f"The column {shown(name)} is of type {shown(str(type))}, which cannot be kept")
    if pa.types.is_dictionary(type) and (inner[0].num_fields > 0 or pa.types.is_dictionary(inner[0])):
        raise error(f"The column {shown(name)} is a category of {shown(str(inner[0]))}, which cannot be kept")
    for part in inner:
        check_type(name, part, error, depth + 1)


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


def without_metadata(field: pa.Field) -> pa.Field:
    return pa.field(field.name, bare(field.type), nullable=True)


def bare(type: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(type):
        return pa.struct([without_metadata(field) for field in type])
    if pa.types.is_map(type):
        return pa.map_(pa.field("key", bare(type.key_type), nullable=False), without_metadata(type.item_field), type.keys_sorted)
    if pa.types.is_fixed_size_list(type):
        return pa.list_(without_metadata(type.value_field), type.list_size)
    if pa.types.is_large_list(type):
        return pa.large_list(without_metadata(type.value_field))
    return pa.list_(without_metadata(type.value_field)) if pa.types.is_list(type) else type


def type_name(type: pa.DataType) -> str:
    """As Parquet keeps it: how wide the offsets were in memory, and which values a category allowed, is not in the file."""
    if pa.types.is_dictionary(type):
        return type_name(type.value_type)
    if pa.types.is_large_string(type):
        return "string"
    if pa.types.is_large_binary(type):
        return "binary"
    if pa.types.is_struct(type):
        return f"struct<{', '.join(f'{field.name}: {type_name(field.type)}' for field in type)}>"
    if pa.types.is_map(type):
        return f"map<{type_name(type.key_type)}, {type_name(type.item_type)}>"
    if pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type):
        return f"list<{type_name(type.value_type)}>"
    return str(type)


def is_binary(type: pa.DataType) -> bool:
    return pa.types.is_binary(type) or pa.types.is_large_binary(type)


def write(table: pa.Table, fd: int, limit: int | None) -> int:
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
            raise too_large_result(self.limit)
        return self.file.write(block)

    def tell(self) -> int:
        return self.file.tell()


def too_large_input(limit: int) -> DataError:
    return DataError(f"The data set is larger than {limit} bytes once it is unpacked")


def too_large_result(limit: int) -> TooLarge:
    return TooLarge(f"The result is larger than the {limit} bytes that this job may write")


def first_line(error: BaseException) -> str:
    return shortened(str(error).partition("\n")[0])


def shown(value: Any) -> str:
    return shortened(repr(value))


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}..."


def type_of(value: Any) -> str:
    return shortened(str(type(value).__name__))

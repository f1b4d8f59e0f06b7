"""The bytes of a data set's file: decompressed, within a limit, and as UTF-8 whatever they were."""

import codecs
import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from kinds import DataError, too_large_input

HEAD = 1 << 16
BLOCK = 1 << 20


class Source:
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

    def open(self) -> "Bounded":
        raw = self.raw()
        stream = pa.PythonFile(raw, mode="r")
        return Bounded(pa.CompressedInputStream(stream, self.compression) if self.compression else stream, self.limit)

    def head(self) -> bytes:
        stream = self.open()
        parts: list[bytes] = []
        while (left := HEAD - sum(map(len, parts))) > 0 and (part := stream.read(left)):
            parts.append(part)
        return b"".join(parts)


class Bounded(io.RawIOBase):
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
            raise too_large_input(self.limit)
        return block

    def readinto(self, buffer: Any) -> int:
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


class Made(io.RawIOBase):
    """A stream that is made part by part. A read never gives more than was asked for: Arrow copies what it gets into a buffer of that size."""

    def __init__(self, more: Callable[[], bytes]) -> None:
        self.more = more
        self.rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self.rest:
            self.rest = memoryview(self.more())
        size = len(self.rest) if size < 0 else size
        block, self.rest = self.rest[:size], self.rest[size:]
        return bytes(block)

    def readinto(self, buffer: Any) -> int:
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)


def _recoded(stream: Bounded, encoding: str) -> Made:
    """Text of another encoding as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="lagoa_latin1" if encoding == "cp1252" else "strict")

    def more() -> bytes:
        while True:
            block = stream.read(BLOCK)
            text = decoder.decode(block, final=not block)
            if text or not block:
                return text.encode()

    return Made(more)


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


class NotUtf8(Exception):
    """Bytes that were taken for UTF-8 are not."""


def in_its_encoding(source: Source, read: Callable[[Source, str], pa.Table]) -> pa.Table:
    """Text is UTF-8 unless a mark at its start or its bytes say otherwise; then it is windows-1252, which any bytes can be."""
    encoding = _encoding(source.head())
    try:
        return read(source, encoding)
    except NotUtf8 as error:
        if encoding != "utf-8":
            raise DataError("The data set begins with a mark of Unicode, but is not in it") from error
        return read(source, "cp1252")


def text_stream(source: Source, encoding: str) -> io.RawIOBase:
    # Arrow knows UTF-8 and its mark.
    return source.open() if encoding.startswith("utf-8") else _recoded(source.open(), encoding)

"""The supervisor's side of zygotes and their children: starting them, handing a child its one job, watching its limits, ending it.

A child is told by the kernel's word alone: its process number comes with the credentials of its first packet, the descriptor of that process keeps the
number from being given to another, and what it used is read from `/proc`. Nothing that a child writes about itself decides anything here.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import resource
import select
import signal
import socket
import struct
import subprocess
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import jail

MESSAGE_BYTES = 65_536
TICK_SECONDS = 0.02
START_SECONDS = 60
# How long a child that writes results goes on: it meets no code, but what the code left.
WRITER_JOBS = 100
WRITER_SECONDS = 60
WRITER_CPU_SECONDS = 1
WRITER_MEMORY = 256 << 20
WRITER_REST_SECONDS = 5
PAGE = resource.getpagesize()
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
# What the watchdog lets through before it ends a job that the address-space limit should have stopped.
MEMORY_SLACK = 32 << 20
# Address space beside the job's own memory: stacks, small arenas of the allocators, modules that are imported late.
ADDRESS_SLACK = 64 << 20
REPORT_BYTES = 8 << 20


class Fault(Exception):
    """The sandbox cannot stand, or a part of it fell; not the fault of a job."""

    def __init__(self, code: str, message: str, hint: str):
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


Bounds = tuple[int, int, int]
"""What a child keeps of its first allowance: processor time, memory and file size."""


@dataclass(frozen=True)
class Allowance:
    """Of one child. Times are of `time.monotonic` where they name a moment."""

    deadline: float
    cpu_ms: int
    memory: int
    file_size: int
    log_bytes: int
    threads: bool

    @property
    def bounds(self) -> Bounds:
        return self.cpu_ms, self.memory, self.file_size


@dataclass
class Outcome:
    """`end`: done, fault (ours), died, timeout, cpu, memory or flood (more packets than any honest job sends)."""

    end: str
    answer: bytes = b""
    signal: int = 0
    cpu_ms: int = 0
    peak_memory: int = 0
    fault: str = ""


@dataclass
class Descriptors:
    source: int
    target: int
    more: list[int] = field(default_factory=list)


class Rehearsals:
    """A forked process gets a copy of each page that it touches, and for a small job that takes longer than the job. So children that wait do one of
    ours, as many at a time as processors have nothing else to do. Before the first job nobody does: what is not used should not take memory."""

    def __init__(self) -> None:
        self.processors = len(os.sched_getaffinity(0))
        self.at_work = 0
        self.wanted = False
        self.now: set[Child] = set()
        self.waiting: deque[Child] = deque()

    def add(self, child: Child) -> None:
        self.waiting.append(child)
        self.go_on()

    @contextlib.contextmanager
    def work(self):
        """A job keeps a processor busy until the block is left."""
        self.wanted = True
        self.at_work += 1
        try:
            yield
        finally:
            self.at_work -= 1
            self.go_on()

    def go_on(self) -> None:
        while self.wanted and self.waiting and self.at_work + len(self.now) < self.processors:
            child = self.waiting.popleft()
            if not child.taken:
                self.now.add(child)
                child.rehearse()

    def over(self, child: Child) -> None:
        if child in self.now:
            self.now.discard(child)
            self.go_on()


class Child:
    def __init__(self, connection: socket.socket, pid: int, serial: int, zygote: Zygote):
        self.connection, self.pid, self.serial, self.zygote = connection, pid, serial, zygote
        self.process = os.pidfd_open(pid)
        self.ended = False
        self.taken = False
        self.rehearsed = False
        # Of one that writes results:
        self.bounds: Bounds | None = None
        self.began = 0.0
        self.jobs = 0

    def kill(self) -> None:
        """Ends the child and, because it is the first of its process namespace, everything that it could have started."""
        kill(self.process)

    def rehearse(self) -> None:
        asyncio.get_running_loop().add_reader(self.connection, self.hear)
        # One that has just ended is noticed when it is taken.
        with contextlib.suppress(OSError):
            send(self.connection, {"kind": "rehearse"}, [])

    def hear(self) -> None:
        with contextlib.suppress(OSError):
            self.rehearsed = self.connection.recv(MESSAGE_BYTES) == b"P"
        self.stop_rehearsal()

    def stop_rehearsal(self) -> None:
        """It is over, or breaks off for the job that comes."""
        if self in self.zygote.rehearsals.now:
            asyncio.get_running_loop().remove_reader(self.connection)
            self.zygote.rehearsals.over(self)

    def take(self) -> Child:
        self.taken = True
        self.stop_rehearsal()
        return self

    @property
    def readiness(self) -> int:
        return 2 if self.rehearsed else 0 if self in self.zygote.rehearsals.now else 1

    async def gone(self) -> None:
        """Until the kernel has let go of the process."""
        if not self.ended:
            await readable(self.process)
            self.ended = True

    async def close(self) -> None:
        self.kill()
        await self.gone()
        self.taken = True
        self.stop_rehearsal()
        self.zygote.ended.pop(self.serial, None)
        self.connection.close()
        os.close(self.process)

    async def do(
        self,
        kind: str,
        description: dict,
        files: Descriptors,
        allowance: Allowance,
        seccomp: bool,
        on_packet: Callable[[bytes], None] = lambda packet: None,
    ) -> Outcome:
        """A job of the child. Comes back when it said that it is done, or was ended; it may still be dying then. The limits of the first stay."""
        # In whole pages, as the kernel counts what is mapped.
        given = sum(-os.fstat(descriptor).st_size // PAGE * -PAGE for descriptor in (files.source, *files.more))
        if self.bounds is None:
            self.bounds, self.began = allowance.bounds, time.monotonic()
        self.jobs += 1
        limits = {
            "cpu_seconds": allowance.cpu_ms // 1000 + WRITER_CPU_SECONDS + 1,
            "address_space": self.pages("statm", 0) * PAGE + (allowance.file_size if kind == "encode" else given) + allowance.memory + ADDRESS_SLACK,
            "file_size": max(allowance.file_size, REPORT_BYTES),
            "threads": allowance.threads,
        }
        with self.zygote.rehearsals.work(), Memory("job") as job, Memory("report") as report:
            os.pwrite(job.descriptor, json.dumps(description).encode(), 0)
            message = {"kind": kind, "seccomp": seccomp, "limits": limits}
            watch = Watch(self, allowance, given, count_files=not seccomp)
            send(self.connection, message, [job.descriptor, files.source, files.target, report.descriptor, *files.more])
            outcome = await watch.until_end(on_packet)
            outcome.cpu_ms, outcome.peak_memory = watch.cpu_ms(), watch.most_memory()
            if outcome.end != "done":
                self.kill()
            if outcome.end == "died":
                outcome.signal = await self.zygote.signal_that_ended(self)
            outcome.answer = os.pread(report.descriptor, REPORT_BYTES, 0) if outcome.end == "done" else b""
            return outcome

    @property
    def may_go_on(self) -> bool:
        """Whether it may write another result, with its limits and after what it has used."""
        is_young = self.jobs < WRITER_JOBS and time.monotonic() - self.began < WRITER_SECONDS
        return is_young and not is_over(self.process) and cpu_clock(self.pid) < WRITER_CPU_SECONDS * CLOCK_TICKS and self.status().get("RssAnon", 0) < WRITER_MEMORY

    def pages(self, file: str, column: int) -> int:
        try:
            with open(f"/proc/{self.pid}/{file}", "rb") as content:
                return int(content.read().split()[column])
        except OSError:
            return 0

    def status(self) -> dict[str, int]:
        """The lines of `/proc/PID/status` that count kilobytes, in bytes; empty when the process is gone."""
        try:
            with open(f"/proc/{self.pid}/status", "rb") as content:
                lines = [line.split() for line in content if line.endswith(b" kB\n")]
        except OSError:
            return {}
        return {name[:-1].decode(): int(value) * 1024 for name, value, _ in lines}


class Watch:
    """Reads what a child uses every twentieth of a second, and its packets as they come."""

    def __init__(self, child: Child, allowance: Allowance, given: int, count_files: bool):
        self.child, self.allowance, self.given, self.count_files = child, allowance, given, count_files
        newborn = child.status()
        self.born_with, self.born_resident = newborn.get("RssAnon", 0), newborn.get("VmRSS", 0)
        self.cpu_at_birth = self.cpu_clock()
        self.last_cpu = 0
        self.peak = 0
        self.received = 0

    async def until_end(self, on_packet: Callable[[bytes], None]) -> Outcome:
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[Outcome] = loop.create_future()
        self.child.connection.setblocking(False)
        loop.add_reader(self.child.connection, self.read_packets, finished, on_packet)
        try:
            while not finished.done():
                now = loop.time()
                broken = self.broken_limit(now)
                if broken is not None:
                    return Outcome(broken)
                await asyncio.wait([finished], timeout=max(0, min(TICK_SECONDS, self.allowance.deadline - now)))
            return finished.result()
        finally:
            loop.remove_reader(self.child.connection)

    def read_packets(self, finished: asyncio.Future[Outcome], on_packet: Callable[[bytes], None]) -> None:
        # A few at a time: a job that floods must not keep the others waiting.
        for _ in range(16):
            if finished.done():
                return
            try:
                packet = self.child.connection.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            self.received += len(packet) + 16
            if packet == b"":
                finished.set_result(Outcome("died"))
            elif packet == b"D":
                finished.set_result(Outcome("done"))
            elif packet == b"M":
                finished.set_result(Outcome("memory"))
            elif packet[:1] == b"F":
                finished.set_result(Outcome("fault", fault=packet[1:].decode("utf-8", "replace")))
            elif self.received > 4 * self.allowance.log_bytes + MESSAGE_BYTES * 16:
                finished.set_result(Outcome("flood"))
            else:
                on_packet(packet)

    def broken_limit(self, now: float) -> str | None:
        if now >= self.allowance.deadline:
            return "timeout"
        if self.cpu_ms() > self.allowance.cpu_ms:
            return "cpu"
        used = self.memory()
        self.peak = max(self.peak, used)
        if used > self.allowance.memory + self.given + MEMORY_SLACK:
            return "memory"
        return None

    def memory(self) -> int:
        """What the child has beyond what it was born with; pages of its input count only when it changed them."""
        status = self.child.status()
        own = max(0, status.get("RssAnon", 0) - self.born_with)
        shared = max(0, status.get("RssShmem", 0) - self.given)
        return own + shared + (self.unmapped_files() if self.count_files else 0)

    def most_memory(self) -> int:
        """The kernel remembers a peak that falls between two looks."""
        return max(self.peak, self.child.status().get("VmHWM", 0) - self.born_resident)

    def unmapped_files(self) -> int:
        """Memory files that the child made, mapped or not: only without the filter can it make any."""
        total = 0
        folder = f"/proc/{self.child.pid}/fd"
        try:
            for name in os.listdir(folder):
                link = os.readlink(f"{folder}/{name}")
                if link.startswith("/memfd:") and not link.startswith(("/memfd:input", "/memfd:output", "/memfd:job", "/memfd:report")):
                    total += os.stat(f"{folder}/{name}").st_blocks * 512
        except OSError:
            pass
        return total

    def cpu_ms(self) -> int:
        self.last_cpu = max(self.last_cpu, self.cpu_clock() - self.cpu_at_birth)
        return self.last_cpu * 1000 // CLOCK_TICKS

    def cpu_clock(self) -> int:
        return cpu_clock(self.child.pid)


def cpu_clock(pid: int) -> int:
    """Ticks of processor time since it was forked; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as content:
            fields = content.read().rpartition(b")")[2].split()
        return int(fields[11]) + int(fields[12])
    except OSError:
        return 0


@dataclass
class Zygote:
    """One process inside the walls and the children that wait in it. `parked` ones have seen nothing of any job."""

    control: socket.socket
    process: subprocess.Popen[bytes]
    pid: int
    inside: int
    wanted: int
    rehearsals: Rehearsals
    parked: deque[Child] = field(default_factory=deque)
    writers: list[Child] = field(default_factory=list)
    waiting: deque[asyncio.Future[Child]] = field(default_factory=deque)
    parking: set[asyncio.Task[None]] = field(default_factory=set)
    ended: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    forked: int = 0
    busy: int = 0
    last_used: float = 0
    ending: asyncio.Task[None] | None = None

    @staticmethod
    async def start(bubblewrap: str, survey: dict, code: str, user: int | None, wanted: int, rehearsals: Rehearsals) -> Zygote:
        ours, theirs = packet_pair()
        sysctl = os.open("/proc/sys/user", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        room = jail.build_room(bubblewrap, survey, code, user, [f"{jail.CODE}/zygote.py", str(theirs.fileno()), str(sysctl)])
        try:
            process = subprocess.Popen(
                room.command,
                pass_fds=[theirs.fileno(), sysctl],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                preexec_fn=room.prepare,
                env={},
            )
        except (OSError, subprocess.SubprocessError) as error:
            ours.close()
            raise Fault("sandbox.walls", f"The walls could not be built: {error}", "Run: lagoa python status") from error
        finally:
            theirs.close()
            os.close(sysctl)
        assert process.stderr is not None
        try:
            pid = await asyncio.wait_for(hello(ours, b"zygote"), START_SECONDS)
            with open(f"/proc/{pid}/ns/pid", "rb") as namespace:
                send(ours, {}, [namespace.fileno()])
            ready = await asyncio.wait_for(packet(ours), START_SECONDS)
            if not ready:
                raise EOFError
        except (EOFError, OSError, TimeoutError) as error:
            ours.close()
            process.kill()
            said = process.stderr.read().decode("utf-8", "replace").strip()
            process.wait()
            process.stderr.close()
            raise Fault("sandbox.walls", said.splitlines()[-1] if said else "The zygote ended before it was ready", said) from error
        # What is inside may write nothing more to us but packets.
        process.stderr.close()
        zygote = Zygote(ours, process, pid, os.pidfd_open(pid), wanted, rehearsals)
        asyncio.get_running_loop().add_reader(ours, zygote.read_reports)
        zygote.fill()
        return zygote

    def fill(self) -> None:
        """Keeps as many children parked as wanted, ahead of need."""
        while not self.fallen and len(self.parked) + len(self.parking) < self.wanted + len(self.waiting):
            task = asyncio.ensure_future(self.park())
            self.parking.add(task)
            task.add_done_callback(self.parking.discard)

    async def park(self) -> None:
        self.forked += 1
        serial = self.forked
        ours, theirs = packet_pair()
        self.ended[serial] = asyncio.get_running_loop().create_future()
        try:
            send(self.control, {"fork": serial}, [theirs.fileno()])
            theirs.close()
            pid = await asyncio.wait_for(hello(ours, b"parked"), START_SECONDS)
            child = Child(ours, pid, serial, self)
        except (EOFError, OSError, TimeoutError):
            theirs.close()
            ours.close()
            self.fall()
            return
        while self.waiting:
            taker = self.waiting.popleft()
            if not taker.done():
                taker.set_result(child.take())
                return
        self.parked.append(child)
        self.rehearsals.add(child)

    async def take(self) -> Child:
        if self.fallen:
            raise Fault("sandbox.zygote", "The sandbox's process ended", "Run the job again.")
        while self.parked:
            child = max(self.parked, key=lambda one: one.readiness)
            self.parked.remove(child)
            if not is_over(child.process):
                return child.take()
            await child.close()  # the kernel ended it, for lack of memory
        taker: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self.waiting.append(taker)
        self.fill()
        return await taker

    def take_writer(self, bounds: Bounds) -> Child | None:
        """One that has written results within these bounds, and may go on."""
        for writer in self.writers:
            if writer.bounds == bounds and writer.may_go_on:
                self.writers.remove(writer)
                return writer
        return None

    def keep_writer(self, writer: Child) -> bool:
        if self.fallen or not writer.may_go_on:
            return False
        self.writers.append(writer)
        asyncio.get_running_loop().call_later(WRITER_REST_SECONDS, self.end_writer, writer, writer.jobs)
        return True

    def end_writer(self, writer: Child, jobs: int) -> None:
        """It had nothing to do since then."""
        if writer in self.writers and writer.jobs == jobs:
            self.writers.remove(writer)
            task = asyncio.ensure_future(writer.close())
            self.parking.add(task)
            task.add_done_callback(self.parking.discard)

    def read_reports(self) -> None:
        while True:
            try:
                data = self.control.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data == b"":
                self.fall()
                return
            report = json.loads(data)
            future = self.ended.get(report["ended"])
            if future is not None and not future.done():
                future.set_result(report["status"])

    async def signal_that_ended(self, child: Child) -> int:
        """0 when it ended by itself."""
        future = self.ended.get(child.serial)
        if future is None:
            return 0
        try:
            status = await asyncio.wait_for(asyncio.shield(future), 5)
        except TimeoutError:
            return 0
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def fall(self) -> None:
        """It ended, or is to end: from here on it gives no child, and what is left of it is cleaned up. Twice is once."""
        if self.ending is None:
            asyncio.get_running_loop().remove_reader(self.control)
            kill(self.inside)
            for taker in self.waiting:
                if not taker.done():
                    taker.set_exception(Fault("sandbox.zygote", "The sandbox's process ended", "Run the job again."))
            self.waiting.clear()
            for ended in self.ended.values():
                if not ended.done():
                    ended.set_result(signal.SIGKILL)  # as the kernel does to all that were in it
            self.ending = asyncio.ensure_future(self.clean_up())

    @property
    def fallen(self) -> bool:
        return self.ending is not None or is_over(self.inside)

    async def clean_up(self) -> None:
        await asyncio.gather(*self.parking, return_exceptions=True)
        await asyncio.gather(*(child.close() for child in (*self.parked, *self.writers)))
        self.parked.clear()
        self.writers.clear()
        self.control.close()
        # The first of a process namespace is gone only when all others in it are.
        await readable(self.inside)
        os.close(self.inside)
        await asyncio.get_running_loop().run_in_executor(None, self.process.wait)

    async def close(self) -> None:
        self.fall()
        if self.ending is not None:
            await asyncio.shield(self.ending)


def is_over(process: int) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return poll.poll(0) != []


def kill(process: int) -> None:
    """By its descriptor, so that never another one is hit that got its number."""
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Memory:
    """A file in memory that closes with the block."""

    def __init__(self, name: str):
        self.descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


def packet_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    return ours, theirs


def send(connection: socket.socket, message: dict, descriptors: list[int]) -> None:
    rights = array.array("i", descriptors)
    connection.sendmsg([json.dumps(message).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


async def hello(connection: socket.socket, expected: bytes) -> int:
    """The process number of who sent the first packet, as the kernel knows it."""
    await readable(connection.fileno())
    data, ancillary, _, _ = connection.recvmsg(MESSAGE_BYTES, socket.CMSG_SPACE(struct.calcsize("3i")))
    for level, kind, content in ancillary:
        if data == expected and level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            return struct.unpack("3i", content)[0]
    raise EOFError(data.decode("utf-8", "replace"))


async def packet(connection: socket.socket) -> bytes:
    await readable(connection.fileno())
    return connection.recv(MESSAGE_BYTES)


async def readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)

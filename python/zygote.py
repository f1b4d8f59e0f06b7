"""The process inside the walls from which every job's process is made. It never runs users' code and never reads what they send.

It loads what a job needs once, then forks children that wait, parked, until the supervisor hands them one job over a socket of their own. A child
takes its own namespaces, drops its rights, does that job and ends; the zygote only reports how children ended and what they used. Only a child that
writes results, and so never meets users' code, does that for several jobs.

Every message is one packet. The supervisor asks the zygote with `{"fork": serial}` and the child's socket, and is told `{"ended": serial, ...}`. A child
says `parked`, may be told to rehearse and says `P` when it has, gets its job, then sends `R` when the code begins to run and any number of `L<line>`, and at last `D`, `M` when its memory did
not suffice, or `F<why>` when our own code failed.
"""

from __future__ import annotations

import array
import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable

# The places that `jail.py` gives to our code and to the packages.
sys.path[:0] = ["/lagoa", *sorted(f"/packages/{name}" for name in os.listdir("/packages"))]

import jail  # noqa: E402
import seccomp  # noqa: E402

# One packet of a log line, well below what a socket takes at once.
LINE_BYTES = 16_384
MESSAGE_BYTES = 65_536
MOST_DESCRIPTORS = 32
NO_THREADS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1"}


def main(control: socket.socket, sysctl: int) -> None:
    # The first packet tells the supervisor, by the kernel's word, which process this is; the answer brings our process namespace.
    control.send(b"zygote")
    _, descriptors = receive(control)
    own_namespace = descriptors[0]
    os.environ.update(NO_THREADS)
    import_everything()
    seccomp.prepare()
    os.environ.clear()
    gc.collect()
    gc.freeze()
    # What is inside speaks in packets only; descriptor 0 is the host's /dev/null.
    os.dup2(0, 1)
    os.dup2(0, 2)
    control.send(b"ready")
    serve(control, sysctl, own_namespace)


WARM_CODE = """
import re, math, datetime
import numpy as np
import pandas as pd

def process(df):
    df["when"] = pd.to_datetime(df["text"].str.replace("x", "")).dt.tz_localize("UTC")
    df["mean"] = df["a"].rolling(2).mean() + df["b"].shift().fillna(0)
    sums = df.groupby("text", as_index=False).agg(total=("a", "sum"), most=("b", "max"))
    df = df.merge(sums, on="text").sort_values("a").drop_duplicates().dropna()
    df["kind"] = np.where(df["a"] > 1, "large", "small")
    wide = df.pivot_table(index="text", columns="kind", values="total").reset_index()
    return pd.concat([df, wide]).query("a > 0 or a <= 0").reset_index(drop=True)
"""
REHEARSED_CODE = """
import numpy as np
import pandas as pd

def process(df):
    df["c"] = df["a"].rolling(3).mean()
    return df.dropna()
"""
WARM_DATA = b"a,b,text\n1,0.5,2026-01-01\n2,,2026-01-02x\n3,1.5,2026-01-02x\n"


def import_everything() -> None:
    """What a job may need. Libraries load much only at their first use, so one small job of ours is done here, once, instead of in each child."""
    import frames
    import harness
    import probe  # noqa: F401
    import validator  # noqa: F401

    source, arrow, result, parquet = (os.memfd_create(name) for name in ("source", "arrow", "result", "parquet"))
    os.pwrite(source, WARM_DATA, 0)
    frames.decode(source, "csv", arrow)
    answer = harness.run({"code": WARM_CODE, "validate": True, "output_bytes": 1 << 20}, arrow, result, lambda line: None)
    if answer["status"] != "success":
        raise RuntimeError(f"a job of our own failed: {answer['message']}")
    frames.encode(result, parquet, 20)
    for descriptor in (source, arrow, result, parquet):
        os.close(descriptor)


def serve(control: socket.socket, sysctl: int, own_namespace: int) -> None:
    """Forks and reports until the supervisor's end of the socket closes."""
    serials: dict[int, int] = {}
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake_read, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if wake_read in ready:
            os.read(wake_read, 4096)
        report_ended(control, serials)
        if control.fileno() not in ready:
            continue
        message, descriptors = receive(control)
        if message is None:
            return  # the supervisor is gone, or wants us to be
        child_socket = socket.socket(fileno=descriptors[0])
        child = jail.fork_into_new_pid_namespace(own_namespace)
        if child == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            for descriptor in (wake_read, wake_write, own_namespace):
                os.close(descriptor)
            live_one_job(child_socket, sysctl)
        child_socket.close()
        serials[child] = message["fork"]


def report_ended(control: socket.socket, serials: dict[int, int]) -> None:
    while serials:
        pid, status, used = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            return
        serial = serials.pop(pid, None)
        if serial is not None:
            report = {"ended": serial, "status": status, "cpu_ms": round((used.ru_utime + used.ru_stime) * 1000)}
            control.send(json.dumps(report).encode())


def live_one_job(supervisor: socket.socket, sysctl: int) -> None:
    """The whole life of a child; never returns. It may be told to rehearse before its job comes. One that writes results goes on to the next:
    it sees no user's code, and its limits and its filter stay those of the first."""
    try:
        jail.leave_everything(sysctl)
        os.close(sysctl)
        supervisor.send(b"parked")
        message, descriptors = receive(supervisor)
        if message is not None and message["kind"] == "rehearse":
            rehearse(supervisor)
            supervisor.send(b"P")
            message, descriptors = receive(supervisor)
        if message is not None:
            bound(message)
        while message is not None:
            do_job(supervisor, message["kind"], descriptors)
            supervisor.send(b"D")
            is_writer = message["kind"] == "encode"
            for descriptor in descriptors[1:] if is_writer else []:
                os.close(descriptor)
            # Any other stays until its end, so that what it used can still be read off.
            message, descriptors = receive(supervisor)
            if not is_writer:
                break
    except MemoryError:
        supervisor.send(b"M")
    except BaseException:
        # Only faults of ours come here: the harness answers for everything that users' code does.
        supervisor.send(b"F" + traceback.format_exc().encode()[-LINE_BYTES:])
    finally:
        os._exit(0)


def rehearse(supervisor: socket.socket) -> None:
    """Does a small job of ours while there is none of a user's: a forked process gets its own copy of each page that it touches, and that takes
    longer than a small job itself. A job that comes meanwhile waits for one of the steps at most."""
    import frames
    import harness

    waiting = select.poll()
    waiting.register(supervisor, select.POLLIN)
    source, arrow, result, parquet = (os.memfd_create(name) for name in ("source", "arrow", "result", "parquet"))
    steps: list[Callable[[], object]] = [
        lambda: frames.decode(source, "csv", arrow),
        lambda: harness.run({"code": REHEARSED_CODE, "validate": True, "output_bytes": 1 << 20}, arrow, result, lambda line: None),
        lambda: frames.encode(result, parquet, 20),
    ]
    os.pwrite(source, WARM_DATA, 0)
    for step in steps:
        if waiting.poll(0):
            break
        step()
    for descriptor in (source, arrow, result, parquet):
        os.close(descriptor)


def bound(message: dict) -> None:
    """From here on there is no way back. `jail.Limits` come as plain numbers."""
    jail.apply_limits(jail.Limits(**message["limits"]))
    if message["seccomp"]:
        seccomp.install(threads=message["limits"]["threads"])


def do_job(supervisor: socket.socket, kind: str, descriptors: list[int]) -> None:
    """`descriptors` are the job's: its description, which is closed here, its input, its output, its report, its further inputs."""
    description, source, target, report, *more = descriptors
    job = json.loads(os.pread(description, os.fstat(description).st_size, 0))
    os.close(description)
    answer = run(job, source, target, supervisor, more) if kind == "run" else KINDS[kind](job, source, target)
    os.pwrite(report, json.dumps(answer).encode(), 0)


def run(job: dict, source: int, target: int, supervisor: socket.socket, more: list[int]) -> dict:
    import harness

    named = dict(zip(job["names"], more, strict=True))
    return harness.run(job, source, target, lambda line: send_line(supervisor, line), named, lambda: supervisor.send(b"R"))


def decode(job: dict, source: int, target: int) -> dict:
    import frames

    try:
        return {"ok": frames.decode(source, job["format"], target)}
    except frames.DataError as error:
        return {"error": str(error)}


def encode(job: dict, source: int, target: int) -> dict:
    import frames

    try:
        return {"ok": frames.encode(source, target, job["preview"])}
    except frames.DataError as error:
        return {"error": str(error)}


def validate(job: dict, _source: int, _target: int) -> dict:
    import validator

    return {"ok": {"findings": validator.check(job["code"])}}


def probe(job: dict, source: int, target: int) -> dict:
    import probe as attempts

    return {"ok": attempts.attempt(job, source, target)}


KINDS = {"decode": decode, "encode": encode, "validate": validate, "probe": probe}


def send_line(supervisor: socket.socket, line: str) -> None:
    supervisor.send(b"L" + line.encode("utf-8", "replace")[:LINE_BYTES])


def receive(connection: socket.socket) -> tuple[dict | None, list[int]]:
    """A packet with the descriptors it brought; None when the other side is gone."""
    numbers = array.array("i")
    space = socket.CMSG_SPACE(MOST_DESCRIPTORS * numbers.itemsize)
    data, ancillary, _, _ = connection.recvmsg(MESSAGE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return (json.loads(data) if data else None), list(numbers)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))

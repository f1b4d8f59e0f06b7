"""Tries to escape, inside a child as users' code would be, and tells what worked. Nothing should.

Each attempt is real: a success is an effect, not a guess from an error. The deadly ones, which the filter of system calls answers by ending the
process, are asked for one at a time; the supervisor sees whether the process was ended by the kernel.
"""

from __future__ import annotations

import ctypes
import os
import socket

import jail


def attempt(job: dict, _source: int, _target: int) -> dict:
    if "deadly" in job:
        DEADLY[job["deadly"]]()
        return {"survived": job["deadly"]}
    return {"worked": [name for name, works in attempts(job).items() if works()]}


def attempts(job: dict) -> dict:
    return {
        "read": lambda: any(readable(path) for path in job["secrets"]),
        "write": lambda: any(writable(path) for path in ("/canary", "/tmp/canary", "/lagoa/canary", "/packages/0/canary", job["folder"] + "/canary")),
        "network": lambda: connects(job["port"]),
        "fork": forks,
        "namespaces": lambda: jail.libc.unshare(jail.CLONE_NEWUSER) == 0,
        "mount": lambda: jail.libc.mount(b"none", b"/", b"tmpfs", 0, None) == 0,
        "signal": lambda: any(signalled(pid) for pid in job["pids"]),
        "proc": lambda: os.path.exists("/proc/self"),
        "identity": lambda: jail.libc.setresuid(0, 0, 0) == 0,
    }


def readable(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(1) != b""
    except OSError:
        return False


def writable(path: str) -> bool:
    try:
        with open(path, "xb"):
            return True
    except OSError:
        return False


def connects(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def forks() -> bool:
    try:
        child = os.fork()
    except OSError:
        return False
    if child == 0:
        os._exit(0)
    return True


def signalled(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return pid != os.getpid()
    except OSError:
        return False


def execute() -> None:
    os.execv("/python/bin/python3", ["python3", "-c", "pass"])


def trace() -> None:
    ctypes.set_errno(0)
    jail.libc.ptrace(0, 0, None, None)


DEADLY = {
    "fork": os.fork,
    "exec": execute,
    "socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "ptrace": trace,
    "unshare": lambda: jail.libc.unshare(jail.CLONE_NEWUSER),
}

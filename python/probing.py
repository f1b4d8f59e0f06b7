"""The probe at the start: children of a fresh zygote try to escape, and what they reached decides whether jobs may run at all."""

from __future__ import annotations

import os
import signal
import socket
import time

import reports
from nursery import Allowance, Descriptors, Fault, Memory, Outcome, Zygote

DEADLY = ("fork", "exec", "socket", "ptrace", "unshare")
SECONDS = 20
MEMORY = 1 << 30


async def probe(zygote: Zygote, folder: str, seccomp: bool) -> dict:
    """The layers that hold. Raises `Fault` where one that must hold does not."""
    if host_user(zygote.pid) == 0:
        raise Fault("sandbox.root", "Users' code would run as root of this machine", "Start Lagoa as an ordinary user.")
    canary = os.path.join(folder, "canary")
    with open(canary, "w", encoding="utf-8") as file:
        file.write("seen")
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            job = {"secrets": [canary, "/etc/passwd", "/etc/hostname", "/proc/1/environ"], "folder": folder, "port": listener.getsockname()[1], "pids": [os.getpid(), zygote.pid, os.getppid()]}
            worked = await escapes(zygote, job)
    finally:
        os.unlink(canary)
    if worked:
        raise Fault("sandbox.open", f"The walls of the sandbox do not hold here: {', '.join(worked)} worked from inside", "Users' Python stays off. Run Lagoa on a current kernel, outside of a container that bends its namespaces.")
    if seccomp:
        for call in DEADLY:
            outcome = await attempt(zygote, {"deadly": call}, seccomp=True)
            if outcome.end != "died" or outcome.signal != signal.SIGSYS:
                raise Fault("sandbox.no_seccomp", f"The kernel does not filter system calls: {call} was not stopped ({outcome.fault.strip().splitlines()[-1] if outcome.fault else outcome.end})", "Use a kernel with CONFIG_SECCOMP_FILTER, and no container that switches it off.")
    return {"user": "unprivileged", "namespaces": "bubblewrap", "seccomp": seccomp, "memory": "watchdog"}


async def escapes(zygote: Zygote, job: dict) -> list[str]:
    """Tried without the filter: the other walls must hold by themselves."""
    outcome = await attempt(zygote, job, seccomp=False)
    if outcome.end != "done":
        raise Fault("sandbox.probe", f"The probe of the sandbox did not come back ({outcome.end})", outcome.fault)
    ok, error = reports.ok_or_error(outcome.answer)
    return [str(name) for name in ok["worked"]] if ok is not None else [error or "probe"]


async def attempt(zygote: Zygote, job: dict, seccomp: bool) -> Outcome:
    allowance = Allowance(time.monotonic() + SECONDS, SECONDS * 1000, MEMORY, 0, 0, threads=False)
    child = await zygote.take()
    zygote.fill()
    try:
        with Memory("input") as nothing, Memory("output") as nowhere:
            return await child.do("probe", job, Descriptors(nothing.descriptor, nowhere.descriptor), allowance, seccomp)
    finally:
        await child.close()


def host_user(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Uid:"))

"""The one process that stands between the platform and users' Python. It runs outside the walls, as Lagoa's user, and never any code of a user.

It speaks JSON lines with the platform over standard input and output, opens the files that the platform names, and passes inward descriptors only.
A job takes up to three children of its tenant's zygote: one decodes the data set to Arrow (kept for a while when it has a name), one runs the code,
one, which is kept for more of them, turns what came out into Parquet and has never seen the code. It ends, with everything below it, when its input ends.

  platform  open · run · cancel · validate
  supervisor  state · phase · log · result · failed · cancelled · findings
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Coroutine
from dataclasses import dataclass, field

CODE_FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, CODE_FOLDER)

import jail  # noqa: E402
import reports  # noqa: E402
from nursery import Allowance, Child, Descriptors, Fault, Memory, Outcome, Rehearsals, Zygote  # noqa: E402
from probing import probe  # noqa: E402

LINE_BYTES = 64 << 20
PREVIEW_ROWS = 20
ZYGOTES = 6
JOBS_OF_A_ZYGOTE = 5_000
IDLE_SECONDS = 300
KEPT_INPUT_BYTES = 256 << 20
# For children that see no users' code but their data: decoding and encoding cost more memory than the data weighs.
HOUSE_MEMORY = 1 << 30
VALIDATE_SECONDS = 5
# Nobody's: no file belongs to them. The second is for containers, which have 65,536 users.
UNPRIVILEGED_USERS = (700_000, 65_533)
SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


@dataclass
class Arrow:
    """A decoded data set in memory that nobody can change any more."""

    descriptor: int
    size: int


@dataclass
class Running:
    request: dict
    began: float
    log: int = 0
    truncated: bool = False
    handed: bool = False
    begun: bool = False
    timings: dict[str, float] = field(default_factory=dict)
    cpu_ms: int = 0
    peak_memory: int = 0

    @property
    def deadline(self) -> float:
        return self.began + self.request["limits"]["wallMs"] / 1000


class Stopped(Exception):
    """The job is over before its end; carries its result."""

    def __init__(self, status: str, message: str, report: dict | None = None):
        super().__init__(message)
        self.result = {**(report or {}), "status": status, "message": message}


class Supervisor:
    def __init__(self, settings: dict, say):
        self.settings, self.say = settings, say
        self.survey: dict = {}
        self.seccomp = not settings["unsafe"]
        self.zygotes: OrderedDict[str, Zygote] = OrderedDict()
        self.starting: dict[str, asyncio.Task[Zygote]] = {}
        self.spare: asyncio.Task[Zygote] | None = None
        self.inputs: OrderedDict[tuple[str, str, str], Arrow] = OrderedDict()
        self.closing: set[asyncio.Task[None]] = set()
        self.rehearsals = Rehearsals()

    # Starting

    async def open(self) -> dict:
        bubblewrap = shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
        if bubblewrap is None:
            raise Fault("sandbox.no_bubblewrap", "Bubblewrap is not installed, and users' Python runs behind its walls only", "Install it with: apt-get install bubblewrap")
        self.bubblewrap = bubblewrap
        self.survey = survey(self.settings["python"])
        zygote = await self.start_zygote()
        self.spare = asyncio.ensure_future(already(zygote))
        layers = await probe(zygote, self.settings["folder"], self.seccomp)
        return {"layers": layers, "python": self.survey["python"], "packages": self.survey["packages"]}

    async def start_zygote(self) -> Zygote:
        try:
            return await Zygote.start(self.bubblewrap, self.survey, CODE_FOLDER, unprivileged_user(), self.settings["parked"], self.rehearsals)
        except Fault as fault:
            raise namespaces_fault(fault) from fault

    @contextlib.asynccontextmanager
    async def zygote_for(self, tenant: str):
        """The tenant's zygote, which stays until the block is left."""
        zygote = await self.zygote_of(tenant)
        if zygote.fallen:  # retired for another tenant between its start and now
            zygote = await self.zygote_of(tenant)
        zygote.busy += 1
        try:
            yield zygote
        finally:
            zygote.busy -= 1
            zygote.last_used = time.monotonic()
            if zygote.busy == 0 and self.zygotes.get(tenant) is not zygote:
                self.end_in_background(zygote.close())

    async def zygote_of(self, tenant: str) -> Zygote:
        """The tenant's own zygote; a new tenant gets the spare one, which is warm already."""
        zygote = self.zygotes.get(tenant)
        if zygote is not None and not zygote.fallen and zygote.forked < JOBS_OF_A_ZYGOTE:
            self.zygotes.move_to_end(tenant)
            return zygote
        if zygote is not None:
            self.retire(tenant)
        if tenant not in self.starting:
            self.starting[tenant] = asyncio.ensure_future(self.adopt(tenant))
        return await asyncio.shield(self.starting[tenant])

    async def adopt(self, tenant: str) -> Zygote:
        try:
            zygote = await self.take_spare()
            self.zygotes[tenant] = zygote
            for other in list(self.zygotes):
                if len(self.zygotes) > ZYGOTES and self.zygotes[other].busy == 0 and other != tenant:
                    self.retire(other)
            return zygote
        finally:
            del self.starting[tenant]

    async def take_spare(self) -> Zygote:
        """A zygote that nobody else will get."""
        # Taken before it is waited for: two tenants that come together must not find the same one.
        spare, self.spare = self.spare, None
        zygote = await spare if spare is not None else None
        return zygote if zygote is not None and not zygote.fallen else await self.start_zygote()

    async def spare_zygote(self) -> Zygote:
        """A zygote for what is no tenant's and shares nothing with what else it does: any that is there, or a spare one that stays."""
        for zygote in self.zygotes.values():
            if not zygote.fallen:
                return zygote
        if self.spare is None or (self.spare.done() and (self.spare.exception() is not None or self.spare.result().fallen)):
            self.spare = asyncio.ensure_future(self.start_zygote())
        return await asyncio.shield(self.spare)

    def retire(self, tenant: str) -> None:
        """No new job comes to it; it ends at once, or with the last job that runs in it."""
        zygote = self.zygotes.pop(tenant)
        if zygote.busy == 0:
            self.end_in_background(zygote.close())
            zygote.fall()

    def end_in_background(self, ending: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(ending)
        self.closing.add(task)
        task.add_done_callback(self.closing.discard)

    async def retire_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SECONDS / 10)
            now = time.monotonic()
            for tenant, zygote in list(self.zygotes.items()):
                if zygote.busy == 0 and now - zygote.last_used > IDLE_SECONDS:
                    self.retire(tenant)

    # Jobs

    async def run(self, request: dict) -> None:
        job = Running(request, time.monotonic())
        name = request["id"]
        try:
            try:
                result = await self.phases(job)
            except Fault as fault:
                # Its zygote fell before a child got the code: nothing was done yet.
                if fault.code != "sandbox.zygote" or job.handed:
                    raise
                result = await self.phases(job)
        except Stopped as stopped:
            result = stopped.result
        except FileNotFoundError as error:
            self.say({"type": "failed", "id": name, "kind": "missing", "code": "sandbox.no_input", "message": f"There is no data set at {error.filename}", "hint": ""})
            return
        except Fault as fault:
            self.say({"type": "failed", "id": name, "kind": "unavailable", "code": fault.code, "message": fault.message, "hint": fault.hint})
            return
        except reports.Refused:
            result = {"status": "killed", "message": "The code wrote its own report instead of returning a result"}
        except asyncio.CancelledError:
            self.say({"type": "cancelled", "id": name})
            raise
        except OSError as error:
            self.say({"type": "failed", "id": name, "kind": "unavailable", "code": "sandbox.system", "message": str(error), "hint": "Check free memory and disk space."})
            return
        empty = {"rows": None, "columns": None, "preview": [], "message": None, "line": None, "traceback": None, "findings": []}
        measured = {"timings": job.timings, "cpuMs": job.cpu_ms, "peakMemoryBytes": job.peak_memory, "logTruncated": job.truncated}
        self.say({"type": "result", "id": name, "result": {**empty, **result, **measured}})

    async def phases(self, job: Running) -> dict:
        async with self.zygote_for(job.request["tenant"]) as zygote:
            with contextlib.ExitStack() as opened:
                with self.phase(job, "decoding"):
                    arrow = await self.decoded(zygote, job, job.request["input"], opened)
                    more = {name: await self.decoded(zygote, job, source, opened) for name, source in job.request["inputs"].items()}
                output = opened.enter_context(Memory("output"))
                with self.phase(job, "validating" if job.request["validate"] else "running"):
                    report = await self.user_code(zygote, job, arrow, more, output)
                self.split_timings(job, report.pop("validating"))
                if report["status"] != "success":
                    return report
                with self.phase(job, "encoding"):
                    return {"status": "success", **await self.encoded(zygote, job, output, opened)}

    @contextlib.contextmanager
    def phase(self, job: Running, name: str):
        self.say({"type": "phase", "id": job.request["id"], "phase": name})
        began = time.monotonic()
        try:
            yield
        finally:
            job.timings[name] = (time.monotonic() - began) * 1000

    def split_timings(self, job: Running, validating: float) -> None:
        """How much of the child's time went into validating is its own word; the sum is measured."""
        both = job.timings.get("validating", 0.0) + job.timings.get("running", 0.0)
        job.timings["validating"] = min(validating, both) if job.request["validate"] else 0.0
        job.timings["running"] = both - job.timings["validating"]

    async def decoded(self, zygote: Zygote, job: Running, source: dict, opened: contextlib.ExitStack) -> Arrow:
        if source["key"] is None:
            fresh = await self.decode(zygote, job, source)
            opened.callback(os.close, fresh.descriptor)
            return fresh
        key = (job.request["tenant"], source["key"], source["format"])
        if key not in self.inputs:
            self.keep(key, await self.decode(zygote, job, source))
        self.inputs.move_to_end(key)
        kept = self.inputs[key]
        own = os.dup(kept.descriptor)  # the kept one may be let go while this job runs
        opened.callback(os.close, own)
        self.bound_inputs()
        return Arrow(own, kept.size)

    async def decode(self, zygote: Zygote, job: Running, source: dict) -> Arrow:
        """The caller closes what it gets."""
        limits = job.request["limits"]
        memory = Memory("input")
        try:
            with open(source["path"], "rb") as file:
                most = limits["memoryBytes"] + HOUSE_MEMORY
                allowance = Allowance(job.deadline, limits["cpuMs"], most, most, 0, threads=True)
                async with self.child(zygote) as child:
                    outcome = await child.do("decode", {"format": source["format"]}, Descriptors(file.fileno(), memory.descriptor), allowance, self.seccomp)
                    self.expect_done(outcome, job, "reading the data set")
                    _, error = reports.ok_or_error(outcome.answer)
                    if error is not None:
                        raise Stopped("error", error)
                    await seal(memory.descriptor, child)
            return Arrow(memory.descriptor, os.fstat(memory.descriptor).st_size)
        except BaseException:
            os.close(memory.descriptor)
            raise

    def keep(self, key: tuple[str, str, str], arrow: Arrow) -> None:
        before = self.inputs.pop(key, None)
        if before is not None:
            os.close(before.descriptor)
        self.inputs[key] = arrow

    def bound_inputs(self) -> None:
        while sum(kept.size for kept in self.inputs.values()) > KEPT_INPUT_BYTES:
            _, oldest = self.inputs.popitem(last=False)
            os.close(oldest.descriptor)

    async def user_code(self, zygote: Zygote, job: Running, arrow: Arrow, more: dict[str, Arrow], output: Memory) -> dict:
        request, limits = job.request, job.request["limits"]
        description = {
            "code": request["code"],
            "validate": request["validate"],
            "arguments": request["arguments"],
            "names": list(more),
            "output_bytes": limits["outputBytes"],
            "log_bytes": limits["logBytes"],
        }
        allowance = Allowance(job.deadline, limits["cpuMs"], limits["memoryBytes"], limits["outputBytes"], limits["logBytes"], threads=False)
        async with self.child(zygote) as child:
            job.handed = True
            files = Descriptors(arrow.descriptor, output.descriptor, [one.descriptor for one in more.values()])
            outcome = await child.do("run", description, files, allowance, self.seccomp, lambda packet: self.packet(job, packet))
            job.cpu_ms, job.peak_memory = outcome.cpu_ms, outcome.peak_memory
            if outcome.end == "fault":  # whoever wrote that: the code could have
                raise Stopped("killed", "The process of the job failed without a result")
            self.expect_done(outcome, job, "the code")
            report = reports.run_report(outcome.answer)
            await seal(output.descriptor, child)
        if report["status"] == "success" and os.fstat(output.descriptor).st_size > limits["outputBytes"]:
            raise Stopped("output_too_large", f"The result is larger than {limits['outputBytes']} bytes")
        return report

    async def encoded(self, zygote: Zygote, job: Running, output: Memory, opened: contextlib.ExitStack) -> dict:
        limits = job.request["limits"]
        target = OutputFile(job.request["output"])
        opened.enter_context(target)
        allowance = Allowance(job.deadline, limits["cpuMs"], limits["memoryBytes"] + HOUSE_MEMORY, limits["outputBytes"], 0, threads=True)
        async with self.writer(zygote, allowance) as writer:
            outcome = await writer.do("encode", {"preview": PREVIEW_ROWS}, Descriptors(output.descriptor, target.descriptor), allowance, self.seccomp)
            self.expect_done(outcome, job, "writing the result")
            ok, error = reports.ok_or_error(outcome.answer)
            if ok is None:
                raise Stopped("error", error or "The result could not be written")
            result = reports.encoded(ok)
        target.publish()
        return result

    def expect_done(self, outcome: Outcome, job: Running, doing: str) -> None:
        limits = job.request["limits"]
        match outcome.end:
            case "done":
                return
            case "fault":
                raise Fault("sandbox.fault", f"The sandbox failed at {doing}: {outcome.fault.strip().splitlines()[-1]}", outcome.fault)
            case "timeout":
                raise Stopped("timeout", f"Stopped after {limits['wallMs'] / 1000:g} s, the job's limit of time, at {doing}")
            case "cpu":
                raise Stopped("timeout", f"Stopped after {limits['cpuMs'] / 1000:g} s of processor time, the job's limit, at {doing}")
            case "memory":
                raise Stopped("memory", f"Stopped at {doing}: it needs more than the {limits['memoryBytes'] >> 20} MB of memory that the job may use")
            case "flood":
                raise Stopped("killed", "Stopped: the code wrote far more log than its limit")
            case _:
                raise Stopped("killed", f"Stopped at {doing}: {DEATHS.get(outcome.signal, 'its process ended without a result')}")

    def packet(self, job: Running, packet: bytes) -> None:
        if packet == b"R" and not job.begun:
            job.begun = True
            self.say({"type": "phase", "id": job.request["id"], "phase": "running"})
        if packet[:1] != b"L":
            return
        line = packet[1:]
        room = job.request["limits"]["logBytes"] - job.log
        if len(line) + 1 > room:
            if job.truncated:
                return
            job.truncated = True
            line = line[: max(0, room)]
        job.log += len(line) + 1
        self.say({"type": "log", "id": job.request["id"], "line": line.decode("utf-8", "replace")})

    @contextlib.asynccontextmanager
    async def child(self, zygote: Zygote):
        """A child for one task. It is ended when the block is left; that it is gone is waited for elsewhere."""
        child = await zygote.take()
        try:
            yield child
        finally:
            self.end_child(child)
            zygote.fill()

    @contextlib.asynccontextmanager
    async def writer(self, zygote: Zygote, allowance: Allowance):
        """A child that writes results, for one of them. After one that was not in order it is ended: what came out of the code may have been made for it."""
        child = zygote.take_writer(allowance.bounds) or await zygote.take()
        kept = False
        try:
            yield child
            kept = zygote.keep_writer(child)
        finally:
            if not kept:
                self.end_child(child)
            zygote.fill()

    def end_child(self, child: Child) -> None:
        child.kill()
        self.end_in_background(child.close())

    async def validate(self, request: dict) -> None:
        try:
            zygote = await self.spare_zygote()
            allowance = Allowance(time.monotonic() + VALIDATE_SECONDS, VALIDATE_SECONDS * 1000, HOUSE_MEMORY, 0, 0, threads=False)
            with Memory("input") as nothing, Memory("output") as nowhere:
                async with self.child(zygote) as child:
                    outcome = await child.do("validate", {"code": request["code"]}, Descriptors(nothing.descriptor, nowhere.descriptor), allowance, self.seccomp)
            if outcome.end != "done":
                findings = [TOO_DEEP]
            else:
                ok, _ = reports.ok_or_error(outcome.answer)
                findings = reports.findings_of(ok or {})
            self.say({"type": "findings", "id": request["id"], "findings": findings})
        except Fault as fault:
            self.say({"type": "failed", "id": request["id"], "kind": "unavailable", "code": fault.code, "message": fault.message, "hint": fault.hint})

    async def close(self) -> None:
        zygotes = list(self.zygotes.values())
        for starting in (*self.starting.values(), self.spare):
            if starting is not None:
                with contextlib.suppress(Fault, asyncio.CancelledError):
                    zygotes.append(await starting)
        await asyncio.gather(*(zygote.close() for zygote in zygotes), return_exceptions=True)
        await asyncio.gather(*self.closing, return_exceptions=True)


DEATHS = {
    signal.SIGSYS: "it asked the kernel for something that no job may do",
    signal.SIGSEGV: "Python crashed (segmentation fault)",
    signal.SIGBUS: "Python crashed (bus error)",
    signal.SIGABRT: "Python crashed (abort)",
    signal.SIGKILL: "the kernel ended it, for lack of memory or processor time",
}
TOO_DEEP = {
    "code": "syntax.too_complex", "line": 1, "col": 0, "end_line": 1, "end_col": 0,
    "message": "The code is too large or too deeply nested to be checked", "hint": "Split it into smaller functions.",
}


class OutputFile:
    """A file that has no name until it is published, so that one that failed leaves nothing."""

    def __init__(self, path: str):
        self.path = path
        self.unfinished: str | None = None
        folder = os.path.dirname(path)
        try:
            self.descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
                raise
            self.unfinished = f"{path}.unfinished"
            self.descriptor = os.open(self.unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def publish(self) -> None:
        folder = os.open("/", os.O_PATH | os.O_CLOEXEC)  # with a folder given, `os.link` follows the link of the descriptor
        try:
            os.link(self.unfinished or f"/proc/self/fd/{self.descriptor}", self.path, src_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        if self.unfinished is not None:
            os.unlink(self.unfinished)


async def seal(descriptor: int, child: Child) -> None:
    """From here on nobody changes the file, whatever the child still tries. One that has it mapped must be gone first."""
    child.kill()
    try:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        await child.gone()
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)


def survey(python: str) -> dict:
    """What `survey.py` finds, run by the environment's own interpreter."""
    hint = "Run: lagoa python install"
    try:
        done = subprocess.run([python, "-I", "-B", os.path.join(CODE_FOLDER, "survey.py")], capture_output=True, text=True, timeout=120, check=False, env={})
        found = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise Fault("sandbox.no_python", f"There is no working Python at {python}: {error}", hint) from error
    if "fault" in found:
        raise Fault("sandbox.no_packages", f"The Python at {python} has no {found['missing']}", hint)
    return found


def unprivileged_user() -> int | None:
    """Whom root becomes before anything is built; null when we are unprivileged already."""
    if os.geteuid() != 0:
        return None
    with open("/proc/self/uid_map", encoding="utf-8") as lines:
        ranges = [[int(part) for part in line.split()] for line in lines]
    for user in UNPRIVILEGED_USERS:
        if any(first <= user < first + count for first, _, count in ranges):
            return user
    raise Fault("sandbox.root", "Users' code would run as root, because this user namespace has no other user", "Start Lagoa as an ordinary user.")


def namespaces_fault(fault: Fault) -> Fault:
    """What on this machine keeps an unprivileged user from making namespaces, where that is why the walls could not be built."""
    for path, closed, fix in NAMESPACE_SWITCHES:
        with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
            if int(file.read()) == closed:
                return Fault("sandbox.no_namespaces", f"This machine keeps ordinary users from making namespaces ({path} is {closed})", f"Allow them with: {fix}")
    if "namespace" in fault.message or "uid map" in fault.message:
        return Fault("sandbox.no_namespaces", f"This machine keeps ordinary users from making namespaces: {fault.message}", "In a container, allow user namespaces to it; else see docs/sandbox.md.")
    return fault


NAMESPACE_SWITCHES = (
    ("/proc/sys/kernel/unprivileged_userns_clone", 0, "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/user/max_user_namespaces", 0, "sysctl -w user.max_user_namespaces=10000"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile of AppArmor for bwrap"),
)


async def already(zygote: Zygote) -> Zygote:
    return zygote


async def main() -> None:
    jail.die_with_parent()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(os.dup(1), "wb"))

    def say(message: dict) -> None:
        transport.write(json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n")

    supervisor = Supervisor(json.loads(await reader.readline()), say)
    jobs: dict[str, asyncio.Task[None]] = {}
    idle = asyncio.ensure_future(supervisor.retire_idle())
    try:
        say({"type": "state", "ready": True, **await supervisor.open()})
        while line := await reader.readline():
            request = json.loads(line)
            match request["type"]:
                case "cancel":
                    if request["id"] in jobs:
                        jobs[request["id"]].cancel()
                case "run" | "validate" as kind:
                    work = supervisor.run(request) if kind == "run" else supervisor.validate(request)
                    task = jobs[request["id"]] = asyncio.ensure_future(guarded(work, request, say))
                    task.add_done_callback(lambda _, name=request["id"]: jobs.pop(name, None))
    except Fault as fault:
        say({"type": "state", "ready": False, "code": fault.code, "message": fault.message, "hint": fault.hint})
    finally:
        idle.cancel()
        for task in list(jobs.values()):
            task.cancel()
        await asyncio.gather(*jobs.values(), return_exceptions=True)
        await supervisor.close()


async def guarded(work, request: dict, say) -> None:
    """A fault of ours ends one job, not the supervisor."""
    try:
        await work
    except Exception:
        say({"type": "failed", "id": request["id"], "kind": "bug", "code": "sandbox.bug", "message": traceback.format_exc(limit=-3), "hint": ""})


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the platform's to answer
    asyncio.run(main())

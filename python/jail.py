"""The walls around users' code: what is mounted, which namespaces, capabilities and limits a job has. Standard library only.

Three steps, each tighter than the one before. Bubblewrap makes the zygote's room: read-only files of Python and its packages and nothing else of
the host, no network, no `/proc`, no environment. The zygote, which never runs users' code, keeps the one capability it needs to give each of its
children namespaces of their own. A child takes those, gives up every capability, bounds itself and, for users' code, installs the filter of
`seccomp.py`. None of the steps can be undone by what runs after it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
from collections.abc import Callable
from dataclasses import dataclass

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
LAST_CAPABILITY = 63

# Where things lie inside the walls.
CODE = "/lagoa"
PYTHON = "/python"
PACKAGES = "/packages"

# Where root shows the host's files to the user that it becomes; hidden again by the walls.
STAGE = "/tmp"

MS_NOSUID = 2
MS_NODEV = 4
MS_BIND = 4096
MS_REC = 16384
MS_SLAVE = 1 << 19

libc = ctypes.CDLL(None, use_errno=True)


OPEN_FILES = 64


@dataclass(frozen=True)
class Limits:
    """What one child may use. Without `threads` it can start neither a process nor a thread."""

    cpu_seconds: int
    address_space: int
    file_size: int
    threads: bool


def check(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, *arguments: int) -> int:
    filled = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    return libc.prctl(option, *filled)


def die_with_parent() -> None:
    """For processes of ours: the kernel ends this one when the thread that started it ends."""
    check(prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl(PR_SET_PDEATHSIG)")


def unshare(flags: int) -> None:
    check(libc.unshare(flags), "unshare")


def fork_into_new_pid_namespace(own_namespace: int) -> int:
    """Like `os.fork`, but the child is the first of a process namespace of its own: whatever it starts ends with it.

    `unshare` moves only the children to come; going back to `own_namespace` afterwards lets the next child have another one.
    """
    unshare(CLONE_NEWPID)
    try:
        child = os.fork()
    except OSError:
        check(libc.setns(own_namespace, CLONE_NEWPID), "setns")
        raise
    if child != 0:
        check(libc.setns(own_namespace, CLONE_NEWPID), "setns")
    return child


def leave_everything(sysctl: int) -> None:
    """Gives this child a user, network, IPC and host-name namespace of its own, closes nested user namespaces, then drops every capability.

    `sysctl` is a descriptor of `/proc/sys/user`, by which the limit of the new user namespace is reached without a mounted `/proc`.
    """
    os.setsid()
    unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    close_user_namespaces(sysctl)
    drop_capabilities()


def close_user_namespaces(sysctl: int) -> None:
    limit = os.open("max_user_namespaces", os.O_WRONLY, dir_fd=sysctl)
    try:
        os.write(limit, b"0")
    finally:
        os.close(limit)


def drop_capabilities() -> None:
    for capability in range(LAST_CAPABILITY + 1):
        if prctl(PR_CAPBSET_DROP, capability) == -1:
            break  # past the last one that this kernel knows
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(0x2008_0522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    nothing = (ctypes.c_uint32 * 6)()
    check(libc.capset(header, nothing), "capset")
    check(prctl(PR_SET_NO_NEW_PRIVS, 1), "prctl(PR_SET_NO_NEW_PRIVS)")


def apply_limits(limits: Limits) -> None:
    bounds = {
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_AS: limits.address_space,
        resource.RLIMIT_FSIZE: limits.file_size,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_SIGPENDING: 64,
    }
    if not limits.threads:
        bounds[resource.RLIMIT_NPROC] = 0
    for name, most in bounds.items():
        resource.setrlimit(name, (most, most))



@dataclass(frozen=True)
class Room:
    """How the zygote is started: bubblewrap's command line, and what the new process does before it becomes that command."""

    command: list[str]
    prepare: Callable[[], None]


def build_room(bubblewrap: str, survey: dict, code: str, user: int | None, program: list[str]) -> Room:
    """`user` is the number of an unprivileged user to become, when this process is root; null stays who we are."""
    files = visible_files(survey, code)
    staged = {source: f"{STAGE}/{index}" for index, source in enumerate(files)} if user is not None else {source: source for source in files}

    command = [bubblewrap, "--unshare-all", "--new-session", "--die-with-parent", "--as-pid-1", "--clearenv", "--hostname", "lagoa"]
    command += ["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"]
    for source, place in files.items():
        command += ["--ro-bind", staged[source], place]
    for name in ("site-packages", "dist-packages", "test", "idlelib", "ensurepip"):
        if os.path.isdir(os.path.join(survey["stdlib"], name)):
            hidden = f"{files[survey['stdlib']]}/{name}"
            command += ["--tmpfs", hidden, "--remount-ro", hidden]
    command += ["--remount-ro", "/", "--chdir", "/", "--", files[survey["executable"]], "-I", "-S", "-B", *program]

    def prepare() -> None:
        die_with_parent()
        if user is not None:
            stage(staged)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            die_with_parent()  # a change of user forgets it

    return Room(command, prepare)


def visible_files(survey: dict, code: str) -> dict[str, str]:
    """Everything of the host that is seen inside, and where. Python lies at a place of its own, so that no path tells of the host."""
    version = os.path.basename(survey["stdlib"])
    library_folder = os.path.basename(os.path.dirname(survey["stdlib"]))
    files = {
        survey["executable"]: f"{PYTHON}/bin/{version}",
        survey["stdlib"]: f"{PYTHON}/{library_folder}/{version}",
        code: CODE,
    }
    files |= {folder: f"{PACKAGES}/{index}" for index, folder in enumerate(survey["package_folders"])}
    files |= {path: path for path in survey["libraries"]}
    if survey["zones"] is not None:
        files[survey["zones"]] = survey["zones"]
    return files


def stage(files: dict[str, str]) -> None:
    """Shows the files at other paths, in a mount namespace that only this process and what it becomes can see.

    An unprivileged user may then reach them although a folder above them (`/root`) is closed to it. Needs to be root.
    """
    unshare(CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_SLAVE)
    opened = [os.open(source, os.O_PATH) for source in files]  # some may lie where the stage will hide them
    mount("lagoa", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for source, place in zip(opened, files.values(), strict=True):
        if stat.S_ISDIR(os.fstat(source).st_mode):
            os.mkdir(place, 0o755)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
        mount(f"/proc/self/fd/{source}", place, None, MS_BIND)
        os.close(source)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, data)]
    check(libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]), f"mount {target}")

"""The system calls that users' code may make, as a filter of the kernel's own bytecode. Standard library only, no libseccomp.

An allow-list: what computing on data in memory needs. What starts or attaches to processes, opens sockets or changes namespaces ends the job at
once; everything else fails with EPERM, which libraries take for an answer. `clone3` fails with ENOSYS, so that libc falls back to `clone`, whose
flags a filter can see.

Numbers are of the kernel's tables `arch/x86/entry/syscalls/syscall_64.tbl` and `include/uapi/asm-generic/unistd.h`.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import platform
import struct

from jail import check, prctl

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
KILL_PROCESS = 0x8000_0000
ALLOW = 0x7FFF_0000
REFUSE = 0x0005_0000 | errno.EPERM
NO_SUCH_CALL = 0x0005_0000 | errno.ENOSYS

CLONE_THREAD = 0x0001_0000

# Names -> (x86_64, aarch64); None where the machine has no such call.
ALLOWED: dict[str, tuple[int | None, int]] = {
    # memory
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214), "mremap": (25, 216), "madvise": (28, 233),
    "msync": (26, 227), "mincore": (27, 232),
    # files that are open, or that lie behind the walls
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "lseek": (8, 62), "pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65),
    "writev": (20, 66), "open": (2, None), "openat": (257, 56), "stat": (4, None), "fstat": (5, 80), "lstat": (6, None),
    "newfstatat": (262, 79), "statx": (332, 291), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getdents64": (217, 61), "getcwd": (79, 17), "fcntl": (72, 25), "dup": (32, 23),
    "ftruncate": (77, 46), "fallocate": (285, 47), "fadvise64": (221, 223), "fsync": (74, 82), "fdatasync": (75, 83), "pipe2": (293, 59),
    # waiting
    "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "futex": (202, 98), "sched_yield": (24, 124), "restart_syscall": (219, 128), "pause": (34, None),
    # its own signals and threads
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "set_robust_list": (273, 99), "set_tid_address": (218, 96), "rseq": (334, 293), "membarrier": (324, 283),
    # what it is
    "getpid": (39, 172), "gettid": (186, 178), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
    "getegid": (108, 177), "getpgrp": (111, None), "uname": (63, 160), "sysinfo": (99, 179), "getrusage": (98, 165), "times": (100, 153),
    "getrlimit": (97, 163), "sched_getaffinity": (204, 123), "getcpu": (309, 168), "arch_prctl": (158, None),
    # time and chance
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "time": (201, None), "getrandom": (318, 278),
    # messages of the job
    "sendto": (44, 206), "sendmsg": (46, 211), "recvfrom": (45, 207), "recvmsg": (47, 212),
    # the end
    "exit": (60, 93), "exit_group": (231, 94),
}

# Nothing honest does these on data in memory.
DEADLY: dict[str, tuple[int | None, int]] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "socket": (41, 198), "socketpair": (53, 199),
    "connect": (42, 203), "bind": (49, 200), "listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "init_module": (175, 105), "finit_module": (313, 273),
    "kexec_load": (246, 104), "open_by_handle_at": (304, 265), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "seccomp": (317, 277),
}

CLONE = (56, 220)
CLONE3 = (435, 435)
MACHINES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}

# Instructions of classic BPF (linux/bpf_common.h).
LOAD_WORD = 0x20
JUMP_EQUAL = 0x15
JUMP_AT_LEAST = 0x35
JUMP_SET = 0x45
RETURN = 0x06

# struct seccomp_data
NUMBER = 0
ARCHITECTURE = 4
FIRST_ARGUMENT = 16


def prepare() -> None:
    """Makes both filters ahead, for all children at once."""
    for threads in (False, True):
        program(platform.machine(), threads)


def install(threads: bool) -> None:
    """Bounds this process from here on. Raises OSError where the kernel has no filters or the machine is unknown."""
    filter_ = program(platform.machine(), threads)
    count = len(filter_) // 8
    instructions = ctypes.create_string_buffer(filter_, len(filter_))
    header = struct.pack("HxxxxxxP", count, ctypes.addressof(instructions))
    pointer = ctypes.create_string_buffer(header, len(header))
    check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(pointer)), "prctl(PR_SET_SECCOMP)")


@functools.cache
def program(machine: str, threads: bool) -> bytes:
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"there is no filter for the machine {machine}")
    column, architecture = MACHINES[machine]
    allowed = numbers(ALLOWED, column)
    deadly = numbers(DEADLY, column)
    lines = [
        instruction(LOAD_WORD, ARCHITECTURE),
        instruction(JUMP_EQUAL, architecture, 1, 0),
        instruction(RETURN, KILL_PROCESS),
        instruction(LOAD_WORD, NUMBER),
    ]
    if machine == "x86_64":  # the x32 calls share the architecture and have this bit
        lines += [instruction(JUMP_AT_LEAST, 0x4000_0000, 0, 1), instruction(RETURN, KILL_PROCESS)]
    for number in allowed:
        lines += [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, ALLOW)]
    lines += [instruction(JUMP_EQUAL, CLONE3[column], 0, 1), instruction(RETURN, NO_SUCH_CALL)]
    lines += [
        instruction(JUMP_EQUAL, CLONE[column], 0, 4),
        instruction(LOAD_WORD, FIRST_ARGUMENT),
        instruction(JUMP_SET, CLONE_THREAD, 0, 1),
        instruction(RETURN, ALLOW if threads else REFUSE),
        instruction(RETURN, KILL_PROCESS),
    ]
    for number in deadly:
        lines += [instruction(JUMP_EQUAL, number, 0, 1), instruction(RETURN, KILL_PROCESS)]
    return b"".join([*lines, instruction(RETURN, REFUSE)])


def numbers(calls: dict[str, tuple[int | None, int]], column: int) -> list[int]:
    return [number for pair in calls.values() if (number := pair[column]) is not None]


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)

"""The child side of sandbox.py: confines its own process, then runs the code that it reads from standard input.

A program of its own, started with `python -I -S`; imports the standard library alone. Every layer is tried, and what the kernel refuses is
left to the audit hook:

    limits       resource limits: address space, processor time, size of files, no core files
    namespaces   a network without devices, and the working folder a small file system in memory that goes with the process
    landlock     reading only where the interpreter and the system's libraries lie, writing only in the working folder (Linux 5.13)
    seccomp      no sockets, processes, programs, signals to others, changed limits or file attributes
    hook         where landlock or seccomp is missing: the interpreter refuses the same (a hurdle for accidents, not for malice)
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import struct
import sys
import types

libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER, SIGKILL = 1, 22, 38, 2, 9
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000
CLONE_THREAD = 0x10000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 16384, 1 << 18


def set_limits(job: dict) -> None:
    seconds = int(job["wall_s"]) + 1
    for what, most in (
        (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, job["memory_bytes"]), (resource.RLIMIT_FSIZE, job["folder_bytes"]),
        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 64),
    ):  # fmt: skip
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


# ---- Namespaces ---------------------------------------------------------------------------------------------------------------


def enter_namespaces(folder: str, folder_bytes: int) -> list[str]:
    """The network is gone, and the folder holds at most `folder_bytes`; what of it succeeded, in words."""
    uid, gid = os.geteuid(), os.getegid()
    flags = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS
    if libc.unshare(flags) != 0:
        if libc.unshare(flags | CLONE_NEWUSER) != 0:
            return []
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            try:
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
            except OSError:
                return ["network namespace"]
    options = f"size={folder_bytes},nr_inodes=4096,mode=700".encode()
    private = libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None) == 0
    if private and libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(MS_NOSUID | MS_NODEV), options) == 0:
        os.chdir(folder)
        return ["network namespace", "folder in memory"]
    return ["network namespace"]


# ---- Landlock -----------------------------------------------------------------------------------------------------------------

LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on every architecture
READ_RIGHTS = 0b1100  # READ_FILE and READ_DIR
WRITE_FILE, TRUNCATE, REFER = 1 << 1, 1 << 14, 1 << 13


def landlock(folder: str) -> list[str]:
    """Files outside `folder` cannot be changed, and only those of the interpreter and the system read."""
    version = libc.syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return []
    rights = (1 << 13) - 1 | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0)
    wanted = struct.pack("<Q", rights)
    rules = libc.syscall(LANDLOCK_CREATE, wanted, ctypes.c_size_t(len(wanted)), 0)
    if rules < 0:
        return []
    readable = {sys.prefix, sys.base_prefix, os.path.dirname(os.path.realpath(os.__file__)), os.path.dirname(os.path.realpath(__file__))}
    readable |= {"/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/etc/localtime"}
    grants = [(path, READ_RIGHTS) for path in readable] + [(folder, rights & ~1)]
    grants += [("/dev/null", READ_RIGHTS | WRITE_FILE), ("/dev/urandom", READ_RIGHTS), ("/dev/zero", READ_RIGHTS)]
    for path, granted in grants:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            granted &= 1 << 2 | WRITE_FILE
        libc.syscall(LANDLOCK_ADD, rules, 1, struct.pack("<Qi", granted, handle), 0)
        os.close(handle)
    done = libc.syscall(LANDLOCK_RESTRICT, rules, 0) == 0
    os.close(rules)
    return [f"landlock {version}"] if done else []


# ---- Seccomp ------------------------------------------------------------------------------------------------------------------

# System calls that are refused, by architecture; the numbers from 424 on are the same everywhere:
# pidfd_send_signal, io_uring_*, mounts, pidfd_open, pidfd_getfd, process_madvise, mount_setattr, memfd_secret, fchmodat2, *xattrat, mounts
DENIED_EVERYWHERE = (424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 440, 442, 447, 452, 463, 466, 467)
ARCHITECTURES = {
    "x86_64": {
        "audit": 0xC000003E, "clone": 56, "kill": 62, "tgkill": 234, "prlimit": 302,
        "denied": (
            41, 42, 49, 50, 43, 288,  # socket, connect, bind, listen, accept, accept4
            57, 58, 59, 322,  # fork, vfork, execve, execveat
            101, 310, 311,  # ptrace, process_vm_readv, process_vm_writev
            200, 129, 297, 109, 112,  # tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, setpgid, setsid
            160, 141, 142, 144, 203,  # setrlimit, priorities, scheduling
            90, 91, 268, 92, 93, 94, 260, 132, 235, 280, 261,  # modes, owners, times
            188, 189, 190, 197, 198, 199, 133, 259,  # extended attributes, mknod, mknodat
            165, 166, 155, 161, 272, 308, 304,  # mounts, chroot, namespaces, open_by_handle_at
            163, 164, 167, 168, 169, 170, 171, 175, 176, 313, 172, 173, 159, 227, 305, 179, 103, 246, 320,  # the machine's settings
            321, 298, 323, 248, 249, 250, 319,  # bpf, perf, userfaultfd, keys, memfd
            29, 64, 68, 240,  # System V and POSIX communication between processes
        ),
    },
    "aarch64": {
        "audit": 0xC00000B7, "clone": 220, "kill": 129, "tgkill": 131, "prlimit": 261,
        "denied": (
            198, 203, 200, 201, 202, 242,
            221, 281,
            117, 270, 271,
            130, 138, 240, 154, 157,
            164, 140, 118, 119, 122,
            52, 53, 54, 55, 88,
            5, 6, 7, 14, 15, 16, 33,
            40, 39, 41, 51, 97, 268, 265,
            89, 170, 224, 225, 142, 161, 162, 105, 106, 273, 171, 112, 266, 60, 116, 104, 294,
            280, 241, 282, 217, 218, 219, 279,
            194, 190, 186, 180,
        ),
    },
}  # fmt: skip
CLONE3, ENOSYS_CODE = 435, 38
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER, ARCHITECTURE, ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; arguments are 8 bytes each


def filter_program(machine: dict, pid: int) -> list[tuple[int, int, int, int]]:
    """The BPF program: (operation, jump if true, jump if false, constant)."""
    refused = (RETURN, 0, 0, ERRNO | errno.EPERM)
    program = [(LOAD, 0, 0, ARCHITECTURE), (JUMP_EQUAL, 1, 0, machine["audit"]), (RETURN, 0, 0, KILL_PROCESS), (LOAD, 0, 0, NUMBER)]
    program += [(JUMP_AT_LEAST, 0, 1, 0x40000000), refused]  # the x32 calls
    for number in machine["denied"] + DENIED_EVERYWHERE:
        program += [(JUMP_EQUAL, 0, 1, number), refused]
    program += [(JUMP_EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, ERRNO | ENOSYS_CODE)]  # libraries fall back on clone
    allowed = (RETURN, 0, 0, ALLOW)
    program += [(JUMP_EQUAL, 0, 4, machine["clone"]), (LOAD, 0, 0, ARGUMENT), (JUMP_BITS, 1, 0, CLONE_THREAD), refused, allowed]
    for name in ("kill", "tgkill"):  # to itself alone: abort() needs it
        program += [(JUMP_EQUAL, 0, 4, machine[name]), (LOAD, 0, 0, ARGUMENT), (JUMP_EQUAL, 1, 0, pid), refused, allowed]
    low, high = ARGUMENT + 16, ARGUMENT + 20  # of the third argument, the new limits: they may be asked for, not set
    program += [
        (JUMP_EQUAL, 0, 6, machine["prlimit"]), (LOAD, 0, 0, low), (JUMP_EQUAL, 0, 2, 0), (LOAD, 0, 0, high), (JUMP_EQUAL, 1, 0, 0),
        refused, allowed,
    ]  # fmt: skip
    return [*program, allowed]


def seccomp() -> list[str]:
    """System calls of DENIED fail with EPERM."""
    machine = ARCHITECTURES.get(platform.machine())
    if machine is None:
        return []
    program = b"".join(struct.pack("<HBBI", *step) for step in filter_program(machine, os.getpid()))
    steps = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(steps)))
    return ["seccomp"] if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, head, 0, 0) == 0 else []


# ---- The hook -----------------------------------------------------------------------------------------------------------------

REFUSED_EVENTS = (
    "socket.bind", "socket.connect", "socket.get", "socket.send", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.spawn",
    "os.system", "os.kill", "pty.", "ctypes.", "resource.setrlimit", "resource.prlimit", "shutil.rmtree", "os.chmod", "os.chown",
    "signal.pthread_kill",
)  # fmt: skip
PATH_EVENTS = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.truncate": 1}


def install_hook(folder: str) -> list[str]:
    """The interpreter refuses what the kernel should."""
    inside = os.path.realpath(folder) + os.sep

    def refuse(event: str, arguments: tuple) -> None:
        if event.startswith(REFUSED_EVENTS):
            raise PermissionError(errno.EPERM, f"{event} is not allowed here")
        paths = ()
        if event == "open":
            path, mode, flags = arguments
            changes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            paths = (path,) if changes and not isinstance(path, int) else ()
        elif event in PATH_EVENTS:
            paths = arguments[: PATH_EVENTS[event]]
        for path in paths:
            real = os.path.realpath(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else ""
            if not (real + os.sep).startswith(inside) and real != os.devnull:
                raise PermissionError(errno.EACCES, "outside the working folder", str(path))

    sys.addaudithook(refuse)
    return ["hook"]


# ---- Running ------------------------------------------------------------------------------------------------------------------


def confine(job: dict) -> str:
    folder = os.getcwd()
    libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    os.umask(0o077)
    held = enter_namespaces(folder, job["folder_bytes"]) if "namespaces" in job["layers"] else []
    set_limits(job)
    held.append("limits")
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    locked = landlock(folder) if "landlock" in job["layers"] else []
    calls = seccomp() if "seccomp" in job["layers"] else []
    held += locked + calls
    if not (locked and calls):
        held += install_hook(folder)
    return ", ".join(held)


def main() -> None:
    job = json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    module = types.ModuleType("__main__")
    module.__dict__["__confined__"] = confine(job)
    sys.modules["__main__"] = module
    sys.argv = ["program.py"]
    mark = job["mark"]
    try:
        exec(compile(job["code"], "program.py", "exec", dont_inherit=True), module.__dict__)
        said = "passed"
    except MemoryError:
        said = "out of memory"
    except SystemExit as error:
        said = f"ended early: exit status {error.code}"
    except BaseException as error:
        said = f"failed: {type(error).__name__}: {error}"
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        pass
    os.write(1, (mark + said.replace("\n", " ")[:500]).encode("utf-8", "replace"))
    os._exit(0)


if __name__ == "__main__":
    main()

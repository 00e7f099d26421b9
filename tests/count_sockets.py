"""Run a command, refuse every internet socket that it or its children ask for, and write their kinds to a file.

`python count_sockets.py REPORT COMMAND ...`. Linux's seccomp asks this process at each socket(2), which needs no rights
and no other program: https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html. The kinds are `datagram`, as every
look-up of a name begins, and `stream`, which is let through: a server listens on one.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import select
import struct
import sys
from pathlib import Path

SECCOMP, SOCKET = {"x86_64": (317, 41), "aarch64": (277, 198)}[platform.machine()]
PR_SET_NO_NEW_PRIVS, SET_MODE_FILTER, NEW_LISTENER = 38, 1, 8
RECEIVE, SEND, CONTINUE = 0xC0502100, 0xC0182101, 1
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ASK, ALLOW = 0x7FC00000, 0x7FFF0000
NUMBER_AT, FAMILY_AT = 0, 16
AF_INET, AF_INET6, SOCK_DGRAM = 2, 10, 2
FILTER = (
    (LOAD, 0, 0, NUMBER_AT), (JUMP_IF_EQUAL, 0, 4, SOCKET),
    (LOAD, 0, 0, FAMILY_AT), (JUMP_IF_EQUAL, 1, 0, AF_INET), (JUMP_IF_EQUAL, 0, 1, AF_INET6),
    (RETURN, 0, 0, ASK), (RETURN, 0, 0, ALLOW),
)  # fmt: skip
EACCES = 13


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def listener() -> int:
    """Put this process and its children under the filter, and return the file on which the kernel asks."""
    libc = ctypes.CDLL(None, use_errno=True)
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in FILTER))
    program = Program(len(FILTER), ctypes.addressof(instructions))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    file = libc.syscall(SECCOMP, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(program))
    if file < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return int(file)


def main(report: str, *command: str) -> int:
    questions = listener()
    child = os.fork()
    if not child:
        os.execvp(command[0], command)
    kinds = []
    while True:
        if select.select([questions], [], [], 0.1)[0]:
            question = bytearray(80)
            fcntl.ioctl(questions, RECEIVE, question)
            identity, kind = struct.unpack_from("Q", question)[0], struct.unpack_from("Q", question, 40)[0]
            datagram = kind & 0xF == SOCK_DGRAM
            kinds.append("datagram" if datagram else "stream")
            fcntl.ioctl(
                questions, SEND, struct.pack("QqiI", identity, 0, *((-EACCES, 0) if datagram else (0, CONTINUE)))
            )
        elif (ended := os.waitpid(child, os.WNOHANG))[0]:
            Path(report).write_text("\n".join(kinds))
            return os.waitstatus_to_exitcode(ended[1])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

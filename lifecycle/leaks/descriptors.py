"""Open file descriptors of this process: what they point at, and for sockets whom they listen for or talk to."""

from __future__ import annotations

import fcntl
import gc
import io
import os
import socket
import stat
import tracemalloc
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import attrs

from ..escaping import escaped
from .leak import Held, Leak, LeakKind, created_at
from .processes import below

FOLDERS = ("/proc/self/fd", "/dev/fd")
"""Where a system lists the descriptors of the process that asks: Linux, macOS."""


@attrs.frozen
class Descriptor:
    """An open descriptor: its number, the file behind it, the name of that where there is one."""

    number: int
    device: int
    inode: int
    mode: int
    target: str

    @property
    def file(self) -> tuple[int, int, str]:
        """What two descriptors of one file share."""
        return self.device, self.inode, self.target

    @property
    def is_socket(self) -> bool:
        """Whether it is a socket."""
        return stat.S_ISSOCK(self.mode)


def descriptors(kind: LeakKind) -> Held:
    """Return the descriptors that are sockets, or those that are none."""
    wanted = kind is LeakKind.SOCKET
    return {one: partial(_told, one) for one in _open() if one.is_socket is wanted}


def descriptors_below(roots: Sequence[Path]) -> Held:
    """Return the descriptors that are open on something in one of `roots`, deleted or not."""
    return {one: partial(_told, one) for one in _open() if below(one.target, roots)}


def without_moved(new: list[Descriptor], gone: list[Descriptor]) -> list[Descriptor]:
    """Return the new descriptors without those whose file had another number before, which is free now."""
    places = [one.file for one in gone]
    kept = []
    for one in new:
        if one.file in places:
            places.remove(one.file)
        else:
            kept.append(one)
    return kept


def _open() -> Iterator[Descriptor]:
    folder = next((folder for folder in FOLDERS if os.path.isdir(folder)), None)
    for name in sorted(map(int, os.listdir(folder))) if folder else ():
        try:
            status = os.fstat(name)
            target = _target(folder, name)
        except OSError:  # closed meanwhile, as the one that the listing itself used
            continue
        yield Descriptor(name, status.st_dev, status.st_ino, status.st_mode, target)


def _target(folder: str | None, number: int) -> str:
    try:
        return os.readlink(f"{folder}/{number}")
    except OSError:
        command = getattr(fcntl, "F_GETPATH", None)  # macOS
        if command is None:
            raise
    try:
        return fcntl.fcntl(number, command, b"\0" * 1024).rstrip(b"\0").decode("utf-8", "backslashreplace")
    except OSError:  # nothing that has a path
        return ""


def _told(one: Descriptor) -> Leak:
    created = _creation(one.number)
    if not one.is_socket:
        return Leak(LeakKind.DESCRIPTOR, f"{one.number} open on {escaped(one.target) or 'no file'}", created)
    return Leak(LeakKind.SOCKET, f"{one.number} {_socket_told(one.number)}", created)


def _socket_told(number: int) -> str:
    try:
        with socket.socket(fileno=os.dup(number)) as copy:
            own = _address(copy.getsockname())
            family = f"{copy.family.name.removeprefix('AF_').lower()} {copy.type.name.removeprefix('SOCK_').lower()}"
            if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return f"({family}) listening on {own}"
            try:
                return f"({family}) {own} connected to {_address(copy.getpeername())}"
            except OSError:
                return f"({family}) {own}"
    except (OSError, AttributeError):  # closed meanwhile; a family that Python has no name for
        return "of an unknown family"


def _address(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return escaped(f"{address[0]}:{address[1]}")
    return (
        escaped(address.decode("utf-8", "backslashreplace") if isinstance(address, bytes) else address)
        or "no name"
    )


def _creation(number: int) -> str | None:
    """Return where the Python object that holds a descriptor was created, if there is one and it is known."""
    if not tracemalloc.is_tracing():
        return None
    for candidate in gc.get_objects():
        if isinstance(candidate, (io.FileIO, socket.socket)) and _number(candidate) == number:
            return created_at(candidate)
    return None


def _number(file: io.FileIO | socket.socket) -> int:
    try:
        return file.fileno()
    except ValueError:  # closed
        return -1

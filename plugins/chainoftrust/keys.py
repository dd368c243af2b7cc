"""The two halves of an ed25519 key, read from what people keep them in: PEM, or the bytes in Base64."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...lifecycle.errors import StagecallError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_BYTES = 65_536
"""The longest file that is taken for a key."""

SEED, PUBLIC, BOTH = 32, 32, 64
"""Bytes of the private half, of the public half, and of both in a row, as some tools write them."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(StagecallError):
    """A file that holds no ed25519 key of the kind that was asked for, or that others may read."""


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a file: PEM (PKCS#8, without a password), or 32 or 64 bytes in Base64.

    Raises: KeyFileError, also if anybody but the owner has any right to the file.
    """
    data, mode = _read(path)
    if mode & _OTHERS:
        raise KeyFileError(
            f"{path}: others than its owner may use this signing key (mode {stat.S_IMODE(mode):04o}); "
            f"say: chmod 600 {path}"
        )
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not _is_pem(data):
        return Ed25519PrivateKey.from_private_bytes(_decoded(path, data, (SEED, BOTH))[:SEED])
    key = _from_pem(path, "private", partial(load_pem_private_key, data, password=None))
    if not isinstance(key, Ed25519PrivateKey):
        raise _of_another_kind(path, key)
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key in a file: PEM (SubjectPublicKeyInfo), or 32 bytes in Base64. Raises: KeyFileError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data, _ = _read(path)
    if not _is_pem(data):
        return Ed25519PublicKey.from_public_bytes(_decoded(path, data, (PUBLIC,)))
    if b"PRIVATE KEY" in data:
        raise KeyFileError(f"{path}: this is a private key; verifying takes the public one only")
    key = _from_pem(path, "public", partial(load_pem_public_key, data))
    if not isinstance(key, Ed25519PublicKey):
        raise _of_another_kind(path, key)
    return key


def _read(path: Path) -> tuple[bytes, int]:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyFileError(f"{path}: is no file")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise KeyFileError(f"{path}: is longer than any key")
    return data, mode


def _is_pem(data: bytes) -> bool:
    return data.lstrip().startswith(b"-----BEGIN ")


def _from_pem(path: Path, half: str, load: Callable[[], object]) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            f"{path}: no {half} key can be read from this PEM: {_first_line(error)}"
        ) from error


def _of_another_kind(path: Path, key: object) -> KeyFileError:
    return KeyFileError(f"{path}: the key is of another kind than ed25519: {type(key).__name__}")


def _decoded(path: Path, data: bytes, lengths: tuple[int, ...]) -> bytes:
    try:
        key = base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error as error:
        raise KeyFileError(f"{path}: holds neither PEM nor Base64") from error
    if len(key) not in lengths:
        expected = " or ".join(map(str, lengths))
        raise KeyFileError(
            f"{path}: an ed25519 key in Base64 has {expected} bytes of this half, not {len(key)}"
        )
    return key


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

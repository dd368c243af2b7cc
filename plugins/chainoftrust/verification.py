"""Checks a folder of artifacts against the signed list in it: what the worker has seen, byte by byte, and nothing else.

The folder may come from anywhere. Nothing of it is believed before the signature is, no symbolic link in it is
followed, and nothing but a regular file is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from ...lifecycle.errors import StagecallError
from ..artifacts.names import MAX_CHARACTERS, name_problem
from .document import CHAIN, SIGNATURE, VERSION

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_CHAIN_BYTES = 256 * 1_048_576
"""The longest list that is read; one line of it is some 150 bytes."""

CHUNK_BYTES = 1_048_576

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ChainError(StagecallError):
    """A folder whose list of artifacts is missing, not signed by this key, or no list: nothing else was checked."""


@attrs.frozen
class Verdict:
    """What became of a verification: `problems` says what is wrong with which artifact, none if all is well.

    `task_id` and `run_id` are those of the list, `names` the artifacts that it names, in order.
    """

    folder: Path
    task_id: str
    run_id: int
    worker: str
    names: tuple[str, ...]
    problems: Mapping[str, str]

    @property
    def trusted(self) -> bool:
        """Whether the folder holds just what the worker has signed."""
        return not self.problems


def verify_folder(folder: Path, key: Ed25519PublicKey, *, unlisted: bool = False) -> Verdict:
    """Check the artifacts below `folder`; `unlisted` lets it hold files besides that the list does not name.

    Reads every artifact. Raises: ChainError.
    """
    try:
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ChainError(f"{folder}: {error.strerror or error}") from error
    try:
        chain = _signed_chain(folder, root, key)
        problems = dict(_damaged(root, chain["artifacts"]))
        if not unlisted:
            problems |= dict(_strangers(root, {*chain["artifacts"], CHAIN, SIGNATURE}))
    finally:
        os.close(root)
    return Verdict(
        folder,
        chain["taskId"],
        chain["runId"],
        f"{chain['workerGroup']}/{chain['workerId']}",
        tuple(chain["artifacts"]),
        problems,
    )


def _signed_chain(folder: Path, root: int, key: Ed25519PublicKey) -> Mapping[str, Any]:
    from cryptography.exceptions import InvalidSignature

    data, signature = _content(folder, root, CHAIN), _content(folder, root, SIGNATURE)
    try:
        key.verify(signature, data)
    except InvalidSignature:
        raise ChainError(
            f"{folder / CHAIN}: the signature in {SIGNATURE} was not made with this key, or the list was changed since"
        ) from None
    try:
        chain = json.loads(data)
    except ValueError as error:
        raise ChainError(f"{folder / CHAIN}: is signed, but is no JSON: {error}") from error
    if problem := _chain_problem(chain):
        raise ChainError(f"{folder / CHAIN}: is signed, but {problem}")
    checked: Mapping[str, Any] = chain
    return checked


def _chain_problem(chain: Any) -> str | None:
    if not isinstance(chain, dict):
        return "is no object"
    if chain.get("chainOfTrustVersion") != VERSION:
        return f"chainOfTrustVersion is {chain.get('chainOfTrustVersion')!r}; this release knows {VERSION}"
    fields = {
        "artifacts": dict,
        "taskId": str,
        "runId": int,
        "workerGroup": str,
        "workerId": str,
        "task": dict,
        "environment": dict,
    }
    for name, kind in fields.items():
        if not isinstance(chain.get(name), kind):
            return f"{name} is missing, or of another type than the version says"
    for name, entry in chain["artifacts"].items():
        if problem := name_problem(name):
            return f"the artifact name {name!r} {problem}"
        if not (isinstance(entry, dict) and _SHA256.fullmatch(str(entry.get("sha256")))):
            return f"the artifact {name!r} has no sha256"
    return None


def _content(folder: Path, root: int, name: str) -> bytes:
    try:
        file = _opened(root, name)
    except OSError as error:
        raise ChainError(f"{folder / name}: {error.strerror or error}") from error
    with open(file, "rb") as stream:
        data = stream.read(MAX_CHAIN_BYTES + 1)
    if len(data) > MAX_CHAIN_BYTES:
        raise ChainError(f"{folder / name}: is longer than {MAX_CHAIN_BYTES} bytes")
    return data


def _damaged(root: int, listed: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for name, entry in listed.items():
        try:
            found = _sha256(root, name)
        except FileNotFoundError:
            yield name, "is missing"
        except OSError as error:
            yield name, f"cannot be read: {error.strerror or error}"
        else:
            if found != entry["sha256"]:
                yield name, f"has other content: its sha256 is {found}, not {entry['sha256']}"


def _sha256(root: int, name: str) -> str:
    digest = hashlib.sha256()
    with open(_opened(root, name), "rb") as stream:
        while piece := stream.read(CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _opened(root: int, name: str) -> int:
    """Open a regular file below `root`, through folders only. Raises: OSError."""
    *folders, last = name.split("/")
    parent = _folder(root, folders)
    try:
        file = os.open(last, _FILE, dir_fd=parent)
    finally:
        os.close(parent)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{name!r} is no regular file")
    return file


def _folder(root: int, folders: Sequence[str]) -> int:
    """Open a folder below `root`, through folders only. Raises: OSError."""
    parent = os.dup(root)
    try:
        for name in folders:
            inner = os.open(name, _FOLDER, dir_fd=parent)
            os.close(parent)
            parent = inner
    except BaseException:
        os.close(parent)
        raise
    return parent


def _strangers(root: int, listed: Container[str]) -> Iterator[tuple[str, str]]:
    """Yield what is below `root` without being listed, and the folders that may hide such: those could not be seen.

    Folders are opened one at a time from `root` on, so that neither descriptors nor the stack bound how deep they go.
    """
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        place = waiting.pop()
        if len("/".join(place)) > MAX_CHARACTERS:
            yield "/".join(place), "is a folder deeper than any artifact lies"
            continue
        try:
            files, folders = _listing(root, place)
        except OSError as error:
            yield "/".join(place) or ".", f"cannot be read: {error.strerror or error}"
            continue
        waiting += [(*place, name) for name in folders]
        for name in ("/".join((*place, name)) for name in files):
            if name not in listed:
                yield name, "is not in the signed list"


def _listing(root: int, place: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what is in a folder: what is none, links to folders too, and the folders. Raises: OSError."""
    found: tuple[list[str], list[str]] = [], []
    folder = _folder(root, place)
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                found[entry.is_dir(follow_symlinks=False)].append(entry.name)
    finally:
        os.close(folder)
    return found

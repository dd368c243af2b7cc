"""What is extracted comes from the task's folder, also where something is put into the place of what was looked at."""

import asyncio
import inspect
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stagecall.engines.errors import InvalidResourceError
from stagecall.engines.process import files

from .process_support import BOUND, CONTAINED, PYTHON, extracted


def swap(name: str, secret: str) -> None:
    """Put a link and a fifo into the place of something, and put it back."""
    os.rename(name, name + ".mine")
    os.symlink(secret, name)
    os.unlink(name)
    os.mkfifo(name)
    os.unlink(name)
    os.rename(name + ".mine", name)


DAEMON = f"""
import os, sys
{inspect.getsource(swap)}
if os.fork():
    sys.exit()
os.setsid()
if os.fork():
    sys.exit()
open("swapping", "w").close()
while True:
    swap("out", sys.argv[1])
"""


@pytest.mark.parametrize("kind", CONTAINED)
async def test_nothing_swaps_while_artifacts_are_extracted(make_house, kind, tmp_path):
    """A sandbox has ended with all its processes before there is a result, so the task can swap nothing any more."""
    secret = secret_folder(tmp_path)
    house = await make_house(kind)
    script = 'mkdir out; echo mine >out/file; "$1" -c "$2" "$3"; while [ ! -e swapping ]; do sleep 0.01; done'
    run = await house.sh(script, PYTHON, DAEMON, str(secret))
    result = await run.result()
    await house.check_dead(run)

    name = "out.mine" if (run.folder / "out.mine").exists() else "out"
    found = [await extracted(result, name) for _ in range(3)]

    assert found == [{"file": b"mine\n"}] * 3


@pytest.mark.parametrize("kind", ["link", "fifo"])
@pytest.mark.parametrize("victim", ["out", "out/file"])
async def test_swapping_gains_nothing(make_house, tmp_path, monkeypatch, victim, kind):
    """What is put in the place of a name between the look at it and its opening is neither followed nor waited for."""
    secret = secret_folder(tmp_path)
    house = await make_house()
    run = await house.sh("mkdir out; echo mine >out/file")
    result = await run.result()
    place, target = run.folder / victim, secret if victim == "out" else secret / "file"
    monkeypatch.setattr(files, "_check_kind", swapping(place, kind, target, files._check_kind))

    with pytest.raises(InvalidResourceError) as file_error:
        await asyncio.wait_for(result.extract_file("out/file"), BOUND)
    swap_back(place)
    with pytest.raises(InvalidResourceError) as folder_error:
        await asyncio.wait_for(extracted(result, "out"), BOUND)

    assert str(file_error.value).startswith(victim)
    assert victim in str(folder_error.value)


def swapping(place: Path, kind: str, target: Path, check: Callable[..., None]) -> Callable[..., None]:
    """Return a check that is true when it is made, and no more when it returns."""

    def check_and_swap(parts: files.Parts, status: os.stat_result, wanted: int) -> None:
        check(parts, status, wanted)
        if place.match("/".join(parts)) and not place.is_symlink() and not place.is_fifo():
            place.rename(f"{place}.mine")
            if kind == "link":
                place.symlink_to(target)
            else:
                os.mkfifo(place)

    return check_and_swap


def swap_back(place: Path) -> None:
    place.unlink()
    Path(f"{place}.mine").rename(place)


def secret_folder(tmp_path: Path) -> Path:
    """Return a folder of somebody else's, with a file in it."""
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "file").write_text("secret\n")
    return folder

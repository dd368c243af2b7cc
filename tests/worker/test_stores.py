"""What folder and memory promise beyond what every store does: see test_store_conformance.py for that."""

import asyncio
import gc
import io
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stagecall.lifecycle.errors import LifecycleError, NonFatalInternalError
from stagecall.lifecycle.surroundings import AddressedStore, Artifact
from stagecall.specs.task import TaskDefinition, TaskInfo
from stagecall.worker import stores
from stagecall.worker.stores import FolderStore, MemoryStore
from stagecall.worker.stores import content as reading

EXPIRES = datetime(2031, 1, 1, tzinfo=UTC)
PIECES = st.sampled_from(
    ["a", "b", "public", ".", "..", "", "/", "\0", "\n", "~", "link", "\\", "é", "x" * 300]
)
HOSTILE = st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=6).map("/".join))


def new_task(run_id=0) -> TaskInfo:
    return TaskInfo.from_definition(TaskDefinition.parse({"payload": {}}), run_id)


def an_object(name, **more) -> Artifact:
    return Artifact(name, "object", "text/plain", EXPIRES, **more)


def everything_below(folder: Path) -> dict[str, bytes | None]:
    """The files below a folder with their content, folders and links without."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
    }


def files_below(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in everything_below(folder).items() if content is not None}


class Breaking(io.BytesIO):
    """Content that cannot be read to its end."""

    def read(self, size=-1):
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().read(3)


class Waiting(io.BytesIO):
    """Content of which there is always more, read when it is allowed to."""

    def __init__(self):
        super().__init__()
        self.reading = threading.Event()
        self.more = threading.Event()

    def read(self, size=-1):
        self.reading.set()
        assert self.more.wait(30)
        return b"x"


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    return FolderStore(tmp_path / "store") if request.param == "folder" else MemoryStore()


@pytest.mark.parametrize(
    "artifact",
    [
        Artifact("a", "error", "text/plain", EXPIRES, reason="file-missing-on-worker", message="gone"),
        Artifact("a", "redirect", "text/plain", EXPIRES, url="https://example.com/"),
        Artifact("a", "link", "text/plain", EXPIRES, target="public/b"),
    ],
    ids=lambda artifact: artifact.storage,
)
async def test_what_has_no_content_is_returned_as_it_is(store, artifact, tmp_path):
    """Error, redirect and link artifacts are remembered, and nothing is written for them."""
    stored = await store.put(new_task(), artifact, None)

    assert stored == artifact
    assert everything_below(tmp_path) == {}


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a\0b", "a\nb", "x" * 1025, "é" * 128]
)
async def test_bad_names_are_refused(store, name, tmp_path):
    """A store does not rely on what plugins check."""
    with pytest.raises(NonFatalInternalError, match="cannot be stored: its name must"):
        await store.put(new_task(), an_object(name), b"content")

    assert everything_below(tmp_path) == {}


async def test_refused_object_leaves_the_first_one_as_it_was(tmp_path):
    """Nothing of what was refused stays, under any name."""
    store, task = FolderStore(tmp_path, lambda task: Path()), new_task()
    await store.put(task, an_object("a"), b"first")

    with pytest.raises(NonFatalInternalError):
        await store.put(task, an_object("a"), b"second")

    assert everything_below(tmp_path) == {"a": b"first"}


async def test_content_that_breaks_off_is_told_and_leaves_nothing(store, tmp_path):
    """A file that cannot be read is no artifact."""
    with pytest.raises(
        NonFatalInternalError, match=r"content of the artifact 'a' cannot be read: .* Input/output error"
    ):
        await store.put(new_task(), an_object("a"), Breaking(b"content"))

    assert files_below(tmp_path) == {}


async def test_cancelled_upload_stops_and_leaves_nothing(store, tmp_path):
    """The thread lets go before the caller goes on, so that what it read from may be closed."""
    content = Waiting()
    upload = asyncio.create_task(store.put(new_task(), an_object("a"), content))
    await asyncio.to_thread(content.reading.wait, 30)

    upload.cancel()
    await asyncio.sleep(0)
    content.more.set()
    with pytest.raises(asyncio.CancelledError):
        await upload

    assert files_below(tmp_path) == {}


async def read_all(store, task, name, offset=0) -> list[bytes]:
    return [piece async for piece in store.read(task, name, offset)]


async def test_reading_may_end_early(store):
    """Who goes away in the middle leaves no file open."""
    task = new_task()
    await store.put(task, an_object("a"), bytes(3 * stores.CHUNK_BYTES))
    before = os.listdir("/proc/self/fd")

    reader = store.read(task, "a")
    first = await anext(reader)
    await reader.aclose()

    assert len(first) == stores.CHUNK_BYTES
    assert len(os.listdir("/proc/self/fd")) == len(before)


async def test_objects_of_a_run_that_has_gone_can_be_read(tmp_path):
    """A folder holds what was stored, whoever remembers it, and where a file is replaced by a link it holds nothing."""
    task = new_task()
    await FolderStore(tmp_path).put(task, an_object("a"), b"content")
    later = FolderStore(tmp_path)

    assert await read_all(later, task, "a") == [b"content"]
    file = tmp_path / task.task_id / "0" / "a"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        await read_all(later, task, "a")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(FileNotFoundError):
        await read_all(later, task, "a")


async def test_folders_have_addresses_and_memory_has_none(tmp_path):
    """An address says where the file is, also before it is there."""
    task, folder, memory = new_task(), FolderStore(tmp_path / "a b"), MemoryStore()

    await folder.put(task, an_object("public/ü#.txt"), b"content")
    address = folder.url(task, "public/ü#.txt")

    assert address == f"file://{tmp_path}/a%20b/{task.task_id}/0/public/%C3%BC%23.txt"
    assert memory.url(task, "a") is None
    assert isinstance(folder, AddressedStore)
    assert isinstance(memory, AddressedStore)


@pytest.mark.parametrize("change", ["grow", "shrink", "rewrite"])
async def test_content_that_changes_while_it_is_read_is_an_error(store, tmp_path, change):
    """What the digest says must have been the file at one time."""
    path = tmp_path / "changing"
    path.write_bytes(bytes(3 * stores.CHUNK_BYTES))

    class Changing(io.FileIO):
        def read(self, size=-1):
            piece = super().read(size)
            if self.tell() == stores.CHUNK_BYTES:
                if change == "grow":
                    with path.open("ab") as file:
                        file.write(b"more")
                elif change == "shrink":
                    os.truncate(path, stores.CHUNK_BYTES + 5)
                else:
                    os.utime(path, ns=(0, 0))
            return piece

    with Changing(path) as file, pytest.raises(NonFatalInternalError, match="'a' changed while it was read"):
        await store.put(new_task(), an_object("a"), file)

    assert list(files_below(tmp_path)) == ["changing"]


async def test_objects_lie_below_task_and_run(tmp_path):
    """One folder serves many runs; `path` begins with the root as it was given."""
    store, task = FolderStore(tmp_path / "made" / "on use"), new_task(3)

    artifact = await store.put(task, an_object("public/a b.txt"), b"content")

    path = f"made/on use/{task.task_id}/3/public/a b.txt"
    assert artifact.path == str(tmp_path / path)
    assert files_below(tmp_path) == {path: b"content"}


async def test_layout_may_put_a_run_elsewhere_below_the_root(tmp_path, monkeypatch):
    """An embedder decides where runs go, and a relative root stays relative in `path`."""
    monkeypatch.chdir(tmp_path)
    store = FolderStore(Path("out"), lambda task: Path("artifacts"))

    artifact = await store.put(new_task(), an_object("a"), b"content")

    assert artifact.path == "out/artifacts/a"
    assert files_below(tmp_path) == {"out/artifacts/a": b"content"}


@pytest.mark.parametrize("layout", [Path("/tmp"), Path(".."), Path("a/../../b")])
async def test_layout_that_leaves_the_root_is_a_mistake(tmp_path, layout):
    """What leads out of the root is the embedder's defect, not a task's."""
    with pytest.raises(LifecycleError, match="must stay below its root"):
        await FolderStore(tmp_path, lambda task: layout).put(new_task(), an_object("a"), b"content")


@pytest.mark.parametrize("target", ["outside", "outside/file", "nowhere"])
@pytest.mark.parametrize("name", ["link/a", "link", "public/link/a"])
async def test_no_link_is_followed(tmp_path, target, name):
    """A link in the store is refused as a folder, and replaced as a file; where it leads nothing changes."""
    outside, root = tmp_path / "outside", tmp_path / "store"
    outside.mkdir()
    (outside / "file").write_bytes(b"old")
    (root / "public").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / target)
    (root / "public" / "link").symlink_to(tmp_path / target)
    store = FolderStore(root, lambda task: Path())

    if name == "link":
        await store.put(new_task(), an_object(name), b"new")
        assert (root / "link").read_bytes() == b"new"
        assert not (root / "link").is_symlink()
    else:
        with pytest.raises(NonFatalInternalError, match="'link' is a file or a symbolic link, not a folder"):
            await store.put(new_task(), an_object(name), b"new")

    assert everything_below(outside) == {"file": b"old"}
    assert not (tmp_path / "nowhere").exists()


async def test_file_and_folder_of_one_name_are_told(tmp_path):
    """A file system cannot hold both `a` and `a/b`; whichever comes second is refused with the reason."""
    store, task = FolderStore(tmp_path, lambda task: Path()), new_task()
    await store.put(task, an_object("file"), b"1")
    await store.put(task, an_object("folder/b"), b"2")

    with pytest.raises(NonFatalInternalError, match=r"'file/b' cannot be stored in .*: 'file' is a file"):
        await store.put(task, an_object("file/b"), b"3")
    with pytest.raises(
        NonFatalInternalError, match=r"'folder' cannot be stored in .*: there is a folder of that name"
    ):
        await store.put(task, an_object("folder"), b"4")

    assert files_below(tmp_path) == {"file": b"1", "folder/b": b"2"}


async def test_folder_that_cannot_be_written_is_told(tmp_path):
    """The error names the artifact, the folder and what the system said."""
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(NonFatalInternalError, match=r"'a' cannot be stored in .*/file/run: "):
        await FolderStore(tmp_path / "file", lambda task: Path("run")).put(
            new_task(), an_object("a"), b"content"
        )


async def test_uploads_side_by_side_are_all_whole(tmp_path, monkeypatch):
    """Many at once, in many pieces, below folders that nobody has made yet."""
    monkeypatch.setattr(reading, "CHUNK_BYTES", 3)
    store, task = FolderStore(tmp_path, lambda task: Path()), new_task()
    wanted = {f"{number % 3}/{number % 5}/{number}": str(number).encode() * 10 for number in range(50)}

    await asyncio.gather(
        *(store.put(task, an_object(name), io.BytesIO(data)) for name, data in wanted.items())
    )

    assert files_below(tmp_path) == wanted


async def test_files_have_the_mode_that_the_user_asked_for(tmp_path):
    """Artifacts are for people: the process's umask decides who may read them."""
    before = os.umask(0o027)
    try:
        await FolderStore(tmp_path, lambda task: Path()).put(new_task(), an_object("d/a"), b"content")
    finally:
        os.umask(before)

    modes = [oct((tmp_path / name).stat().st_mode & 0o777) for name in ("d", "d/a")]
    assert modes == ["0o750", "0o640"]


async def test_nothing_is_remembered_of_a_run_that_is_gone(tmp_path):
    """The store of a worker that runs for years does not grow."""
    store = FolderStore(tmp_path)
    for _ in range(3):
        task = new_task()
        await store.put(task, an_object("a"), b"content")
    del task
    gc.collect()

    assert store._shelves.by_task == {}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(names=st.lists(HOSTILE, min_size=1, max_size=4))
@example(names=["link/a"])
@example(names=["../beside"])
@example(names=["a", "a/b", "a"])
def test_no_name_leaves_the_folder(tmp_path_factory, names):
    """Nothing beside the store's folder changes, and what is accepted lies where its name says."""
    base = tmp_path_factory.mktemp("hostile")
    outside, root = base / "outside", base / "store" / "run"
    outside.mkdir()
    root.mkdir(parents=True)
    (root / "link").symlink_to(outside)
    store, task = FolderStore(base / "store", lambda task: Path("run")), new_task()
    accepted = {}

    async def put_all():
        for name in names:
            try:
                await store.put(task, an_object(name), name.encode("utf-8", "surrogatepass"))
                accepted[name] = name.encode()
            except NonFatalInternalError:
                pass

    asyncio.run(put_all())

    assert everything_below(outside) == {}
    assert sorted(path.name for path in base.iterdir()) == ["outside", "store"]
    assert [path.name for path in (base / "store").iterdir()] == ["run"]
    assert files_below(root) == accepted


async def test_memory_keeps_content_until_it_is_forgotten():
    """`entries` shows what is kept, by task, run and name."""
    store, task = MemoryStore(), new_task()
    one = await store.put(task, an_object("a"), b"content")
    gone = await store.put(task, Artifact("b", "error", "text/plain", EXPIRES, reason="r", message="m"), None)

    kept = {key: (entry.artifact, entry.content) for key, entry in store.entries.items()}
    store.forget(task.task_id, 0)

    assert kept == {(task.task_id, 0, "a"): (one, b"content"), (task.task_id, 0, "b"): (gone, None)}
    assert store.entries == {}


async def test_full_memory_refuses_more_until_something_is_forgotten():
    """The bound counts content and a kilobyte for each artifact; refusing changes nothing."""
    store, first, second = MemoryStore(limit=4096), new_task(), new_task()
    await store.put(first, an_object("a"), b"x" * 2048)

    for content in (b"x" * 2048, io.BytesIO(b"x" * 5000)):
        with pytest.raises(
            NonFatalInternalError, match="'b' does not fit into the MemoryStore, it holds 4096 bytes"
        ):
            await store.put(second, an_object("b"), content)
    store.forget(first.task_id, 0)
    await store.put(second, an_object("b"), b"x" * 2048)

    assert [name for _, _, name in store.entries] == ["b"]


async def test_storing_the_same_again_takes_no_more_room():
    """What replaces something takes its place in the bound too."""
    store, task = MemoryStore(limit=4096), new_task()

    for _ in range(5):
        await store.put(task, an_object("a"), b"x" * 2048)

    assert len(store.entries) == 1

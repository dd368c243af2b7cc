"""Object storage: what is tried again and what is not, what lies beside content, and that nothing stays under way."""

import asyncio
import hashlib
import io
import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config
from obstore.store import MemoryStore

from stagecall.lifecycle.errors import LifecycleError, NonFatalInternalError
from stagecall.lifecycle.surroundings import AddressedStore
from stagecall.testing.store_conformance import an_object, new_task, read_all
from stagecall.worker.stores import ObjectStore, Retry, open_store
from stagecall.worker.stores.uploading import PART_BYTES

from .s3_support import (
    ACCESS_KEY,
    OPTIONS,
    REGION,
    SECRET_KEY,
    Hang,
    Reset,
    s3_error,
    s3_server,
)

QUICK = Retry(first=0.001, most=0.01)
LARGE = 3 * PART_BYTES + 17
WAIT = 30


@pytest.fixture
def server():
    with s3_server() as server:
        yield server


@pytest.fixture
def store(server):
    return a_store(server)


def a_store(server, retry=QUICK, **options):
    return open_store("s3://bucket/pre", options={**OPTIONS, "endpoint": server.url, **options}, retry=retry)


async def eventually(holds):
    """Wait until something holds, bounded."""
    async with asyncio.timeout(WAIT):
        while not holds():  # noqa: ASYNC110  (what it asks changes in the server's threads)
            await asyncio.sleep(0.01)


class Stepping(io.BytesIO):
    """Large content that stops before its last part until it is let go."""

    def __init__(self):
        super().__init__(bytes(LARGE))
        self.stopped = threading.Event()
        self.go = threading.Event()

    def read(self, size=-1):
        if self.tell() >= 2 * PART_BYTES:
            self.stopped.set()
            assert self.go.wait(WAIT)
        return super().read(size)


# What goes to the server


@pytest.mark.parametrize("size", [7, LARGE])
async def test_type_encoding_and_expiry_are_kept_beside_the_content(server, store, size):
    """Whoever downloads an object is told what it is; when it expires is metadata, for whoever cleans up."""
    task = new_task()

    stored = await store.put(task, an_object("public/a.gz", content_encoding="gzip"), bytes(size))

    key = f"pre/{task.task_id}/0/public/a.gz"
    ((found, (content, headers)),) = server.objects.items()
    assert (found, content) == (key, bytes(size))
    assert {name: headers[name] for name in ("content-type", "content-encoding", "x-amz-meta-expires")} == {
        "content-type": "text/plain",
        "content-encoding": "gzip",
        "x-amz-meta-expires": "2031-01-01T00:00:00+00:00",
    }
    assert (stored.url, stored.path, stored.bytes) == (f"s3://bucket/{key}", None, size)


@pytest.mark.parametrize(
    ("size", "kinds"),
    [
        (PART_BYTES, {"PutObject": 1}),
        (PART_BYTES + 1, {"CreateMultipartUpload": 1, "UploadPart": 2, "CompleteMultipartUpload": 1}),
        (LARGE, {"CreateMultipartUpload": 1, "UploadPart": 4, "CompleteMultipartUpload": 1}),
    ],
)
async def test_what_is_larger_than_a_part_goes_in_parts(server, store, size, kinds):
    """One request where one will do."""
    stored = await store.put(new_task(), an_object("a"), io.BytesIO(bytes(size)))

    ((content, _),) = server.objects.values()
    assert Counter(server.kinds()) == kinds
    assert hashlib.sha256(content).hexdigest() == stored.sha256


def google(url):
    account = {
        "gcs_base_url": url,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    return open_store(
        "gs://bucket/pre", options={"service_account_key": json.dumps(account), "allow_http": True}
    )


def azure(url):
    account = {"account_name": "account", "account_key": "aGVsbG8="}
    return open_store("az://bucket/pre", options={**account, "endpoint": url, "allow_http": True})


@pytest.mark.parametrize(("make", "prefix"), [(google, "x-goog-meta-"), (azure, "x-ms-meta-")])
@pytest.mark.parametrize("size", [7, LARGE])
async def test_google_and_azure_are_spoken_too(server, make, prefix, size):
    """The same promises in other words; signatures are only checked as S3 has them."""
    server.suspicious = False
    task, content = new_task(), bytes(range(256)) * (size // 256) + b"content"

    stored = await make(server.url).put(task, an_object("a b"), io.BytesIO(content))

    ((key, (found, headers)),) = server.objects.items()
    assert key == f"pre/{task.task_id}/0/a b"
    assert (found == content, stored.bytes) == (True, len(content))
    assert headers[f"{prefix}expires"] == "2031-01-01T00:00:00+00:00"


@pytest.mark.parametrize("field", ["content_type", "content_encoding"])
@pytest.mark.parametrize("value", ["text/plain\r\nX-Evil: 1", "text/\u2603", "a\0"])
async def test_what_cannot_be_a_header_is_refused(server, store, field, value):
    """A task may have named it."""
    artifact = an_object("a")
    object.__setattr__(artifact, field, value)

    with pytest.raises(NonFatalInternalError, match=r"'a' cannot be stored: .* cannot be sent as Content-"):
        await store.put(new_task(), artifact, b"content")

    assert server.seen == []


async def test_public_addresses_are_those_of_the_configuration(server):
    """A redirect may lead to them; without them there is no address, as a bucket is not public by itself."""
    options = {**OPTIONS, "endpoint": server.url}
    public = open_store("s3://bucket/pre", options=options, public_url="https://cdn.example.com/x/")
    private = open_store("s3://bucket/pre", options=options)
    task = new_task()

    stored = await public.put(task, an_object("public/a b#?.txt"), b"content")

    address = f"https://cdn.example.com/x/{task.task_id}/0/public/a%20b%23%3F.txt"
    assert isinstance(public, AddressedStore)
    assert isinstance(private, AddressedStore)
    assert (public.url(task, "public/a b#?.txt"), stored.url) == (address, address)
    assert private.url(task, "public/a b#?.txt") is None


async def test_layout_that_leaves_the_prefix_is_a_mistake():
    """What leads out of it is the embedder's defect."""
    store = ObjectStore(lambda tries: MemoryStore(), "s3://bucket", layout=lambda task: Path(".."))

    with pytest.raises(LifecycleError, match="must stay below its root"):
        await store.put(new_task(), an_object("a"), b"content")


# Signatures


def a_client(server, secret=SECRET_KEY):
    return boto3.client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}, request_checksum_calculation="when_required"),
    )


async def test_the_server_believes_botocore_and_nobody_who_lies(server):
    """What the other tests rely on: it takes requests that are signed well and refuses those that are not."""
    put = {"Bucket": "bucket", "Key": "public/é a+b.txt", "Body": b"content"}

    await asyncio.to_thread(a_client(server).put_object, **put)
    with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
        await asyncio.to_thread(a_client(server, "wrong").put_object, **put)

    assert list(server.objects) == ["public/é a+b.txt"]


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"secret_access_key": "wrong"}, "SignatureDoesNotMatch"),
        ({"access_key_id": "AKIANOBODY"}, "InvalidAccessKeyId"),
        ({"region": "eu-other-1"}, "SignatureDoesNotMatch"),
        ({"skip_signature": True}, "AccessDenied"),
    ],
)
@pytest.mark.parametrize("size", [7, LARGE])
async def test_wrong_credentials_are_told_at_once(server, lie, code, size):
    """The first request is the last, and the message says what the server said."""
    task = new_task()

    with pytest.raises(NonFatalInternalError) as caught:
        await a_store(server, **lie).put(task, an_object("a"), bytes(size))

    where = f"s3://bucket/pre/{task.task_id}/0/a"
    assert str(caught.value) == f"the artifact 'a' cannot be stored as {where}: 403 Forbidden ({code})"
    assert len(server.seen) == 1


async def test_signatures_of_another_time_are_refused(server, store):
    """A clock that is wrong is told as what it is."""
    server.now = lambda: datetime.now(UTC) + timedelta(minutes=20)

    with pytest.raises(NonFatalInternalError, match=r"403 Forbidden \(RequestTimeTooSkewed\)"):
        await store.put(new_task(), an_object("a"), b"content")


async def test_credentials_come_from_the_environment(server, monkeypatch):
    """The usual variables; nothing secret needs to stand in a file."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_REGION", REGION)
    store = open_store("s3://bucket", options={"endpoint": server.url, "allow_http": True})

    assert (await store.put(new_task(), an_object("a"), b"content")).bytes == 7


async def test_missing_credentials_are_told_as_such(server, monkeypatch):
    """obstore asks the machine for its role then; that refusal must not read as if it came from the bucket."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    place = {"endpoint": server.url, "metadata_endpoint": server.url, "allow_http": True, "region": REGION}
    server.fault = lambda seen: s3_error(403, "No")
    server.suspicious = False

    with pytest.raises(
        NonFatalInternalError, match="no credentials in the environment, and the machine has none"
    ):
        await open_store("s3://bucket", options=place).put(new_task(), an_object("a"), b"content")

    assert [seen.path for seen in server.seen] == ["/latest/api/token"]


# Failures


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (s3_error(500, "InternalError"), "500 Internal Server Error (InternalError)"),
        (s3_error(502, "Bad"), "502 Bad Gateway (Bad)"),
        (s3_error(503, "SlowDown"), "503 Service Unavailable (SlowDown)"),
        (Reset(), "no answer from the connection with {url}: Connection reset by peer"),
    ],
    ids=["500", "502", "503", "reset"],
)
@pytest.mark.parametrize("size", [7, LARGE])
async def test_failures_of_server_and_network_are_tried_ten_times(server, store, fault, told, size):
    """Ten tries in all, not ten of one layer for each of another."""
    server.fault = lambda seen: fault

    with pytest.raises(NonFatalInternalError) as caught:
        await store.put(new_task(), an_object("a"), bytes(size))

    assert len(server.seen) == 10
    assert str(caught.value).endswith(f": {told.format(url=server.url)}, tried 10 times")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 411, 412, 413, 416, 418, 451])
@pytest.mark.parametrize("size", [7, LARGE])
async def test_refusals_are_final(server, store, status, size):
    """A request that was wrong once is wrong again."""
    server.fault = lambda seen: s3_error(status, "No")

    with pytest.raises(NonFatalInternalError, match=rf": {status} [A-Z].* \(No\)$"):
        await store.put(new_task(), an_object("a"), bytes(size))

    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [408, 429])
async def test_two_refusals_mean_later_to_obstore(server, store, status):
    """What we try ourselves is final with these too; parts, which only obstore can try, it tries again."""
    server.fault = lambda seen: s3_error(status, "Later")

    for size, tries in ((7, 1), (LARGE, 10)):
        server.seen.clear()
        with pytest.raises(NonFatalInternalError, match=f": {status} "):
            await store.put(new_task(), an_object("a"), bytes(size))
        assert len(server.seen) == tries


@pytest.mark.parametrize(
    "kind", ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"]
)
@pytest.mark.parametrize("failures", [1, 9])
async def test_what_passes_is_overcome(server, store, kind, failures):
    """Nine failures of one request and it is stored, whole."""
    left: Counter[tuple[str, str | None]] = Counter()

    def fault(seen):
        left[seen.kind, seen.query.get("partNumber")] += 1
        failing = seen.kind == kind and left[seen.kind, seen.query.get("partNumber")] <= failures
        return s3_error(503, "SlowDown") if failing else None

    server.fault = fault
    content = bytes(7 if kind == "PutObject" else LARGE)

    stored = await store.put(new_task(), an_object("a"), io.BytesIO(content))

    ((found, _),) = server.objects.values()
    assert (found == content, stored.bytes, server.uploads) == (True, len(content), {})


@pytest.mark.parametrize("kind", ["UploadPart", "CompleteMultipartUpload"])
async def test_parts_are_given_up_when_one_fails_for_good(server, store, kind):
    """No part stays where somebody would have to pay for it, and the name is free again."""
    task = new_task()
    server.fault = lambda seen: s3_error(403, "AccessDenied") if seen.kind == kind else None

    with pytest.raises(NonFatalInternalError, match=r"403 Forbidden \(AccessDenied\)"):
        await store.put(task, an_object("a"), bytes(LARGE))
    server.fault = lambda seen: None

    assert (server.uploads, server.objects) == ({}, {})
    assert "AbortMultipartUpload" in server.kinds()
    assert (await store.put(task, an_object("a"), b"content")).bytes == 7


async def test_an_error_that_comes_with_success_is_an_error(server, store):
    """S3 may say 200 to the request that completes an upload, and then what went wrong."""
    server.fault = lambda seen: (
        s3_error(200, "InternalError") if seen.kind == "CompleteMultipartUpload" else None
    )

    with pytest.raises(
        NonFatalInternalError, match=r"answered with an error \(InternalError\), tried 10 times"
    ):
        await store.put(new_task(), an_object("a"), bytes(LARGE))

    assert server.uploads == {}


async def test_pauses_grow(server):
    """Exponential backoff: a server that is overloaded is left alone for longer and longer."""
    store = a_store(server, Retry(tries=5, first=0.02, most=0.1))
    server.fault = lambda seen: s3_error(503, "SlowDown")

    with pytest.raises(NonFatalInternalError, match="tried 5 times"):
        await store.put(new_task(), an_object("a"), b"content")

    pauses = [later - sooner for sooner, later in zip(server.times, server.times[1:], strict=False)]
    for pause, least in zip(pauses, (0.01, 0.02, 0.04, 0.05), strict=True):
        assert pause >= least


async def test_nothing_is_tried_again_after_the_time_for_it(server):
    """A run does not wait for ever for a server that is slow to fail."""
    store = a_store(server, Retry(total=0.0))
    server.fault = lambda seen: s3_error(503, "SlowDown")

    with pytest.raises(NonFatalInternalError, match=r"503 Service Unavailable \(SlowDown\)$"):
        await store.put(new_task(), an_object("a"), b"content")


@pytest.mark.parametrize("tries", [0, 11])
def test_more_than_ten_tries_are_refused(tries):
    """Whoever wants to insist more is a burden to the server."""
    with pytest.raises(ValueError, match="'tries' must be in"):
        Retry(tries=tries)


async def test_a_server_that_is_not_there_is_told():
    """The message says where and why."""
    store = open_store("s3://bucket", options={**OPTIONS, "endpoint": "http://127.0.0.1:1"}, retry=QUICK)

    with pytest.raises(NonFatalInternalError) as caught:
        await store.put(new_task(), an_object("a"), b"content")

    told = "no answer from the connection with http://127.0.0.1:1: Connection refused, tried 10 times"
    assert str(caught.value).endswith(f": {told}")


async def test_a_server_that_hangs_is_a_failure_of_the_network(server):
    """Every request is bounded."""
    store = a_store(server, Retry(tries=2, first=0.001), timeout="200 ms")
    until = threading.Event()
    server.fault = lambda seen: Hang(until)

    with pytest.raises(NonFatalInternalError, match=r"no answer from the connection .*, tried 2 times"):
        await store.put(new_task(), an_object("a"), b"content")

    assert len(server.seen) == 2


# Cancellation


async def test_cancelled_while_parts_are_sent_leaves_none(server, store):
    """The server is told to drop what it has."""
    content = Stepping()
    upload = asyncio.create_task(store.put(new_task(), an_object("a"), content))
    await asyncio.to_thread(content.stopped.wait, WAIT)
    await eventually(lambda: any(server.uploads.values()))

    upload.cancel()
    await asyncio.sleep(0)
    content.go.set()
    with pytest.raises(asyncio.CancelledError):
        await upload

    await eventually(lambda: "AbortMultipartUpload" in server.kinds())
    assert (server.uploads, server.objects) == ({}, {})


async def test_cancelled_while_the_server_hangs_leaves_nothing_either(server, store):
    """Who cancels does not wait for the server; what it does in the end is undone."""
    until, task = threading.Event(), new_task()
    server.fault = lambda seen: Hang(until) if seen.kind == "CompleteMultipartUpload" else None
    upload = asyncio.create_task(store.put(task, an_object("a"), bytes(LARGE)))
    await eventually(lambda: "CompleteMultipartUpload" in server.kinds())

    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await upload
    assert not await store.close(0.05)
    until.set()

    assert await store.close(WAIT)
    assert (server.uploads, server.objects, server.kinds()[-1]) == ({}, {}, "DeleteObjects")


async def test_what_was_stored_before_is_not_undone(server, store):
    """Storing the same again may be cancelled, and the first stays."""
    until, task, content = threading.Event(), new_task(), bytes(LARGE)
    await store.put(task, an_object("a"), content)
    server.seen.clear()
    server.fault = lambda seen: Hang(until) if seen.kind == "CompleteMultipartUpload" else None
    upload = asyncio.create_task(store.put(task, an_object("a"), content))
    await eventually(lambda: "CompleteMultipartUpload" in server.kinds())

    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    until.set()

    assert await store.close()
    assert await read_all(store, task, "a") == content
    assert "DeleteObjects" not in server.kinds()


async def test_cancelled_request_is_hung_up(server, store):
    """A small upload ends with its connection, and its name is free again."""
    until, task = threading.Event(), new_task()
    server.fault = lambda seen: Hang(until)
    upload = asyncio.create_task(store.put(task, an_object("a"), b"content"))
    await eventually(lambda: server.seen)

    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload

    await eventually(lambda: server.hung_up)
    server.fault = lambda seen: None
    assert (await store.put(task, an_object("a"), b"other content")).bytes == 13


async def test_cancelled_between_two_tries_ends_at_once(server):
    """Nobody waits for a pause to be over."""
    store = a_store(server, Retry(first=60, most=60))
    server.fault = lambda seen: s3_error(503, "SlowDown")
    upload = asyncio.create_task(store.put(new_task(), an_object("a"), b"content"))
    await eventually(lambda: server.seen)

    async with asyncio.timeout(10):
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload

    assert len(server.seen) == 1


async def test_two_uploads_of_one_name_do_not_both_count(server, store):
    """Whichever comes second is refused, also while the first is under way."""
    until, task = threading.Event(), new_task()
    server.fault = lambda seen: Hang(until) if seen.body == b"first" else None
    first = asyncio.create_task(store.put(task, an_object("a"), b"first"))
    await eventually(lambda: server.seen)

    with pytest.raises(NonFatalInternalError, match="the run has stored 'a' already"):
        await store.put(task, an_object("a"), b"second")
    until.set()
    await first

    assert await read_all(store, task, "a") == b"first"


# Reading


async def test_reading_goes_on_where_it_broke_off(server, store):
    """A connection that is lost in the middle costs nothing that was read before."""
    task, content = new_task(), bytes(range(256)) * 40_000
    await store.put(task, an_object("a"), content)
    server.seen.clear()
    broken = iter(range(3))
    server.fault = lambda seen: (
        Reset(after=3_000_000) if seen.kind == "GetObject" and next(broken, None) is not None else None
    )

    assert await read_all(store, task, "a", 5) == content[5:]
    assert Counter(server.kinds())["GetObject"] == 4


async def test_reading_is_tried_ten_times_too(server, store):
    """And says what could not be read."""
    task = new_task()
    await store.put(task, an_object("a"), b"content")
    server.seen.clear()
    server.fault = lambda seen: s3_error(503, "SlowDown")

    with pytest.raises(
        NonFatalInternalError, match=r"'a' cannot be read from s3://bucket/pre/.*, tried 10 times"
    ):
        await read_all(store, task, "a")

    assert len(server.seen) == 10


async def test_objects_of_a_run_that_has_gone_can_be_read(server, store):
    """The bucket holds what was stored, whoever remembers it."""
    task = new_task()
    await store.put(task, an_object("a"), b"content")

    assert await read_all(a_store(server), task, "a") == b"content"

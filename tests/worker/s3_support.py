"""A server on loopback that speaks as much S3 as uploads need, believes no request, and fails when it is told to.

moto takes any signature. This one computes it anew with botocore's own signer, from what arrived, and refuses a request
that is signed with other keys, for another time, or for another body.
"""

import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import attrs
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

REGION = "eu-test-1"
ACCESS_KEY = "AKIATESTTESTTESTTEST"
SECRET_KEY = "only/for+tests/0123456789"
SKEW = timedelta(minutes=15)
"""How far the time of a signature may be from the server's, as for S3."""
AMZ_DATE = "%Y%m%dT%H%M%SZ"


@attrs.frozen
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """What is asked for, in S3's words."""
        if "uploads" in self.query:
            return "CreateMultipartUpload"
        if "comp" in self.query:
            return {"block": "PutBlock", "blocklist": "PutBlockList"}[self.query["comp"]]
        if "delete" in self.query:
            return "DeleteObjects"
        if "uploadId" in self.query:
            return {
                "PUT": "UploadPart",
                "POST": "CompleteMultipartUpload",
                "DELETE": "AbortMultipartUpload",
            }[self.method]
        return {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject"}[self.method]


@attrs.frozen
class Answer:
    """What the server says."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Reset:
    """The connection is reset: `after` so many bytes of the right answer if not at once."""

    after: int | None = None


@attrs.frozen
class Hang:
    """Nothing is answered until the event is set or the client is gone."""

    until: threading.Event


Fault = Callable[[Seen], "Answer | Reset | Hang | None"]


def s3_error(status: int, code: str) -> Answer:
    return Answer(
        status, f"<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>".encode()
    )


@attrs.define(eq=False)
class Server:
    """The objects of bucket `bucket`, uploads under way, and every request so far."""

    port: int
    objects: dict[str, tuple[bytes, dict[str, str]]] = attrs.field(factory=dict)
    uploads: dict[str, dict[int, bytes]] = attrs.field(factory=dict)
    blocks: dict[str, bytes] = attrs.field(factory=dict)
    seen: list[Seen] = attrs.field(factory=list)
    times: list[float] = attrs.field(factory=list)
    fault: Fault = lambda seen: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    hung_up: int = 0
    suspicious: bool = True
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kinds(self) -> list[str]:
        """What was asked for so far, in order."""
        return [seen.kind for seen in self.seen]

    def take(self, seen: Seen) -> "Answer | Reset | Hang":
        """Answer a request."""
        with self.lock:
            self.seen.append(seen)
            self.times.append(time.monotonic())
            if self.suspicious and (refusal := self.refusal(seen)):
                return refusal
            return self.fault(seen) or self.answer(seen)

    def refusal(self, seen: Seen) -> Answer | None:
        """Check signature, time and body; None if all is as it should be."""
        scheme, _, rest = seen.headers.get("authorization", "").partition(" ")
        if scheme != "AWS4-HMAC-SHA256":
            return s3_error(403, "AccessDenied")
        given = dict(part.strip().split("=", 1) for part in rest.split(","))
        key, _, region, service, _ = given["Credential"].split("/")
        if key != ACCESS_KEY:
            return s3_error(403, "InvalidAccessKeyId")
        signed_at = datetime.strptime(seen.headers["x-amz-date"], AMZ_DATE).replace(tzinfo=UTC)
        if abs(signed_at - self.now()) > SKEW:
            return s3_error(403, "RequestTimeTooSkewed")
        if (region, service) != (REGION, "s3") or self.signature(seen, given) != given["Signature"]:
            return s3_error(403, "SignatureDoesNotMatch")
        if seen.headers["x-amz-content-sha256"] != hashlib.sha256(seen.body).hexdigest():
            return s3_error(400, "XAmzContentSHA256Mismatch")
        return None

    def signature(self, seen: Seen, given: dict[str, str]) -> str:
        """Return what the request's signature must be."""
        names = given["SignedHeaders"].split(";")
        assert {"host", "x-amz-date", "x-amz-content-sha256"} <= set(names)
        request = AWSRequest(
            method=seen.method,
            url=self.url + seen.path,
            params=seen.query,
            headers={name: seen.headers[name] for name in names},
        )
        request.context["timestamp"] = seen.headers["x-amz-date"]
        signer = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY), "s3", REGION)
        canonical = signer.canonical_request(request)
        signature: str = signer.signature(signer.string_to_sign(request, canonical), request)
        return signature

    def answer(self, seen: Seen) -> Answer:
        """Do what is asked for."""
        key = unquote(seen.path).removeprefix("/bucket/")
        return getattr(self, f"do_{seen.kind}")(key, seen)

    def do_PutObject(self, key: str, seen: Seen) -> Answer:
        self.objects[key] = (seen.body, seen.headers)
        return Answer(200, headers={"ETag": '"x"', "Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT"})

    def do_CreateMultipartUpload(self, key: str, seen: Seen) -> Answer:
        upload = f"upload-{len(self.seen)}"
        self.uploads[upload] = {}
        self.objects.setdefault(f"headers of {upload}", (b"", seen.headers))
        inner = f"<Bucket>bucket</Bucket><Key>k</Key><UploadId>{upload}</UploadId>"
        return Answer(200, f"<InitiateMultipartUploadResult>{inner}</InitiateMultipartUploadResult>".encode())

    def do_UploadPart(self, key: str, seen: Seen) -> Answer:
        if seen.query["uploadId"] not in self.uploads:
            return s3_error(404, "NoSuchUpload")
        self.uploads[seen.query["uploadId"]][int(seen.query["partNumber"])] = seen.body
        return Answer(200, headers={"ETag": f'"{seen.query["partNumber"]}"'})

    def do_CompleteMultipartUpload(self, key: str, seen: Seen) -> Answer:
        parts = self.uploads.pop(seen.query["uploadId"], None)
        if parts is None:
            return s3_error(404, "NoSuchUpload")
        _, headers = self.objects.pop(f"headers of {seen.query['uploadId']}")
        self.objects[key] = (b"".join(parts[number] for number in sorted(parts)), headers)
        return Answer(200, b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")

    def do_AbortMultipartUpload(self, key: str, seen: Seen) -> Answer:
        self.uploads.pop(seen.query["uploadId"], None)
        self.objects.pop(f"headers of {seen.query['uploadId']}", None)
        return Answer(204)

    def do_GetObject(self, key: str, seen: Seen) -> Answer:
        if key not in self.objects:
            return s3_error(404, "NoSuchKey")
        content, _ = self.objects[key]
        told = {"ETag": '"x"', "Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT"}
        if (wanted := seen.headers.get("range")) is None:
            return Answer(200, content, told)
        start = int(wanted.removeprefix("bytes=").split("-")[0])
        if start >= len(content):
            return s3_error(416, "InvalidRange")
        told["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return Answer(206, content[start:], told)

    do_HeadObject = do_GetObject

    def do_DeleteObjects(self, key: str, seen: Seen) -> Answer:
        for wanted in re.findall(r"<Key>([^<]*)</Key>", seen.body.decode()):
            self.objects.pop(wanted, None)
        return Answer(200, b"<DeleteResult></DeleteResult>")

    # As Azure calls the same

    def do_PutBlock(self, key: str, seen: Seen) -> Answer:
        self.blocks[seen.query["blockid"]] = seen.body
        return Answer(201)

    def do_PutBlockList(self, key: str, seen: Seen) -> Answer:
        blocks = re.findall(r"<(?:Latest|Uncommitted)>([^<]+)<", seen.body.decode())
        self.objects[key] = (b"".join(self.blocks[block] for block in blocks), seen.headers)
        return Answer(201, headers={"ETag": '"x"', "Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT"})


class Handler(BaseHTTPRequestHandler):
    """Hands a request to the server and its answer back."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    s3: Server

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, parts.path, query, headers, body)
        answer = self.s3.take(seen)
        if isinstance(answer, Hang):
            self._hang(answer.until)
            answer = self.s3.answer(seen)
        if isinstance(answer, Reset):
            if answer.after is not None:
                self._send(self.s3.answer(seen), answer.after)
            self._reset()
        else:
            self._send(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any

    def _hang(self, until: threading.Event) -> None:
        self.connection.settimeout(0.02)
        while not until.is_set():
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    self.s3.hung_up += 1
                    return
            except TimeoutError:
                continue
            except OSError:
                self.s3.hung_up += 1
                return
        self.connection.settimeout(None)

    def _send(self, answer: Answer, most: int | None = None) -> None:
        try:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[:most])
        except OSError:
            self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            pass  # it has been reset

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no error."""


@contextmanager
def s3_server() -> Iterator[Server]:
    """Serve on a port of its own until the block ends."""
    listener = _Listener(("127.0.0.1", 0), Handler)
    server = Server(listener.server_address[1])
    listener.RequestHandlerClass = type("OwnHandler", (Handler,), {"s3": server})
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join(10)


OPTIONS = {"region": REGION, "allow_http": True, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
"""What a store needs to be let in."""

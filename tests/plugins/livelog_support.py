"""A log that a test writes, a server of it on the loopback interface, and certificates for that."""

import asyncio
import datetime
import os
import ssl
from contextlib import asynccontextmanager

import attrs
from aiohttp import ClientSession, ClientTimeout, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stagecall.plugins.livelog.serving import LogHandler

BOUND = 30.0
"""Seconds after which a test gives up on what it waits for."""

TEXT_HEADERS = {
    "Content-Type": "text/plain; charset=utf-8",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Expose-Headers": "X-Streaming",
    "X-Streaming": "true",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "Accept-Ranges": "bytes",
}
"""What every answer with the log has."""


class GrowingLog:
    """A log as the handler sees it: `write` makes it grow, `end` ends it; `opened` counts who reads it,
    `closed` is set when one has ended."""

    def __init__(self, path, text=b"", ended=False):
        self.path = path
        self.file: int | None = None
        self.size = 0
        self.ended = False
        self.opened = 0
        self.changed = asyncio.Event()
        self.closed = asyncio.Event()
        self.waiting = 0
        self.write(text)
        if ended:
            self.end()

    def write(self, text):
        if text:
            if self.file is None:
                self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.pwrite(self.file, text, self.size)
            self.size += len(text)
        self._tell()

    def end(self):
        self.ended = True
        self._tell()

    def _tell(self):
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def __call__(self):
        self.opened += 1
        return Reading(self)

    def close(self):
        if self.file is not None:
            os.close(self.file)


@attrs.define(eq=False)
class Reading:
    """What one reader holds of the log."""

    log: GrowingLog

    @property
    def size(self):
        return self.log.size

    @property
    def ended(self):
        return self.log.ended

    async def wait(self, offset):
        self.log.waiting += 1
        try:
            while self.log.size <= offset and not self.log.ended:
                await self.log.changed.wait()
        finally:
            self.log.waiting -= 1

    def fileno(self):
        return self.log.file

    def read(self, offset, count):
        assert self.log.file is not None
        return os.pread(self.log.file, count, offset)

    def close(self):
        self.log.opened -= 1
        self.log.closed.set()


@asynccontextmanager
async def served(new_source, tls=None, **options):
    """Serve a log on a free port; gives a session whose requests go there."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", LogHandler(new_source, **options).__call__)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        scheme = "http" if tls is None else "https"
        base = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
        async with ClientSession(base, timeout=ClientTimeout(BOUND)) as session:
            yield session
    finally:
        await runner.cleanup()


def port_of(session):
    """Return the port that a session's requests go to."""
    return session._base_url.port


async def connected(session, text="GET / HTTP/1.1\r\nHost: x\r\n\r\n", **options):
    """Return the streams of a bare connection on which a request was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(session), **options)
    writer.write(text.encode())
    return reader, writer


def certificate(folder):
    """Make a certificate for 127.0.0.1; return its path and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


def server_context(folder):
    """Return what a server needs for TLS with a fresh certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder))
    return context

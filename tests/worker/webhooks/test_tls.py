"""TLS from files: requests, websockets, renewed certificates, and clients that do not shake hands."""

import asyncio
import datetime
import ipaddress
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stagecall.lifecycle.errors import ConfigurationError
from stagecall.worker.webhooks import WebHookOptions, WebHookServer, certificate


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.scheme} {request.path}")


def make_certificate(name: str) -> tuple[bytes, bytes]:
    """Return a certificate for loopback that signs itself, and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture
def files(tmp_path):
    """The paths of a certificate and its key."""
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for path, content in zip(paths, make_certificate("first"), strict=True):
        path.write_bytes(content)
    return paths


def options(files) -> dict[str, Any]:
    return {"tls_certificate": str(files[0]), "tls_key": str(files[1])}


def trusting(*certificates: bytes) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=b"".join(certificates).decode())


async def common_name(connect, url: str, trusted: ssl.SSLContext) -> str:
    """Return whom the certificate names that a new connection is shown."""
    raw = await connect(url, ssl=trusted)
    return raw.writer.get_extra_info("peercert")["subject"][0][0][1]


async def test_requests_and_websockets_over_tls(serve, client, files):
    """Addresses begin with https, and whoever trusts the certificate gets through."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(await socket.receive_str())
        await socket.close()
        return socket

    server = await serve(**options(files))
    plain, talking = await server.attach(hello), await server.attach(echo)
    trusted = trusting(files[0].read_bytes())

    async with client.get(f"{plain.url}x", ssl=trusted) as response:
        answer = response.status, await response.text()
    async with client.ws_connect(talking.url, ssl=trusted) as socket:
        await socket.send_str("over tls")
        echoed = await socket.receive_str(timeout=5)

    assert plain.url.startswith(f"https://127.0.0.1:{server.port}/")
    assert (answer, echoed) == ((200, "https /x"), "over tls")


async def test_detaching_over_tls_cuts(serve, client, files):
    """What is open is closed over TLS as without it."""
    entered, ends = asyncio.Event(), []

    async def wait(request: web.Request) -> web.Response:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("ended")
        return web.Response()

    hook = await (await serve(**options(files))).attach(wait)
    trusted = trusting(files[0].read_bytes())
    asked = asyncio.ensure_future(client.post(hook.url, ssl=trusted))
    await entered.wait()

    await asyncio.wait_for(hook.detach(), 3)

    with pytest.raises(aiohttp.ClientConnectionError):
        await asked
    assert ends == ["ended"]


async def test_a_renewed_certificate_is_used(serve, connect, files, monitor, monkeypatch):
    """New connections see the files as they are now; while those do not fit together, as they were last."""
    monkeypatch.setattr(certificate, "CHECKED_EVERY", 0.0)
    hook = await (await serve(**options(files))).attach(hello)
    renewed = make_certificate("second")
    trusted = trusting(files[0].read_bytes(), renewed[0])

    before = await common_name(connect, hook.url, trusted)
    files[0].write_bytes(renewed[0])
    between = await common_name(connect, hook.url, trusted)
    files[1].write_bytes(renewed[1])
    after = await common_name(connect, hook.url, trusted)

    assert (before, between, after) == ("first", "first", "second")
    ((message, _),) = monitor.logs
    assert message.startswith(
        "web hooks go on with the certificate they have: cannot use the certificate and key of"
    )


@pytest.mark.parametrize("broken", ["no certificate", "no key", "no PEM", "another's key"])
async def test_a_certificate_that_cannot_be_used_is_a_mistake_of_the_configuration(files, broken):
    """The message names the files."""
    if broken == "no PEM":
        files[0].write_text("hello")
    elif broken == "another's key":
        files[1].write_bytes(make_certificate("other")[1])
    else:
        files[broken == "no key"].unlink()

    with pytest.raises(
        ConfigurationError, match=f"cannot use the certificate and key of {files[0]} and {files[1]}: "
    ):
        await WebHookServer(WebHookOptions(**options(files))).start()


async def test_one_file_may_hold_both(serve, client, files):
    """Without a key of its own the certificate's file is read for one."""
    files[0].write_bytes(files[0].read_bytes() + files[1].read_bytes())
    hook = await (await serve(tls_certificate=str(files[0]))).attach(hello)

    async with client.get(hook.url, ssl=trusting(files[0].read_bytes())) as response:
        assert response.status == 200


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_without_a_handshake_there_is_no_connection(serve, connect, files, sent):
    """A client that does not speak TLS, or stops in the middle of the handshake, is dropped."""
    server = await serve(**options(files), idle_timeout=0.5)
    raw = await connect(f"https://127.0.0.1:{server.port}/")

    await raw.send(sent)

    assert b"HTTP" not in await raw.rest()
    await server.close()
    assert server.connections == 0


async def test_handshakes_are_counted(serve, connect, client, files):
    """Connections that never shake hands do not lock anybody out: they count, and are the first to give way."""
    server = await serve(**options(files), max_connections=5)
    hook = await server.attach(hello)
    silent = [await connect(hook.url) for _ in range(8)]

    async with client.get(hook.url, ssl=trusting(files[0].read_bytes())) as response:
        assert response.status == 200

    assert [await raw.rest() for raw in silent[:4]] == [b""] * 4
    assert server.connections <= 5


async def test_closing_ends_handshakes(serve, connect, files):
    """A server that is closed leaves no connection that was about to be made."""
    server = await serve(**options(files))
    raws = [await connect(f"https://127.0.0.1:{server.port}/") for _ in range(5)]
    await raws[0].send(b"\x16\x03\x01")

    await asyncio.wait_for(server.close(), 2)

    assert [await raw.rest() for raw in raws] == [b""] * 5

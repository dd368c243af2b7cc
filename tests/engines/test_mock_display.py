"""The display of a mock sandbox: a client that reads its picture, and clients that break the protocol."""

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagecall.engines.base import Display
from stagecall.engines.errors import NoSuchDisplayError
from stagecall.engines.mock._rfb import Area, PixelFormat, RfbServer
from stagecall.engines.mock.display import BARS, HORIZON, paint

from .mock_support import BOUND, House, read_all, turn_loop

VERSION = b"RFB 003.008\n"


class Client:
    """A client of RFB 3.8, written from the RFC and sharing nothing with the server."""

    def __init__(self, stream):
        self.stream = stream
        self.rest = b""

    async def take(self, count):
        while len(self.rest) < count:
            data = await asyncio.wait_for(self.stream.read(), BOUND)
            if not data:
                raise EOFError
            self.rest += data
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    async def connect(self):
        """Shake hands; return width, height, pixel format and name."""
        assert await self.take(12) == VERSION
        await self.stream.write(VERSION)
        (count,) = await self.take(1)
        assert 1 in await self.take(count)
        await self.stream.write(b"\x01")
        assert await self.take(4) == bytes(4)
        await self.stream.write(b"\x01")
        width, height = struct.unpack(">HH", await self.take(4))
        pixel_format = struct.unpack(">BBBBHHHBBBxxx", await self.take(16))
        (length,) = struct.unpack(">I", await self.take(4))
        return width, height, pixel_format, (await self.take(length)).decode()

    async def request(self, x, y, width, height, incremental=False):
        await self.stream.write(struct.pack(">BBHHHH", 3, incremental, x, y, width, height))

    async def update(self, bytes_per_pixel=4):
        """Read one update of one raw rectangle; return the rectangle and its rows."""
        kind, count = struct.unpack(">BxH", await self.take(4))
        assert (kind, count) == (0, 1)
        x, y, width, height, encoding = struct.unpack(">HHHHi", await self.take(12))
        assert encoding == 0
        row = width * bytes_per_pixel
        data = await self.take(row * height)
        return (x, y, width, height), [data[start : start + row] for start in range(0, row * height, row)]


@pytest.fixture
async def sandbox(tmp_path):
    sandbox = await House(tmp_path).sandbox()
    yield sandbox
    await sandbox.kill()


@pytest.fixture
async def stream(sandbox):
    return await sandbox.open_display("MockDisplay")


async def test_there_is_one_display(sandbox):
    """Its name and size are listed."""
    (display,) = await sandbox.list_displays()

    assert display == Display("MockDisplay", display.description, 640, 480)
    assert display.description


async def test_other_displays_are_not_there(sandbox):
    """The error names the display there is, and the sandbox does not wait for anybody."""
    with pytest.raises(NoSuchDisplayError, match="'no-such-display', only 'MockDisplay'"):
        await sandbox.open_display("no-such-display")

    assert (await asyncio.wait_for(sandbox.wait_for_result(), BOUND)).success is True


async def test_client_reads_the_whole_picture(stream):
    """After the handshake a full request brings every pixel."""
    client = Client(stream)

    hello = await client.connect()
    await stream.write(struct.pack(">BxHii", 2, 2, 16, 0))  # SetEncodings: ZRLE, raw
    await client.request(0, 0, 640, 480)
    area, rows = await client.update()

    assert hello == (640, 480, (32, 24, 0, 1, 255, 255, 255, 16, 8, 0), "MockDisplay")
    assert area == (0, 0, 640, 480)
    bars = [bytes((blue, green, red, 0)) * 80 for red, green, blue in BARS]
    assert rows[:HORIZON] == [b"".join(bars)] * HORIZON
    assert rows[HORIZON:] == [b"".join(reversed(bars))] * (480 - HORIZON)


async def test_two_clients_do_not_disturb_each_other(sandbox):
    """Every connection has its own handshake and pixel format."""
    clients = [Client(await sandbox.open_display("MockDisplay")) for _ in range(2)]
    await asyncio.gather(*(client.connect() for client in clients))

    await clients[0].stream.write(struct.pack(">BxxxBBBBHHHBBBxxx", 0, 16, 16, 1, 1, 31, 63, 31, 11, 5, 0))
    for client in clients:
        await client.request(0, 0, 1, 1)

    assert await clients[0].update(bytes_per_pixel=2) == ((0, 0, 1, 1), [b"\xff\xff"])
    assert await clients[1].update() == ((0, 0, 1, 1), [b"\xff\xff\xff\x00"])


async def test_requests_before_reading_are_merged(stream):
    """A client that asks faster than it reads gets one update that covers all it asked for."""
    client = Client(stream)
    await client.connect()

    for x in (10, 600, 300):
        await client.request(x, 20, 20, 10)

    area, _ = await client.update()
    reading = asyncio.create_task(stream.read())
    await turn_loop()
    assert (area, reading.done()) == ((10, 20, 610, 10), False)
    reading.cancel()


async def test_incremental_request_waits_for_a_change_that_never_comes(stream):
    """Only the first request is answered in any case; input and cut text are taken and ignored."""
    client = Client(stream)
    await client.connect()
    await client.request(0, 0, 2, 2, incremental=True)
    first, _ = await client.update()

    await client.request(0, 0, 640, 480, incremental=True)
    await stream.write(struct.pack(">BBxxI", 4, 1, 0x20))  # KeyEvent: space
    await stream.write(struct.pack(">BBHH", 5, 1, 10, 10))  # PointerEvent
    await stream.write(struct.pack(">BxxxI", 6, 5) + b"Hello")  # ClientCutText
    await client.request(5, 6, 7, 8)
    second, _ = await client.update()

    assert (first, second) == ((0, 0, 2, 2), (5, 6, 7, 8))


@pytest.mark.parametrize(
    ("sent", "status", "reason"),
    [
        (b"RFB 003.003\n", b"\0", b"this server speaks version 3.8 only"),
        (b"GET / HTTP/1.1\r\n", b"\0", b"this server speaks version 3.8 only"),
        (VERSION + b"\x02", b"\x01\x01" + b"\0\0\0\x01", b"this server offers the security type None only"),
    ],
)
async def test_client_that_disagrees_is_told_why(stream, sent, status, reason):
    """Reason and length are where the RFC puts them, then the stream ends."""
    await stream.write(sent)

    received = await read_all(stream)

    assert received == VERSION + status + struct.pack(">I", len(reason)) + reason
    with pytest.raises(BrokenPipeError):
        await stream.write(b"more")


@pytest.mark.parametrize(
    "message",
    [
        b"\x07",  # there is no message 7
        struct.pack(">BxxxBBBBHHHBBBxxx", 0, 8, 8, 0, 0, 7, 7, 3, 0, 3, 6),  # a colour map
        struct.pack(">BxxxBBBBHHHBBBxxx", 0, 24, 24, 0, 1, 255, 255, 255, 16, 8, 0),  # 24 bits a pixel
    ],
)
async def test_client_that_breaks_the_protocol_loses_the_connection(stream, message):
    """What cannot be understood or served ends the stream."""
    await Client(stream).connect()

    await stream.write(message)

    assert await read_all(stream) == b""


async def test_closed_stream_raises(sandbox, stream):
    """After `close` reading and writing fail, for one who reads meanwhile too; closing twice does nothing."""
    await stream.read()
    reading = asyncio.create_task(stream.read())
    await turn_loop()

    await stream.close()
    await stream.close()

    for call in (lambda: reading, stream.read, lambda: stream.write(VERSION)):
        with pytest.raises(BrokenPipeError):
            await call()
    assert (await asyncio.wait_for(sandbox.wait_for_result(), BOUND)).success is True


@pytest.mark.parametrize("end", ["kill", "abort"])
async def test_displays_are_closed_with_their_sandbox(tmp_path, end):
    """One who reads comes to the end, one who writes is told; closing the stream is still allowed."""
    sandbox = await House(tmp_path).sandbox()
    stream = await sandbox.open_display("MockDisplay")
    await stream.read()
    reading = asyncio.create_task(stream.read())
    await turn_loop()

    await getattr(sandbox, end)()

    assert await asyncio.wait_for(reading, BOUND) == b""
    with pytest.raises(BrokenPipeError):
        await stream.write(VERSION)
    await stream.close()


async def test_sandbox_stays_up_for_its_displays(sandbox, stream):
    """A task that is done ends when the last connection is closed."""
    waiting = asyncio.create_task(sandbox.wait_for_result())
    await turn_loop()
    early = waiting.done()

    await stream.close()

    assert not early
    assert (await asyncio.wait_for(waiting, BOUND)).success is True


@given(
    messages=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.binary(min_size=16, max_size=16).map(lambda data: bytes(4) + data),  # SetPixelFormat
            st.binary(min_size=8, max_size=8).map(lambda data: b"\x03\x00" + data),  # a full request
        ),
        max_size=20,
    )
)
def test_no_client_makes_the_server_fail_or_hoard(messages):
    """Whatever a client sends, nothing is raised, and no more than one picture waits to be read."""
    server = RfbServer(640, 480, "MockDisplay", paint)
    for data in (VERSION + b"\x01\x01", *messages):
        server.receive(data)

    sent = b""
    while data := server.send(10_000_000):
        sent += data

    assert sent.startswith(VERSION)
    assert len(server._in) <= 20
    assert len(sent) <= 200 + 640 * 480 * 4


def test_long_messages_are_not_kept():
    """A cut text of 4 GiB is skipped as it comes."""
    server = RfbServer(640, 480, "MockDisplay", paint)
    server.receive(VERSION + b"\x01\x01" + struct.pack(">BxxxI", 6, 2**32 - 1))

    for _ in range(10):
        server.receive(b"x" * 100_000)

    assert (server.over, len(server._in)) == (False, 0)


def test_bytes_may_come_one_by_one():
    """How the client's bytes are cut into pieces makes no difference."""
    sent = VERSION + b"\x01\x01" + struct.pack(">BBHHHH", 3, 0, 0, 0, 1, 1)
    whole, pieces = (RfbServer(640, 480, "MockDisplay", paint) for _ in range(2))

    whole.receive(sent)
    for byte in sent:
        pieces.receive(bytes([byte]))

    received = [server.send(1000) + server.send(1000) for server in (whole, pieces)]
    assert received[0] == received[1]
    assert received[0].endswith(b"\xff\xff\xff\x00")


@given(
    area=st.builds(Area, *[st.integers(0, 65535)] * 4),
    bits=st.sampled_from([8, 16, 32]),
    big_endian=st.booleans(),
    rest=st.tuples(*[st.integers(0, 65535)] * 3, *[st.integers(0, 255)] * 3),
)
def test_every_area_is_painted_in_every_format(area, bits, big_endian, rest):
    """What is asked for is clipped to the screen, and has as many bytes as its size says."""
    clipped = area.clipped(640, 480)

    pixels = paint(clipped, PixelFormat(bits, 24, big_endian, True, *rest))

    assert clipped.x + clipped.width <= 640
    assert clipped.y + clipped.height <= 480
    assert len(pixels) == clipped.width * clipped.height * bits // 8

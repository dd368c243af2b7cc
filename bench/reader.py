"""A program that reads a log over many connections at once, and tells how late the last of them had each line.

    python reader.py URL CONNECTIONS

It prints `ready` when all are connected and have the headers, and at the end a JSON list of milliseconds, one for each
line; a line is what `time.monotonic_ns` was when it was written.
"""

import json
import re
import selectors
import socket
import sys
import time
from urllib.parse import urlsplit

NUMBER = re.compile(rb"^(\d{6,})\n", re.MULTILINE)


def main(url: str, connections: int) -> None:
    """Read to the end."""
    parts = urlsplit(url)
    selector = selectors.DefaultSelector()
    seen: dict[int, float] = {}
    for _ in range(connections):
        one = socket.create_connection((parts.hostname, parts.port))
        one.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += one.recv(4096)
        selector.register(one, selectors.EVENT_READ, bytearray())
    print("ready", flush=True)
    while selector.get_map():
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(65_536)
            now = time.monotonic_ns()
            rest: bytearray = key.data
            rest += data
            end = rest.rfind(b"\n") + 1
            for number in NUMBER.findall(bytes(rest[:end])):
                seen[int(number)] = (now - int(number)) / 1e6
            if not data or bytes(rest).endswith(b"0\r\n\r\n"):
                selector.unregister(key.fileobj)
                key.fileobj.close()
            del rest[:end]
    print(json.dumps([seen[number] for number in sorted(seen)]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

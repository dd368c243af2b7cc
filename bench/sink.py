"""A program that takes uploads as S3 does and keeps nothing: what is measured against it is who sends.

It prints its port and ends with its standard input. Signatures are not looked at.
"""

import os
import socket
import sys
import threading

BUFFER = 1_048_576
CREATED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"


def serve(connection: socket.socket) -> None:
    """Answer the requests of one connection until it is closed."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer, pending = memoryview(bytearray(BUFFER)), b""
    with connection:
        while True:
            while b"\r\n\r\n" not in pending:
                piece = connection.recv(BUFFER)
                if not piece:
                    return
                pending += piece
            head, _, pending = pending.partition(b"\r\n\r\n")
            left = body_bytes(head) - len(pending)
            pending = pending[len(pending) + left :] if left < 0 else b""
            while left > 0:
                left -= connection.recv_into(buffer, min(left, BUFFER))
            connection.sendall(answer(head.split(b"\r\n", 1)[0]))


def body_bytes(head: bytes) -> int:
    """Return how long the body of a request is."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def answer(request: bytes) -> bytes:
    """Return what S3 says to a request."""
    body = b""
    if request.startswith(b"POST"):
        body = CREATED if b"?uploads" in request else COMPLETED
    return b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)


def main() -> None:
    """Listen on any port of loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        print(listener.getsockname()[1], flush=True)
        sys.stdin.read()
        os._exit(0)


def accept(listener: socket.socket) -> None:
    """Give each connection a thread."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()

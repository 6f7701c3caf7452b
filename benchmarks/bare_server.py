"""The least that can answer a request: what a client measures of it is the client itself, the loopback and two system calls."""

from __future__ import annotations

import socket

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 512\r\n\r\n" + b" " * 512
HOST = "127.0.0.1"


def main() -> None:
    """Print the port, and answer one connection after the other until it is ended."""
    with socket.create_server((HOST, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while connection.recv(1 << 20):
                    connection.sendall(ANSWER)


if __name__ == "__main__":
    main()

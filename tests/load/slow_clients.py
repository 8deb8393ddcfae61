#!/usr/bin/env python3
"""Hostile clients that hold connections open, and when the server cut each of them.

    slow_clients.py KIND HOST:PORT [--count 200] [--patience 60]

    header   a request line, then a header that grows by a byte a second
    body     a whole head, then a body that grows by a byte a second
    reader   many requests at once, and no answer is ever read
    idle     nothing at all

Prints JSON: how many connected, how many were cut, and after how many seconds.
"""

import argparse
import json
import select
import socket
import time

HEAD = b"POST /v1/generate HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\n"
BODY = b"Content-Length: 1000\r\n\r\n{"
# More than the server reads ahead: closing such a connection tells its client at once.
PIPELINE = b"GET /metrics HTTP/1.1\r\nHost: slow\r\n\r\n" * 8000

KINDS = {  # what is sent at first, and each second from then on
    "header": (HEAD + b"X-Slow: ", b"x"),
    "body": (HEAD + BODY, b" "),
    "reader": (PIPELINE, b""),
    "idle": (b"", b""),
}


class Client:
    """One connection; `rest` is what the server has not taken yet."""

    def __init__(self, kind, address):
        self.first, self.more = KINDS[kind]
        self.reads = kind != "reader"
        self.rest = self.first
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if not self.reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        self.socket.settimeout(5)
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.opened = time.monotonic()
        self.answer = b""

    def send(self, more):
        """False when the server has closed."""
        self.rest += more
        try:
            self.rest = self.rest[self.socket.send(self.rest) :] if self.rest else b""
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def is_open(self):
        """Takes what the server says, if this client reads at all."""
        try:
            while self.reads:
                data = self.socket.recv(4096)
                if not data:
                    return False
                self.answer += data
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # a reader's descriptor is ready only when the connection is gone


def connect_all(kind, address, count):
    clients = {}
    for _ in range(count):
        try:
            client = Client(kind, address)
        except OSError:
            continue
        clients[client.socket.fileno()] = client
    return clients


def hold(clients, patience):
    """Trickles until all are cut or patience ends: [(seconds, status line)]."""
    poller, cut = select.epoll(), []
    for number, client in clients.items():
        poller.register(number, select.EPOLLIN if client.reads else 0)
    end = time.monotonic() + patience
    next_trickle = time.monotonic()

    def close(number):
        client = clients.pop(number)
        status = client.answer.split(b"\r\n")[0].decode("latin-1")
        cut.append((time.monotonic() - client.opened, status))
        client.socket.close()

    while clients and time.monotonic() < end:
        if time.monotonic() >= next_trickle:
            next_trickle += 1
            for number in [n for n, c in clients.items() if not c.send(c.more)]:
                close(number)
        for number, _ in poller.poll(min(0.1, max(0, next_trickle - time.monotonic()))):
            if number in clients and not clients[number].is_open():
                close(number)
    return cut


def run(kind, address, count, patience):
    clients = connect_all(kind, address, count)
    connected = len(clients)
    cut = hold(clients, patience)
    seconds = sorted(time for time, _ in cut)
    return {
        "kind": kind,
        "connected": connected,
        "cut": len(cut),
        "left": len(clients),
        "first_cut": round(seconds[0], 3) if cut else None,
        "last_cut": round(seconds[-1], 3) if cut else None,
        "statuses": sorted({status for _, status in cut if status}),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--patience", type=float, default=60)
    arguments = parser.parse_args()
    host, _, port = arguments.address.rpartition(":")
    address = (host, int(port))
    print(json.dumps(run(arguments.kind, address, arguments.count, arguments.patience)))


if __name__ == "__main__":
    main()

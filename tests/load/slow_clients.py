#!/usr/bin/env python3
"""Hostile clients that hold connections open, and when the server cut each of them.

    slow_clients.py KIND HOST:PORT [--count 200] [--renew 0] [--patience 60]

    header   a request line, then a header that grows by a byte a second
    body     a whole head, then a body that grows by a byte a second
    reader   many requests at once, and no answer is ever read
    idle     nothing at all

Who was cut comes back until --renew seconds have passed. Prints JSON: how many
connections there were, how many were cut, and after how many seconds.
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
            # Small segments keep the server's own buffer small: it is soon full.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
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


class Horde:
    """So many clients at a time, and what became of them."""

    def __init__(self, kind, address):
        self.kind, self.address = kind, address
        self.clients, self.cut, self.connected = {}, [], 0
        self.poller = select.epoll()

    def connect(self):
        try:
            client = Client(self.kind, self.address)
        except OSError:  # turned away
            return
        client.send(b"")  # its first words at once: their time counts from here
        self.connected += 1
        number = client.socket.fileno()
        self.clients[number] = client
        self.poller.register(number, select.EPOLLIN if client.reads else 0)

    def close(self, number):
        client = self.clients.pop(number)
        status = client.answer.split(b"\r\n")[0].decode("latin-1")
        self.cut.append((time.monotonic() - client.opened, status))
        client.socket.close()

    def trickle(self):
        for number, client in list(self.clients.items()):
            if not client.send(client.more):
                self.close(number)

    def hold(self, count, renew, patience):
        """`count` clients until `renew` seconds have passed, then until all are cut."""
        begin = next_trickle = time.monotonic()
        while (now := time.monotonic()) < begin + patience:
            missing = count - len(self.clients)
            if self.connected == 0 or now < begin + renew:
                for _ in range(missing):
                    self.connect()
            if not self.clients:
                return
            if now >= next_trickle:
                next_trickle += 1
                self.trickle()
            for number, _ in self.poller.poll(max(0, min(0.1, next_trickle - now))):
                if number in self.clients and not self.clients[number].is_open():
                    self.close(number)

    def report(self):
        seconds = sorted(time for time, _ in self.cut)
        return {
            "kind": self.kind,
            "connected": self.connected,
            "cut": len(self.cut),
            "left": len(self.clients),
            "first_cut": round(seconds[0], 3) if seconds else None,
            "last_cut": round(seconds[-1], 3) if seconds else None,
            "statuses": sorted({status for _, status in self.cut if status}),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--renew", type=float, default=0)
    parser.add_argument("--patience", type=float, default=60)
    arguments = parser.parse_args()
    host, _, port = arguments.address.rpartition(":")
    horde = Horde(arguments.kind, (host, int(port)))
    horde.hold(arguments.count, arguments.renew, arguments.patience)
    print(json.dumps(horde.report()))


if __name__ == "__main__":
    main()

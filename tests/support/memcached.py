"""A client of memcached that checks every reply against what it keeps itself."""

from __future__ import annotations

import hashlib
import random
import socket


class MemcachedClient:
    """One connection and one set of keys; whoever reads other bytes than expected gets an AssertionError."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._reader = self._socket.makefile("rb")
        self._name = name
        self._random = random.Random(name)
        self._kept: dict[str, bytes] = {}

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def ask(self, request: bytes, expected: bytes) -> None:
        """Sends a request; the reply is exactly the expected one."""
        self._socket.sendall(request)
        self._expect(expected)

    def _expect(self, expected: bytes) -> None:
        got = self._reader.read(len(expected))
        assert got == expected, f"{self._name}: {got[:200]!r} instead of {expected[:200]!r}"

    def _value(self, size: int) -> bytes:
        return hashlib.shake_128(self._random.randbytes(8)).hexdigest(size // 2 + 1)[:size].encode()

    def work(self, rounds: int) -> None:
        """So many requests of all kinds, mixed by the client's name alone."""
        kinds = [self.store, self.fetch, self.fetch_many, self.edit, self.count, self.swap, self.remove, self.pipeline]
        for _ in range(rounds):
            self._random.choice(kinds)()

    def _key(self) -> str:
        return f"{self._name}.{self._random.randrange(40)}"

    def store(self) -> None:
        key = self._key()
        value = self._value(self._random.choice([0, 1, 30, 500, 5000, 200_000]))
        self.ask(b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), len(value), value), b"STORED\r\n")
        self._kept[key] = value
        self.ask(b"add %s 0 0 1\r\nx\r\n" % key.encode(), b"NOT_STORED\r\n")

    def fetch(self) -> None:
        key = self._key()
        value = self._kept.get(key)
        found = b"" if value is None else b"VALUE %s 0 %d\r\n%s\r\n" % (key.encode(), len(value), value)
        self.ask(b"get %s\r\n" % key.encode(), found + b"END\r\n")

    def fetch_many(self) -> None:
        keys = sorted(self._kept)
        found = b"".join(
            b"VALUE %s 0 %d\r\n%s\r\n" % (key.encode(), len(self._kept[key]), self._kept[key]) for key in keys
        )
        self.ask(b"get nothing %s\r\n" % " ".join([*keys, "none"]).encode(), found + b"END\r\n")

    def edit(self) -> None:
        key = self._key()
        for command in (b"append", b"prepend"):
            more = self._value(25)
            request = b"%s %s 0 0 %d\r\n%s\r\n" % (command, key.encode(), len(more), more)
            self.ask(request, b"STORED\r\n" if key in self._kept else b"NOT_STORED\r\n")
            if key in self._kept:
                self._kept[key] = self._kept[key] + more if command == b"append" else more + self._kept[key]

    def count(self) -> None:
        key = f"{self._name}.count".encode()
        self.ask(b"set %s 0 0 2\r\n40\r\n" % key, b"STORED\r\n")
        self.ask(b"incr %s 5\r\n" % key, b"45\r\n")
        self.ask(b"decr %s 100\r\n" % key, b"0\r\n")
        self.ask(b"touch %s 100\r\n" % key, b"TOUCHED\r\n")
        self.ask(b"incr %s no\r\n" % key, b"CLIENT_ERROR invalid numeric delta argument\r\n")
        self.ask(b"nonsense\r\n", b"ERROR\r\n")

    def swap(self) -> None:
        key = f"{self._name}.swap".encode()
        self.ask(b"set %s 7 0 3\r\nold\r\n" % key, b"STORED\r\n")
        self._socket.sendall(b"gets %s\r\n" % key)
        header = self._reader.readline().split()
        assert header[:4] == [b"VALUE", key, b"7", b"3"], header
        self._expect(b"old\r\nEND\r\n")
        self.ask(b"cas %s 7 0 3 %s\r\nnew\r\n" % (key, header[4]), b"STORED\r\n")
        self.ask(b"cas %s 7 0 3 %s\r\nbad\r\n" % (key, header[4]), b"EXISTS\r\n")
        self.ask(b"mg %s v f\r\n" % key, b"VA 3 f7\r\nnew\r\n")

    def remove(self) -> None:
        key = self._key()
        known = self._kept.pop(key, None) is not None
        self.ask(b"delete %s\r\n" % key.encode(), b"DELETED\r\n" if known else b"NOT_FOUND\r\n")
        self.ask(b"set %s 0 -1 1\r\nx\r\nget %s\r\n" % (key.encode(), key.encode()), b"STORED\r\nEND\r\n")

    def pipeline(self) -> None:
        keys = [f"{self._name}.p{n}".encode() for n in range(50)]
        stores = b"".join(b"set %s 0 0 4 noreply\r\nabcd\r\n" % key for key in keys)
        gets = b"".join(b"get %s\r\n" % key for key in keys)
        self.ask(stores + gets, b"".join(b"VALUE %s 0 4\r\nabcd\r\nEND\r\n" % key for key in keys))

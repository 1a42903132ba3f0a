"""A client of redis that speaks its protocol and checks every reply."""

from __future__ import annotations

import hashlib
import random
import socket
import time
from collections.abc import Sequence
from typing import Any


class ReplyError(Exception):
    """An error that the server replied."""


class RedisClient:
    """One connection. Whoever gets another reply than expected gets an AssertionError."""

    def __init__(self, port: int, name: str = "client") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._reader = self._socket.makefile("rb")
        self.name = name
        self.random = random.Random(name)

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def send(self, *words: object) -> None:
        """Sends a command; the reply is to be read with :meth:`reply`."""
        self.send_all([words])

    def send_all(self, commands: Sequence[Sequence[object]]) -> None:
        """Sends several commands at once."""
        out = []
        for words in commands:
            out.append(b"*%d\r\n" % len(words))
            for word in words:
                data = word if isinstance(word, bytes) else str(word).encode()
                out.append(b"$%d\r\n%s\r\n" % (len(data), data))
        self._socket.sendall(b"".join(out))

    def reply(self) -> Any:
        """The next reply: bytes, int, None, a list of these, or a ReplyError."""
        line = self._reader.readline()
        assert line.endswith(b"\r\n"), f"{self.name}: the connection ended: {line!r}"
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self._reader.read(length + 2)[:-2]
        assert kind == b"*", line
        return None if int(rest) < 0 else [self.reply() for _ in range(int(rest))]

    def ask(self, *words: object) -> Any:
        """The reply to a command."""
        self.send(*words)
        return self.reply()

    def check(self, expected: object, *words: object) -> None:
        """The reply to a command is the expected one; for an error: its text contains the expected one."""
        got = self.ask(*words)
        if isinstance(expected, ReplyError):
            assert isinstance(got, ReplyError), (self.name, words, got)
            assert str(expected) in str(got), (self.name, words, got)
        else:
            assert got == expected, (self.name, words, got, expected)

    # ---- traffic -------------------------------------------------------------------------------------------------

    def work(self, rounds: int) -> None:
        """So many rounds over all types of values."""
        for number in range(rounds):
            key = f"{self.name}:{number}"
            self.strings(key + ":s")
            self.lists(key + ":l")
            self.hashes(key + ":h")
            self.sets(key + ":t")
            self.sorted_sets(key + ":z")
            self.streams(key + ":x")
            self.scripts(key + ":e")
            self.transactions(key + ":m")
            self.keys(key + ":k")
            self.pipeline(key + ":p")

    def strings(self, key: str) -> None:
        value = hashlib.shake_128(key.encode()).digest(self.random.choice([1, 44, 45, 3000, 100_000]))
        self.check(b"OK", "SET", key, value)
        self.check(value, "GET", key)
        self.check(len(value) + 3, "APPEND", key, "end")
        self.check((value + b"end")[-5:], "GETRANGE", key, -5, -1)
        self.check(len(value) + 3, "SETRANGE", key, 0, "X")
        self.check(b"OK", "SET", key, 10)
        self.check(15, "INCRBY", key, 5)
        self.check(b"17.5", "INCRBYFLOAT", key, 2.5)
        self.check(ReplyError("not an integer"), "INCR", key)
        self.check(ReplyError("wrong number of arguments"), "GET")
        self.check(ReplyError("WRONGTYPE"), "LPUSH", key, 1)
        self.check(b"17.5", "GETDEL", key)
        self.check(b"OK", "MSET", key, "a", key + "2", "b")
        self.check([b"a", b"b", None], "MGET", key, key + "2", key + "3")
        self.check(1, "SETBIT", key, 1, 0)
        self.check(2, "BITCOUNT", key)
        self.check(1, "PFADD", key + "hll", *range(100))
        assert abs(self.ask("PFCOUNT", key + "hll") - 100) < 5

    def lists(self, key: str) -> None:
        values = [b"%d" % n * self.random.choice([1, 30]) for n in range(150)]
        self.check(150, "RPUSH", key, *values)
        self.check(values[10:20], "LRANGE", key, 10, 19)
        self.check(values[0], "LPOP", key)
        self.check(values[-1], "RPOP", key)
        self.check(values[2], "LINDEX", key, 1)
        self.check(149, "LINSERT", key, "BEFORE", values[5], "new")
        self.check(values[1], "LMOVE", key, key + "2", "LEFT", "RIGHT")
        self.check(b"OK", "LTRIM", key, 3, 5)
        self.check([b"new", values[5], values[6]], "LRANGE", key, 0, -1)
        self.check([key.encode(), b"new"], "BLPOP", key, 1)
        self.check([values[5], values[6]], "SORT", key, "BY", "nothing")

    def hashes(self, key: str) -> None:
        pairs = {b"f%d" % n: b"v%d" % (n * n) for n in range(self.random.choice([5, 200]))}
        self.check(len(pairs), "HSET", key, *[word for pair in pairs.items() for word in pair])
        got = self.ask("HGETALL", key)
        assert dict(zip(got[::2], got[1::2], strict=True)) == pairs
        self.check(7, "HINCRBY", key, "n", 7)
        self.check([b"v1", None, b"7"], "HMGET", key, "f1", "none", "n")
        self.check(1, "HDEL", key, "f1", "none")
        self.check(len(pairs), "HLEN", key)
        cursor, found = b"0", set()
        while True:
            cursor, part = self.ask("HSCAN", key, cursor, "COUNT", 20)
            found |= set(part[::2])
            if cursor == b"0":
                break
        assert found == set(pairs) - {b"f1"} | {b"n"}

    def sets(self, key: str) -> None:
        self.check(60, "SADD", key, *range(60))
        self.check(40, "SADD", key + "2", *[f"x{n}" for n in range(20)], *range(20))
        assert {int(n) for n in self.ask("SINTER", key, key + "2")} == set(range(20))
        assert len(self.ask("SUNION", key, key + "2")) == 80
        self.check(40, "SDIFFSTORE", key + "3", key, key + "2")
        self.check([1, 0], "SMISMEMBER", key, 5, 99)
        popped = self.ask("SPOP", key, 10)
        self.check(50, "SCARD", key)
        assert len(set(popped)) == 10

    def sorted_sets(self, key: str) -> None:
        count = self.random.choice([20, 300])
        self.check(count, "ZADD", key, *[word for n in range(count) for word in (n * 37 % 101, f"m{n:03}")])
        ranked = sorted(range(count), key=lambda n: (n * 37 % 101, n))
        self.check([b"m%03d" % n for n in ranked[:10]], "ZRANGE", key, 0, 9)
        self.check(ranked.index(7), "ZRANK", key, "m007")
        self.check(sum(n * 37 % 101 <= 50 for n in range(count)), "ZCOUNT", key, "-inf", 50)
        score = b"%d" % (3 * 37 % 101 + 1000)
        self.check(score, "ZINCRBY", key, 1000, "m003")
        self.check([b"m003", score], "ZREVRANGE", key, 0, 0, "WITHSCORES")
        self.check([b"m003", score], "ZPOPMAX", key)
        removed = sum(n * 37 % 101 < 20 for n in range(count) if n != 3)
        self.check(removed, "ZREMRANGEBYSCORE", key, 0, "(20")
        self.check(count - 1 - removed, "ZCARD", key)
        self.check(2, "GEOADD", key + "g", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")
        assert abs(float(self.ask("GEODIST", key + "g", "Palermo", "Catania", "km")) - 166.274) < 0.01

    def streams(self, key: str) -> None:
        for n in range(1, 30):
            self.check(b"%d-1" % n, "XADD", key, f"{n}-1", "field", n)
        self.check([[b"3-1", [b"field", b"3"]], [b"4-1", [b"field", b"4"]]], "XRANGE", key, 3, "4")
        self.check(b"OK", "XGROUP", "CREATE", key, "group", 0)
        [[_, entries]] = self.ask("XREADGROUP", "GROUP", "group", "me", "COUNT", 5, "STREAMS", key, ">")
        assert [entry[0] for entry in entries] == [b"%d-1" % n for n in range(1, 6)]
        self.check(2, "XACK", key, "group", "1-1", "2-1")
        assert self.ask("XPENDING", key, "group")[0] == 3

    def scripts(self, key: str) -> None:
        script = """
            local sum = 0
            for i = 1, tonumber(ARGV[1]) do redis.call('RPUSH', KEYS[1], i); sum = sum + i end
            local ok = redis.pcall('INCR', KEYS[1])
            local sorted = redis.call('LRANGE', KEYS[1], 0, 2)
            table.sort(sorted, function(a, b) return a > b end)
            return {sum, ok.err ~= nil, sorted, cjson.encode({a = {1, 2}}), cmsgpack.unpack(cmsgpack.pack(7)), #KEYS[1]}
        """
        self.check([210, 1, [b"3", b"2", b"1"], b'{"a":[1,2]}', 7, len(key)], "EVAL", script, 1, key, 20)
        digest = hashlib.sha1(b"return redis.call('LLEN', KEYS[1])").hexdigest().encode()
        self.check(digest, "SCRIPT", "LOAD", "return redis.call('LLEN', KEYS[1])")
        self.check(20, "EVALSHA", digest, 1, key)
        self.check(ReplyError("my own error"), "EVAL", "return redis.error_reply('my own error')", 0)
        self.check(ReplyError("attempt to index"), "EVAL", "local t = nil; return t.x", 0)

    def transactions(self, key: str) -> None:
        self.check(b"OK", "WATCH", key)
        self.check(b"OK", "MULTI")
        for n in range(5):
            self.check(b"QUEUED", "LPUSH", key, n)
        self.check(b"QUEUED", "LRANGE", key, 0, -1)
        self.check([1, 2, 3, 4, 5, [b"4", b"3", b"2", b"1", b"0"]], "EXEC")
        self.check(b"OK", "MULTI")
        self.check(ReplyError("unknown command"), "NOSUCH")
        self.check(ReplyError("EXECABORT"), "EXEC")
        self.check(b"OK", "WATCH", key)
        self.check(6, "RPUSH", key, "behind the watch")
        self.check(b"OK", "MULTI")
        self.check(b"QUEUED", "DEL", key)
        self.check(None, "EXEC")

    def keys(self, key: str) -> None:
        self.check(b"OK", "SET", key, "soon gone", "PX", 40)
        self.check(b"OK", "SET", key + "2", "stays", "EX", 1000)
        assert 900 < self.ask("TTL", key + "2") <= 1000
        dumped = self.ask("DUMP", key + "2")
        self.check(b"OK", "RESTORE", key + "3", 0, dumped)
        self.check(b"stays", "GET", key + "3")
        self.check(b"OK", "RENAME", key + "3", key + "4")
        self.check(1, "COPY", key + "4", key + "5")
        self.check(b"string", "TYPE", key + "5")
        self.check(2, "UNLINK", key + "4", key + "5")
        time.sleep(0.05)
        self.check(None, "GET", key)
        assert b"redis_version" in self.ask("INFO")
        self.check(b"embstr", "OBJECT", "ENCODING", key + "2")

    def pipeline(self, key: str) -> None:
        self.send_all([("INCR", key) for _ in range(100)] + [("ECHO", "x" * n) for n in range(50)])
        assert [self.reply() for _ in range(100)] == list(range(1, 101))
        assert [self.reply() for _ in range(50)] == [b"x" * n for n in range(50)]

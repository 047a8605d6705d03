# SPDX-License-Identifier: Apache-2.0
"""Calls of other guests while 500 cold READs of one guest hang (P-13).

held.py PORT: guests /t/g (cold reads of "cold") and /t/h (warm ones of "warm").
Prints the median and the 99th of each, in microseconds, idle and beside the
500; exits 1 when a reply is wrong or a median is more than twice the idle one
and more than HELD_US: beside another suite the processor alone doubles some
microseconds, and who is held up waits for a link, thousands of them.

held.py PORT READS SECONDS: so long, /t/g asks for READS cold pieces, each again
five seconds after its JUKEBOX; exits 1 when a reply is anything else.
"""
import select
import socket
import struct
import sys
import time


HELD_US = 1000


class Client:
    def __init__(self, port, export):
        self.s = socket.create_connection(("127.0.0.1", port))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s.settimeout(20)
        self.xid = 1
        body = self.call(100005, 1, self.opaque(export.encode()))
        assert body[:4] == b"\0\0\0\0", "mount"
        self.root = self.handle(body[4:])

    @staticmethod
    def opaque(b):
        return struct.pack(">I", len(b)) + b + b"\0" * (-len(b) % 4)

    @staticmethod
    def handle(body):
        n = struct.unpack(">I", body[:4])[0]
        return body[4 : 4 + n]

    def send(self, prog, proc, args):
        self.xid += 1
        cred = struct.pack(">IIIII", 0, 0, 0, 0, 0)
        head = struct.pack(">IIIIII", self.xid, 0, 2, prog, 3, proc)
        m = head + struct.pack(">I", 1) + self.opaque(cred) + b"\0" * 8 + args
        self.s.sendall(struct.pack(">I", 0x80000000 | len(m)) + m)

    def exactly(self, n):
        b = b""
        while len(b) < n:
            got = self.s.recv(n - len(b))
            assert got, "closed"
            b += got
        return b

    def reply(self):
        n = struct.unpack(">I", self.exactly(4))[0] & 0x7FFFFFFF
        b = self.exactly(n)
        words = struct.unpack(">6I", b[:24])
        assert words[1:3] == (1, 0) and words[5] == 0, "refused"
        self.got = words[0]
        return b[24:]

    def call(self, prog, proc, args):
        self.send(prog, proc, args)
        body = self.reply()
        assert self.got == self.xid, "another call's reply"
        return body

    def lookup(self, name):
        b = self.call(100003, 3, self.opaque(self.root) +
                      self.opaque(name.encode()))
        assert b[:4] == b"\0\0\0\0", "lookup"
        return self.handle(b[4:])

    def read_args(self, fh, off, n):
        return self.opaque(fh) + struct.pack(">QI", off, n)


def figures(client, fh, what):
    times = []
    for i in range(1500):
        start = time.perf_counter()
        if what == "read":
            b = client.call(100003, 6, client.read_args(fh, i % 15 * 4096, 4096))
        else:
            b = client.call(100003, 1, client.opaque(fh))
        times.append((time.perf_counter() - start) * 1e6)
        assert b[:4] == b"\0\0\0\0", what
        if what == "read":
            assert len(b) > 4096
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def slower(client, fh, idle):
    bad = False
    for w in ("read", "getattr"):
        m, p = figures(client, fh, w)
        print("# %s of another guest: median %.0f us, p99 %.0f; idle %.0f, "
              "%.0f" % (w, m, p, *idle[w]))
        bad |= m > max(2 * idle[w][0], HELD_US)
    return bad


def storm(port, reads, seconds):
    clients = [Client(port, "/t/g") for _ in range(10)]
    by_socket = {c.s: c for c in clients}
    cold = clients[0].lookup("cold")
    due = [(0, i) for i in range(reads)]
    asked, seen = {}, {}
    end = time.time() + seconds
    while time.time() < end:
        while due and due[0][0] <= time.time():
            i = due.pop(0)[1]
            c = clients[i % 10]
            c.send(100003, 6, c.read_args(cold, i * 4096, 4096))
            asked[(c, c.xid)] = i
        for s in select.select(list(by_socket), [], [], 0.05)[0]:
            c = by_socket[s]
            status = struct.unpack(">I", c.reply()[:4])[0]
            seen[status] = seen.get(status, 0) + 1
            due.append((time.time() + 5, asked.pop((c, c.got))))
    print("# %d reads of what is not here, answered: %s" % (reads, seen))
    return 0 if list(seen) == [10008] else 1


def main():
    port = int(sys.argv[1])
    if len(sys.argv) > 2:
        return storm(port, int(sys.argv[2]), int(sys.argv[3]))
    other = Client(port, "/t/h")
    warm = other.lookup("warm")
    idle = {w: figures(other, warm, w) for w in ("read", "getattr")}
    hung = [Client(port, "/t/g") for _ in range(5)]
    cold = hung[0].lookup("cold")
    for i in range(500):
        hung[i % 5].send(100003, 6,
                         hung[0].read_args(cold, i * 65536 + 32768, 4096))
    time.sleep(1)
    bad = slower(other, warm, idle)
    # Every one is answered: JUKEBOX, after ten seconds.
    start = time.time()
    for i in range(500):
        b = hung[i % 5].reply()
        bad |= struct.unpack(">I", b[:4])[0] != 10008
    print("# 500 held reads answered after %.1f s more" % (time.time() - start))
    return 1 if bad or time.time() - start > 11 else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Calls of one guest while another's package is filled in the background.

filled.py PORT: guests /t/h (warm reads of "warm") and /u/g, whose package is
cold and begins to be filled when this reads its file "big".  Prints medians and
99ths as held.py does; exits 1 when a reply is wrong or another guest's median
beside the fill is that of one held up (held.py).
"""
import sys

from held import Client, figures, slower


def main():
    port = int(sys.argv[1])
    other = Client(port, "/t/h")
    warm = other.lookup("warm")
    idle = {w: figures(other, warm, w) for w in ("read", "getattr")}
    reader = Client(port, "/u/g")
    big = reader.lookup("big")
    b = reader.call(100003, 6, reader.read_args(big, 0, 4096))
    assert b[:4] == b"\0\0\0\0", "first read"
    return 1 if slower(other, warm, idle) else 0


sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""s3_servers.py DIR PORT: rings of one device, then OpenStack Swift's four servers,
unchanged, each a child of this process.  One process loads Python's modules
for all of them: nine ring-builder calls and four servers of their own take
half a minute on a busy machine.  Ends, and ends them, on SIGTERM."""
import os
import signal
import sys

import eventlet  # noqa: loaded once, before the forks
from swift.common.ring import RingBuilder
from swift.common.wsgi import run_wsgi
import swift.account.server
import swift.container.server
import swift.obj.server
import swift.proxy.server

KINDS = ("account", "container", "object", "proxy")


def ring(place, kind, port):
    builder = RingBuilder(1, 1, 1)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0,
                     "ip": "127.0.0.1", "port": port, "device": "d1",
                     "replication_ip": "127.0.0.1", "replication_port": port,
                     "meta": ""})
    builder.rebalance()
    builder.get_ring().save(os.path.join(place, kind + ".ring.gz"))


def serve(place, kind):
    more = {}
    if kind == "object":
        more["global_conf_callback"] = swift.obj.server.global_conf_callback
    sys.exit(run_wsgi(os.path.join(place, kind + "-server.conf"),
                      kind + "-server", verbose=False, once=False, **more))


def main():
    place, port = sys.argv[1], int(sys.argv[2])
    for i, kind in enumerate(KINDS[:3]):
        ring(place, kind, port + 1 + i)
    children = []
    for kind in KINDS:
        child = os.fork()
        if child == 0:
            serve(place, kind)
        children.append(child)

    def end(_signal, _frame):
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        signal.pause()


main()

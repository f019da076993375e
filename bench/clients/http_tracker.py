"""A BitTorrent tracker over HTTP that says who has announced: http_tracker.py ADDRESS."""

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

PORT = 6969
PEERS = {}


class Announce(BaseHTTPRequestHandler):
    def do_GET(self):
        # Info-hashes are bytes: Latin-1 keeps them apart.
        query = dict(parse_qsl(self.path.partition("?")[2], encoding="latin-1"))
        swarm = PEERS.setdefault(query.get("info_hash"), {})
        host, port = self.client_address[0], int(query.get("port", 0))
        own = socket.inet_aton(host) + port.to_bytes(2, "big")
        if query.get("event") == "stopped":
            swarm.pop(own, None)
        else:
            swarm[own] = True
        others = b"".join(peer for peer in swarm if peer != own)
        answer = b"d8:intervali1800e5:peers%d:%se" % (len(others), others)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        print(f"announce {host} left={query.get('left')} {query.get('event', '')}", flush=True)

    def log_message(self, *_):
        """Says nothing but the line above."""


server = ThreadingHTTPServer((sys.argv[1], PORT), Announce)
print("ready", flush=True)
server.serve_forever()

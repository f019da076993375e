"""A plain TCP copy with a buffer of a mebibyte, nothing verified: the practical floor.

plain_copy.py send SOURCE; plain_copy.py receive SOURCE FOLDER HOST. A folder goes file by file.
"""

import mmap
import os
import socket
import sys

PORT = 7000
# Anonymous memory begins at a page; what an allocator gives begins 16 bytes further, where copies take four times as long
# (docs/PERFORMANCE.md, "Aligned memory").
BUFFER = mmap.mmap(-1, 1 << 20)


def files(path):
    if os.path.isfile(path):
        return [path]
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)


def send(source):
    listener = socket.create_server(("", PORT))
    print("ready", flush=True)
    to, _ = listener.accept()
    for path in files(source):
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(BUFFER):
                to.sendall(memoryview(BUFFER)[:count])
    to.close()


def receive(source, target, host):
    """`source` is looked at for names and lengths alone."""
    plan = [(os.path.join(target, os.path.relpath(path, os.path.dirname(source))), os.path.getsize(path))
            for path in files(source)]
    for folder in {os.path.dirname(path) for path, _ in plan}:
        os.makedirs(folder, exist_ok=True)
    came = socket.create_connection((host, PORT))
    for path, left in plan:
        with open(path, "wb", buffering=0) as file:
            while left:
                count = came.recv_into(BUFFER, min(left, len(BUFFER)))
                if count == 0:
                    sys.exit("the sender hung up")
                file.write(memoryview(BUFFER)[:count])
                left -= count
    print("complete", flush=True)


{"send": send, "receive": receive}[sys.argv[1]](*sys.argv[2:])

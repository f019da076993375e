"""The hash of every mebibyte of a file, over so many threads: hashes.py THREADS FILE ALGORITHM."""

import hashlib
import mmap
import sys
from concurrent.futures import ThreadPoolExecutor

PIECE = 1 << 20
threads, path, algorithm = int(sys.argv[1]), sys.argv[2], sys.argv[3]
with open(path, "rb") as file:
    data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def share(number):
    """Every so-manieth piece: hashing a large buffer leaves the interpreter to the other threads."""
    for start in range(number * PIECE, len(data), threads * PIECE):
        hashlib.new(algorithm, data[start : start + PIECE]).digest()


with ThreadPoolExecutor(threads) as pool:
    list(pool.map(share, range(threads)))

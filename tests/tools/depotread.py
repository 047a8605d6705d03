#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""depotread: a second reader of a depot at rest, written from vdrive-depot(5)
alone, with Python's standard library; openssl proves signatures.

    depotread.py DIR NAME TAG [--key HEX]

Prints "SHA256  PATH" for every regular file, as sha256sum does.  Fails on the
first thing that is not as the page says.
"""
import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

SHARD_HEAD = struct.Struct("<BB2sI")
BOX_HEAD = struct.Struct("<8sIIQ")
BOX_ROW = struct.Struct("<32sII")
TREE_HEAD = struct.Struct("<8sIIIIIIQQQII32s")
INODE = struct.Struct("<QQqIIIIIIIIIIII")
ENTRY = struct.Struct("<QIIHHI")
CHUNK = struct.Struct("<IHHI")
INDEX_HEAD = struct.Struct("<8sIIII32s")
INDEX_ROW = struct.Struct("<III")
PACK_HEAD = struct.Struct("<8sII")
HOLE = WHITEOUT = 0xFFFFFFFF


class Bad(Exception):
    pass


def check(good, what):
    if not good:
        raise Bad(what)


def sha256(data):
    return hashlib.sha256(data).digest()


# --- documents ---------------------------------------------------------------


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"),
                      ensure_ascii=False)


def ed25519(key, payload, signature):
    # SubjectPublicKeyInfo of Ed25519 (RFC 8410) is this head and the key.
    der = bytes.fromhex("302a300506032b6570032100") + key
    with tempfile.TemporaryDirectory() as d:
        files = {"key": der, "text": payload, "sig": signature}
        for name, data in files.items():
            Path(d, name).write_bytes(data)
        return subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER",
             "-inkey", f"{d}/key", "-rawin", "-in", f"{d}/text",
             "-sigfile", f"{d}/sig"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False).returncode == 0


def envelope(path, trusted):
    text = path.read_bytes()
    outer = json.loads(text)
    check(canonical(outer).encode() == text, f"{path}: not canonical")
    check(set(outer) == {"format", "payload", "signatures"}, f"{path}: members")
    check(outer["format"] == 2, f"{path}: format")
    payload = outer["payload"].encode()
    keys = [s["key"] for s in outer["signatures"]]
    check(all(a < b for a, b in zip(keys, keys[1:])), f"{path}: order of keys")
    if trusted is not None:
        check(any(s["key"] == trusted
                  and ed25519(bytes.fromhex(s["key"]), payload,
                              bytes.fromhex(s["sig"]))
                  for s in outer["signatures"]), f"{path}: signature")
    inner = json.loads(payload)
    check(inner["format"] == 2, f"{path}: payload's format")
    return inner


# --- shards ------------------------------------------------------------------


def open_shard(shard, name, salt):
    codec, flags, zeros, length = SHARD_HEAD.unpack_from(shard)
    check(flags == 0 and zeros == b"\0\0", "shard header")
    payload = shard[SHARD_HEAD.size:]
    if codec == 0:
        chunk = payload
    else:
        check(codec == 1, "shard codec")
        stream = zlib.decompressobj()
        chunk = stream.decompress(payload, length + 1)
        check(stream.eof and not stream.unused_data, "shard stream")
    check(len(chunk) == length and 0 < length <= 128 << 10, "chunk length")
    check(sha256(salt + chunk) == name, "shard name")
    return chunk


# --- trees -------------------------------------------------------------------


def open_box(box, digest):
    magic, fmt, count, length = BOX_HEAD.unpack_from(box)
    check(magic == b"VDtbox\r\n" and fmt == 1, "box header")
    rows = [BOX_ROW.unpack_from(box, BOX_HEAD.size + i * BOX_ROW.size)
            for i in range(count)]
    at = BOX_HEAD.size + count * BOX_ROW.size
    tree = b""
    for name, shard_len, chunk_len in rows:
        chunk = open_shard(box[at:at + shard_len], name, b"")
        check(len(chunk) == chunk_len, "box row")
        tree += chunk
        at += shard_len
    check(at == len(box) and len(tree) == length, "box length")
    check(sha256(tree) == digest, "tree digest")
    return tree


class Tree:
    def __init__(self, data):
        (magic, fmt, flags, inodes, entries, chunks, shards, text_len, file_len,
         self.content_len, xattr_len, zero, salt) = TREE_HEAD.unpack_from(data)
        check(magic == b"VDtree\r\n" and fmt == 1, "tree header")
        check(flags in (0, 1) and zero == 0 and file_len == len(data),
              "tree header")
        self.salt = salt if flags & 1 else b""
        at = TREE_HEAD.size

        def section(size):
            nonlocal at
            begin, at = at, at + size
            pad = -at % 8
            check(data[at:at + pad] == bytes(pad), "padding")
            at += pad
            return data[begin:begin + size]

        raw = section(inodes * INODE.size)
        self.inodes = list(INODE.iter_unpack(raw))
        self.entries = list(ENTRY.iter_unpack(section(entries * ENTRY.size)))
        self.chunks = list(CHUNK.iter_unpack(section(chunks * CHUNK.size)))
        names = section(shards * 32)
        self.shards = [names[i:i + 32] for i in range(0, len(names), 32)]
        self.text = section(text_len)
        check(at == len(data) and xattr_len <= text_len, "tree length")

    def walk(self, inode=0, path=b""):
        """(path, inode's record) of everything below a directory."""
        first, count = self.inodes[inode][11:13]
        for cookie, child, off, length, _, _ in self.entries[first:first
                                                             + count]:
            check(3 <= cookie < 1 << 63, "cookie")
            name = path + self.text[off:off + length]
            if child == WHITEOUT:
                continue
            record = self.inodes[child]
            yield name, record
            if record[4] >> 12 == 4:
                yield from self.walk(child, name + b"/")

    def file_chunks(self, record):
        """(length, shard number or None of a hole) of a regular file."""
        size, first, count = record[1], record[11], record[12]
        begin = 0
        for low, high, _, shard in self.chunks[first:first + count]:
            end = high << 32 | low
            yield end - begin, None if shard == HOLE else shard
            begin = end
        check(begin == size, "chunks of a file")


# --- packs -------------------------------------------------------------------


class Packs:
    def __init__(self, scope, index, digest, shards):
        magic, fmt, count, packs, zero, tree = INDEX_HEAD.unpack_from(index)
        check(magic == b"VDindx\r\n" and fmt == 1 and zero == 0
              and tree == digest and count == shards, "index header")
        at = INDEX_HEAD.size
        self.rows = [INDEX_ROW.unpack_from(index, at + i * INDEX_ROW.size)
                     for i in range(count)]
        at += count * INDEX_ROW.size
        self.names = [index[at + i * 32:at + i * 32 + 32].hex()
                      for i in range(packs)]
        check(at + packs * 32 == len(index), "index length")
        self.scope = scope
        self.open = {}

    def pack(self, number):
        if number not in self.open:
            name = self.names[number]
            data = (self.scope / "packs" / name[:2] / name).read_bytes()
            check(sha256(data).hex() == name, "pack name")
            magic, fmt, _ = PACK_HEAD.unpack_from(data)
            check(magic == b"VDpack\r\n" and fmt == 1, "pack header")
            self.open[number] = data
        return self.open[number]

    def shard(self, number):
        pack, off, length = self.rows[number]
        check(off >= PACK_HEAD.size, "index row")
        data = self.pack(pack)[off:off + length]
        check(len(data) == length, "pack too short")
        return data


# --- all of it ---------------------------------------------------------------


def by_digest(scope, kind, digest):
    return (scope / kind / digest[:2] / digest).read_bytes()


def read(depot, name, tag, key):
    root = envelope(depot / "depot.json", key)
    scope = depot
    if name in root["packages"]:
        tags = envelope(depot / "tags" / f"{name}.json", key)
        check(tags["sequence"] >= root["packages"][name], "tags are old")
    else:
        scope = depot / "private" / name
        tags = envelope(scope / "tags.json", key)
    check(tags["name"] == name and tags["depot"] == root["depot"],
          "tags of another package or depot")
    row = tags["tags"][tag]

    text = by_digest(scope, "revisions", row["revision"])
    check(sha256(text).hex() == row["revision"], "revision digest")
    revision = json.loads(text)
    check(canonical(revision).encode() == text, "revision not canonical")
    check(revision["name"] == name and revision["tree"] == row["tree"],
          "revision of another package")

    digest = bytes.fromhex(row["tree"])
    tree = Tree(open_box(by_digest(scope, "trees", row["tree"]), digest))
    index = (scope / "index" / f"{row['tree']}-{row['index']}").read_bytes()
    packs = Packs(scope, index, digest, len(tree.shards))
    lines = set()
    for path, record in tree.walk():
        if record[4] >> 12 != 8:
            continue
        total = hashlib.sha256()
        for length, shard in tree.file_chunks(record):
            data = bytes(length) if shard is None else open_shard(
                packs.shard(shard), tree.shards[shard], tree.salt)
            check(len(data) == length, "chunk of another length")
            total.update(data)
        lines.add(f"{total.hexdigest()}  {path.decode('utf-8', 'replace')}")
    for line in sorted(lines):
        print(line)


def main(argv):
    key = None
    if "--key" in argv:
        at = argv.index("--key")
        key = argv[at + 1]
        del argv[at:at + 2]
    if len(argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        read(Path(argv[1]), argv[2], argv[3], key)
    except (Bad, OSError, KeyError, ValueError, struct.error, zlib.error) as e:
        print(f"depotread: {type(e).__name__}: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

"""What a message is, in plain Python: strict DAG-CBOR, CIDs, and the CID of a message.

Bytes are `bytes`, links are `Cid`, everything else is what `json` would give. For the services in this folder; it
knows nothing of NATS. `check_vectors.py` compares it with the golden vectors of the project.
"""

import base64
import hashlib
import json
import struct

DEPTH_MAX, BODY_DEPTH_MAX = 64, 56  # lists and maps in each other; every reader refuses more
DAG_CBOR, RAW = 0x71, 0x55


class Cid:
    """A content identifier, version 1. Two are equal when their bytes are."""

    def __init__(self, data):
        if isinstance(data, str):
            if not data.startswith("b"):
                raise ValueError("a CID in base32 begins with b: " + data)
            text = data[1:].upper()
            data = base64.b32decode(text + "=" * (-len(text) % 8))
        if data[:1] != b"\x01":
            raise ValueError("not a CID of version 1")
        self.data = bytes(data)

    @classmethod
    def of(cls, codec, block):
        return cls(bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(block).digest())

    def __str__(self):
        return "b" + base64.b32encode(self.data).decode().rstrip("=").lower()

    def __repr__(self):
        return f"Cid({self})"

    def __eq__(self, other):
        return isinstance(other, Cid) and self.data == other.data

    def __hash__(self):
        return hash(self.data)


def _head(major, number):
    for below, extra, form in ((24, None, ""), (1 << 8, 24, ">B"), (1 << 16, 25, ">H"), (1 << 32, 26, ">I")):
        if number < below:
            return bytes([major << 5 | (number if extra is None else extra)]) + (struct.pack(form, number) if form else b"")
    return bytes([major << 5 | 27]) + struct.pack(">Q", number)


def _key(text):
    data = text.encode()
    return len(data), data


def encode(value, depth=0):
    """The one canonical encoding: shortest heads, keys by length and then by bytes, floats in 64 bits."""
    if isinstance(value, (list, tuple, dict)) and depth == DEPTH_MAX:
        raise ValueError("nested too deep")
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise ValueError("an integer outside 64 bits")
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("not a number that may be kept")
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, (bytes, bytearray)):
        return _head(2, len(value)) + bytes(value)
    if isinstance(value, str):
        data = value.encode()
        return _head(3, len(data)) + data
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(encode(item, depth + 1) for item in value)
    if isinstance(value, dict):
        if "/" in value:
            raise ValueError("the key / is for links and bytes in JSON alone")
        keys = sorted(value, key=_key)
        return _head(5, len(keys)) + b"".join(encode(key) + encode(value[key], depth + 1) for key in keys)
    if isinstance(value, Cid):
        return b"\xd8\x2a" + encode(b"\0" + value.data)
    raise TypeError(f"no IPLD form for {type(value).__name__}")


def decode(data):
    """One item and nothing behind it; whatever `encode` would have written differently is refused."""
    value, end = _item(data, 0, 0)
    if end != len(data):
        raise ValueError("bytes behind the item")
    return value


def _item(data, at, depth):
    first = _take(data, at, 1)[0]
    major, low, at = first >> 5, first & 31, at + 1
    if major in (4, 5) and depth == DEPTH_MAX:
        raise ValueError("nested too deep")
    if major == 7:
        if low in (20, 21, 22):
            return {20: False, 21: True, 22: None}[low], at
        if low != 27:
            raise ValueError("only false, true, null and 64-bit floats")
        value = struct.unpack(">d", _take(data, at, 8))[0]
        encode(value)
        return value, at + 8
    number = low
    if low >= 24:
        if low > 27:
            raise ValueError("a length without a number")
        size = 1 << (low - 24)
        number, at = int.from_bytes(_take(data, at, size), "big"), at + size
        if number < (24, 1 << 8, 1 << 16, 1 << 32)[low - 24]:
            raise ValueError("a number written longer than it needs")
    if major == 0:
        return number, at
    if major == 1:
        encode(-1 - number)
        return -1 - number, at
    if major in (2, 3):
        part = _take(data, at, number)
        return (bytes(part) if major == 2 else part.decode()), at + number
    if major == 4:
        items = []
        for _ in range(number):
            item, at = _item(data, at, depth + 1)
            items.append(item)
        return items, at
    if major == 5:
        pairs, last = {}, None
        for _ in range(number):
            key, at = _item(data, at, depth + 1)
            if not isinstance(key, str) or key == "/" or (last is not None and _key(key) <= last):
                raise ValueError("keys are text, each once, by length and then by bytes, and never /")
            last = _key(key)
            pairs[key], at = _item(data, at, depth + 1)
        return pairs, at
    if number != 42 or _take(data, at, 1)[0] >> 5 != 2:
        raise ValueError("the only tag is 42, around the bytes of a link")
    link, at = _item(data, at, depth)
    if link[:1] != b"\0":
        raise ValueError("the bytes of a link begin with a zero")
    return Cid(link[1:]), at


def _take(data, at, size):
    part = data[at : at + size]
    if len(part) != size:
        raise ValueError("ends too early")
    return part


def to_json(value):
    """The DAG-JSON form: bytes and links become maps with the one key "/"."""
    if isinstance(value, Cid):
        return {"/": str(value)}
    if isinstance(value, bytes):
        return {"/": {"bytes": base64.b64encode(value).decode().rstrip("=")}}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    return {key: to_json(item) for key, item in value.items()} if isinstance(value, dict) else value


def from_json(value):
    """Turns what `json.loads` gave for DAG-JSON into bytes and links."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"/"}:
        inner = value["/"]
        if isinstance(inner, str):
            return Cid(inner)
        if not isinstance(inner, dict) or set(inner) != {"bytes"}:
            raise ValueError("the key / is for links and bytes alone")
        return base64.b64decode(inner["bytes"] + "=" * (-len(inner["bytes"]) % 4))
    return {key: from_json(item) for key, item in value.items()}


def dumps(value):
    return json.dumps(to_json(value), ensure_ascii=False, separators=(",", ":")).encode()


def loads(data):
    return from_json(json.loads(data, object_pairs_hook=_once))


def _once(pairs):
    if len(pairs) != len(dict(pairs)):
        raise ValueError("a key twice in one object")
    return dict(pairs)


def read(data):
    """A message as it arrives in CBOR."""
    message = decode(data)
    if not isinstance(message, dict):
        raise ValueError("a message is a map")
    if _depth(message.get("content", {}).get("body")) > BODY_DEPTH_MAX:
        raise ValueError("nested too deep")
    return message


def _depth(value):
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if items is None else 1 + max(map(_depth, items), default=0)


def message_cid(message):
    """The CID of a message: everything but `hop`, which is what hops may change."""
    return Cid.of(DAG_CBOR, encode({key: item for key, item in message.items() if key != "hop"}))

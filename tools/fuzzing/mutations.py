"""Ways to damage a file, each a function (chance, content, another file) → bytes."""

import struct
import zlib

from tools.fuzzing.corpus import HUGE
from tools.fuzzing.corpus import SIDES
from tools.fuzzing.corpus import chunk

HEAD = 256  # bytes of a file that are hit more often than the others
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PNG = b"\x89PNG\r\n\x1a\n"
TEXTS = (
    b"", b"\0", b"\n", b"null", b"[]", b"{}", b'"', b"{", b"NaN", b"\xff\xfe", b"\xef\xbb\xbf{}",
    b"1e999",    b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xed\xa0\x80", b"\x1b[2J",
)  # fmt: skip


def untouched(chance, content, other):
    return content


def bits(chance, content, other):
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8)) if content else 0):
        changed[place(chance, content)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def some_bytes(chance, content, other):
    changed = bytearray(content)
    for _ in range(chance.choice((1, 4, 32)) if content else 0):
        changed[place(chance, content)] = chance.choice((0, 255, chance.randrange(256)))
    return bytes(changed)


def extreme_number(chance, content, other):
    size = chance.choice("BHIQ")
    number = chance.choice(EXTREMES) & ((1 << 8 * struct.calcsize(size)) - 1)
    written = struct.pack(chance.choice("<>") + size, number)
    at = place(chance, content)
    return content[:at] + written + content[at + len(written) :]


def cut(chance, content, other):
    return content[: place(chance, content)]


def zeros(chance, content, other):
    begin, end = part(chance, content)
    return content[:begin] + bytes(end - begin) + content[end:]


def removed(chance, content, other):
    begin, end = part(chance, content)
    return content[:begin] + content[end:]


def repeated(chance, content, other):
    begin, end = part(chance, content)
    return content[:end] + content[begin:]


def spliced(chance, content, other):
    return content[: place(chance, content)] + other[place(chance, other) :]


def text(chance, content, other):
    new, (begin, end) = chance.choice(TEXTS), part(chance, content)
    # An object without a digest is one of an earlier release.
    whole = b"[]" if b"{}" in new else new
    return chance.choice((whole, content + new, content[:begin] + new + content[end:]))


def sides(chance, content, other):
    """Has the header say other sides; checksums fit."""
    height, width = chance.choice(HUGE + SIDES + ((0, 0), (0x7FFFFFFF, 3), (65535, 65535)))
    if content.startswith(PNG):
        head = struct.pack(">II", width, height) + content[24:29]
        return content[:8] + chunk(b"IHDR", head) + content[33:]
    if content.startswith(b"GIF8"):
        sizes = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
        at = content.find(b",", 13)
        changed = content[:6] + sizes + content[10:]
        return (
            changed[: at + 5] + sizes + changed[at + 9 :]
            if at > 0 and chance.random() < 0.7
            else changed
        )
    if content.startswith(b"BM"):
        return content[:18] + struct.pack("<II", width, height) + content[26:]
    if content[8:15] == b"WEBPVP8":
        return webp_sides(content, height, width)
    if content.startswith(b"\xff\xd8"):
        at = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        return (
            content[: at + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + content[at + 9 :]
        )
    return extreme_number(chance, content, other)


def webp_sides(content, height, width):
    w, h = min(width, 16383), min(height, 16383)
    if content[12:16] == b"VP8L":
        old = int.from_bytes(content[21:25], "little") & ~((1 << 28) - 1)
        return (
            content[:21]
            + struct.pack("<I", old | (h - 1 & 16383) << 14 | (w - 1 & 16383))
            + content[25:]
        )
    if content[12:16] == b"VP8X":
        sizes = (w - 1 & 0xFFFFFF).to_bytes(3, "little") + (h - 1 & 0xFFFFFF).to_bytes(3, "little")
        return content[:24] + sizes + content[30:]
    return content[:26] + struct.pack("<HH", w, h) + content[30:]


def chunks_of_png(chance, content, other):
    """Reorders, repeats or adds chunks: an unknown one first shows small sides where IHDR's are."""
    if not content.startswith(PNG):
        return spliced(chance, content, other)
    found, at = [], 8
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        found.append(content[at:end])
        at = end
    shown = struct.pack(">II", 4, 4) + b"\x08\x02\0\0\0"
    first = chunk(b"abCd", shown + bytes(chance.choice((0, 8))))
    way = chance.choice(("first", "first", "shuffled", "repeated", "zipped text"))
    if way == "shuffled":
        chance.shuffle(found)
    elif way == "repeated":
        found.insert(chance.randrange(len(found) + 1), chance.choice(found))
    elif way == "zipped text":
        bomb = zlib.compress(bytes(50_000_000), 9)
        found.insert(1, chunk(b"zTXt", b"Comment\0\0" + bomb))
    else:
        found.insert(0, first)
    return PNG + b"".join(found)


def place(chance, content):
    """Returns a place in a file, half of the times in its head."""
    length = max(1, len(content))
    return chance.randrange(min(length, HEAD) if chance.random() < 0.5 else length)


def part(chance, content):
    begin = place(chance, content)
    return begin, min(len(content), begin + chance.choice((1, 4, 64, 4096)))


ANY = (untouched, bits, bits, some_bytes, extreme_number, cut, zeros, removed, repeated, spliced)
OF_IMAGES = (*ANY, extreme_number, sides, sides, chunks_of_png)
OF_FILES = (*ANY, text, text)

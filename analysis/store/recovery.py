"""Recovers records of a damaged results file without SQLite, which gives up a whole tree for one damaged page.

Every record is found by its first bytes, anywhere in the file, and checked against its digest, which is found the
same way. Intact pages yield all of their records, whatever happened to other pages.
Format: https://www.sqlite.org/fileformat2.html, sections 1.6 (pages) and 2.1 (records).
"""

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from supermask.analysis.store.database import Record, digest_of

_TEXT = rb"(?:[\x80-\xff]{1,3}[\x00-\x7f]|[\x0d-\x7f])"  # the type of a text: 13 + 2 × its length, as a varint
_ID, _SHA256 = rb"\x4d", rb"\x81\x0d"  # the types of texts of 32 and 64 characters
_RECORD = re.compile(
    rb"[\x08-\x10]" + _ID + _TEXT + _TEXT + rb"(?:\x00|" + _SHA256 + rb")[\x01-\x09]" + _TEXT + rb"[\x01-\x09]"
    rb"(?=[0-9a-f]{32}\{)"
)
_DIGEST = re.compile(rb"\x04" + _ID + _SHA256 + rb"([0-9a-f]{32})([0-9a-f]{64})")
_INDEXED = re.compile(rb"\x04" + _SHA256 + _ID + rb"([0-9a-f]{64})([0-9a-f]{32})")
_PROVENANCE_DIGEST = re.compile(rb"provenance (\d{1,19})([0-9a-f]{64})")
_PROVENANCE_INDEXED = re.compile(rb"provenance (?<=([0-9a-f]{64})provenance )(\d{1,19})")  # of 64 bits
_PROVENANCE = re.compile(rb"([\x01-\x7f])(?:\x03\x00[\x0d-\x7f]|\x04\x00[\x80-\xff][\x00-\x7f])(?=(\{[^{}]*\}))")
_FLAT_JSON = re.compile(rb"\{[^{}]*\}")
_PAGE = 4096
"""Page size in bytes of every results file that Python's SQLite creates."""

_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(frozen=True)
class Recovered:
    """Result of a recovery.

    records: intact records.
    unchecked: records without a remaining digest although others have one, so that they cannot be verified.
    contradicted: complete records with different digests: the record, or both copies of the digest, were altered.
    lost: number of digests without a record that could match.
    """

    records: tuple[Record, ...]
    unchecked: tuple[Record, ...]
    contradicted: tuple[Record, ...]
    lost: int


def recover(content: bytes) -> Recovered:
    """Recover all records from the bytes of a database, damaged or not."""
    digests = _digests(content)
    vouched = {sha256 for _, sha256 in digests}
    provenance = _provenance(content)
    intact: dict[str, Record] = {}
    others: dict[str, Record] = {}
    for size in dict.fromkeys((_page_size(content), _PAGE)):
        for columns in _rows(content, size):
            id_, found = columns[0], digest_of(*columns)
            checked = found in vouched  # the digest covers the id, so the copy of the id beside it may be damaged
            made_with = provenance.get(columns[6], (None, None))
            record = Record._make((*columns, found if checked else None, *made_with))
            if record.is_intact:
                (intact if checked or not digests else others)[id_] = record
    others = {id_: others[id_] for id_ in sorted(others.keys() - intact.keys())}
    named = {id_ for id_, _ in digests}
    whole = {record.sha256 for record in intact.values()}
    left = {
        (id_, sha256) for id_, sha256 in digests if id_ not in intact.keys() | others.keys() and sha256 not in whole
    }
    return Recovered(
        tuple(intact[id_] for id_ in sorted(intact)),
        tuple(record for id_, record in others.items() if id_ not in named),
        tuple(record for id_, record in others.items() if id_ in named),
        _clusters(left),
    )


def _digests(content: bytes) -> set[tuple[str, str]]:
    """Return pairs of id and digest from the table and from its index; if one of them is damaged, the two differ."""
    found = {(id_.decode(), sha256.decode()) for id_, sha256 in _DIGEST.findall(content)}
    return found | {(id_.decode(), sha256.decode()) for sha256, id_ in _INDEXED.findall(content)}


def _clusters(pairs: Iterable[tuple[str, str]]) -> int:
    """Return the number of records of these pairs: copies of one record share an id, a digest, or both."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        while (higher := above.setdefault(name, name)) != name:
            name = higher
        return name

    for id_, sha256 in pairs:
        above[top(id_)] = top(sha256)
    return sum(name == higher for name, higher in above.items())


def _provenance(content: bytes) -> Mapping[int, tuple[str, str | None]]:
    """Return records' provenance and its digest, by number; unverified if it has no digest."""
    found: dict[int, tuple[str, str | None]] = {
        number[0]: (text.decode(errors="surrogateescape"), None) for number, text in _PROVENANCE.findall(content)
    }
    pairs = [pair for digits, rest in _PROVENANCE_DIGEST.findall(content) for pair in _splits(digits, rest)]
    pairs += [(int(number), sha256.decode()) for sha256, number in _PROVENANCE_INDEXED.findall(content)]
    texts = {digest_of(text): text for each in set(_FLAT_JSON.findall(content)) if (text := _decoded(each))}
    for number, sha256 in pairs:
        if sha256 in texts or number not in found or found[number][1] is None:
            found[number] = (texts.get(sha256, found.get(number, ("",))[0]), sha256)
    return found


def _splits(digits: bytes, rest: bytes) -> Iterator[tuple[int, str]]:
    """Yield each number and digest that these bytes may be: a digest's first digits look like the number's last."""
    for end in range(1, len(digits) + 1):
        yield int(digits[:end]), (digits + rest)[end : end + 64].decode()


def _page_size(content: bytes) -> int:
    size = int.from_bytes(content[16:18])
    size = 65536 if size == 1 else size
    return size if size in {1 << power for power in range(9, 17)} else _PAGE


def _rows(content: bytes, page: int) -> Iterator[tuple[Any, ...]]:
    """Yield the columns of everything that begins like a record of a result."""
    for match in _RECORD.finditer(content):
        header = match.group()
        types = _varints(header[1:])
        lengths = [_length(each) for each in types]
        if header[0] != len(header) or len(types) != 7:
            continue
        body = _payload(content, match.start(), len(header) + sum(lengths), page)[len(header) :]
        columns: list[Any] = []
        for kind, length in zip(types, lengths, strict=True):
            columns.append(_value(kind, body[:length]))
            body = body[length:]
        if isinstance(columns[4], int):
            columns[4] = float(columns[4])  # SQLite stores whole numbers in a column of reals as integers
        yield tuple(columns)


def _payload(content: bytes, start: int, size: int, page: int) -> bytes:
    """Return the bytes of a record that begins at `start`, including overflow pages (sections 1.6 and 1.7)."""
    most, least = (page - 12) * 64 // 255 - 23, (page - 12) * 32 // 255 - 23
    if size <= most:
        return content[start : start + size]
    local = least + (size - least) % (page - 4)
    local = local if local <= most else least
    parts = [content[start : start + local]]
    after = content[start + local : start + local + 4]
    for _ in range(local, size, page - 4):
        at = (int.from_bytes(after) - 1) * page
        after = content[at : at + 4] if at >= 0 else b""
        parts.append(content[at + 4 : at + page] if at >= 0 else b"")
    return b"".join(parts)[:size]


def _varints(content: bytes) -> list[int]:
    numbers, number = [], 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(number)
            number = 0
    return numbers


def _length(kind: int) -> int:
    """Return the size in bytes of a value of a type."""
    return (kind - 12) // 2 if kind >= 12 else _INTEGERS.get(kind, 8 if kind == 7 else 0)


def _value(kind: int, content: bytes) -> object:
    if kind >= 13 and kind % 2:
        return content.decode(errors="surrogateescape")
    if kind == 7 and len(content) == 8:
        return struct.unpack(">d", content)[0]
    if kind in _INTEGERS:
        return int.from_bytes(content, signed=True)
    return {8: 0, 9: 1}.get(kind)


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None

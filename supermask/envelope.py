"""The outside of this package's files: a magic word, a version, a header in JSON, blocks, and a digest of it all.

    magic (8 bytes)  version (2)  length of header (4)  header  blocks  SHA-256 of all before (32)

Numbers are little-endian. Reading checks length and digest before it looks at anything else.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIXED = struct.Struct("<8sHI")
DIGEST = 32


@dataclass(frozen=True)
class Envelope:
    """One kind of file.

    contents: what the file is, in words: 'a packed network'.
    error: what reading raises.
    older: earlier versions that are read as well.
    """

    magic: bytes
    version: int
    maximum_header: int
    contents: str
    error: type[ValueError]
    older: tuple[int, ...] = ()

    def seal(self, header: Mapping[str, Any], blocks: bytes) -> bytes:
        """Return the file's content. Raises the envelope's error for a header that is too long for `open`."""
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        if len(text) > self.maximum_header:
            raise self.error(f"the header has {len(text):,} bytes; allowed: {self.maximum_header:,}")
        body = FIXED.pack(self.magic, self.version, len(text)) + text + blocks
        return body + hashlib.sha256(body).digest()

    def open(self, content: bytes) -> tuple[Any, bytes]:
        """Return the header, whose fields are still to be checked, and the blocks.

        Raises the envelope's error for a file that is truncated, altered, foreign or of another version.
        """
        if len(content) < FIXED.size + DIGEST:
            raise self.error(f"the file is too short to be {self.contents}: {len(content)} bytes")
        magic, version, length = FIXED.unpack_from(content)
        if magic != self.magic:
            raise self.error(f"the file is not {self.contents}: it begins with {magic!r}, not {self.magic!r}")
        if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
            raise self.error("the file is truncated or altered: its SHA-256 is not the one that it ends with")
        if version not in (reads := (*self.older, self.version)):
            known = ", ".join(map(str, reads))
            raise self.error(f"the file has format {version}; this version of supermask reads {known}")
        end = FIXED.size + length
        if length > self.maximum_header or end > len(content) - DIGEST:
            raise self.error(f"the file is inconsistent: a header of {length} bytes; allowed: {self.maximum_header}")
        try:
            header = json.loads(content[FIXED.size : end])
        except (ValueError, RecursionError) as error:
            raise self.error(f"the file's header is not JSON: {error}") from None
        return header, content[end:-DIGEST]

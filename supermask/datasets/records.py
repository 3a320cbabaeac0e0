"""CIFAR-10 in its binary version: files of fixed-size records, in a tar archive or an extracted folder.

The records' content is verified in any order, because copies in other orders are in circulation.
The Python version of the set is never read, because it is a pickle and can run code.
"""

import contextlib
import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from supermask.datasets.base import DataError, Split, first_regular, is_folder, make_split, reason, refusal
from supermask.datasets.download import Archive
from supermask.datasets.unpacking import DAMAGE, SLACK, ForeignMemberError, TooMuchError, read_members, unpacked
from supermask.reading import open_regular
from supermask.writing import write_whole


@dataclass(frozen=True)
class RecordSource:
    """A data set in files of records: one label byte, then the pixels, channel by channel.

    Attributes:
        title: display name of the data set.
        folder: name of the folder that the archive extracts to.
        train_files, test_files: names of the files in that folder, in order.
        per_file: records in each file.
        image_shape: height, width, channels.
        train_sha256, test_sha256: `records_digest` of all training and of all test records.
        archive: the .tar.gz as published; the same name with .tar.xz works too.
        mirrors: addresses of folders with the published archive.
        remark: advice on where to find the files.
    """

    title: str
    folder: str
    train_files: tuple[str, ...]
    test_files: tuple[str, ...]
    per_file: int
    image_shape: tuple[int, int, int]
    train_sha256: str
    test_sha256: str
    archive: Archive
    mirrors: tuple[str, ...]
    remark: str = ""

    @property
    def archives(self) -> tuple[Archive, ...]:
        """The archive to download."""
        return (self.archive,)

    @property
    def _file_names(self) -> tuple[str, ...]:
        return self.train_files + self.test_files

    @property
    def _file_size(self) -> int:
        return self.per_file * (1 + math.prod(self.image_shape))

    @property
    def _most(self) -> int:
        """Maximum bytes of an archive, packed or unpacked."""
        return self._file_size * len(self._file_names) + SLACK

    def find(self, folder: Path) -> tuple[Path | None, ...]:
        """Find the extracted folder or the archive in this folder; None if there is neither.

        Raises DataError if something else has that name.
        """
        extracted = folder / self.folder
        if is_folder(extracted, f"a folder with the files of {self.title}"):
            return (extracted,)
        packed = folder / self.archive.name
        return (first_regular((packed, packed.with_suffix(".xz")), f"the {self.title} archive"),)

    def read(self, paths: Sequence[Path], cache: Path) -> tuple[Split, Split]:
        """Read all training images, and the test images, in the order of the records.

        Args:
            paths: result of `find`.
            cache: folder for the unpacked records of a .tar.xz, which is slow to unpack.

        Raises:
            DataError: damaged or foreign files, or records that are not those of the data set.
        """
        (path,) = paths
        if path.is_dir():
            records = self._verified(self._read_folder(path), path)
        elif path.suffix == ".xz":
            records = self._read_through_cache(path, cache)
        else:
            records = self._verified(self._read_archive(path), path)
        count = self.per_file * len(self.train_files)
        return self._split(records[:count]), self._split(records[count:])

    def _split(self, records: UInt8[np.ndarray, "n bytes"]) -> Split:
        height, width, channels = self.image_shape
        planes = records[:, 1:].reshape(len(records), channels, height, width)
        return make_split(planes.transpose(0, 2, 3, 1), records[:, 0])

    def _verified(self, records: UInt8[np.ndarray, "n bytes"], path: Path) -> UInt8[np.ndarray, "n bytes"]:
        count = self.per_file * len(self.train_files)
        for part, chosen, expected in (
            ("training", records[:count], self.train_sha256),
            ("test", records[count:], self.test_sha256),
        ):
            found = records_digest(chosen)
            if found != expected:
                wanted = f"the {len(chosen)} {part} records of {self.title}, in any order, digest {expected}"
                raise refusal(path, wanted, f"other records, digest {found}")
        return records

    def _gather(self, contents: Sequence[bytes]) -> UInt8[np.ndarray, "n bytes"]:
        return np.frombuffer(b"".join(contents), np.uint8).reshape(-1, 1 + math.prod(self.image_shape))

    def _read_folder(self, folder: Path) -> UInt8[np.ndarray, "n bytes"]:
        contents = []
        for name in self._file_names:
            path = folder / name
            expected = f"a file of {self._file_size} bytes, a part of {self.title}"
            try:
                with open_regular(path) as stream:
                    data = stream.read(self._file_size + 1)
            except OSError as error:
                raise refusal(path, expected, f"none that can be read ({reason(error)})") from error
            if len(data) != self._file_size:
                found = f"{len(data)} bytes" if len(data) < self._file_size else "more bytes"
                raise refusal(path, expected, found)
            contents.append(data)
        return self._gather(contents)

    def _read_archive(self, path: Path) -> UInt8[np.ndarray, "n bytes"]:
        """Read the records of a tar archive in one pass in memory; only exact names of members count."""
        names = [f"{self.folder}/{name}" for name in self._file_names]
        expected = f"the {self.title} archive, {len(names)} files of {self._file_size} bytes in {self.folder}/"
        try:
            with unpacked(path, self._most) as stream:
                members = read_members(stream, dict.fromkeys(names, self._file_size))
        except ForeignMemberError as error:
            raise refusal(path, expected, str(error)) from error
        except TooMuchError as error:
            raise refusal(path, expected, str(error) or f"more than {self._most} bytes when unpacked") from error
        except DAMAGE as error:
            raise refusal(path, expected, f"a damaged or foreign file ({reason(error)})") from error
        if missing := [name for name in names if name not in members]:
            raise refusal(path, expected, f"no member {missing[0]}")
        return self._gather([members[name] for name in names])

    def _read_through_cache(self, path: Path, cache: Path) -> UInt8[np.ndarray, "n bytes"]:
        """Read the archive, and cache the unpacked records.

        The copy is named by the archive's digest, so it cannot be stale, and is verified like any other file.
        A copy that cannot be read, verified or written is no error, since the archive exists.
        """
        expected = f"the {self.title} archive"
        try:
            with open_regular(path) as stream:
                if os.fstat(stream.fileno()).st_size > self._most:
                    raise refusal(path, expected, f"more than {self._most} bytes")
                key = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise refusal(path, expected, f"a file that can't be read ({reason(error)})") from error
        copy = cache / "unpacked" / f"{key}.bin"
        count = len(self._file_names) * self._file_size
        try:
            with open_regular(copy) as stream:
                content = stream.read(count + 1)
            if len(content) == count:
                return self._verified(self._gather([content]), copy)
        except (OSError, DataError):
            pass
        records = self._verified(self._read_archive(path), path)
        with contextlib.suppress(OSError):
            copy.parent.mkdir(parents=True, exist_ok=True)
            write_whole(copy, records.data)
        return records


def records_digest(records: UInt8[np.ndarray, "n bytes"]) -> str:
    """Return the SHA-256 (hex) of the sorted SHA-256 digests of the records, which does not depend on their order."""
    digests = sorted(hashlib.sha256(record.tobytes()).digest() for record in records)
    return hashlib.sha256(b"".join(digests)).hexdigest()

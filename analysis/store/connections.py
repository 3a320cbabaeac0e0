"""Connections to SQLite files, whatever is in them: invalid text is read, and damaged schemas are reported as such."""

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

SECONDS_TO_OPEN = 10
"""Seconds to wait for a lock at opening, where a failure loses nothing."""


class Connection(sqlite3.Connection):
    """Reports damaged schemas as such: SQLite's errors quote names of the schema, which may be invalid text."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Run a statement. Raises sqlite3.DatabaseError, also if the error's message is invalid text."""
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError:
            raise sqlite3.DatabaseError("its schema is damaged: a name in it is no text") from None

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """Run a statement for each of several parameters. Raises as `execute` does."""
        try:
            return super().executemany(sql, parameters)
        except UnicodeDecodeError:
            raise sqlite3.DatabaseError("its schema is damaged: a name in it is no text") from None


def connect(path: Path, options: str = "") -> sqlite3.Connection:
    """Open a connection that reads any text, even invalid. `options` are those of SQLite's URIs, such as mode=ro."""
    name = f"{path.absolute().as_uri()}?{options}" if options else path
    database = sqlite3.connect(
        name, timeout=SECONDS_TO_OPEN, isolation_level=None, uri=bool(options), factory=Connection
    )
    database.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    return database

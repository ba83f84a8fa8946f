"""One SQLite file: opening it, transactions, and errors that say what to do."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rocksalt.screening.errors import RocksaltError
from rocksalt.stores.sqlite_schema import SCHEMA_VERSION, create_schema

Row = tuple[int, bytes]
"""The number of a document and its BSON."""

WAIT_S = 60.0
"""How long to wait for another process that is writing."""

_REMEDIES = {
    "SQLITE_BUSY": f"has been locked by another process for {WAIT_S:.0f} s: wait until that one "
    "is done, or end it, and run again",
    "SQLITE_LOCKED": "is locked by another connection of this process: finish its query or "
    "update first",
    "SQLITE_READONLY": "cannot be written: allow writing to the file and its folder, or choose "
    "another path",
    "SQLITE_FULL": "cannot grow, because the disk is full: free some space and run again (what "
    "was stored before is intact)",
    "SQLITE_NOTADB": "is not an SQLite file: choose another path, or move that file away",
    "SQLITE_CORRUPT": "is damaged: restore a copy, or rescue what is left with "
    "`sqlite3 FILE .recover`",
    "SQLITE_PROTOCOL": "cannot be read with the log beside it (-wal), which another process is changing "
    "or which is damaged: try again, or copy both into a folder of your own",
    "SQLITE_CANTOPEN": "cannot be opened: check that the file and its folder can be read and "
    "written, and that the disk is not full",
    "SQLITE_IOERR": "cannot be read or written (on a network file system, use "
    'journal_mode="DELETE"): check the disk',
    "SQLITE_TOOBIG": "cannot hold a document above 1 GB: split it",
}

# Documents are read by portions: a cursor left open would hold up other connections and keep the
# write-ahead log growing.
_FIRST_PORTION = 16
_LARGEST_PORTION = 256
_PORTION_BYTES = 8_000_000

_fork_lock = threading.Lock()
_held: list[SQLiteFile] = []
_files: weakref.WeakSet[SQLiteFile] = weakref.WeakSet()


class SQLiteFile:
    """An SQLite file that several threads and processes use at once.

    Parameters
    ----------
    path
        The file. It is created by `open`; its folder must exist.
    journal_mode
        ``"WAL"``, or ``"DELETE"`` for network file systems, where WAL cannot work.
    synchronous
        ``"NORMAL"``: a power failure may cost the last transactions. ``"FULL"``: it does not, and
        every transaction waits for the disk.
    read_only
        The file is there and may not be written.
    """

    def __init__(
        self, path: Path, journal_mode: str, synchronous: str, *, read_only: bool = False
    ) -> None:
        self.path = path
        self.read_only = read_only
        self.journal_mode = journal_mode
        self.synchronous = synchronous
        self.is_open = False
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closer: weakref.finalize | None = None
        _files.add(self)

    def open(self) -> None:
        """Open the file, and create it if it is not there."""
        with self.lock:
            if not self.is_open:
                self._connect()
                self.is_open = True

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self.disconnect()
            self.is_open = False

    def disconnect(self) -> None:
        """Close the connection, but not for good: the next use of the file makes another."""
        if self._closer is not None:
            self._closer()
        self._connection = self._closer = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection to one thread at a time."""
        with self.lock, explained(self.path):
            if not self.is_open:
                from maggma.core import StoreError  # what users of stores expect; slow to import

                raise StoreError(
                    f"{self.path} is not connected: call connect() before using the store"
                )
            yield self._connection or self._connect()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection with the file locked for writing; an error undoes everything."""
        with self.reading() as con:
            con.execute("BEGIN IMMEDIATE")
            try:
                yield con
                con.execute("COMMIT")
            except BaseException:  # a Ctrl-C too undoes everything
                if con.in_transaction:  # SQLite itself rolls back when the disk is full
                    con.execute("ROLLBACK")
                raise

    def fetch(self, table: str, rows: list[int]) -> Iterator[Row]:
        """Yield the given rows of a table of documents, in the given order."""
        start, size = 0, _FIRST_PORTION
        while start < len(rows):
            portion = rows[start : start + size]
            marks = ", ".join("?" * len(portion))
            with self.reading() as con:
                sql = f"SELECT id, body FROM {table} WHERE id IN ({marks})"
                bodies = dict(con.execute(sql, portion).fetchall())
            yield from ((row, bodies[row]) for row in portion if row in bodies)
            start, size = start + size, _portion_size(bodies.values())

    def scan(self, table: str) -> Iterator[Row]:
        """Yield all rows of a table of documents, in the order of their insertion.

        Rows that are added meanwhile are left out, or a loop that adds some would never end.
        """
        with self.reading() as con:
            end = con.execute(f"SELECT MAX(id) FROM {table}").fetchone()[0] or 0
        last, size = 0, _FIRST_PORTION
        while last < end:
            with self.reading() as con:
                sql = f"SELECT id, body FROM {table} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"
                portion = con.execute(sql, (last, end, size)).fetchall()
            if not portion:
                return
            yield from portion
            last, size = portion[-1][0], _portion_size([body for _, body in portion])

    def _connect(self) -> sqlite3.Connection:
        if not self.read_only:
            _check_path(self.path)
        with explained(self.path):
            raw = sqlite3.connect(
                _read_only_uri(self.path) if self.read_only else self.path,
                timeout=WAIT_S,
                isolation_level=None,
                check_same_thread=False,
                uri=self.read_only,
            )
            try:
                _check_content(self.path, raw)
                raw.execute("PRAGMA cache_size = -65536")  # KiB
                if self.read_only:
                    _check_is_current(self.path, raw)
                else:
                    self._set_journal_mode(raw)
                    raw.execute(f"PRAGMA synchronous = {self.synchronous}")
                    create_schema(raw)
            except BaseException:  # whatever it is, a Ctrl-C too, leaves no connection open
                raw.close()
                raise
        self._connection = raw
        self._closer = weakref.finalize(self, raw.close)
        return raw

    def _set_journal_mode(self, con: sqlite3.Connection) -> None:
        # SQLite does not wait for other connections when it changes the mode, so wait here.
        deadline = time.monotonic() + WAIT_S
        while con.execute("PRAGMA journal_mode").fetchone()[0].upper() != self.journal_mode:
            try:
                sql = f"PRAGMA journal_mode = {self.journal_mode}"
                mode = con.execute(sql).fetchone()[0]
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            if mode.upper() != self.journal_mode:
                raise RocksaltError(
                    f"{self.path} cannot use journal_mode={self.journal_mode} on this file "
                    'system: pass journal_mode="DELETE"'
                )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an error of SQLite that a user can put right into one that says how."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        for prefix, remedy in _REMEDIES.items():
            if name.startswith(prefix):
                raise RocksaltError(f"{path} {remedy}".replace("FILE", str(path))) from error
        raise


def _portion_size(bodies: Collection[bytes]) -> int:
    mean = max(1, sum(map(len, bodies)) // max(1, len(bodies)))
    return min(_LARGEST_PORTION, max(1, _PORTION_BYTES // mean))


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise RocksaltError(f"{path} is a folder: give the path of a file in it")
    if not path.parent.is_dir():
        raise RocksaltError(f"the folder {path.parent} does not exist: create it, or check {path}")
    for place in (path, path.parent):
        if place.exists() and not os.access(place, os.W_OK):
            raise RocksaltError(f"{place} {_REMEDIES['SQLITE_READONLY']}")


def _check_content(path: Path, con: sqlite3.Connection) -> None:
    con.execute("BEGIN")  # one view of both, while another process may be creating the schema
    version = con.execute("PRAGMA user_version").fetchone()[0]
    tables = con.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    con.execute("COMMIT")
    if version > SCHEMA_VERSION:
        raise RocksaltError(
            f"{path} was written by a newer rocksalt (store version {version}, known here: "
            f"{SCHEMA_VERSION}): update rocksalt, or choose another path"
        )
    if version == 0 and tables:
        raise RocksaltError(f"{path} belongs to another program: choose another path")


def may_write(path: Path) -> bool:
    """Say whether a file that is there can be written, which takes its folder too."""
    path = path.resolve()
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def _read_only_uri(path: Path) -> str:
    """Return the address of a file that may not be written.

    Raises
    ------
    RocksaltError
        When a part of its content is in the write-ahead log beside it, which SQLite cannot read
        without making a further file.
    """
    path = path.resolve()  # the log is beside the file itself, not beside a link to it
    log, index = (path.with_name(f"{path.name}-{part}") for part in ("wal", "shm"))
    for part in (path, log, index):
        if part.exists() and not os.access(part, os.R_OK):
            raise RocksaltError(f"{part} cannot be read: ask its owner to allow it")
    uri = f"{path.as_uri()}?mode=ro"
    if log.exists() and index.exists():  # another process has it open, or had
        return uri
    if log.exists() and log.stat().st_size:
        raise RocksaltError(
            f"{path} may only be read, and its last changes are in {log.name}: copy both into a "
            "folder of your own, or have the owner open it once more"
        )
    return f"{uri}&immutable=1"


def _check_is_current(path: Path, con: sqlite3.Connection) -> None:
    version = con.execute("PRAGMA user_version").fetchone()[0]
    if version != SCHEMA_VERSION:
        raise RocksaltError(
            f"{path} was written by an older rocksalt and may only be read here: copy it into a "
            "folder of your own, where it is brought up to date"
        )


def _before_fork() -> None:
    # SQLite keeps account of its locks in memory. A fork would copy the account without the locks,
    # and then write to files that its parent believes are its own. So no connection lives through
    # a fork, and no other thread is in the middle of using one.
    _fork_lock.acquire()
    for file in list(_files):
        file.lock.acquire()
        _held.append(file)
        file.disconnect()


def _after_fork() -> None:
    while _held:
        _held.pop().lock.release()
    _fork_lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)

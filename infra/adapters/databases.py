"""Dumps and restores databases with pg_dump, pg_restore and SQLite's backup API."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from infra.adapters.disk import sync
from infra.adapters.postgres import PostgresServer, binaries
from pipelines import processes
from pipelines.errors import BackupError

_SSL = {"true": "require", "false": "disable"}


@dataclass(frozen=True, repr=False)
class Postgres:
    """A database, as PostgreSQL's own programs reach it."""

    url: str
    """SQLAlchemy's form."""
    options: tuple[str, ...]
    env: dict[str, str]
    """The password stands here: arguments can be read by everybody on the machine."""

    @classmethod
    def embedded(cls, server: PostgresServer) -> "Postgres":
        """The database of a running embedded server."""
        options = ("-h", str(server.socket), "-U", server.user, "-d", server.database)
        return cls(server.url, options, {"PATH": os.environ.get("PATH", "")})

    @classmethod
    def of(cls, url: str) -> "Postgres":
        """From SQLAlchemy's form, `postgresql+asyncpg://user:password@host:port/name?…`.

        Raises BackupError for what is no PostgreSQL database.
        """
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            found = make_url(url)
        except ArgumentError as error:
            raise BackupError("PREFECT_API_DATABASE_CONNECTION_URL is no database's URL") from error
        if not found.drivername.startswith("postgresql"):
            raise BackupError(
                f"Prefect's database is {found.drivername.partition('+')[0]}; only PostgreSQL is "
                "kept: copy that one with its own tools while the server is stopped"
            )
        query = {name: str(value) for name, value in found.query.items()}
        options = {
            "-h": query.get("host") or found.host,
            "-p": query.get("port") or found.port,
            "-U": query.get("user") or found.username,
            "-d": found.database or "postgres",
        }
        env = {"PATH": os.environ.get("PATH", ""), "PGCONNECT_TIMEOUT": "10"}
        if found.password:
            env["PGPASSWORD"] = str(found.password)
        if "ssl" in query:
            env["PGSSLMODE"] = _SSL.get(query["ssl"].lower(), query["ssl"])
        flat = [str(part) for pair in options.items() if pair[1] for part in pair]
        return cls(url, tuple(flat), env)

    def dump(self, target: Path) -> None:
        """All of it as of one moment, in pg_dump's custom format. Raises BackupError."""
        self._run("pg_dump", "--format=custom", "--no-owner", "--no-acl", f"--file={target}")

    def restore(self, dump: Path) -> None:
        """Restore all of `dump` or nothing; tables that an earlier attempt left are replaced."""
        flags = ("--clean", "--if-exists", "--no-owner", "--no-acl", "--single-transaction")
        self._run("pg_restore", *flags, "--exit-on-error", str(dump))

    def ask(self, sql: str) -> str:
        """Execute `sql` in one transaction and return its rows, one a line, without headings."""
        flags = ("-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction")
        return self._run("psql", *flags, "-c", sql).strip()

    def is_empty(self) -> bool:
        """Whether the database has no tables, whoever owns them."""
        count = "select count(*) from pg_tables where schemaname not in ('pg_catalog', "
        return self.ask(count + "'information_schema')") == "0"

    def prefect_schema(self) -> str:
        """The schema revision of Prefect's tables; empty if there are none."""
        exists = "select to_regclass('alembic_version') is not null"
        if self.ask(exists) != "t":
            return ""
        return self.ask("select version_num from alembic_version")

    def _run(self, program: str, *arguments: str) -> str:
        process = processes.start_child(
            [str(binaries() / program), *self.options, "--no-password", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env,
        )
        try:
            output, errors = process.communicate()
        finally:
            processes.stop(process, 1.0)
        if process.returncode:
            words = errors.decode(errors="replace").strip().splitlines()
            raise BackupError(f"{program}: {' / '.join(words[-2:]) or process.returncode}")
        return output.decode(errors="replace")


def copy_sqlite(source: Path, target: Path) -> None:
    """A copy of a database that others may be writing to. Raises BackupError."""
    try:
        with (
            closing(sqlite3.connect(source, timeout=30)) as here,
            closing(sqlite3.connect(target)) as there,
        ):
            here.backup(there)
            there.execute("pragma journal_mode=delete")  # one file, nothing beside it
            (verdict,) = there.execute("pragma integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"{source} cannot be read: {error}") from error
    if verdict != "ok":
        raise BackupError(f"{source} is damaged: {verdict}")


def place(source: Path, target: Path) -> None:
    """Copy a verified file to where a server will look for it, in one step."""
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    part.chmod(0o600)
    sync(part)
    part.replace(target)
    sync(target.parent)

"""A test fails if anything logs at level ERROR while it runs, unless the test asks for it.

Ask with `@pytest.mark.expects_errors("regular expression")`, once for each message; each must be
logged at least once. `allows_errors` does the same for a message that does not come every time, as
when a process is killed. The check covers every logger of the test's process, among them those that
do not propagate (Prefect's), and the log files of the commands that the test runs.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

EXPECTS, ALLOWS = "expects_errors", "allows_errors"
_LINE = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL)\s")
"""A line of reelwright.log (infra/apps/session.py): date, time, level, logger, message."""


class LoggedErrors:
    """The messages at level ERROR or above since it was made, each behind its logger's name."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.files: list[Path] = []
        """Log files of commands, read at the end of the test."""

    def add(self, record: logging.LogRecord) -> None:
        """Keep the record's text if its level is ERROR or above."""
        if record.levelno >= logging.ERROR:
            cause = record.exc_info[1] if record.exc_info else None
            end = f": {type(cause).__name__}: {cause}" if cause else ""
            self.messages.append(f"{record.name}: {record.getMessage()}{end}")

    def read_files(self) -> None:
        """Add the lines of the log files."""
        for path in self.files:
            if path.exists():
                lines = path.read_text(errors="replace").splitlines()
                self.messages += [line for line in lines if _LINE.match(line)]


@contextmanager
def collected() -> Iterator[LoggedErrors]:
    """Collects in the block. The factory of records sees those of every logger, whatever handlers
    and whatever propagation it has."""
    errors, make = LoggedErrors(), logging.getLogRecordFactory()

    def make_and_add(*args: object, **values: object) -> logging.LogRecord:
        record = make(*args, **values)
        errors.add(record)
        return record

    logging.setLogRecordFactory(make_and_add)
    try:
        yield errors
    finally:
        logging.setLogRecordFactory(make)


def complaint(messages: Sequence[str], expected: Sequence[str], allowed: Sequence[str] = ()) -> str:
    """What is wrong: messages that no pattern matches, and `expected` patterns that match none.
    Empty if nothing is."""
    surplus = [
        text
        for text in messages
        if not any(re.search(pattern, text) for pattern in (*expected, *allowed))
    ]
    missing = [
        pattern for pattern in expected if not any(re.search(pattern, text) for text in messages)
    ]
    lines = [f"logged, and not expected: {text}" for text in surplus]
    return "\n".join(lines + [f"expected, and not logged: {pattern}" for pattern in missing])

"""The calendar starts every occurrence once, whatever happens to clocks and workers."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.adapters.object_store import ObjectStore
from pipelines.calendar.due import GRACE, decide, occurrences, upcoming
from pipelines.calendar.entry import Entry, parse_calendar
from pipelines.errors import BriefError
from tasks.calendar import BucketMarks, Mark, tick
from tests.conftest import Cli

BRIEF = {"prompt": "a red ball moves right"}


def entry(**values: object) -> Entry:
    return Entry.model_validate({"name": "morning", "brief": BRIEF, **values})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class FakeMarks:
    """A fake of `tasks.calendar.BucketMarks` in memory, for the 40,000 looks of a simulated year.

    The contract is that class's two methods: `read` returns what `write` last wrote, or None. The
    real one is in `test_an_entry_that_cannot_start_leaves_the_others`.
    """

    def __init__(self) -> None:
        self.marks: dict[str, Mark] = {}

    def read(self, name: str) -> Mark | None:
        return self.marks.get(name)

    def write(self, name: str, mark: Mark) -> None:
        self.marks[name] = mark


class FakeServer:
    """A fake of the Prefect server as `tasks.calendar.start` uses it.

    The contract is Prefect's for idempotency keys, here entry and moment: a second request with the
    same key returns the first run. `test_gateway.py` checks on a real server that a repeated
    key starts nothing, and `test_studio.py` runs the calendar with one.
    """

    def __init__(self) -> None:
        self.runs: set[tuple[str, datetime]] = set()
        self.asked: Counter[tuple[str, datetime]] = Counter()

    def start(self, entry: Entry, moment: datetime) -> str:
        self.runs.add((entry.name, moment))
        self.asked[entry.name, moment] += 1
        return f"{entry.name} {moment}"

    def of(self, name: str) -> set[datetime]:
        return {moment for entry, moment in self.runs if entry == name}


YEAR = """
zurich: &z {cron: "30 2 * * *", time_zone: Europe/Zurich, brief: &b {prompt: a fox}}
york: &y {time_zone: America/New_York, brief: *b}
entries:
- {<<: *z, name: zurich-skip, missed: skip}
- {<<: *z, name: zurich-once, missed: once}
- {<<: *z, name: zurich-all, missed: all}
- {<<: *y, name: york-all, cron: "30 1 * * 1-5", missed: all}
- {<<: *y, name: york-skip, cron: "0 7 1 * *", missed: skip}
- {<<: *z, name: two-dates, cron: "", missed: all,
   dates: [2027-03-28T02:30:00, 2027-07-05T12:00:00]}
"""


def test_a_year_with_two_workers_restarts_and_an_outage() -> None:
    """2027: clocks change on 28 March and 31 October (Zurich), 14 March and 7 November (New York).
    Nobody looks from 1 to 8 July; three times a worker dies between starting and noting."""
    calendar, server, marks = parse_calendar(YEAR), FakeServer(), FakeMarks()
    assert not calendar.broken
    dice = random.Random(7)
    begin, end = at("2027-01-01T00:00"), at("2028-01-01T00:00")
    outage = at("2027-07-01T10:00"), at("2027-07-08T10:00")
    restarts = {at("2027-02-03"), at("2027-05-06"), at("2027-11-07")}
    now = begin
    tick(calendar, marks, now, server.start)
    while now < end:
        now += timedelta(minutes=dice.choice((12, 14)))
        if outage[0] <= now < outage[1]:
            continue
        before = dict(marks.marks)
        tick(calendar, marks, now, server.start)
        if {now.replace(hour=0, minute=0)} & restarts and dice.random() < 0.2:
            marks.marks = before  # it died before it could note what it had started
        if dice.random() < 0.1:  # the second worker looks at what the first one saw
            stale = FakeMarks()
            stale.marks = dict(before)
            tick(calendar, stale, now - timedelta(seconds=30), server.start)

    days = [begin + timedelta(days=n) for n in range(366)]
    zurich = set()
    for day in days:
        summer = (
            at("2027-03-28T01:00") <= day + timedelta(hours=1, minutes=30) < at("2027-10-31T01:00")
        )
        local = day + timedelta(hours=2, minutes=30)
        zurich.add(local - timedelta(hours=2 if summer else 1))
    # The skipped half past two of 28 March happens when the clock says three.
    zurich.discard(at("2027-03-28T00:30"))
    zurich.discard(at("2027-03-28T01:30"))
    zurich.add(at("2027-03-28T01:00"))
    # On 31 October half past two comes twice and counts once: the first, in summer time.
    zurich.discard(at("2027-10-31T01:30"))
    zurich.add(at("2027-10-31T00:30"))
    zurich = {moment for moment in zurich if begin < moment <= now}
    missed = {m for m in zurich if outage[0] < m <= outage[1] - GRACE}
    assert len(zurich) == 365
    assert len(missed) == 7
    assert server.of("zurich-all") == zurich
    assert server.of("zurich-skip") == zurich - missed
    assert server.of("zurich-once") == zurich - missed | {max(missed)}

    york = server.of("york-all")
    assert len(york) == 261  # weekdays of 2027
    assert at("2027-03-15T05:30") in york  # summer time since Sunday
    assert at("2027-11-08T06:30") in york
    firsts = {m.strftime("%m-%dT%H") for m in server.of("york-skip")}
    assert firsts == {
        *("01-01T12", "02-01T12", "03-01T12", "04-01T11", "05-01T11", "06-01T11"),
        *("08-01T11", "09-01T11", "10-01T11", "11-01T11", "12-01T12"),
    }  # 1 July fell into the outage, an hour after it began
    assert server.of("two-dates") == {at("2027-03-28T01:30"), at("2027-07-05T10:00")}
    assert max(server.asked.values()) > 1  # some were asked for twice, and started once


def test_an_edited_time_starts_nothing_of_the_past() -> None:
    marks, server = FakeMarks(), FakeServer()
    for text, now in (("0 18 * * *", "2027-05-01T11:55"), ("0 7 * * *", "2027-05-01T12:00")):
        calendar = parse_calendar(
            f"entries: [{{name: a, cron: '{text}', missed: all, brief: {{prompt: x}}}}]"
        )
        tick(calendar, marks, at(now), server.start)
    assert not server.runs


def test_a_new_entry_starts_nothing_of_the_past() -> None:
    marks, server = FakeMarks(), FakeServer()
    calendar = parse_calendar("entries: [{name: a, cron: '* * * * *', brief: {prompt: x}}]")
    tick(calendar, marks, at("2027-05-01T11:55"), server.start)
    assert not server.runs
    tick(calendar, marks, at("2027-05-01T11:56"), server.start)
    assert server.of("a") == {at("2027-05-01T11:56")}


def test_days_before_and_after_are_not_active() -> None:
    found = entry(cron="0 0 * * *", active_from="2027-05-02", active_to="2027-05-04")
    moments = list(occurrences(found, at("2027-01-01"), at("2028-01-01")))
    assert [moment.day for moment in moments] == [2, 3, 4]


def test_every_decision_has_its_reason() -> None:
    found = entry(cron="0 * * * *", missed="once")
    decisions = decide(found, at("2027-05-01T00:30"), at("2027-05-01T04:05"))
    assert [item.verdict for item in decisions] == ["skip", "skip", "start", "start"]
    assert "a later one too" in decisions[0].reason
    assert "the last is made up for" in decisions[2].reason
    assert decisions[3].reason == "it is due"


def test_date_and_item_are_filled_in() -> None:
    found = entry(
        cron="0 23 * * *",
        time_zone="Asia/Tokyo",
        items=["fox", "bear"],
        brief={"prompt": "{item} on {date:%d %B}, {{sic}}", "campaign": "{name}"},
    )
    first, second = (found.brief_at(moment) for moment in upcoming(found, at("2027-05-01"), 2))
    assert {first.prompt.split()[0], second.prompt.split()[0]} == {"fox", "bear"}
    assert first.prompt.endswith("on 01 May, {sic}")
    assert first.campaign == "morning"


BROKEN = """entries:
- name: good
  cron: "0 7 * * *"
  brief: {prompt: a fox}
- name: no-time
  brief: {prompt: a fox}
- name: bad-cron
  cron: "61 7 * * *"
  brief: {prompt: a fox}
- name: bad-zone
  cron: "0 7 * * *"
  time_zone: Europe/Atlantis
  brief: {prompt: a fox}
- name: bad-brief
  cron: "0 7 * * *"
  brief: {prompt: a fox, seconds: 0}
- name: bad-variable
  cron: "0 7 * * *"
  brief: {prompt: "{date.__class__}"}
- name: good
  cron: "0 8 * * *"
  brief: {prompt: a fox}
- just words
"""


def test_a_broken_entry_is_named_with_its_line_and_stops_only_itself() -> None:
    calendar = parse_calendar(BROKEN)
    assert [found.name for found in calendar.entries] == ["good"]
    said = {(item.line, item.name): item.reason for item in calendar.broken}
    assert "either cron or dates" in said[5, "no-time"]
    assert "'61 7 * * *'" in said[7, "bad-cron"]
    assert "Europe/Atlantis" in said[10, "bad-zone"]
    assert "seconds 0 is outside" in said[14, "bad-brief"]
    assert "{date.__class__} is unknown" in said[17, "bad-variable"]
    assert "line 2 has the same name" in said[20, "good"]
    assert (23, "") in said


@pytest.mark.parametrize("text", ["entries: [", "- a", "entries: 7", "a: b"])
def test_what_is_no_calendar_says_so(text: str) -> None:
    (broken,) = parse_calendar(text).broken
    assert broken.reason


def test_an_empty_text_is_an_empty_calendar() -> None:
    assert parse_calendar("") == parse_calendar("# nothing yet")


def test_the_command_checks_a_file(bare_cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "calendar.yaml"
    file.write_text(BROKEN, encoding="utf-8")
    found = bare_cli("calendar", "check", str(file))
    assert found.code == 1
    assert "good: next" in found.out
    assert found.out.count("BROKEN line") == 7
    file.write_text("entries: [{name: a, cron: '0 8 * * *', brief: {prompt: x}}]", encoding="utf-8")
    assert bare_cli("calendar", "check", str(file)).code == 0


@pytest.mark.parametrize("word", ["check", "put"])
def test_a_file_that_is_no_text_is_named(bare_cli: Cli, tmp_path: Path, word: str) -> None:
    file = tmp_path / "calendar.yaml"
    file.write_bytes(b"entries: \xff\xfe")
    found = bare_cli("calendar", word, str(file))
    assert "not UTF-8" in found.err
    assert str(file) in found.err
    assert len(found.err.splitlines()) == 1


def test_without_a_server_nothing_is_started(bare_cli: Cli) -> None:
    found = bare_cli("calendar", "run", "morning")
    assert "reelwright up" in found.err
    assert len(found.err.splitlines()) == 1


@pytest.mark.expects_errors("the entry a could not be started: BriefError: the server said no")
def test_an_entry_that_cannot_start_leaves_the_others(store: ObjectStore) -> None:
    calendar = parse_calendar(
        "entries: [{name: a, cron: '* * * * *', brief: {prompt: x}},"
        " {name: b, cron: '* * * * *', brief: {prompt: x}}]"
    )
    marks, server = BucketMarks(store), FakeServer()

    def start(entry: Entry, moment: datetime) -> str:
        if entry.name == "a":
            raise BriefError("the server said no")
        return server.start(entry, moment)

    tick(calendar, marks, at("2027-05-01T11:55"), start)
    result = tick(calendar, marks, at("2027-05-01T11:56"), start)
    assert result.started == 1
    assert "line 1, entry 'a': the server said no" in str(result)
    # Nothing is lost: the next look starts what this one could not.
    assert tick(calendar, marks, at("2027-05-01T11:57"), server.start).started == 3
    assert server.of("a") == {at("2027-05-01T11:56"), at("2027-05-01T11:57")}


def test_every_error_of_an_entry_is_named(bare_cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "calendar.yaml"
    file.write_text(
        "entries: [{name: A b, cron: 'x * * * *', time_zone: Mars, priority: soon, more: 1,"
        " active_from: 2027-02-01, active_to: 2027-01-01,"
        " brief: {prompt: '', seconds: -1, priority: rush}},"
        " {name: b, brief: {prompt: x, seconds: 0}, active_from: 2027-02-01,"
        " active_to: 2027-01-01}]",
        encoding="utf-8",
    )
    first, second = bare_cli("calendar", "check", str(file)).out.splitlines()
    for word in ("name", "cron 'x", "Mars", "priority:", "more", "active_to", "belongs to the"):
        assert word in first, first
    assert "seconds" in first
    for word in ("either cron or dates", "active_to", "seconds"):
        assert word in second, second


@pytest.mark.xdist_group("gateway")
def test_a_started_entry_is_said_with_its_run(deployed: Cli, tmp_path: Path) -> None:
    file = tmp_path / "calendar.yaml"
    text = "entries: [{name: fox, cron: '0 8 * * *', brief: {prompt: A red fox trots}}]"
    file.write_text(text, encoding="utf-8")
    env = {"REELWRIGHT_CALENDAR_FILE": str(file)}
    found = deployed("calendar", "run", "fox", **env)
    words = found.out.split()
    assert words[:2] == ["started", "fox"]
    assert words[4] == "red-fox-trots"
    assert found.out.rstrip().endswith(f"with priority normal: run {words[-1]}")
    assert len(words[-1]) == 36

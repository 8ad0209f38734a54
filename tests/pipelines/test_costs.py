"""The ledger's sums: what counts, what a repetition writes, and what the caps allow."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.backends.remote.access import Charge
from pipelines.costs.book import Book, Snapshot
from pipelines.costs.caps import Caps, limits, parse_caps
from pipelines.costs.decisions import keeping, release, reservations, settlement
from pipelines.costs.entries import Action, Entry, Posting, Spender, sha256_of
from pipelines.costs.summary import sum_of, sums_of, video_costs
from pipelines.errors import BudgetError, SettingsError
from pipelines.schema.money import Money

MONTH, DAY = "2026-11", "2026-11-27"
NO_CAPS = Caps()
SPENDER = Spender(run="run 1", campaign="spring")


@dataclass
class Pages:
    """A book whose entries lie in memory."""

    book: Book = field(default_factory=lambda: Book(MONTH))
    entries: list[bytes] = field(default_factory=list)
    spender: Spender = SPENDER
    day: str = DAY

    def write(self, action: Action, *postings: Posting | None) -> None:
        told = tuple(posting for posting in postings if posting)
        if not told:
            return
        entry = Entry(
            month=self.book.month,
            number=self.book.number + 1,
            before=self.book.last,
            time=datetime(2026, 11, 27, tzinfo=UTC).isoformat(),
            day=self.day,
            action=action,
            spender=self.spender,
            postings=told,
        )
        self.entries.append(entry.as_bytes())
        self.book.apply(Entry.model_validate_json(self.entries[-1]), sha256_of(self.entries[-1]))

    def reserve(self, *charges: Charge, caps: Caps = NO_CAPS, currency: str = "USD") -> None:
        book, day = self.book, self.day
        made = reservations(charges, book, (), self.spender, caps, currency, day)
        self.write("reserve", *made)

    def line(self, charge: Charge) -> Any:
        return self.book.lines.get(charge.id)

    @property
    def total(self) -> Decimal:
        return sum_of(self.book.lines.values()).total

    def read_again(self) -> Book:
        book = Book(self.book.month)
        for data in self.entries:
            book.apply(Entry.model_validate_json(data), sha256_of(data))
        return book


def charge(name: str, price: str = "1.00", currency: str = "USD") -> Charge:
    return Charge(id=name, backend="cloud", price=Money.of(price, currency))


def test_a_reservation_counts_until_it_is_settled_or_released() -> None:
    pages, one, other = Pages(), charge("a-1", "1.25"), charge("b-1", "0.75")
    pages.reserve(one, other)
    assert pages.total == Decimal(2)
    pages.write("settle", settlement(one, Money.of("0.33"), "billed", pages.line(one)))
    assert pages.total == Decimal("1.08")
    pages.write("release", release(other, "refused", pages.line(other)))
    assert pages.total == Decimal("0.33")


def test_a_lost_answer_counts_with_its_whole_price_until_its_bill_is_known() -> None:
    pages, one = Pages(), charge("a-1", "1.25")
    pages.reserve(one)
    pages.write("keep", keeping(one, "no answer", pages.line(one)))
    assert pages.line(one).state == "kept"
    assert pages.total == Decimal("1.25")
    pages.write("settle", settlement(one, Money.of("1"), "billed", pages.line(one)))
    assert pages.total == Decimal(1)


REPETITIONS: dict[str, Callable[[Pages, Charge], None]] = {
    "reserve": lambda pages, one: pages.reserve(one),
    "settle": lambda pages, one: pages.write(
        "settle", settlement(one, Money.of("0.5"), "billed", pages.line(one))
    ),
    "release": lambda pages, one: pages.write("release", release(one, "x", pages.line(one))),
    "keep": lambda pages, one: pages.write("keep", keeping(one, "x", pages.line(one))),
}


@pytest.mark.parametrize("name", REPETITIONS)
def test_a_repetition_writes_nothing(name: str) -> None:
    pages, one = Pages(), charge("a-1")
    pages.reserve(one)
    REPETITIONS[name](pages, one)
    count = len(pages.entries)
    REPETITIONS[name](pages, one)
    if name != "release":
        REPETITIONS["reserve"](pages, one)
    assert len(pages.entries) == count


def test_a_job_is_not_settled_in_another_currency_than_it_was_reserved_in() -> None:
    pages, one = Pages(), charge("a-1")
    pages.reserve(one)
    with pytest.raises(SettingsError, match=r"reserved for 1\.00 USD and costs 2\.00 EUR"):
        settlement(one, Money.of(2, "EUR"), "billed", pages.line(one))
    assert pages.total == Decimal(1)


def test_what_is_settled_is_neither_released_nor_kept_nor_estimated_later() -> None:
    pages, one = Pages(), charge("a-1")
    pages.reserve(one)
    REPETITIONS["settle"](pages, one)
    line = pages.line(one)
    assert release(one, "x", line) is None
    assert keeping(one, "x", line) is None
    assert settlement(one, Money.of("1"), "estimated", line) is None


def test_what_was_released_is_reserved_anew() -> None:
    pages, one = Pages(), charge("a-1")
    pages.reserve(one)
    REPETITIONS["release"](pages, one)
    pages.day = "2026-11-28"
    pages.reserve(one)
    assert pages.line(one).day == "2026-11-28"
    assert pages.total == Decimal(1)


@pytest.mark.parametrize(
    ("caps", "day", "name"),
    [
        (Caps(video=Decimal("1.50")), DAY, "video"),
        (Caps(campaign=Decimal("1.50")), DAY, "campaign"),
        (Caps(campaign=Decimal(9), campaigns={"spring": Decimal("1.5")}), DAY, "campaign"),
        (Caps(day=Decimal("1.50")), DAY, "day"),
        (Caps(month=Decimal("1.50")), "2026-11-28", "month"),
    ],
)
def test_all_is_reserved_or_nothing_and_the_error_names_the_cap(
    caps: Caps, day: str, name: str
) -> None:
    pages = Pages()
    settled = charge("a-1", "0.60")
    pages.reserve(settled, charge("b-1", "0.40"), caps=caps)
    pages.write("settle", settlement(settled, settled.price, "billed", pages.line(settled)))
    pages.day, count = day, len(pages.entries)
    wanted = (charge("c-1", "0.30"), charge("d-1", "0.30"))
    with pytest.raises(BudgetError) as found:
        pages.reserve(*wanted, caps=caps)
    assert found.value.cap == name
    words = str(found.value)
    for amount in ("1.50 USD", "0.60 USD are spent", "0.40 USD are reserved", "0.50 USD are left"):
        assert amount in words
    assert "0.60 USD are asked for" in words
    assert len(pages.entries) == count
    pages.reserve(charge("c-1", "0.50"), caps=caps)
    assert pages.total == Decimal("1.5")


def test_a_cap_that_a_person_waived_does_not_hold_and_the_others_do() -> None:
    pages = Pages(spender=waiving("video", "20"))
    pages.reserve(charge("a-1", "5"), caps=Caps(video=Decimal(1), month=Decimal(6)))
    with pytest.raises(BudgetError, match="month 2026-11"):
        pages.reserve(charge("b-1", "5"), caps=Caps(video=Decimal(1), month=Decimal(6)))


def waiving(cap: str, amount: str, **more: str) -> Spender:
    changes = {"waived": (cap,), "waived_up_to": Money.of(amount), **more}
    return SPENDER.model_copy(update=changes)


def test_a_waived_cap_holds_again_above_the_sum_that_the_person_approved() -> None:
    caps = Caps(video=Decimal(1))
    pages = Pages(spender=waiving("video", "2.00"))
    pages.reserve(charge("a-1", "1.20"), charge("b-1", "0.80"), caps=caps)
    pages.write("settle", settlement(charge("a-1"), Money.of("1.20"), "billed", None))
    repeated = charge("a-2", "1.20")
    words = r"approved 2\.00 USD for this run, not 3\.20 USD"
    with pytest.raises(BudgetError, match=words) as found:
        pages.reserve(repeated, caps=caps)
    assert found.value.total == Money.of("3.20")
    assert pages.total == Decimal("2.00")
    pages.write("release", release(charge("b-1"), "it failed", pages.line(charge("b-1"))))
    pages.reserve(charge("b-2", "0.80"), caps=caps)  # what costs nothing does not count
    assert pages.total == Decimal("2.00")


def test_an_approval_without_a_known_sum_or_in_another_currency_waives_nothing() -> None:
    for sum_of_it in (None, Money.of("9", "EUR")):
        pages = Pages(spender=waiving("video", "9").model_copy(update={"waived_up_to": sum_of_it}))
        with pytest.raises(BudgetError, match=r"cap of 1\.00 USD"):
            pages.reserve(charge("a-1", "2"), caps=Caps(video=Decimal(1)))


def test_what_another_preset_of_the_run_spent_does_not_use_up_the_approved_sum() -> None:
    caps = Caps(video=Decimal(1))
    pages = Pages(spender=waiving("video", "1", preset="first"))
    pages.reserve(charge("a-1", "1"), caps=caps)
    pages.spender = waiving("video", "2", preset="second")
    pages.reserve(charge("b-1", "2"), caps=caps)
    assert pages.total == Decimal(3)


def test_other_days_campaigns_and_videos_do_not_count() -> None:
    pages = Pages(day="2026-11-26")
    pages.spender = Spender(run="other", campaign="autumn", video="v1")
    pages.reserve(charge("a-1", "9"))
    pages.spender, pages.day = SPENDER, DAY
    one = Decimal(1)
    caps = Caps(video=one, campaign=one, day=one, month=Decimal(10))
    pages.reserve(charge("b-1", "1"), caps=caps)
    assert pages.total == 10


def test_the_cap_of_a_video_holds_over_its_runs_and_the_one_of_a_campaign_over_months() -> None:
    before = Pages(book=Book("2026-10"), day="2026-10-31")
    before.spender = Spender(run="first", campaign="spring", video="v1")
    before.reserve(charge("a-1", "1"))
    again = Spender(run="second", campaign="spring", video="v1")
    caps = Caps(video=Decimal(2), campaign=Decimal(3), day=Decimal(4), month=Decimal(5))
    found = {
        item.name: item.left for item in limits(caps, again, DAY, Book(MONTH), [before.book], "USD")
    }
    assert found == {"video": 1, "campaign": 2, "day": 4, "month": 5}


def test_a_price_in_another_currency_is_refused() -> None:
    pages = Pages()
    with pytest.raises(SettingsError, match="REELWRIGHT_COSTS_CURRENCY=EUR"):
        pages.reserve(charge("a-1", "1", "EUR"))
    pages.reserve(charge("a-1", "1"))
    with pytest.raises(SettingsError, match=r"2026-11 has amounts in USD"):
        pages.reserve(charge("b-1", "1", "EUR"), currency="EUR")


def test_an_entry_that_does_not_follow_changes_nothing() -> None:
    pages = Pages()
    for name in ("a-1", "b-1", "c-1"):
        pages.reserve(charge(name))
    third = Entry.model_validate_json(pages.entries[2])
    book = Book(MONTH)
    with pytest.raises(ValueError, match="does not follow"):
        book.apply(third, sha256_of(pages.entries[2]))
    first = Entry.model_validate_json(pages.entries[0])
    book.apply(first, "0" * 64)  # as if another entry had been in its place
    with pytest.raises(ValueError, match="does not follow"):
        book.apply(Entry.model_validate_json(pages.entries[1]), sha256_of(pages.entries[1]))
    assert list(book.lines) == ["a-1"]


OUTCOMES = ("done", "done", "done", "done", "failed", "charged failure", "refused", "lost", "open")
JOBS = st.lists(
    st.tuples(
        st.sampled_from(OUTCOMES),
        st.decimals("0.000001", "3", places=6),
        st.decimals("0", "1", places=3),
        st.integers(0, 3),
        st.sampled_from(["spring", "autumn", ""]),
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(JOBS)
def test_the_sum_is_the_bill_over_any_history_of_failures_refusals_and_lost_answers(
    jobs: list[tuple[str, Decimal, Decimal, int, str]],
) -> None:
    """The bill is what a service with those outcomes would charge. Every step may be repeated, as
    by a run that was interrupted after it, and the book is read anew from a snapshot in between."""
    pages, bill, reserved = Pages(), Decimal(0), Decimal(0)
    for number, (outcome, price, share, repetitions, campaign) in enumerate(jobs):
        job = Charge(f"{number}-1", f"cloud-{number % 2}", Money.of(price))
        used = Money.of(price * share)
        pages.spender = Spender(run=f"run {number // 3}", campaign=campaign)
        for _ in range(1 + repetitions):
            pages.reserve(job)
        for _ in range(1 + repetitions):
            line = pages.line(job)
            if outcome == "done":
                pages.write("settle", settlement(job, used, "billed", line))
            elif outcome == "charged failure":
                pages.write("settle", settlement(job, job.price, "estimated", line))
            elif outcome in ("failed", "refused"):
                pages.write("release", release(job, outcome, line))
            elif outcome == "lost":
                pages.write("keep", keeping(job, "no answer", line))
        charged = {"done": used.amount, "charged failure": price, "lost": price}
        bill += charged.get(outcome, Decimal(0))
        reserved += price if outcome == "open" else 0
        if repetitions == 2:
            data = pages.book.snapshot().model_dump_json()
            pages.book = Book.of(Snapshot.model_validate_json(data))
    found = sum_of(pages.book.lines.values())
    assert found.reserved == reserved
    assert found.total - found.reserved == bill
    assert pages.read_again().snapshot() == pages.book.snapshot()
    for by in ("campaign", "backend", "video", "day"):
        assert sum(item.total for item in sums_of(pages.book.lines.values(), by)) == found.total


@settings(max_examples=60)
@given(JOBS, st.decimals("0", "6", places=2))
def test_no_history_brings_the_sum_above_a_cap(
    jobs: list[tuple[str, Decimal, Decimal, int, str]], cap: Decimal
) -> None:
    pages, caps = Pages(), Caps(month=cap)
    for number, (outcome, price, _, _, _) in enumerate(jobs):
        job = charge(f"{number}-1", str(price))
        before = pages.total
        try:
            pages.reserve(job, caps=caps)
        except BudgetError:
            assert before + price > cap
            continue
        assert pages.total <= cap
        if outcome in ("failed", "refused"):
            pages.write("release", release(job, outcome, pages.line(job)))


def test_a_video_costs_what_all_its_runs_spent_for_it() -> None:
    pages = Pages()
    one, failed, other = charge("a-1", "1"), charge("a-2", "2"), charge("z-1", "9")
    pages.spender = Spender(run="first", video="v1")
    pages.reserve(one, failed)
    pages.write("settle", settlement(one, Money.of("0.7"), "billed", pages.line(one)))
    pages.write("release", release(failed, "refused", pages.line(failed)))
    pages.spender = Spender(run="other", video="v2")
    pages.reserve(other)
    found = video_costs(list(pages.book.lines.values()), "v1", "first")
    assert found is not None
    assert str(found.total) == "0.70 USD"
    (part,) = found.parts
    assert (part.backend, part.jobs, part.basis) == ("cloud", 2, "billed")
    assert video_costs(list(pages.book.lines.values()), "v3", "third") is None


GOOD = "video: 1.50\ncampaigns:\n  spring: 120\ncount_gpu: true\n"


def test_caps_are_read_from_a_file_that_goes_before_the_settings() -> None:
    caps = parse_caps(GOOD, "caps.yaml", Caps(video=Decimal(9), month=Decimal(100)))
    assert (caps.video, caps.month, caps.count_gpu) == (Decimal("1.50"), Decimal(100), True)
    assert caps.of_campaign("spring") == 120
    assert caps.of_campaign("autumn") is None
    assert caps.of_campaign("") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("video: 1.50\nmonth: -3\n", ("line 2", "month", "-3", "greater than or equal to 0")),
        ("day: ten\n", ("line 1", "day", "'ten'", "decimal")),
        ("day: 1\nweek: 3\n", ("line 2", "week", "no field has this name")),
        ("campaigns:\n  spring: 1\n  autumn: x\n", ("line 3", "autumn", "'x'")),
        ("video: [", ("line 1", "no YAML")),
    ],
)
def test_a_wrong_file_of_caps_is_said_with_line_value_and_rule(
    text: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as found:
        parse_caps(text, "caps.yaml", Caps())
    assert all(word in str(found.value) for word in ("caps.yaml", *words)), str(found.value)

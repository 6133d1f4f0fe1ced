"""Places among the ends of a batch: told once, whatever order they come in, and short enough for a header."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.batch_events import MAX_TOLD, SETTLE_S, Told
from app.records import Generation
from tests.db.records import CREATED_AT, a_generation


def ended(after_s: float) -> Generation:
    return a_generation(completed_at=CREATED_AT + after_s)


def test_an_end_is_news_once() -> None:
    told = Told(CREATED_AT)
    record = ended(1.0)

    assert [told.add(record), told.add(record)] == [True, False]


def test_an_end_that_is_on_record_late_is_news_all_the_same() -> None:
    told = Told(CREATED_AT)
    told.add(ended(10.0))

    assert told.add(ended(10.0 - SETTLE_S / 2))
    assert not told.add(ended(10.0 - 2 * SETTLE_S))


def test_a_place_comes_back_out_of_its_text() -> None:
    told = Told(CREATED_AT)
    records = [ended(n / 10) for n in range(1, 30)]
    for record in records:
        told.add(record)

    found = Told.parsed(told.text())

    assert found is not None
    assert abs(found.floor - told.floor) < 1e-6
    assert not any(found.add(record) for record in records)
    assert found.add(ended(3.0))


def test_a_text_that_is_no_place_is_none() -> None:
    for text in (None, "", "end", "0-xyz", "zz", "1-12345678-", "f" * 17, "0-0"):
        assert Told.parsed(text) is None


@given(st.lists(st.floats(0, 100), max_size=200))
def test_a_place_is_short_and_its_moment_never_goes_back(offsets: list[float]) -> None:
    told, floors = Told(CREATED_AT), [CREATED_AT]
    for offset in offsets:
        told.add(ended(offset))
        floors.append(told.floor)

    assert floors == sorted(floors)
    assert len(told.text()) <= 16 + 9 * (MAX_TOLD + 1)

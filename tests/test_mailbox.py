"""The box between a writer that must not wait and a reader that may be slow."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from app.mailbox import Mailbox


def mailbox(max_items: int = 4) -> Mailbox[str]:
    """Lower-case items may be replaced by others of the same letter; upper-case ones never."""
    return Mailbox(lambda item: item[0] if item[0].islower() else None, max_items)


def test_items_keep_their_order() -> None:
    box = mailbox()
    for item in ("A", "p1", "B", "q1"):
        box.put(item)

    assert box.drain() == ["A", "p1", "B", "q1"]
    assert len(box) == 0


def test_a_newer_item_of_a_slot_replaces_the_older_and_goes_to_the_end() -> None:
    box = mailbox()
    for item in ("p1", "A", "q1", "p2"):
        box.put(item)

    assert box.drain() == ["A", "q1", "p2"]


def test_what_was_taken_is_not_replaced() -> None:
    box = mailbox()
    box.put("p1")
    taken = box.drain()
    box.put("p2")

    assert taken == ["p1"]
    assert box.drain() == ["p2"]


def test_a_full_box_drops_the_irreplaceable_and_remembers_it() -> None:
    box = mailbox(max_items=2)
    for item in ("A", "B", "C"):
        box.put(item)

    assert box.is_overflowed
    assert box.drain() == ["A", "B"]
    assert box.is_overflowed


def test_what_is_replaceable_never_overflows_a_full_box_nor_crowds_others_out() -> None:
    box = mailbox(max_items=2)
    for item in ("p1", "q1", "A", "p2", "B", "q2", "p3"):
        box.put(item)

    assert not box.is_overflowed
    assert box.drain() == ["A", "B", "q2", "p3"]


@given(st.lists(st.sampled_from("ABCpqr"), max_size=40), st.integers(min_value=1, max_value=5))
def test_only_the_irreplaceable_past_the_limit_and_the_replaced_are_missing(letters: list[str], limit: int) -> None:
    items = [f"{letter}{place}" for place, letter in enumerate(letters)]
    box = mailbox(limit)
    for item in items:
        box.put(item)

    kept = [item for item in items if item[0].isupper()]
    newest = {item[0]: item for item in items if item[0].islower()}
    expected = {*kept[:limit], *newest.values()}

    assert box.drain() == [item for item in items if item in expected]
    assert box.is_overflowed == (len(kept) > limit)


async def test_take_waits_for_the_next_item() -> None:
    box = mailbox()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        taking = group.create_task(box.take())
        await asyncio.sleep(0)
        box.put("A")

    assert taking.result() == ["A"]


async def test_take_gives_what_is_left_of_a_closed_box_and_then_nothing() -> None:
    box = mailbox()
    box.put("A")
    box.close()

    async with asyncio.timeout(10):
        assert await box.take() == ["A"]
        assert await box.take() == []


async def test_closing_wakes_who_waits() -> None:
    box = mailbox()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        taking = group.create_task(box.take())
        await asyncio.sleep(0)
        box.close()

    assert taking.result() == []


async def test_a_reader_of_an_overflowed_box_is_not_left_waiting() -> None:
    box = mailbox(max_items=1)
    box.put("A")
    box.put("B")

    async with asyncio.timeout(10):
        assert await box.take() == ["A"]
        assert await box.take() == []


async def test_a_reader_who_gave_up_leaves_the_box_usable() -> None:
    box = mailbox()
    async with asyncio.TaskGroup() as group:
        giving_up = group.create_task(box.take())
        await asyncio.sleep(0)
        giving_up.cancel()
    box.put("A")

    async with asyncio.timeout(10):
        assert await box.take() == ["A"]


def test_any_looks_without_taking() -> None:
    box = mailbox()
    box.put("A")

    assert box.any(lambda item: item == "A")
    assert not box.any(lambda item: item == "B")
    assert len(box) == 1

"""Taking one item at a time: what still waits stays open to replacement and to being looked at."""

from __future__ import annotations

import asyncio

from app.mailbox import Mailbox


def kind_of(item: str) -> str | None:
    """Items such as "step:3" are replaced by newer ones of their kind; others never."""
    kind, colon, _ = item.partition(":")
    return kind if colon else None


def box_of(*items: str, max_items: int = 10) -> Mailbox[str]:
    box = Mailbox(kind_of, max_items)
    for item in items:
        box.put(item)
    return box


async def test_the_oldest_comes_first_and_the_others_still_wait() -> None:
    box = box_of("start", "step:1", "end")

    first = await box.take_first()

    assert first == "start"
    assert box.any(lambda item: item == "end")
    assert box.drain() == ["step:1", "end"]


async def test_a_newer_item_replaces_one_that_waited_while_another_was_at_work() -> None:
    box = box_of("start", "step:1")
    await box.take_first()

    box.put("step:2")

    assert box.drain() == ["step:2"]


async def test_the_item_after_a_taken_one_of_its_slot_is_kept() -> None:
    box = box_of("step:1", "end")
    await box.take_first()

    box.put("step:2")
    box.put("step:3")

    assert box.drain() == ["end", "step:3"]


async def test_taken_items_make_room_for_others() -> None:
    box = box_of("a", "step:1", max_items=1)
    await box.take_first()
    await box.take_first()

    box.put("b")

    assert not box.is_overflowed
    assert await box.take_first() == "b"


async def test_nothing_comes_of_a_box_that_closed_while_somebody_waited() -> None:
    box = box_of()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(box.take_first())
        await asyncio.sleep(0)

        box.close()

    assert waiting.result() is None

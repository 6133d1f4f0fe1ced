"""How many prompts a server may have, of those somebody waits for and of those nobody does."""

from __future__ import annotations

import pytest

from app.slots import KEPT_FREE, MIN_DEPTH, Slots


def filled(slots: Slots, background: int, urgent: int = 0) -> Slots:
    for number in range(background):
        slots.take(f"b{number}", is_background=True)
    for number in range(urgent):
        slots.take(f"u{number}", is_background=False)
    return slots


@pytest.mark.parametrize(("depth", "most"), [(1, 1), (2, 1), (3, 1), (4, 2), (8, 6), (None, MIN_DEPTH - KEPT_FREE)])
def test_background_work_leaves_slots_alone(depth: int | None, most: int) -> None:
    assert Slots(depth).room(is_background=True) == most


def test_what_somebody_waits_for_may_have_all_of_them() -> None:
    assert Slots(4).room(is_background=False) == 4
    assert filled(Slots(4), background=2).room(is_background=False) == 2


def test_background_work_takes_no_slot_that_something_urgent_has() -> None:
    assert filled(Slots(4), background=1, urgent=3).room(is_background=True) == 0


def test_a_freed_slot_is_the_backgrounds_again() -> None:
    slots = filled(Slots(4), background=2)

    slots.free("b0", 1.0)

    assert slots.room(is_background=True) == 1


def test_a_slot_that_was_given_up_without_a_word_counts_as_free() -> None:
    slots = filled(Slots(4), background=2)

    slots.in_flight.discard("b1")

    assert slots.room(is_background=True) == 1

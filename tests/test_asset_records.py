"""The ids by which outputs are assets."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.asset_records import is_asset_id, output_asset_id, output_place

GENERATIONS = st.uuids(version=4).map(str)
INDICES = st.integers(0, 2**20 - 1)


@given(GENERATIONS, INDICES)
def test_an_outputs_id_is_a_uuid_that_leads_back_to_its_generation(generation_id: str, index: int) -> None:
    asset_id = output_asset_id(generation_id, index)

    place = output_place(asset_id)
    parsed = uuid.UUID(asset_id)
    assert (str(parsed), parsed.version, parsed.variant) == (asset_id, 8, uuid.RFC_4122)
    assert is_asset_id(asset_id)
    assert place is not None
    assert place.number == index
    assert place.first_id <= generation_id <= place.last_id


@given(GENERATIONS, GENERATIONS, INDICES, INDICES)
def test_no_two_outputs_have_the_same_id(one: str, other: str, index: int, further: int) -> None:
    is_same = (one[:-5], index) == (other[:-5], further)

    assert (output_asset_id(one, index) == output_asset_id(other, further)) is is_same


UPLOAD_ID = "6f1c2f0e-3b7a-4d5c-9e8f-0a1b2c3d4e5f"


@pytest.mark.parametrize("text", ["", "x", "0" * 36, str(uuid.UUID(int=0)), UPLOAD_ID.upper(), f"{UPLOAD_ID}\n"])
def test_what_is_no_id_is_no_outputs(text: str) -> None:
    assert output_place(text) is None
    assert not is_asset_id(text)


def test_an_uploads_id_is_no_outputs() -> None:
    upload_id = str(uuid.uuid4())

    assert is_asset_id(upload_id)
    assert output_place(upload_id) is None

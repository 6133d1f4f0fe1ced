"""What a caller may ask of a picture, how wrong wishes are named, and what a failed conversion tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.api.files import converted, parse_conversion
from app.conversions import Conversions
from app.errors import AppError, InvalidRequest, OutputGone, Problem, Unavailable
from app.pictures import Conversion, PictureFormat

if TYPE_CHECKING:
    from pathlib import Path

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("query", "conversion"),
    [
        ({}, None),
        ({"download": "1", "token": "x"}, None),
        ({"format": "png"}, Conversion(PictureFormat.PNG)),
        ({"format": "JPEG", "quality": "1"}, Conversion(PictureFormat.JPEG, quality=1)),
        ({"width": "8192"}, Conversion(PictureFormat.WEBP, width=8192)),
        ({"format": "webp", "quality": "100", "width": "1"}, Conversion(PictureFormat.WEBP, quality=100, width=1)),
    ],
)
def test_a_query_becomes_a_conversion(query: dict[str, str], conversion: Conversion | None) -> None:
    assert parse_conversion(query) == conversion


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ({"format": "gif"}, ["?format"]),
        ({"format": ""}, ["?format"]),
        ({"quality": "0"}, ["?quality"]),
        ({"quality": "101"}, ["?quality"]),
        ({"width": "8193"}, ["?width"]),
        ({"width": "-1"}, ["?width"]),
        ({"width": "1.5"}, ["?width"]),
        ({"width": "٣"}, ["?width"]),
        ({"width": "9" * 5000}, ["?width"]),
        ({"format": "exe", "quality": "x", "width": ""}, ["?format", "?quality", "?width"]),
    ],
)
def test_every_wrong_wish_is_named_with_its_remedy(query: dict[str, str], pointers: list[str]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_conversion(query)

    assert [problem.pointer for problem in refused.value.problems] == pointers
    assert all(problem.message.startswith("must be") for problem in refused.value.problems)


@given(st.dictionaries(st.sampled_from(["format", "quality", "width"]), st.text(max_size=8)))
def test_any_query_is_understood_or_refused(query: dict[str, str]) -> None:
    problems: tuple[Problem, ...] = ()
    conversion = None
    try:
        conversion = parse_conversion(query)
    except InvalidRequest as refused:
        problems = refused.problems

    assert {problem.pointer[1:] for problem in problems} <= set(query)
    assert (conversion is not None) == (bool(query) and not problems)


@pytest.mark.parametrize(
    ("content", "error"), [(b"not a picture", InvalidRequest), (None, OutputGone)], ids=["broken", "missing"]
)
async def test_a_failed_conversion_becomes_an_answer(
    tmp_path: Path, content: bytes | None, error: type[AppError]
) -> None:
    source = tmp_path / "source"
    if content is not None:
        source.write_bytes(content)
    conversions = Conversions(tmp_path / "cache")

    with pytest.raises(error) as told:
        await converted(conversions, source, HASH, Conversion(PictureFormat.WEBP))
    await conversions.aclose()

    assert str(tmp_path) not in told.value.detail


async def test_an_unusable_cache_becomes_a_passing_failure(tmp_path: Path) -> None:
    source, cache = tmp_path / "source", tmp_path / "cache"
    Image.new("RGB", (4, 4)).save(source, "PNG")
    cache.touch()
    conversions = Conversions(cache)

    with pytest.raises(Unavailable):
        await converted(conversions, source, HASH, Conversion(PictureFormat.WEBP))
    await conversions.aclose()

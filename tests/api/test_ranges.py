"""Range headers: the part asked for, the whole file for what is not served, and never anything outside the file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.ranges import RangeUnsatisfiable, Span, parse_range

WHOLE = Span(0, 1024, is_part=False)


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1000-", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-5000", 0, 1024),
        ("bytes=1000-99999999", 1000, 1024),
        (" BYTES=0-1023 ", 0, 1024),
    ],
)
def test_first_last_open_and_suffix_ranges_are_understood(header: str, start: int, stop: int) -> None:
    assert parse_range(header, 1024) == Span(start, stop, is_part=True)


NOT_SERVED = ["bytes=0-1,5-6", "bytes=9-3", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "0-1", "bytes=0-1-2", ""]
MALFORMED = ["bytes 0-1", "bytes=-1e3", "bytes=0x1-0x2", "bytes=１-２", "bytes=" + "9" * 5000 + "-", "bytes = 0-1"]


@pytest.mark.parametrize("header", [None, *NOT_SERVED, *MALFORMED])
def test_no_malformed_foreign_or_multiple_range_is_served(header: str | None) -> None:
    assert parse_range(header, 1024) == WHOLE


@pytest.mark.parametrize("header", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(RangeUnsatisfiable):
        parse_range(header, 1024)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-5"])
def test_an_empty_file_has_no_ranges(header: str) -> None:
    with pytest.raises(RangeUnsatisfiable):
        parse_range(header, 0)


@given(
    header=st.one_of(st.text(max_size=30), st.from_regex(r"bytes=[0-9]{0,20}-[0-9]{0,20}", fullmatch=True)),
    size=st.integers(min_value=0, max_value=2**50),
)
def test_a_span_never_leaves_the_file(header: str, size: int) -> None:
    try:
        span = parse_range(header, size)
    except RangeUnsatisfiable:
        return

    assert 0 <= span.start <= span.stop <= size
    assert span.is_part or span.length == size

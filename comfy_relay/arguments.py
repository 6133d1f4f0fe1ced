"""What callers hand over, looked at before anything is sent. Owns what is said of an argument that is wrong: TypeError
or ValueError, which name the parameter. What a template takes is the service's to know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")


def header_text(parameter: str, given: str) -> str:
    """What is sent as the value of a header. Raises TypeError, and ValueError for what none can hold."""
    if not isinstance(given, str):
        raise TypeError(f"{parameter} is text, and not {type(given).__name__}")
    if _CONTROL.search(given):
        raise ValueError(f"{parameter} has characters that no header can hold, such as a line break")
    if given != given.strip(" \t"):
        raise ValueError(f"{parameter} begins or ends with a space, which no header can hold; leave it out")
    return given


def header_fields(parameter: str, given: Mapping[str, str]) -> dict[str, str]:
    """Headers to be sent. Raises as `header_text`."""
    for name in given:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{parameter}: {name!r} is no name of a header")
    return {name: header_text(f"{parameter}[{name!r}]", value) for name, value in given.items()}

"""How ends are worded: causes recognised, paths and addresses left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comfyui.messages import ExecutionError
from app.events import Canceled, Completed, Failed
from app.progress import at_rest
from app.records import ErrorCode, Failure, Status
from app.verdicts import MAX_MESSAGE_LENGTH, end_event, failure_of, without_paths
from tests import recordings
from tests.following import PROMPT_ID, STALLED, claimed


def raised(kind: str | None, message: str | None) -> Failure:
    return failure_of(ExecutionError(PROMPT_ID, "3", "KSampler", kind, message, ('File "/srv/secret.py"',)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot open /srv/comfy/models/a.safetensors", "cannot open a.safetensors"),
        ("cannot open /a.safetensors", "cannot open a.safetensors"),
        ("in ~/ComfyUI/main.py:12", "in main.py:12"),
        ("a folder /srv/comfy/, and more", "a folder comfy, and more"),
        (r"cannot open C:\ComfyUI\models\a.safetensors", "cannot open a.safetensors"),
        (r"cannot open C:\a.safetensors", "cannot open a.safetensors"),
        (r"cannot open D:/ComfyUI/models/a.safetensors", "cannot open a.safetensors"),
        (r"cannot open C:\Program Files\Comfy UI\a.safetensors now", "cannot open a.safetensors now"),
        (r"cannot open \\nas\share\models\a.safetensors", "cannot open a.safetensors"),
        (
            r"[Errno 2] No such file: 'C:\\Users\\Jane Doe\\my model.safetensors'",
            "[Errno 2] No such file: 'my model.safetensors'",
        ),
        ("[Errno 2] No such file: '/home/jane doe/my model.ckpt'", "[Errno 2] No such file: 'my model.ckpt'"),
        ('File "/srv/comfy/nodes.py", line 3', 'File "nodes.py", line 3'),
        ("(/a/b.py, /c/d.py)", "(b.py, d.py)"),
        ("cannot reach http://10.0.0.7:8188/prompt now", "cannot reach (address) now"),
        ("cannot connect to 10.0.0.7:8188", "cannot connect to (address)"),
        ("file:///srv/comfy/a.png is gone", "(address) is gone"),
    ],
)
def test_no_path_and_no_address_of_the_server_is_told(text: str, expected: str) -> None:
    assert without_paths(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "mat1 and mat2 shapes cannot be multiplied (77x768 and 1024x320)",
        "Value not in list: ckpt_name: 'sdxl/base.safetensors' not in []",
        "expected 1/2 or 3/4 and/or more",
        "torch 2.9.1 is too old",
        "either / or",
        "step 3: nothing",
        "",
    ],
)
def test_what_is_no_path_stays_as_it_is(text: str) -> None:
    assert without_paths(text) == text


@given(
    st.lists(st.text("abcXYZ019_-", min_size=1), min_size=2, max_size=6), st.sampled_from(["/", "C:\\", "C:/", "\\\\"])
)
def test_of_any_path_only_the_last_part_is_told(parts: list[str], root: str) -> None:
    separator = "/" if root.endswith("/") else "\\"

    told = without_paths(f"failed: {root}{separator.join(parts)} (twice)")

    assert told == f"failed: {parts[-1]} (twice)"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("torch.OutOfMemoryError", "Allocation on device"),
        ("torch.cuda.OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 MiB"),
        ("MemoryError", ""),
        ("RuntimeError", "MPS backend out of memory (MPS allocated: 17.9 GB)"),
        ("torch.AcceleratorError", "CUDA error: out of memory"),
    ],
)
def test_out_of_memory_is_recognised(kind: str, message: str) -> None:
    assert raised(kind, message).code is ErrorCode.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("kind", "message"), [("ValueError", "out of memory slots"), ("RuntimeError", "shapes"), (None, None)]
)
def test_other_errors_are_not_taken_for_it(kind: str | None, message: str | None) -> None:
    assert raised(kind, message).code is ErrorCode.EXECUTION_ERROR


def test_only_the_first_line_of_a_message_is_told() -> None:
    failure = raised("RuntimeError", "\n the tensor is empty \r\nThis error means you ran out of luck.\n")

    assert failure.message == "the tensor is empty"


def test_a_failure_names_its_node_and_exception_and_nothing_of_the_traceback() -> None:
    failure = raised("ValueError", "no")

    assert failure == Failure(ErrorCode.EXECUTION_ERROR, "no", "3", "KSampler", "ValueError")


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("KeyError", "", "KeyError"),
        ("KeyError", " \n ", "KeyError"),
        (None, None, "The node failed without a message"),
    ],
)
def test_a_failure_without_a_message_still_says_something(kind: str | None, message: str | None, expected: str) -> None:
    assert raised(kind, message).message == expected


def test_a_run_that_failed_without_an_error_says_so() -> None:
    assert failure_of(None).message == "ComfyUI says the run failed and gives no reason"


@pytest.mark.parametrize("part", ["/a", "'/", "a.", "C:\\ ", "\\\\ ", "x://", "~/", "1.2."])
def test_a_text_of_many_odd_parts_is_cleaned_in_one_pass(part: str) -> None:
    assert len(without_paths(part * 100_000)) <= 1_000_000


def test_a_message_of_any_length_is_read_quickly_and_told_in_short() -> None:
    failure = raised("ValueError", "/a" * 4_000_000)

    assert len(failure.message) <= MAX_MESSAGE_LENGTH


@pytest.mark.parametrize("name", recordings.NAMES)
def test_no_recorded_failure_tells_a_path(name: str) -> None:
    errors = [told.entry.error for told in recordings.complete(name) if told.entry.error is not None]

    told = [failure_of(error).message for error in errors]

    assert not any("/comfyui" in message or "/venv" in message or "\n" in message for message in told)


@pytest.mark.parametrize(
    ("status", "kind"), [(Status.SUCCEEDED, Completed), (Status.FAILED, Failed), (Status.CANCELED, Canceled)]
)
def test_each_end_has_its_event(status: Status, kind: type) -> None:
    record = claimed(status=status, error=STALLED if status is Status.FAILED else None)

    event = end_event(at_rest(record), record)

    assert type(event) is kind
    assert event.is_terminal


def test_a_failed_record_without_a_cause_still_has_one_in_its_event() -> None:
    record = claimed(status=Status.FAILED)

    event = end_event(at_rest(record), record)

    assert isinstance(event, Failed)
    assert event.error.message == "The run failed without a reason"

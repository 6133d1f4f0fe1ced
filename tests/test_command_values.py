"""What is written on the command line and in files, as the values that are meant; what is wrong, told by its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from app.commands.asking import references
from app.commands.batch_files import BatchFile, Kind, Row, kind_of, read
from app.commands.batch_plan import Axis, Item, Plan, checked, items_of, typed
from app.commands.batch_running import Settled
from app.commands.batch_state import Kept, KeptFile
from app.commands.batch_telling import Telling
from app.commands.errors import Misuse
from app.commands.values import assigned, listed, meant
from comfy_relay import BatchResult, Status

BOMB: Final = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 10)) for level in range(1, 11)
)
"""Half a kilobyte that stands for ten billion values."""


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("30", {"type": "integer"}, 30),
        ("30", {"type": "string"}, "30"),
        ("7.50", {"type": "number"}, 7.5),
        ("1e3", {"type": "integer"}, 1000),
        ("18446744073709551615", {"type": "integer"}, 2**64 - 1),
        ("many", {"type": "integer"}, "many"),
        ("1e999999999", {"type": "integer"}, "1e999999999"),
        ("yes", {"type": "boolean"}, True),
        ("FALSE", {"type": "boolean"}, False),
        ("maybe", {"type": "boolean"}, "maybe"),
        ('{"order": 7}', {"type": "object"}, {"order": 7}),
        ("{", {"type": "object"}, "{"),
        ("30", None, 30),
        ("007 is a film", None, "007 is a film"),
        ("[1, 2]", None, [1, 2]),
        ("true", None, True),
        ("[a|b] style", None, "[a|b] style"),
        ("", None, ""),
    ],
)
def test_a_text_becomes_the_value_that_is_meant(text: str, schema: dict[str, Any] | None, value: Any) -> None:
    found = meant(text, schema)

    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4,7", [4, 7]),
        ("1..4", [1, 2, 3, 4]),
        ("4..1", [4, 3, 2, 1]),
        ("1..10:4", [1, 5, 9]),
        ("0.1..0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("1..2,9", [1, 2, 9]),
        ("euler, dpmpp_2m", ["euler", "dpmpp_2m"]),
        ('["a, b", "c"]', ["a, b", "c"]),
    ],
)
def test_lists_and_ranges_are_written_out(text: str, values: list[Any]) -> None:
    assert listed("--matrix x", text, None) == values


def test_a_text_parameter_has_no_ranges() -> None:
    assert listed("--matrix prompt", "1..3", {"type": "string"}) == ["1..3"]


@pytest.mark.parametrize("text", ["", "1..9:0", "1..1000000", "[", "[]", "1..1e9999"])
def test_a_list_that_is_none_is_told_how_to_write_it(text: str) -> None:
    with pytest.raises(Misuse, match="--matrix x"):
        listed("--matrix x", text, None)


def test_names_may_be_written_as_shells_and_spreadsheets_have_them() -> None:
    assert assigned("--set", "negative_prompt=a=b") == ("negativePrompt", "a=b")
    assert assigned("--set", "batch-size=2") == ("batchSize", "2")
    with pytest.raises(Misuse, match="--set steps: write NAME=VALUE"):
        assigned("--set", "steps")


def rows(content: str, kind: Kind) -> list[tuple[int, dict[str, Any]]]:
    return [(row.line, row.fields) for row in read(content.encode(), "file", kind).rows or ()]


def test_a_csv_gives_rows_that_know_their_lines() -> None:
    text = '\ufeffprompt;Negative_Prompt;steps\r\n\r\n"a ""red""\nhat";;4\r\n;no hat;\r\n'

    assert rows(text, Kind.CSV) == [
        (3, {"prompt": 'a "red"\nhat', "steps": "4"}),
        (5, {"negativePrompt": "no hat"}),
    ]


def test_lines_of_json_give_rows_that_know_their_lines() -> None:
    text = '{"prompt": "a", "seed": null}\n\n{"negative_prompt": "b", "steps": 4}\n'

    assert rows(text, Kind.JSONL) == [(1, {"prompt": "a"}), (3, {"negativePrompt": "b", "steps": 4})]


def test_a_yaml_list_gives_rows_that_know_their_lines() -> None:
    text = "# what to make\n- &one {prompt: a, when: 2026-11-21}\n-\n  <<: *one\n  steps: 4\n"

    assert rows(text, Kind.YAML) == [
        (2, {"prompt": "a", "when": "2026-11-21"}),
        (4, {"prompt": "a", "when": "2026-11-21", "steps": 4}),
    ]


def test_a_yaml_file_may_say_all_that_a_batch_has() -> None:
    file = read(b"base: {steps: 4}\nmatrix:\n  cfg: [4, 7]\nruns: 2\nmax_in_flight: 3\n", "b.yaml", Kind.YAML)

    assert file.rows is None
    assert file.whole == {"base": {"steps": 4}, "matrix": {"cfg": [4, 7]}, "runs": 2, "maxInFlight": 3}


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        (Kind.CSV, b"", "file: has no rows"),
        (Kind.CSV, b"prompt,steps\n", "file: has no rows"),
        (Kind.CSV, b"prompt,prompt\na,b\n", "file line 1: prompt is there twice"),
        (Kind.CSV, b"prompt,,x\na,b,c\n", "file line 1: column 2 has no name"),
        (Kind.CSV, b"prompt\na\na harbour, at dawn\n", "file line 3: has 2 cells, and there are 1 columns"),
        (Kind.CSV, b'prompt\n"a', "file line 2: is no CSV"),
        (Kind.CSV, b"prompt\n\nM\xfcnchen\n", "file line 3: is not UTF-8"),
        (Kind.JSONL, b'{}\n[]\n{"a": }\n', "file line 2: is no JSON object"),
        (Kind.JSON, b"[1, {}]", "file item 1: must be an object"),
        (Kind.JSON, b'{"items": {}}', "`items` must be a list"),
        (Kind.JSON, b'{"itmes": []}', "itmes means nothing here"),
        (Kind.JSON, b"{", "file: is no JSON"),
        (Kind.JSON, b"{}", "file: has no items"),
        (Kind.JSON, b"[" * 100_000, "file: is no JSON"),
        (Kind.YAML, b"", "file: is empty"),
        (Kind.YAML, b"- a\n- {prompt: b}\n- 3: 4\n", "file line 1: must be an object"),
        (Kind.YAML, b"- prompt: [a\n- b", "file line 3: is no YAML"),
        (Kind.YAML, b"- !!python/object:os.system {}\n", "file line 1: is no YAML"),
        (Kind.YAML, b"prompt", "file: must be a list of items"),
        (Kind.YAML, BOMB, "file: its aliases make more than 2000000 values of it"),
        (Kind.YAML, b"- &a {prompt: *a}\n", "file line 1: holds itself"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_by_its_line(kind: Kind, content: bytes, says: str) -> None:
    with pytest.raises(Misuse) as refused:
        read(content, "file", kind)

    assert says in str(refused.value)


def test_the_kind_of_a_file_is_told_by_its_name_or_given() -> None:
    assert [kind_of(name) for name in ("a.CSV", "b.ndjson", "c.yml")] == [Kind.CSV, Kind.JSONL, Kind.YAML]
    assert kind_of("standard input", "csv") is Kind.CSV
    with pytest.raises(Misuse, match="--format"):
        kind_of("standard input")
    with pytest.raises(Misuse, match="--format xls"):
        kind_of("a.csv", "xls")


def test_a_file_may_be_for_an_input_of_a_workflow(tmp_path: Path) -> None:
    file = tmp_path / "a=b.png"
    file.touch()

    found = references([f"12:3.start_image={file}", f"start-image={file}", str(file), "https://x.test/?1.image=a"])

    assert found == [
        {"source": file, "parameter": "12:3.start_image"},
        {"source": file, "parameter": "startImage"},
        file,
        "https://x.test/?1.image=a",
    ]


def plan(*fields: dict[str, Any], axes: list[Axis] | None = None, runs: int = 1, **base: Any) -> Plan:
    file = BatchFile("f.csv", tuple(Row(number, each) for number, each in enumerate(fields, 2)))
    return Plan(file, base, axes or [], runs)


def axis(name: str, *values: Any) -> Axis:
    return Axis([{name: value} for value in values], f"--matrix {name}")


def keys(of: Plan) -> list[str]:
    return [item.key for item in items_of(of)]


def test_every_row_is_made_with_every_combination_and_run() -> None:
    made = plan({"prompt": "a", "seed": 5}, {"prompt": "b", "seed": -1}, axes=[axis("cfg", 4, 7)], runs=2)

    items = list(items_of(made))

    assert made.total == len(items) == len({item.key for item in items}) == 8
    assert [item.body["seed"] for item in items] == [5, 6, 5, 6, -1, -1, -1, -1]
    assert [item.body["cfg"] for item in items[:4]] == [4, 4, 7, 7]
    assert [item.place for item in items[3:5]] == ["f.csv line 2", "f.csv line 3"]


def test_an_item_keeps_its_key_when_rows_are_added_and_ranges_made_longer() -> None:
    first = keys(plan({"prompt": "a"}, {"prompt": "b"}, axes=[axis("seed", 1, 2)]))
    more = keys(plan({"prompt": "c"}, {"prompt": "a"}, {"prompt": "b"}, axes=[axis("seed", 1, 2, 3)]))

    assert len(set(more)) == 9
    assert set(first) < set(more)


def test_a_key_of_ones_own_is_kept_over_longer_ranges_too() -> None:
    first = keys(plan({"prompt": "a", "key": "x"}, axes=[axis("seed", 1, 2)]))
    more = keys(plan({"prompt": "a", "key": "x"}, axes=[axis("seed", 0, 1, 2)]))

    assert keys(plan({"prompt": "a", "key": "x"})) == ["x"]
    assert set(first) < set(more)
    assert all(key.startswith("x#") for key in more)


def test_the_same_row_twice_is_two_items_and_what_all_have_makes_them_others() -> None:
    twice = keys(plan({"prompt": "a"}, {"prompt": "a"}))

    assert len(set(twice)) == 2
    assert not set(twice) & set(keys(plan({"prompt": "a"}, steps=4)))


def test_what_is_wrong_with_an_item_is_told_where_it_was_written() -> None:
    item = next(items_of(plan({"prompt": "a", "steps": 0}, axes=[axis("cfg", 4)])))

    assert item.words("/steps") == "f.csv line 2, steps"
    assert item.words("/params/steps") == "f.csv line 2, steps"
    assert item.words("/cfg") == "--matrix cfg"
    assert Item("k", {}, "f.csv line 2").words("") == "f.csv line 2"


def test_rows_that_contradict_each_other_or_the_axes_are_told() -> None:
    with pytest.raises(Misuse) as refused:
        checked(plan({"key": "x"}, {"key": "x", "cfg": 4}, axes=[axis("cfg", 4)]))

    assert refused.value.lines == (
        "f.csv line 3: has the key 'x' of f.csv line 2; give each its own",
        "f.csv line 3, cfg: varies by --matrix cfg; give one of them",
    )


def test_what_is_set_for_all_and_given_by_rows_or_axes_too_is_told() -> None:
    with pytest.raises(Misuse) as refused:
        checked(plan({"steps": 4}, {"prompt": "a"}, axes=[axis("cfg", 4)]), {"steps", "cfg", "sampler"})

    assert refused.value.lines == (
        "--matrix cfg: is set by --set cfg, too; give one of them",
        "f.csv line 2, steps: is set by --set steps, too; give one of them",
    )


def test_files_are_told_by_item_however_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    items = list(items_of(plan(*({"prompt": each} for each in "abcd"))))
    telling = Telling(items, Path("out"), as_json=False)

    for number in (2, 0, 3):
        item, kept = items[number], KeptFile(f"{number}.png", "", 1)
        result = BatchResult(index=number, generation_id="g", status=Status.SUCCEEDED)
        telling.take(Settled(item, result, Kept(key=item.key, generation_id="g", files=(kept,))))
    first = capsys.readouterr().out
    telling.finish()

    assert first == "out/0.png\n"
    assert capsys.readouterr().out == "out/2.png\nout/3.png\n"


def test_cells_become_values_by_the_template_of_their_row() -> None:
    cells = [
        Row(2, {"prompt": "7", "steps": "7", "priority": "5"}, True),
        Row(3, {"template": "own", "steps": "7"}, True),
    ]
    schemas = {
        "txt2img": {"prompt": {"type": "string"}, "steps": {"type": "integer"}},
        "own": {"steps": {"type": "string"}},
    }

    found = typed(cells, schemas, "txt2img")

    assert [row.fields for row in found] == [
        {"prompt": "7", "steps": 7, "priority": 5},
        {"template": "own", "steps": "7"},
    ]

"""Whatever is told, in whatever order: no message, poll or command breaks what watchers were promised."""

from __future__ import annotations

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from app.comfyui.history import Outcome
from app.comfyui.messages import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    NodeState,
    Preview,
    Progress,
    ProgressState,
    Unknown,
)
from app.comfyui.workflow import Plan, PlannedNode
from app.observations import (
    Accepted,
    CancelRequested,
    Delivered,
    Finished,
    GaveUp,
    Missing,
    Observation,
    Place,
    Polled,
    Positioned,
    Refused,
)
from app.records import Generation
from tests import recordings
from tests.following import (
    PROMPT_ID,
    STALLED,
    TEXT_TO_IMAGE,
    Followed,
    check_stream,
    claimed,
    entry,
    follow,
    output,
    unclaimed,
)
from tests.recordings import Told

prompt_ids: Final = st.sampled_from([PROMPT_ID, PROMPT_ID, PROMPT_ID, "a stranger's", ""])
nodes: Final = st.sampled_from([*TEXT_TO_IMAGE.nodes, "3.0.0.1", "9.1", "404", ""])
numbers: Final = st.one_of(st.integers(-2, 30).map(float), st.floats())
names: Final = st.none() | nodes
node_states: Final = st.builds(
    NodeState, nodes, numbers, numbers, st.sampled_from(["running", "finished", "pending", "error", "?"]), names, names
)
ui_values: Final = st.none() | st.builds(
    lambda name, folder: {"images": [{"filename": name, "type": folder}], "text": ["a"]},
    st.sampled_from(["a.png", "b.png", "c.mp4"]),
    st.sampled_from(["output", "temp", "input"]),
)
messages: Final = st.one_of(
    st.builds(ExecutionStart, prompt_ids),
    st.builds(ExecutionCached, prompt_ids, st.lists(nodes).map(tuple)),
    st.builds(Executing, st.none() | prompt_ids, names, names),
    st.builds(Progress, numbers, numbers, st.none() | prompt_ids, names),
    st.builds(ProgressState, prompt_ids, st.lists(node_states, max_size=6).map(tuple)),
    st.builds(Executed, prompt_ids, nodes, names, ui_values),
    st.builds(ExecutionSuccess, prompt_ids),
    st.builds(ExecutionError, prompt_ids, names),
    st.builds(ExecutionInterrupted, prompt_ids),
    st.builds(Preview, st.binary(max_size=4), st.just("image/jpeg"), prompt_ids, names),
    st.builds(Unknown, st.text(max_size=5), st.text(max_size=5)),
)
outputs: Final = st.lists(st.integers(0, 5).map(output), max_size=3).map(tuple)
asides: Final = st.one_of(
    st.builds(Accepted, prompt_ids, st.none() | st.just({"9": {}})),
    st.builds(Polled, st.sampled_from(Place), st.none() | st.integers(1, 9)),
    st.builds(Positioned, st.integers(1, 9)),
    st.just(Missing()),
    st.just(CancelRequested()),
    st.builds(Delivered, outputs),
)
ends: Final = st.one_of(
    st.builds(Finished, st.builds(entry, st.sampled_from(Outcome)), outputs, st.none() | st.just(STALLED)),
    st.just(GaveUp(STALLED)),
    st.just(Refused(STALLED)),
)
facts: Final = st.one_of(messages, messages, asides)
plans: Final = st.sampled_from(
    [
        TEXT_TO_IMAGE,
        Plan({}, 1),
        Plan({"9": PlannedNode("Save", "SaveImage", 0), "404": PlannedNode("x", "X", 0)}, 2),
        Plan({"3": PlannedNode("A", "KSampler", 4), "9": PlannedNode("B", "KSampler", 30)}, 0),
    ]
)
times: Final = st.floats(-10, 1_000, allow_nan=False)
RECORDED: Final = ("01c_standard_txt2img", "05_runtime_errors", "18_subgraph_expansion", "18b_async_nodes")
told: Final = st.sampled_from([one for name in RECORDED for one in recordings.complete(name)])
records: Final = st.sampled_from([claimed(), claimed(percentage=30.0), unclaimed()])


@given(plans, records, st.lists(st.tuples(facts, times)), ends)
def test_nothing_that_can_be_told_breaks_a_generation(
    plan: Plan, record: Generation, heard: list[tuple[Observation, float]], end: Observation
) -> None:
    life = follow(record, plan=plan)

    for seen, at in heard:
        life.see(seen, at=at)
    life.see(end)
    life.see(*(seen for seen, _ in heard))

    assert life.record.is_terminal
    assert sum(event.is_terminal for event in life.events) == 1
    check_stream(life.events)


@given(told, st.data())
def test_a_recorded_prompt_survives_loss_doubling_disorder_and_junk(one: Told, data: st.DataObject) -> None:
    disorder = data.draw(st.permutations(one.messages[:20]))
    heard = [*disorder, *one.messages]
    kept = data.draw(st.lists(st.sampled_from(heard), max_size=60))
    junk = data.draw(st.lists(asides, max_size=6))
    mixed = data.draw(st.permutations([*kept, *junk]))

    life = Followed(follow(claimed(prompt_id=one.prompt_id), plan=one.plan).state)
    life.see(*mixed, Finished(one.entry))

    assert life.record.is_terminal
    check_stream(life.events)


@given(told, st.data())
def test_doubled_messages_change_nothing_in_what_watchers_see(one: Told, data: st.DataObject) -> None:
    doubled = [said for said in one.messages for _ in range(data.draw(st.integers(1, 3)))]

    once = follow(claimed(prompt_id=one.prompt_id), plan=one.plan).see(*one.messages, at=1)
    twice = follow(claimed(prompt_id=one.prompt_id), plan=one.plan).see(*doubled, at=1)

    assert twice.events == once.events
    assert twice.state == once.state


@settings(max_examples=30)
@given(st.lists(st.tuples(facts, times), max_size=20))
def test_the_same_facts_always_give_the_same_state(heard: list[tuple[Observation, float]]) -> None:
    first, second = follow(claimed()), follow(claimed())

    for seen, at in heard:
        first.see(seen, at=at)
        second.see(seen, at=at)

    assert first.state == second.state
    assert first.events == second.events

"""What is learned of a run, and what is foretold of the next one of its kind."""

from __future__ import annotations

from typing import Any

import pytest

from app import timing
from app.comfyui.workflow import Plan, PlannedNode, parse, plan
from app.timing import MAX_NODES, REMEMBERED, TINY_S, Kind, NodeTimes, Profile, Times
from tests.comfyui.graphs import a_node, txt2img
from tests.following import TEXT_TO_IMAGE, claimed

KIND = Kind("k", {"3": 0.5})
EMPTY = Profile()


def a_run(step_s: float = 0.1, load_s: float = 0.0, decode_s: float = 0.3, lead_s: float = 0.0) -> Times:
    """The times of the standard graph's nodes, in the order in which they run."""
    times, now = Times(), 100.0
    times = timing.ended(timing.started(times, "4", now), ["4"], now + load_s)
    now += load_s
    times = timing.started(times, "3", now)
    now += lead_s
    for step in range(1, 21):
        now += step_s
        times = timing.stepped(times, "3", step, now)
    times = timing.ended(times, ["3"], now)
    return timing.ended(timing.started(times, "8", now), ["8"], now + decode_s)


def taught(*runs: Times, kind: Kind = KIND, reused: tuple[str, ...] = (), profile: Profile = EMPTY) -> Profile:
    for times in runs:
        profile = timing.learned(profile, kind, TEXT_TO_IMAGE, times, reused, 3.0, 0.05)
    return profile


def forecast(profile: Profile, kind: Kind = KIND, of: Plan = TEXT_TO_IMAGE) -> timing.Forecast:
    made = timing.forecast_of(profile, kind, of)
    assert made is not None
    return made


def test_one_run_foretells_the_next() -> None:
    made = forecast(taught(a_run(load_s=2.0)))

    assert made.seconds == pytest.approx({"4": 2.0, "3": 2.0, "8": 0.3})
    assert made.expected_s == pytest.approx(4.3 + 0.05)


def test_a_samplers_time_scales_with_steps_and_pixels() -> None:
    longer = Plan(dict(TEXT_TO_IMAGE.nodes) | {"3": PlannedNode("KSampler", "KSampler", 30)}, 1)

    made = forecast(taught(a_run(step_s=0.1)), Kind("k", {"3": 2.0}), longer)

    assert made.step_s == pytest.approx({"3": 0.4})
    assert made.seconds["3"] == pytest.approx(12.0)


def test_one_slow_run_among_many_changes_nothing() -> None:
    made = forecast(taught(a_run(), a_run(), a_run(step_s=5.0, decode_s=60), a_run(), a_run()))

    assert made.seconds["3"] == pytest.approx(2.0)
    assert made.seconds["8"] == pytest.approx(0.3)


def test_only_the_last_runs_count() -> None:
    profile = taught(*[a_run(step_s=1.0)] * REMEMBERED, *[a_run(step_s=0.1)] * REMEMBERED)

    assert forecast(profile).step_s == pytest.approx({"3": 0.1})
    assert {len(series) for series in (profile.nodes["3"].ran, profile.whole, profile.tail)} == {REMEMBERED}


def test_what_was_reused_last_time_is_not_expected_but_known() -> None:
    profile = taught(a_run(load_s=2.0))

    profile = taught(a_run(), reused=("4", "5"), profile=profile)

    assert forecast(profile).seconds["4"] == pytest.approx(2.0)
    assert forecast(profile).reused == {"4"}
    assert forecast(profile).expected_s == pytest.approx(2.0 + 0.3 + 0.05)


def test_a_loader_that_ran_again_is_expected_again() -> None:
    profile = taught(a_run(), reused=("4",), profile=taught(a_run(load_s=2.0)))

    profile = taught(a_run(load_s=4.0), profile=profile)

    assert forecast(profile).reused == frozenset()
    assert forecast(profile).seconds["4"] == pytest.approx(3.0)


def test_moving_a_freshly_loaded_model_to_the_card_is_no_samplers_habit() -> None:
    profile = taught(a_run(load_s=2.0, lead_s=8.0))

    assert forecast(profile).seconds["3"] == pytest.approx(2.0)


def test_what_a_warm_sampler_takes_beside_its_steps_is_learned() -> None:
    profile = taught(a_run(lead_s=0.5))

    assert forecast(profile).lead_s == pytest.approx({"3": 0.5})
    assert forecast(profile).seconds["3"] == pytest.approx(2.5)


def test_a_sampler_of_one_step_is_learned_by_its_whole_time() -> None:
    one = Plan({"3": PlannedNode("Turbo", "KSampler", 1)}, 1)
    times = timing.stepped(timing.started(Times(), "3", 10.0), "3", 1, 10.8)

    profile = timing.learned(EMPTY, KIND, one, timing.ended(times, ["3"], 10.8), (), 1.0, 0.0)

    assert forecast(profile, of=one).seconds == pytest.approx({"3": 0.8})


def test_a_count_that_starts_over_is_measured_anew() -> None:
    times = Times()
    for value, at in ((1, 0.0), (10, 90.0), (1, 100.0), (2, 101.0)):
        times = timing.stepped(times, "3", value, at)

    assert times.paces["3"].step_s == 1.0


def test_a_node_whose_beginning_was_not_heard_teaches_nothing() -> None:
    times = timing.ended(timing.stepped(Times(), "3", 19, 100.0), ["3", "8"], 100.1)

    assert times.took == {}
    assert taught(times) is EMPTY


def test_nodes_that_take_next_to_nothing_are_not_remembered() -> None:
    times = timing.ended(timing.started(Times(), "6", 0.0), ["6"], TINY_S / 2)

    assert times.took == {}


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    times = timing.stepped(timing.stepped(timing.started(Times(), "3", 100.0), "3", 1, 90.0), "3", 20, 50.0)

    profile = taught(timing.ended(times, ["3"], 10.0))

    assert forecast_or_none(profile) == {"3": 0.0}


def forecast_or_none(profile: Profile) -> dict[str, float]:
    made = timing.forecast_of(profile, KIND, TEXT_TO_IMAGE)
    return dict(made.seconds) if made is not None else {}


def test_a_run_that_sampled_nothing_is_no_example() -> None:
    times = timing.ended(timing.started(Times(), "9", 0.0), ["9"], 1.0)

    assert taught(times, reused=("3", "4", "8")) is EMPTY


def test_without_samplers_any_node_that_ran_is_one() -> None:
    upscaling = Plan({"1": PlannedNode("Upscale", "ImageUpscaleWithModel", 0)}, 1)
    times = timing.ended(timing.started(Times(), "1", 0.0), ["1"], 4.0)

    profile = timing.learned(EMPTY, Kind("k"), upscaling, times, (), 4.0, 0.0)

    assert forecast(profile, Kind("k"), upscaling).seconds == {"1": 4.0}


def test_nothing_is_foretold_where_a_samplers_speed_is_unknown() -> None:
    profile = taught(a_run())

    assert timing.forecast_of(profile, Kind("k", {"3": 1.0, "13": 1.0}), TEXT_TO_IMAGE) is None
    assert timing.forecast_of(EMPTY, Kind("k"), TEXT_TO_IMAGE) is None


def test_of_a_huge_graph_the_slowest_nodes_are_remembered() -> None:
    names = [str(number) for number in range(3 * MAX_NODES)]
    times = Times(took={name: 1.0 + int(name) for name in names})
    plan_ = Plan({name: PlannedNode(name, "Work", 0) for name in names}, 1)

    profile = timing.learned(EMPTY, Kind("k"), plan_, times, (), 1.0, 0.0)

    assert profile.nodes.keys() == set(names[-MAX_NODES:])


def test_a_profile_survives_being_stored() -> None:
    profile = taught(a_run(load_s=1.0), a_run(), reused=("4",))

    assert timing.from_json(timing.to_json(profile)) == profile


@pytest.mark.parametrize("stored", [None, [], {"nodes": 3}, {"nodes": {"3": {"ran": ["fast"]}}}])
def test_what_is_no_profile_is_an_empty_one(stored: Any) -> None:
    assert timing.from_json(stored) == EMPTY


def test_what_was_learned_before_the_stored_profile_arrived_is_added_to_it() -> None:
    earlier, later = taught(a_run(step_s=1.0, load_s=1.0)), taught(a_run(step_s=3.0))

    both = timing.together(earlier, later)

    assert both.nodes["3"].ran == pytest.approx((2.0, 6.0))
    assert both.nodes["4"] == earlier.nodes["4"]
    assert both.whole == (3.0, 3.0)


def test_more_than_can_be_remembered_forgets_the_oldest() -> None:
    nodes = {"8": NodeTimes(tuple(float(number) for number in range(REMEMBERED)))}

    both = timing.together(Profile(nodes), Profile({"8": NodeTimes((99.0,))}))

    assert both.nodes["8"].ran == (*(float(number) for number in range(1, REMEMBERED)), 99.0)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"template": "txt2img"}, "template:txt2img@builtin"),
        ({"template": "txt2img", "template_version": 3}, "template:txt2img@3"),
        ({"template": "txt2img", "params": {"model": "xl.safetensors"}}, "template:txt2img@builtin/xl.safetensors"),
        ({}, None),
    ],
)
def test_runs_of_a_template_with_one_model_are_of_one_kind(fields: dict[str, Any], key: str | None) -> None:
    assert timing.key_of(claimed(**fields)) == key


def key(raw: dict[str, Any]) -> str:
    graph = parse(raw)
    return timing.kind_of(claimed(), graph, plan(graph)).key


def test_graphs_of_one_shape_are_of_one_kind_whatever_their_values() -> None:
    sampler = a_node("KSampler", model=["4", 0], latent_image=["5", 0], steps=3, seed=7, relay_force="g")
    aside = {"77": a_node("Note", text="unplanned")}

    assert key(txt2img(sampler, batch_size=4) | aside) == key(txt2img())


@pytest.mark.parametrize(
    "changed",
    [
        {"4": a_node("CheckpointLoaderSimple", ckpt_name="other.safetensors")},
        {"8": a_node("VAEDecodeTiled", samples=["3", 0], vae=["4", 2])},
        {"8": a_node("VAEDecode", samples=["5", 0], vae=["4", 2])},
        {"10": a_node("PreviewImage", images=["8", 0])},
    ],
)
def test_another_class_link_node_or_model_makes_another_kind(changed: dict[str, Any]) -> None:
    assert key(txt2img() | changed) != key(txt2img())


def test_a_kind_knows_what_its_samplers_work_on() -> None:
    graph = parse(txt2img() | {"5": a_node("EmptyLatentImage", width=1000, height=500, batch_size=2)})

    assert timing.kind_of(claimed(), graph, plan(graph)).megapixels == {"3": 1.0}


def test_a_sampler_of_unknown_size_is_measured_by_its_steps_alone() -> None:
    graph = parse(
        txt2img()
        | {"5": a_node("VAEEncode", pixels=["9", 0]), "9": a_node("SaveImage", images=["6", 0])}
        | {"6": a_node("LoadImage", image="a.png"), "10": a_node("SaveImage", images=["8", 0])}
    )

    assert timing.kind_of(claimed(), graph, plan(graph)).megapixels == {"3": 1.0}

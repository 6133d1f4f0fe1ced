"""Latents and samplers: where the time goes, and where a picture's recipe is written.

A sampler takes `step_s` per step and reports each; nothing is drawn before a decoder asks, but for the previews.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from app.comfyui.simulator import pictures
from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.values import Conditioning, Guider, Latent, Model, Sigmas


def _empty_latent(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[Latent(given["width"], given["height"], given["batch_size"])])


def _resize_latent(_: Run, given: Inputs) -> Outputs:
    latent: Latent = given["samples"]
    return Outputs(
        values=[replace(latent, width=given["width"] or latent.width, height=given["height"] or latent.height)]
    )


def _scale_latent(_: Run, given: Inputs) -> Outputs:
    latent: Latent = given["samples"]
    size = [max(8, round(side * given["scale_by"] / 8) * 8) for side in (latent.width, latent.height)]
    return Outputs(values=[replace(latent, width=size[0], height=size[1])])


def _repeat_latent(_: Run, given: Inputs) -> Outputs:
    latent: Latent = given["samples"]
    return Outputs(values=[replace(latent, batch_size=latent.batch_size * given["amount"])])


def _mask_latent(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[replace(given["samples"], masks=given["mask"])])


def _sample(run: Run, given: Inputs) -> Outputs:
    """KSampler: noise, steps, texts and model make the recipe."""
    settings = ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise")
    recipe = {name: str(given[name]) for name in settings} | _texts(
        given["model"], given["positive"], given["negative"]
    )
    latent = replace(given["latent_image"], guides=given["positive"].guides)
    return Outputs(values=[_run_sampler(run, latent, recipe, given["steps"], given["denoise"])])


def _sample_advanced(run: Run, given: Inputs) -> Outputs:
    """KSamplerAdvanced: only a window of the steps is run."""
    settings = ("noise_seed", "steps", "cfg", "sampler_name", "scheduler", "add_noise")
    recipe = {name: str(given[name]) for name in settings} | _texts(
        given["model"], given["positive"], given["negative"]
    )
    first, last = min(given["start_at_step"], given["steps"]), min(given["end_at_step"], given["steps"])
    strength = (last - first) / given["steps"] if last > first else 0.0
    latent = replace(given["latent_image"], guides=given["positive"].guides)
    return Outputs(values=[_run_sampler(run, latent, recipe, max(0, last - first), strength)])


def _sample_custom(run: Run, given: Inputs) -> Outputs:
    """SamplerCustomAdvanced: the same from parts, as Flux workflows use it."""
    guider: Guider = given["guider"]
    sigmas: Sigmas = given["sigmas"]
    recipe = {"seed": str(given["noise"]), "sampler": given["sampler"], "sigmas": sigmas.recipe, "cfg": str(guider.cfg)}
    recipe |= _texts(guider.model, guider.positive, guider.negative)
    latent = replace(given["latent_image"], guides=guider.positive.guides)
    sampled = _run_sampler(run, latent, recipe, sigmas.steps, sigmas.denoise)
    return Outputs(values=[sampled, sampled])


def _texts(model: Model, positive: Conditioning, negative: Conditioning) -> dict[str, str]:
    return {
        "model": str(model),
        "positive": f"{positive.text}{positive.colour}",
        "negative": f"{negative.text}{negative.colour}",
    } | {"caption": positive.text}


def _run_sampler(run: Run, latent: Latent, recipe: dict[str, str], steps: int, strength: float) -> Latent:
    caption = recipe.pop("caption")
    written = pictures.description(recipe | {"before": latent.recipe})
    size = (latent.width, latent.height)
    for step in range(1, steps + 1):
        run.sleep(run.options.step_s)
        picture = partial(pictures.unfinished, f"{written}|0", size, step / steps) if run.options.previews else None
        run.progress(step, steps, picture)
    return replace(latent, recipe=written, caption=caption, strength=min(1.0, max(0.0, strength)))


def _guide(_: Run, given: Inputs) -> Outputs:
    positive = given["conditioning"] if "conditioning" in given else given["positive"]
    negative = given.get("negative", Conditioning(""))
    return Outputs(values=[Guider(given["model"], positive, negative, given.get("cfg", 1.0))])


def _schedule(_: Run, given: Inputs) -> Outputs:
    recipe = f"{given['scheduler']}|{given['steps']}|{given['denoise']}"
    return Outputs(values=[Sigmas(given["steps"], recipe, given["denoise"])])


FUNCTIONS: dict[str, NodeFunction] = {
    "EmptyLatentImage": _empty_latent,
    "EmptySD3LatentImage": _empty_latent,
    "RepeatLatentBatch": _repeat_latent,
    "LatentUpscale": _resize_latent,
    "LatentUpscaleBy": _scale_latent,
    "SetLatentNoiseMask": _mask_latent,
    "KSampler": _sample,
    "KSamplerAdvanced": _sample_advanced,
    "SamplerCustomAdvanced": _sample_custom,
    "BasicGuider": _guide,
    "CFGGuider": _guide,
    "BasicScheduler": _schedule,
    "KSamplerSelect": lambda _, given: Outputs(values=[given["sampler_name"]]),
    "RandomNoise": lambda _, given: Outputs(values=[given["noise_seed"]]),
}

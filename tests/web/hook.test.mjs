/** The React hook in a real React: what a component sees, from the first render to the last. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ComfyRelay, GenerationCanceled, ProblemError } from "comfy-relay";
import { useGeneration } from "comfy-relay/react";
import { StrictMode, createElement, useEffect } from "react";
import { create } from "react-test-renderer";
import { BRISK, NOBODY, QUICK, RELAY, SLOW, control, isStream, proxied, soon, until } from "./harness.mjs";

/** A mounted component that uses the hook. `seen` is what each render got, `now()` the newest of it. */
async function mounted(t, baseUrl, options = {}, isStrict = false) {
  const client = new ComfyRelay({ baseUrl, ...BRISK });
  const seen = [];
  let isMounted = false;
  function Component(given) {
    const generation = useGeneration({ client, ...given });
    seen.push(generation);
    useEffect(() => void (isMounted = true));
    return createElement("p", null, generation.status);
  }
  const element = (given) => {
    const component = createElement(Component, given);
    return isStrict ? createElement(StrictMode, null, component) : component;
  };
  const root = create(element(options));
  t.after(() => root.unmount());
  await until(() => isMounted, "mounted");
  const update = (given) => root.update(element(given));
  return { root, seen, update, now: () => seen.at(-1), text: () => root.toJSON()?.children?.join("") };
}

test("a component sees one generation from the request to its pictures", async (t) => {
  const completed = [];
  const { now, seen, text } = await mounted(t, RELAY, { onComplete: (record) => completed.push(record.id) });
  assert.deepEqual([now().status, now().progress, now().images, now().error], ["idle", null, [], null]);

  const accepted = await soon(now().generate(SLOW));
  await until(() => now().status === "succeeded");

  const progress = seen.map((each) => each.progress).filter((each) => each !== null);
  const shown = progress.map((each) => each.percentage);
  assert.deepEqual(
    shown,
    [...shown].sort((a, b) => a - b),
  );
  assert.ok(new Set(shown).size >= 5, `${shown}`);
  assert.ok(progress.every((each) => each.steps === null || each.steps.total === SLOW.steps));
  assert.ok(progress.some((each) => each.preview !== null));
  assert.ok(seen.every((each) => each.images.length === 0 || each.status === "succeeded"));
  assert.equal(now().record.id, accepted.id);
  assert.equal(now().images.length, 1);
  assert.equal(now().isRunning, false);
  assert.equal(text(), "succeeded");
  await until(() => completed.length > 0);
  assert.deepEqual(completed, [accepted.id]);
});

test("one after the other: nothing of the first is left when the second begins", async (t) => {
  const { now, seen } = await mounted(t, RELAY);
  const first = await soon(now().generate(QUICK));
  await until(() => now().status === "succeeded");
  const before = seen.length;

  const second = await soon(now().generate(SLOW));
  await until(() => now().status === "succeeded" && now().id === second.id);

  const later = seen.slice(before);
  assert.ok(later.every((each) => each.id !== first.id && each.record?.id !== first.id));
  assert.ok(later.some((each) => each.status === "submitting" && each.images.length === 0 && each.progress === null));
});

test("another one started meanwhile takes the place, and the first one's stream is closed", async (t) => {
  const proxy = await proxied(t);
  const { now, seen } = await mounted(t, proxy.url);
  const first = await soon(now().generate(SLOW));
  await until(() => now().progress?.percentage > 0);
  const before = seen.length;

  const second = await soon(now().generate({ ...SLOW, prompt: "another" }));
  await until(() => now().status === "succeeded");

  assert.equal(now().record.id, second.id);
  const later = seen.slice(seen.findIndex((each) => each.id === second.id));
  assert.ok(seen.slice(before).every((each) => each.status !== "problem" && each.error === null));
  assert.ok(later.every((each) => each.id === second.id));
  assert.notEqual(first.id, second.id);
  await until(() => proxy.openStreams === 0);
});

test("tracking follows what somebody else started", async (t) => {
  const other = new ComfyRelay({ baseUrl: RELAY }).generate(SLOW);
  const { id } = await soon(other.accepted);
  const { now } = await mounted(t, RELAY);

  now().startTracking(id);
  await until(() => now().status === "succeeded");

  assert.equal(now().record.id, id);
});

for (const [id, what] of [
  [undefined, "no id"],
  ["chat-42", "an id of something else"],
  [NOBODY, "an unknown id"],
]) {
  test(`tracking ${what} is a problem that is shown, and opens no stream`, async (t) => {
    const proxy = await proxied(t);
    const errors = [];
    const { now } = await mounted(t, proxy.url, { onError: (error) => errors.push(error) });

    now().startTracking(id);
    await until(() => now().status === "problem");

    assert.ok(now().error instanceof ProblemError);
    assert.equal(now().error.status, 404);
    assert.equal(now().isRunning, false);
    assert.ok(!proxy.requests.some((request) => isStream(request.url)));
    await until(() => errors.length === 1);
  });
}

test("a refused request is a problem with the wrong places", async (t) => {
  const { now } = await mounted(t, RELAY);

  await assert.rejects(now().generate({ ...QUICK, steps: 0 }), ProblemError);
  await until(() => now().status === "problem");

  assert.deepEqual(
    now().error.errors.map((each) => each.pointer),
    ["/steps"],
  );
});

test("cancel ends it, and is nothing where there is nothing", async (t) => {
  const { now } = await mounted(t, RELAY);
  assert.equal(await now().cancel(), null);
  await control("hold");
  await soon(now().generate({ ...SLOW, seed: 31 }));
  await control("held");

  const canceled = now().cancel();
  await control("release");
  await soon(canceled);
  await until(() => now().status === "canceled");

  assert.ok(now().error instanceof GenerationCanceled);
});

test("reset shows nothing any more, and lets the generation go on", async (t) => {
  const proxy = await proxied(t);
  const { now } = await mounted(t, proxy.url);
  const { id } = await soon(now().generate(SLOW));
  await until(() => now().progress !== null);

  now().reset();
  await until(() => now().status === "idle");

  assert.deepEqual([now().id, now().record, now().error], [null, null, null]);
  await until(() => proxy.openStreams === 0);
  assert.equal((await soon(new ComfyRelay({ baseUrl: RELAY }).follow(id).done)).status, "succeeded");
  assert.equal(now().status, "idle");
});

test("unmounting closes the stream", async (t) => {
  const proxy = await proxied(t);
  const { now, root, seen } = await mounted(t, proxy.url);
  await soon(now().generate(SLOW));
  await until(() => now().connection === "streaming");

  root.unmount();

  await until(() => proxy.openStreams === 0);
  const renders = seen.length;
  await until(async () => (await control("streams")) === 0);
  assert.equal(seen.length, renders);
});

for (const isStrict of [false, true]) {
  test(`an id that is given is followed, and another one after it${isStrict ? ", in strict mode" : ""}`, async (t) => {
    const proxy = await proxied(t);
    const client = new ComfyRelay({ baseUrl: RELAY });
    const [first, second] = await soon(Promise.all([client.generate(QUICK).done, client.generate(QUICK).done]));
    const { now, update } = await mounted(t, proxy.url, { id: first.id }, isStrict);
    await until(() => now().status === "succeeded");

    update({ id: second.id });
    await until(() => now().record?.id === second.id && now().status === "succeeded");
    update({ id: null });
    await until(() => now().status === "idle");

    assert.equal(proxy.openStreams, 0);
  });
}

test("what it gives to do stays the same from render to render", async (t) => {
  const { now, seen } = await mounted(t, RELAY);

  await soon(now().generate(QUICK));
  await until(() => now().status === "succeeded");

  for (const name of ["generate", "startTracking", "cancel", "reset"]) {
    assert.equal(new Set(seen.map((each) => each[name])).size, 1, name);
  }
});

/** Start, follow, cancel, look: the client on a service that works. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import * as module from "comfy-relay";
import { ComfyRelay, GenerationCanceled, GenerationFailed, ProblemError, isGenerationId } from "comfy-relay";
import {
  BRISK,
  NOBODY,
  QUICK,
  RELAY,
  SLOW,
  control,
  isStream,
  milestones,
  proxied,
  recorded,
  soon,
  types,
  until,
} from "./harness.mjs";

const client = new ComfyRelay({ baseUrl: RELAY, ...BRISK });

const BROKEN = Object.freeze({ ...QUICK, prompt: "this one fails" });

test("a generation is followed from the request to its pictures", async () => {
  const handle = client.generate(SLOW);
  const events = recorded(handle);

  assert.equal(handle.id, null);
  assert.equal(handle.state.connection, "submitting");
  const record = await soon(handle.done);

  assert.equal(record.status, "succeeded");
  assert.equal(handle.id, record.id);
  assert.deepEqual(milestones(events), ["accepted", "connected", "complete"]);
  assert.ok(types(events).filter((type) => type === "progress").length >= 10);
  assert.ok(types(events).includes("preview"));
  const picture = await fetch(record.imageUrls[0]);
  assert.equal(picture.headers.get("content-type"), "image/png");
  assert.equal((await picture.arrayBuffer()).byteLength, record.images[0].sizeBytes);
});

test("what is shown never goes back, and never says 0/0", async () => {
  const handle = client.generate(SLOW);
  const seen = [];
  handle.subscribe(() => seen.push(handle.state));

  await soon(handle.done);

  const shown = seen.map((state) => state.percentage);
  assert.deepEqual(
    shown,
    [...shown].sort((a, b) => a - b),
  );
  assert.ok(new Set(shown).size >= 10, `${shown}`);
  assert.equal(shown.at(-1), 100);
  assert.ok(seen.every((state) => state.percentage < 100 || state.isOver));
  const steps = seen.map((state) => state.steps).filter((each) => each !== null);
  assert.ok(steps.every(({ done, total }) => total === SLOW.steps && done <= total));
  assert.deepEqual(steps.at(-1), { done: SLOW.steps, total: SLOW.steps });
});

test("after the end everything is final, fresh and frozen", async () => {
  const handle = client.generate(SLOW);

  const record = await soon(handle.done);

  assert.deepEqual(record, await client.get(record.id));
  assert.equal(handle.state.record, record);
  assert.equal(handle.state.images, record.images);
  assert.equal(handle.state.connection, "closed");
  assert.equal(handle.state.preview, null);
  assert.equal(handle.state.isOver, true);
  assert.ok(Object.isFrozen(handle.state) && Object.isFrozen(record.images[0]) && Object.isFrozen(record.params));
});

test("a stream is opened once, for an id that was accepted, and closed at the end", async (t) => {
  const proxy = await proxied(t);
  const handle = new ComfyRelay({ baseUrl: proxy.url }).generate(SLOW);

  const accepted = await soon(handle.accepted);
  const before = proxy.paths();
  await soon(handle.done);

  assert.deepEqual(before, ["POST /api/generate"]);
  assert.deepEqual(proxy.paths(), ["POST /api/generate", `GET /api/generations/${accepted.id}/events`]);
  await until(() => proxy.openStreams === 0);
});

test("URLs in answers lead to the service, wherever it was reached", async (t) => {
  const proxy = await proxied(t);
  const relay = new ComfyRelay({ baseUrl: `${proxy.url}/` });
  const handle = relay.generate(SLOW);
  const previews = [];
  handle.on("preview", (event) => previews.push(event.url));

  const record = await soon(handle.done);
  const { items } = await relay.list({ limit: 1 });

  for (const url of [
    ...record.imageUrls,
    record.images[0].thumbnailUrl,
    record.urls.self,
    items[0].outputs[0].url,
    previews[0],
  ]) {
    assert.ok(url.startsWith(`${proxy.url}/api/`), url);
  }
});

test("a loop over a handle begins with where things stand and ends with the end", async () => {
  const handle = client.generate(SLOW);
  await soon(handle.accepted);
  const seen = [];

  for await (const event of handle) seen.push(event);

  assert.ok(["accepted", "connected"].includes(seen[0].type));
  assert.equal(seen.at(-1).type, "complete");
  assert.equal(seen.at(-1).generation.status, "succeeded");
  const late = [];
  for await (const event of handle) late.push(event.type);
  assert.deepEqual(late, ["complete"]);
});

test("a slow loop misses no milestone and gets the newest of the rest", async () => {
  const handle = client.generate(SLOW);
  const seen = [];

  for await (const event of handle) {
    seen.push(event.type);
    if (event.type === "accepted") await soon(handle.done);
  }

  assert.deepEqual(seen.filter((type) => type === "progress").length, 1);
  assert.equal(seen.at(-1), "complete");
});

test("a loop that is left takes no more events and leaves the following alone", async () => {
  const handle = client.generate(SLOW);

  for await (const event of handle) {
    if (event.type === "connected") break;
  }

  assert.equal((await soon(handle.done)).status, "succeeded");
});

test("two at once do not mix", async () => {
  const handles = [client.generate({ ...SLOW, prompt: "one" }), client.generate({ ...SLOW, prompt: "two" })];
  const events = handles.map(recorded);

  const records = await soon(Promise.all(handles.map((handle) => handle.done)));

  assert.deepEqual(
    records.map((record) => record.prompt),
    ["one", "two"],
  );
  for (const [index, handle] of handles.entries()) {
    const ids = new Set(events[index].filter((event) => event.generationId).map((event) => event.generationId));
    assert.deepEqual([...ids], [handle.id]);
    assert.equal(milestones(events[index]).at(-1), "complete");
  }
});

test("one that has ended is followed without a stream", async (t) => {
  const { id } = await soon(client.generate(QUICK).done);
  const proxy = await proxied(t);
  const handle = new ComfyRelay({ baseUrl: proxy.url }).follow(id);
  const events = recorded(handle);

  const record = await soon(handle.done);

  assert.equal(record.status, "succeeded");
  assert.deepEqual(milestones(events), ["accepted", "complete"]);
  assert.deepEqual(proxy.paths(), [`GET /api/generations/${id}`]);
});

test("one that ends between being looked up and being streamed ends here too", async (t) => {
  await control("hold");
  const running = client.generate({ ...SLOW, seed: 77 });
  await soon(running.accepted);
  await control("held");
  const proxy = await proxied(t, {
    request: async (request, response, pass) => {
      if (isStream(request.url)) {
        await control("release");
        await running.done;
      }
      pass();
    },
  });

  const record = await soon(new ComfyRelay({ baseUrl: proxy.url }).follow(running.id).done);

  assert.equal(record.status, "succeeded");
});

test("one that is removed between being looked up and being streamed is an error, not a wait", async (t) => {
  await control("hold");
  const running = client.generate({ ...SLOW, seed: 78 });
  await soon(running.accepted);
  await control("held");
  const proxy = await proxied(t, {
    request: async (request, response, pass) => {
      if (isStream(request.url)) {
        const removed = client.remove(running.id);
        await control("release");
        await removed;
      }
      pass();
    },
  });

  const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK }).follow(running.id);

  await assert.rejects(soon(handle.done), { name: "ProblemError", status: 404 });
  assert.equal(proxy.streams, 1);
  assert.equal(proxy.paths().length, 2);
});

test("two follow the same generation and see the same end", async () => {
  const first = client.generate(SLOW);
  await soon(first.accepted);
  const second = client.follow(first.id);

  assert.deepEqual(await soon(first.done), await soon(second.done));
});

test("an unknown id ends with a clear error, and without a stream", async (t) => {
  const proxy = await proxied(t);
  const handle = new ComfyRelay({ baseUrl: proxy.url }).follow(NOBODY);
  const events = recorded(handle);

  await assert.rejects(soon(handle.done), { name: "ProblemError", status: 404, code: "not_found" });

  await assert.rejects(handle.accepted, ProblemError);
  assert.deepEqual(proxy.paths(), [`GET /api/generations/${NOBODY}`]);
  assert.equal(handle.state.isOver, true);
  assert.equal(handle.state.error.status, 404);
  assert.ok(types(events).includes("problem"));
  await assert.rejects(async () => {
    for await (const _ of handle);
  }, ProblemError);
});

for (const id of [undefined, null, "", "undefined", "chat-42", "../templates", NOBODY.toUpperCase() + "A", 7, {}]) {
  test(`no request is made for ${JSON.stringify(id)}, which is no id`, async (t) => {
    const proxy = await proxied(t);
    const relay = new ComfyRelay({ baseUrl: proxy.url });

    await assert.rejects(soon(relay.follow(id).done), { status: 404, code: "not_found" });
    await assert.rejects(soon(relay.retry(id).done), { status: 404 });
    await assert.rejects(relay.get(id), { status: 404 });
    await assert.rejects(relay.cancel(id), { status: 404 });
    await assert.rejects(relay.remove(id), { status: 404 });

    assert.equal(isGenerationId(id), false);
    assert.deepEqual(proxy.paths(), []);
  });
}

test("a refused request names the wrong places and opens no stream", async (t) => {
  const proxy = await proxied(t);
  const handle = new ComfyRelay({ baseUrl: proxy.url }).generate({ ...QUICK, steps: 0, width: "wide" });

  const error = await soon(handle.done).catch((problem) => problem);

  assert.ok(error instanceof ProblemError);
  assert.equal(error.status, 422);
  assert.equal(error.code, "invalid_request");
  assert.deepEqual(error.errors.map((each) => each.pointer).sort(), ["/steps", "/width"]);
  assert.deepEqual(proxy.paths(), ["POST /api/generate"]);
  assert.equal(handle.id, null);
});

test("a request that is no JSON is an error of the handle, not of the call", async () => {
  const round = {};
  round.round = round;

  await assert.rejects(soon(client.generate({ metadata: round }).done), TypeError);
});

test("what the caller changes after the call is not asked for", async () => {
  const request = { ...QUICK, prompt: "before" };
  const handle = client.generate(request);
  request.prompt = "after";

  assert.equal((await soon(handle.done)).prompt, "before");
});

test("a failure rejects with the record that says why", async () => {
  await control("fail");
  const handle = client.generate(BROKEN);
  const events = recorded(handle);

  const error = await soon(handle.done).catch((failure) => failure);
  await control("mend");

  assert.ok(error instanceof GenerationFailed && !(error instanceof GenerationCanceled));
  assert.equal(error.record.status, "failed");
  assert.equal(error.code, error.record.error.code);
  assert.equal(error.message, error.record.error.message);
  assert.equal(milestones(events).at(-1), "error");
  assert.equal(handle.state.error, error);
  assert.deepEqual(error.record, await client.get(handle.id));
});

test("cancel ends this one and no other", async () => {
  await control("hold");
  const other = client.generate({ ...SLOW, seed: 4001 });
  await soon(other.accepted);
  await control("held");
  const handle = client.generate({ ...SLOW, seed: 4002 });
  const events = recorded(handle);

  await soon(handle.cancel());
  const error = await soon(handle.done).catch((canceled) => canceled);
  await control("release");

  assert.ok(error instanceof GenerationCanceled);
  assert.equal(error.code, "canceled");
  assert.equal(handle.state.status, "canceled");
  assert.equal(milestones(events).filter((type) => type === "canceled").length, 1);
  assert.equal((await soon(other.done)).status, "succeeded");
});

test("cancel of one that has ended changes nothing", async () => {
  const handle = client.generate(QUICK);
  const record = await soon(handle.done);

  assert.deepEqual(await handle.cancel(), record);
});

test("an abort ends the following, not the generation", async (t) => {
  const proxy = await proxied(t);
  const leaving = new AbortController();
  const handle = new ComfyRelay({ baseUrl: proxy.url }).generate(SLOW, { signal: leaving.signal });
  const events = recorded(handle);
  await until(() => handle.state.connection === "streaming");

  leaving.abort();

  assert.equal(handle.state.isOver, true);
  await assert.rejects(soon(handle.done), { name: "AbortError" });
  await until(() => proxy.openStreams === 0);
  const heard = events.length;
  assert.equal((await soon(client.follow(handle.id).done)).status, "succeeded");
  assert.equal(events.length, heard);
  await assert.rejects(
    async () => {
      for await (const _ of handle);
    },
    { name: "AbortError" },
  );
});

test("an abort before the answer ends the request", async (t) => {
  const proxy = await proxied(t, { request: () => {} });
  const leaving = new AbortController();
  const handle = new ComfyRelay({ baseUrl: proxy.url }).generate(QUICK, { signal: leaving.signal });
  await until(() => proxy.requests.length === 1);

  leaving.abort(new Error("changed my mind"));

  await assert.rejects(soon(handle.done), /changed my mind/);
  await assert.rejects(soon(handle.cancel()), /changed my mind/);
  assert.equal(handle.id, null);
});

test("a signal that is aborted already sends nothing", async (t) => {
  const proxy = await proxied(t);

  const handle = new ComfyRelay({ baseUrl: proxy.url }).generate(QUICK, { signal: AbortSignal.abort() });

  await assert.rejects(soon(handle.done), { name: "AbortError" });
  assert.deepEqual(proxy.paths(), []);
});

test("close lets go quietly: loops end, the stream is closed", async (t) => {
  const proxy = await proxied(t);
  const handle = new ComfyRelay({ baseUrl: proxy.url }).generate(SLOW);
  const seen = [];

  for await (const event of handle) {
    seen.push(event.type);
    if (event.type === "progress") handle.close();
  }

  assert.ok(!seen.includes("complete"));
  await assert.rejects(handle.done, { name: "AbortError" });
  await until(() => proxy.openStreams === 0);
  handle.close();
});

test("a listener that throws is reported and stops nobody", async (t) => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  t.after(() => delete globalThis.reportError);
  const handle = client.generate(QUICK);
  handle.on("complete", () => {
    throw new Error("mine");
  });
  const events = recorded(handle);

  await soon(handle.done);

  assert.deepEqual(reported, ["mine"]);
  assert.ok(types(events).includes("complete"));
});

test("a listener that was taken off hears nothing", async () => {
  const handle = client.generate(QUICK);
  const heard = [];
  const off = handle.on("complete", () => heard.push("complete"));
  const stop = handle.subscribe(() => heard.push("change"));
  off();
  stop();

  await soon(handle.done);

  assert.deepEqual(heard, []);
});

test("one idempotency key makes one generation", async () => {
  const key = `key-${process.pid}-${performance.now()}`;
  const first = client.generate(QUICK, { idempotencyKey: key });
  const record = await soon(first.done);

  const again = client.generate(QUICK, { idempotencyKey: key });

  assert.deepEqual(await soon(again.done), record);
});

test("retry runs the same request again, with what is overridden", async () => {
  const first = await soon(client.generate({ ...QUICK, seed: 11 }).done);

  const again = await soon(client.retry(first.id, { seed: 12 }).done);

  assert.notEqual(again.id, first.id);
  assert.deepEqual([again.prompt, again.seed], [first.prompt, 12]);
});

test("the list can be filtered and turned page by page", async () => {
  const projectId = `pages ${process.pid} & co`;
  const made = [];
  for (let number = 0; number < 3; number += 1)
    made.push((await soon(client.generate({ ...QUICK, projectId }).done)).id);

  const first = await client.list({ projectId, limit: 2, status: ["succeeded", "failed"], q: undefined, cursor: null });
  const second = await client.list({ projectId, limit: 2, cursor: first.nextCursor, createdAfter: new Date(0) });

  assert.deepEqual(
    [...first.items, ...second.items].map((item) => item.id),
    made.reverse(),
  );
  assert.equal(second.nextCursor, null);
  await assert.rejects(client.list({ state: "done" }), { status: 422 });
});

test("remove takes it away for good", async () => {
  const { id } = await soon(client.generate(QUICK).done);

  assert.equal(await client.remove(id), undefined);

  await assert.rejects(client.get(id), { status: 404 });
  await assert.rejects(soon(client.follow(id).done), { status: 404 });
});

test("an upload keeps name and content, and can be used", async () => {
  const { imageUrls } = await soon(client.generate(QUICK).done);
  const bytes = await (await fetch(imageUrls[0])).arrayBuffer();

  const file = await client.upload(new File([bytes], "mein Bild ä.png", { type: "image/png" }));
  const same = await client.upload(new Uint8Array(bytes));
  const used = await soon(
    client.generate({ template: "img2img", prompt: "again", steps: 1, references: [file.id] }).done,
  );

  assert.equal(file.mimeType, "image/png");
  assert.equal(file.filename, "mein Bild ä.png");
  assert.equal(file.sizeBytes, bytes.byteLength);
  assert.equal(same.id, file.id);
  assert.ok(file.url.startsWith(RELAY));
  assert.equal(used.status, "succeeded");
  await assert.rejects(client.upload(new Blob(["no picture"])), { status: 415, code: "unsupported_media_type" });
});

test("templates, models and backends come as they are", async () => {
  const { items } = await client.templates();
  const template = await client.template("txt2img");
  const models = await client.models();
  const backends = await client.backends();

  assert.deepEqual(
    items.find((item) => item.name === "txt2img"),
    template,
  );
  assert.equal(template.parametersSchema.type, "object");
  assert.ok(models.samplers.includes("euler"));
  assert.equal(backends.items[0].name, "gpu-0");
  await assert.rejects(client.template("no/such?template"), { status: 404 });
});

test("the types name what there is: exports, methods, the fields of a snapshot", async () => {
  const types = await readFile(new URL("node_modules/comfy-relay/comfy-relay.d.ts", import.meta.url), "utf8");
  const handle = client.generate(QUICK);
  await soon(handle.done);
  const block = (name) => types.match(new RegExp(`(?:interface|class) ${name}\\b[^{]*\\{\\n(.*?)\\n\\}`, "s"))[1];
  const fields = (name) => [...block(name).matchAll(/^  (?:readonly )?(\w+)[?:(<]/gm)].map((found) => found[1]);
  const members = (value) => Object.getOwnPropertyNames(Object.getPrototypeOf(value));

  const exported = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map((found) => found[1]);

  assert.deepEqual(exported.sort(), Object.keys(module).sort());
  assert.deepEqual(fields("ComfyRelay").sort(), members(client).sort());
  assert.deepEqual(new Set(fields("Generation")), new Set(members(handle).filter((name) => name !== "constructor")));
  const inherited = fields("Moment").filter((name) => !["generationId", "status"].includes(name));
  assert.deepEqual([...inherited, ...fields("Snapshot")].sort(), Object.keys(handle.state).sort());
  assert.deepEqual(fields("GenerationRecord").sort(), Object.keys(handle.state.record).sort());
  assert.deepEqual(fields("Output").sort(), Object.keys(handle.state.images[0]).sort());
});

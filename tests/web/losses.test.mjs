/** What a network, a proxy or a restart may do to the following of a generation. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ComfyRelay, ConnectionLost, ProblemError } from "comfy-relay";
import {
  BRISK,
  QUICK,
  RELAY,
  SLOW,
  control,
  isStream,
  milestones,
  proxied,
  recorded,
  serve,
  soon,
  types,
  until,
} from "./harness.mjs";

function connections(events) {
  return events.filter((event) => event.type === "connection").map((event) => event.connection);
}

function percentages(events) {
  return events.filter((event) => typeof event.percentage === "number").map((event) => event.percentage);
}

function assertRising(events) {
  const shown = percentages(events);
  assert.deepEqual(
    shown,
    [...shown].sort((a, b) => a - b),
  );
}

/** Pass streams on; the first `count` of them break as soon as the client has heard of them. */
function breaking(count, hasHeard) {
  return (answer, upstream, number) => {
    upstream.pipe(answer);
    upstream.on("error", () => {});
    if (number <= count) until(() => hasHeard(number)).then(() => answer.destroy());
  };
}

/** What a buffering proxy does: nothing comes before everything is there. */
function buffered(answer, upstream) {
  const chunks = [];
  upstream.on("data", (chunk) => chunks.push(chunk));
  upstream.on("end", () => answer.end(Buffer.concat(chunks)));
  upstream.on("error", () => {});
}

function refused(status, type = "text/html") {
  return (request, response, pass) => {
    if (!isStream(request.url)) return pass();
    request.resume();
    response.writeHead(status, { "Content-Type": type });
    response.end("<h1>no</h1>");
  };
}

test("a stream that breaks in the middle is resumed where it was", async (t) => {
  const proxy = await proxied(t, { stream: breaking(1, () => handle.state.percentage > 10) });
  const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK }).generate(SLOW);
  const events = recorded(handle);

  const record = await soon(handle.done);

  const streams = proxy.requests.filter((request) => isStream(request.url));
  assert.equal(record.status, "succeeded");
  assert.equal(streams.length, 2);
  assert.equal(proxy.mostStreams, 1);
  assert.equal(streams[0].headers["last-event-id"], undefined);
  assert.match(streams[1].headers["last-event-id"], /^[\w.-]+$/);
  assert.equal(milestones(events).filter((type) => type === "complete").length, 1);
  assert.deepEqual([...new Set(connections(events))], ["connecting", "streaming", "waiting", "closed"]);
  assertRising(events);
});

test("a connection that breaks again and again is no reason to give up", async (t) => {
  const begun = () => events.filter((event) => event.connection === "streaming").length;
  const proxy = await proxied(t, { stream: breaking(6, (number) => begun() >= number) });
  await control("hold");
  const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK }).generate(SLOW);
  const events = recorded(handle);

  await until(() => proxy.streams === 7);
  await control("release");

  assert.equal((await soon(handle.done)).status, "succeeded");
  assert.ok(!connections(events).includes("polling"));
  assertRising(events);
});

test("a restart of the service in the middle of a job is survived", async (t) => {
  await control("hold");
  const client = new ComfyRelay({ baseUrl: RELAY, ...BRISK });
  const handle = client.generate({ ...SLOW, seed: 501 });
  const events = recorded(handle);
  await until(() => handle.state.connection === "streaming");
  await control("held");

  await control("restart");
  await until(() => handle.state.connection === "streaming");
  await control("release");
  const record = await soon(handle.done);

  assert.equal(record.status, "succeeded");
  assert.deepEqual(record, await client.get(record.id));
  assert.ok(connections(events).includes("waiting"));
  assertRising(events);
});

test("a service that is away when following begins is waited for", async () => {
  const client = new ComfyRelay({ baseUrl: RELAY, ...BRISK });
  const { id } = await soon(client.generate(QUICK).done);
  await control("stop");
  const handle = client.follow(id);
  await until(() => handle.state.connection === "waiting");

  await control("start");

  assert.equal((await soon(handle.done)).status, "succeeded");
});

test("a request whose answer is lost is sent again and runs once", async (t) => {
  let isLost = false;
  const proxy = await proxied(t, {
    request: (request, response, pass) => {
      if (isLost || request.method !== "POST") return pass();
      isLost = true;
      pass(() => response.destroy());
    },
  });
  const before = await control("submits");
  const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK }).generate({ ...QUICK, seed: 901 });

  const record = await soon(handle.done);

  const posts = proxy.requests.filter((request) => request.method === "POST");
  assert.equal(record.status, "succeeded");
  assert.equal(posts.length, 2);
  assert.equal(posts[0].headers["idempotency-key"], posts[1].headers["idempotency-key"]);
  assert.equal((await control("submits")) - before, 1);
});

test("nobody there is said soon, and clearly", async (t) => {
  const url = await serve(t, (request) => request.socket.destroy());
  const handle = new ComfyRelay({ baseUrl: url, ...BRISK, giveUpAfterMs: 300 }).generate(QUICK);
  const events = recorded(handle);

  const error = await soon(handle.done).catch((lost) => lost);

  assert.ok(error instanceof ConnectionLost);
  assert.match(error.message, /out of reach/);
  assert.ok(error.cause instanceof ConnectionLost);
  assert.equal(events.at(-1).connection, "closed");
  await assert.rejects(new ComfyRelay({ baseUrl: url }).models(), ConnectionLost);
});

test("a queue that is full is said at once", async (t) => {
  const body = JSON.stringify({ status: 503, code: "queue_full", title: "Full", detail: "10000 generations wait." });
  let asked = 0;
  const url = await serve(t, (request, response) => {
    asked += 1;
    request.resume();
    response.writeHead(503, { "Content-Type": "application/problem+json", "Retry-After": "7" });
    response.end(body);
  });

  const error = await soon(new ComfyRelay({ baseUrl: url, ...BRISK }).generate(QUICK).done).catch((problem) => problem);

  assert.ok(error instanceof ProblemError);
  assert.deepEqual([error.code, error.message, error.retryAfterSeconds], ["queue_full", "10000 generations wait.", 7]);
  assert.equal(asked, 1);
});

test("a proxy that holds streams back is found out, and polling shows progress", async (t) => {
  const proxy = await proxied(t, { stream: buffered });
  const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK, firstEventMs: 150 }).generate(SLOW);
  const events = recorded(handle);

  const record = await soon(handle.done);

  assert.equal(record.status, "succeeded");
  assert.deepEqual(record, await new ComfyRelay({ baseUrl: proxy.url }).get(record.id));
  assert.ok(
    events.some((event) => event.type === "progress" && event.polled && event.percentage > 0 && event.percentage < 100),
  );
  assert.equal(milestones(events).at(-1), "complete");
  assert.ok(connections(events).includes("polling"));
  assert.equal(proxy.streams, 1);
  assert.ok(proxy.paths().some((path) => path.includes("?wait=0.1")));
  await until(() => proxy.openStreams === 0);
  assertRising(events);
});

test("where streams were held back the next generation polls at once", async (t) => {
  const proxy = await proxied(t, { stream: buffered });
  const client = new ComfyRelay({ baseUrl: proxy.url, ...BRISK, firstEventMs: 100 });
  await soon(client.generate(SLOW).done);

  await soon(client.generate(SLOW).done);

  assert.equal(proxy.streams, 1);
});

test("after a while of polling a stream is tried again", async (t) => {
  const proxy = await proxied(t, {
    stream: (answer, upstream, number) => (number === 1 ? buffered(answer, upstream) : upstream.pipe(answer)),
  });
  const client = new ComfyRelay({ baseUrl: proxy.url, ...BRISK, firstEventMs: 100, retryStreamMs: 100 });
  await control("hold");
  const handle = client.generate({ ...SLOW, seed: 601 });
  const events = recorded(handle);
  await control("held");
  await until(() => handle.state.connection === "streaming");

  await control("release");
  await soon(handle.done);

  assert.deepEqual([...new Set(connections(events))], ["connecting", "polling", "streaming", "closed"]);
  assert.equal(proxy.streams, 2);
});

for (const status of [200, 400, 403, 404, 406, 501, 502, 503]) {
  test(`a proxy that answers streams with ${status} and a page does not stop anything`, async (t) => {
    const proxy = await proxied(t, { request: refused(status) });
    const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK, retryMs: 20 }).generate(SLOW);
    const events = recorded(handle);

    assert.equal((await soon(handle.done)).status, "succeeded");

    assert.ok(proxy.streams <= 5, `${proxy.streams}`);
    assertRising(events);
  });
}

test("a stream that falls silent is given up for polling", async (t) => {
  const proxy = await proxied(t, {
    stream: (answer, upstream) => {
      upstream.once("data", (chunk) => answer.write(chunk));
      upstream.resume();
    },
  });
  const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK, silenceMs: 200 }).generate(SLOW);
  const events = recorded(handle);

  assert.equal((await soon(handle.done)).status, "succeeded");

  assert.ok(connections(events).includes("streaming"));
  assert.ok(connections(events).includes("polling"));
  await until(() => proxy.openStreams === 0);
});

test("polling outlives a restart too", async (t) => {
  const proxy = await proxied(t, { stream: buffered });
  await control("hold");
  const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK, firstEventMs: 100 }).generate({ ...SLOW, seed: 701 });
  await control("held");
  await until(() => handle.state.connection === "polling");

  await control("restart");
  await control("release");

  assert.equal((await soon(handle.done)).status, "succeeded");
});

test("a generation that is removed while it is polled ends with an error", async (t) => {
  const proxy = await proxied(t, { request: refused(403) });
  await control("hold");
  const handle = new ComfyRelay({ baseUrl: proxy.url, ...BRISK }).generate({ ...SLOW, seed: 801 });
  await control("held");
  await until(() => handle.state.connection === "polling");

  const removed = new ComfyRelay({ baseUrl: RELAY }).remove(handle.id);
  await control("release");
  await soon(removed);

  await assert.rejects(soon(handle.done), (error) => error.status === 404 || error.code === "canceled");
});

test("more generations than streams: each is followed, none takes more than its place", async (t) => {
  const proxy = await proxied(t);
  const client = new ComfyRelay({ baseUrl: proxy.url, ...BRISK, maxStreams: 2 });
  const handles = Array.from({ length: 5 }, (_, number) => client.generate({ ...SLOW, steps: 6, seed: 1000 + number }));
  const events = handles.map(recorded);

  const records = await soon(Promise.all(handles.map((handle) => handle.done)));

  assert.deepEqual(
    records.map((record) => record.seed),
    [1000, 1001, 1002, 1003, 1004],
  );
  assert.equal(proxy.mostStreams, 2);
  assert.ok(proxy.paths().every((path) => !path.includes("wait=")));
  for (const each of events) {
    assert.equal(milestones(each).at(-1), "complete");
    assertRising(each);
  }
});

test("closing gives the place of a stream to another", async (t) => {
  const proxy = await proxied(t);
  const client = new ComfyRelay({ baseUrl: proxy.url, ...BRISK, maxStreams: 1 });
  await control("hold");
  const first = client.generate({ ...SLOW, seed: 1101 });
  await until(() => first.state.connection === "streaming");
  const second = client.generate({ ...SLOW, seed: 1102 });
  await until(() => second.state.connection === "polling");

  first.close();

  await until(() => second.state.connection === "streaming");
  await control("release");
  assert.equal((await soon(second.done)).status, "succeeded");
});

/** Stands in for a page: what browsers tell `window` and `document`. */
function page(t) {
  const window = new EventTarget();
  globalThis.document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  globalThis.addEventListener = (...given) => window.addEventListener(...given);
  globalThis.removeEventListener = (...given) => window.removeEventListener(...given);
  t.after(() => ["document", "addEventListener", "removeEventListener"].forEach((name) => delete globalThis[name]));
  return window;
}

for (const [where, type] of [
  ["window", "online"],
  ["window", "pageshow"],
  ["document", "visibilitychange"],
]) {
  test(`${type} ends the pause before the next try`, async (t) => {
    const window = page(t);
    const proxy = await proxied(t, { stream: breaking(1, () => handle.state.connection === "streaming") });
    const handle = new ComfyRelay({ baseUrl: proxy.url, retryMs: 60_000, maxRetryMs: 60_000 }).generate(SLOW);
    await until(() => handle.state.connection === "waiting");

    globalThis.document.visibilityState = "hidden";
    globalThis.document.dispatchEvent(new Event("visibilitychange"));
    const isWaiting = handle.state.connection === "waiting";
    globalThis.document.visibilityState = "visible";
    (where === "window" ? window : globalThis.document).dispatchEvent(new Event(type));

    assert.ok(isWaiting);
    assert.equal((await soon(handle.done)).status, "succeeded");
    assert.equal(proxy.streams, 2);
  });
}

test("in a page three streams are the most at once", async (t) => {
  page(t);
  const proxy = await proxied(t);
  const client = new ComfyRelay({ baseUrl: proxy.url, ...BRISK });

  await soon(Promise.all(Array.from({ length: 5 }, (_, seed) => client.generate({ ...SLOW, steps: 6, seed }).done)));

  assert.equal(proxy.mostStreams, 3);
});

test("when all have ended no stream is open and nothing is listened for", async () => {
  await until(async () => (await control("streams")) === 0);

  assert.equal(globalThis.addEventListener, undefined);
});

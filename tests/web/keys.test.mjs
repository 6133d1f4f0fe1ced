/** A service that wants a key. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ComfyRelay, ProblemError } from "comfy-relay";
import { BRISK, QUICK, RELAY, SLOW, isStream, proxied, soon } from "./harness.mjs";

const [KEY, OTHER_KEY] = JSON.parse(process.env.RELAY_KEYS);

for (const key of [KEY, OTHER_KEY]) {
  test(`the key ${key} goes into a header of every request, and never into a URL`, async (t) => {
    const proxy = await proxied(t);
    const client = new ComfyRelay({ baseUrl: proxy.url, apiKey: key });

    const record = await soon(client.generate(SLOW).done);
    await client.list();

    assert.equal(record.status, "succeeded");
    assert.ok(proxy.requests.some((request) => isStream(request.url)));
    for (const { url, headers } of proxy.requests) {
      assert.equal(Buffer.from(headers["x-api-key"], "latin1").toString(), key);
      assert.ok(!url.includes("key") && !url.includes("token"), url);
    }
    assert.equal((await fetch(record.imageUrls[0])).status, 200);
  });
}

test("without a key, or with a wrong one, the handle ends with 401", async (t) => {
  const proxy = await proxied(t);
  for (const apiKey of [undefined, null, "wrong"]) {
    const handle = new ComfyRelay({ baseUrl: proxy.url, apiKey }).generate(QUICK);

    await assert.rejects(soon(handle.done), { name: "ProblemError", status: 401, code: "unauthorized" });
  }
  assert.ok(!proxy.requests.some((request) => isStream(request.url)));
});

test("one question for a key serves every request that was refused", async () => {
  const asked = [];
  const client = new ComfyRelay({
    baseUrl: RELAY,
    timeoutMs: 2000,
    onUnauthorized: async (problem) => {
      asked.push(problem);
      await new Promise((resolve) => setTimeout(resolve, 50));
      return asked.length === 1 ? "a slip of the pen" : KEY;
    },
  });

  const [record, models, page] = await soon(Promise.all([client.generate(QUICK).done, client.models(), client.list()]));

  assert.equal(asked.length, 2);
  assert.ok(asked[0] instanceof ProblemError);
  assert.equal(record.status, "succeeded");
  assert.ok(models.samplers.length > 0 && page.items.length > 0);
  assert.equal(client.apiKey, KEY);
});

test("who has no key to give gets the refusal", async () => {
  const client = new ComfyRelay({ baseUrl: RELAY, onUnauthorized: () => null });

  await assert.rejects(client.models(), { status: 401 });
});

test("a key set later is used from then on", async () => {
  const client = new ComfyRelay({ baseUrl: RELAY });
  await assert.rejects(client.models(), { status: 401 });

  client.apiKey = KEY;

  assert.ok((await client.models()).samplers.length > 0);
});

test("headers of the application's own are sent, streams included", async (t) => {
  const proxy = await proxied(t);
  const client = new ComfyRelay({
    baseUrl: proxy.url,
    ...BRISK,
    headers: { Authorization: `Bearer ${KEY}`, "X-Mine": "1" },
  });

  await soon(client.generate(SLOW).done);

  assert.ok(proxy.requests.length >= 2);
  assert.ok(proxy.requests.every((request) => request.headers["x-mine"] === "1"));
});

test("a fetch of the application's own does all the work", async () => {
  const asked = [];
  const own = (url, options) => {
    asked.push(url);
    return fetch(url, { ...options, headers: { ...Object.fromEntries(options.headers), "X-API-Key": KEY } });
  };

  await soon(new ComfyRelay({ baseUrl: RELAY, fetch: own }).generate(SLOW).done);

  assert.equal(asked.length, 2);
});

/** A stream as no service of ours sends it: cut anywhere, written in other ways, of another generation, going back. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ComfyRelay } from "comfy-relay";
import { BRISK, isStream, recorded, serve, soon, types, until } from "./harness.mjs";

const MINE = "11111111-1111-4111-8111-111111111111";

const OTHER = "22222222-2222-4222-8222-222222222222";

const RECORD = Object.freeze({
  id: MINE,
  comfyuiPromptId: OTHER,
  status: "running",
  step: 0,
  totalSteps: 0,
  percentage: 0,
  queuePosition: null,
  etaSeconds: null,
  message: "Wörking – ✨",
  attempt: 1,
  images: [],
  imageUrls: [],
  outputs: [],
  error: null,
  urls: {},
});

const FINAL = Object.freeze({ ...RECORD, status: "succeeded", step: 4, totalSteps: 4, percentage: 100 });

function moment(type, given = {}) {
  const { status, step, totalSteps, percentage, queuePosition, etaSeconds, message, attempt } = { ...RECORD, ...given };
  const state = { status, step, totalSteps, percentage, queuePosition, etaSeconds, message, attempt };
  return { type, generationId: MINE, comfyuiPromptId: OTHER, ...state, ...given };
}

const END = Object.freeze({ ...moment("complete", FINAL), type: "complete", generation: FINAL });

/** One event as bytes. */
function frame(event, id = "1-0") {
  return `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** A service that has one generation, which runs, and tells its stream in these pieces; the connection then closes. */
async function telling(t, ...streams) {
  const asked = [];
  const url = await serve(t, async (request, response) => {
    if (!isStream(request.url)) {
      response.writeHead(200, { "Content-Type": "application/json" });
      return response.end(JSON.stringify(RECORD));
    }
    asked.push(request.headers["last-event-id"]);
    const pieces = streams[Math.min(asked.length, streams.length) - 1];
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
    for (const piece of pieces) {
      response.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  });
  const handle = new ComfyRelay({ baseUrl: url, ...BRISK }).follow(MINE);
  return { handle, events: recorded(handle), asked };
}

const WHOLE = `retry: 10\n: a comment\n\n${frame(moment("connected"))}${frame(moment("progress", { percentage: 40 }), "2-0")}${frame(END, "end")}`;

for (const [name, text] of [
  ["as the service writes it", WHOLE],
  ["with the line ends of Windows", WHOLE.replaceAll("\n", "\r\n")],
  ["with carriage returns alone", `${WHOLE.replaceAll("\n", "\r")}:\n`],
  ["after a byte order mark", `\ufeff${WHOLE}`],
  ["without a space after the colon", WHOLE.replaceAll(": ", ":")],
  ["with fields nobody knows", `hello\nevent: message\nfoo: bar\n${WHOLE}`],
  [
    "in several lines of data that end as in Windows",
    WHOLE.replaceAll(',"step"', ',\ndata: "step"').replaceAll("\n", "\r\n"),
  ],
  ["in several lines of data", WHOLE.replaceAll(',"step"', ',\ndata: "step"')],
]) {
  for (const size of [1, 2, 7, 100_000]) {
    test(`a stream ${name}, in pieces of ${size} bytes`, async (t) => {
      const bytes = Buffer.from(text);
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) =>
        bytes.subarray(n * size, (n + 1) * size),
      );
      const { handle, events } = await telling(t, pieces);

      const record = await soon(handle.done);

      assert.deepEqual(record, { ...FINAL, urls: {} });
      assert.deepEqual(
        types(events).filter((type) => type !== "connection"),
        ["accepted", "connected", "progress", "complete"],
      );
      assert.equal(handle.state.message, RECORD.message);
    });
  }
}

test("half an event at the end of a connection is none, and is asked for again", async (t) => {
  const half = frame(END, "end").slice(0, -20);
  const { handle, events, asked } = await telling(t, [frame(moment("connected"), "7-1"), half], [frame(END, "end")]);

  await soon(handle.done);

  assert.deepEqual(asked, [undefined, "7-1"]);
  assert.equal(types(events).filter((type) => type === "complete").length, 1);
});

test("events of another generation change nothing and reach nobody", async (t) => {
  const foreign = { ...END, generationId: OTHER, generation: { ...FINAL, id: OTHER } };
  const strange = moment("progress", { generationId: OTHER, percentage: 99 });
  const { handle, events } = await telling(t, [frame(moment("connected")), frame(strange), frame(foreign), frame(END)]);

  const record = await soon(handle.done);

  assert.equal(record.id, MINE);
  assert.ok(events.every((event) => event.percentage !== 99 && event.generationId !== OTHER));
});

test("a percentage that goes back is not shown going back", async (t) => {
  const told = [10, 60, 30, 0, 61].map((percentage) =>
    frame(moment("progress", { percentage, step: 9, totalSteps: 4 })),
  );
  const { handle, events } = await telling(t, [...told, frame(END)]);

  await soon(handle.done);

  const progress = events.filter((event) => event.type === "progress");
  assert.deepEqual(
    progress.map((event) => event.percentage),
    [10, 60, 60, 60, 61],
  );
  assert.ok(progress.every((event) => event.step === 4));
});

test("what comes after the end is not heard", async (t) => {
  const late = frame(moment("progress", { percentage: 50 }));
  const { handle, events } = await telling(t, [frame(moment("connected")) + frame(END) + late + frame(END)]);

  await soon(handle.done);

  assert.deepEqual(
    types(events).filter((type) => type !== "connection"),
    ["accepted", "connected", "complete"],
  );
  assert.equal(handle.state.percentage, 100);
});

test("while the steps are not known there are none to show", async (t) => {
  const steps = moment("progress", { step: 1, totalSteps: 4, percentage: 20 });
  const { handle } = await telling(t, [frame(moment("connected")), frame(steps), frame(END)]);
  const seen = [];
  handle.subscribe(() => seen.push(handle.state.steps));

  await soon(handle.done);

  assert.equal(seen[0], null);
  assert.ok(seen.every((each) => each === null || each.total === 4));
});

test("what nobody can make sense of breaks nothing", async (t) => {
  const novelty = { type: "novelty", generationId: MINE };
  const { handle } = await telling(t, [frame(moment("connected")), frame(null), frame(7), frame(novelty), frame(END)]);

  assert.equal((await soon(handle.done)).status, "succeeded");
});

test("a stream that cannot be read is polled around", async (t) => {
  const { handle, events } = await telling(t, ["data: {no json\n\n"]);
  const polling = new Promise((resolve) => {
    handle.on("connection", (event) => event.connection === "polling" && resolve(event.cause));
  });

  assert.match((await soon(polling)).message, /could not be read/);

  handle.close();
  assert.ok(!types(events).includes("complete"));
});

test("a stream that is left open after the end is closed from here", async (t) => {
  let isClosed = false;
  const url = await serve(t, (request, response) => {
    const type = isStream(request.url) ? "text/event-stream" : "application/json";
    response.writeHead(200, { "Content-Type": type });
    if (!isStream(request.url)) return response.end(JSON.stringify(RECORD));
    response.on("close", () => (isClosed = true));
    return response.write(frame(moment("connected")) + frame(END));
  });

  await soon(new ComfyRelay({ baseUrl: url }).follow(MINE).done);

  await until(() => isClosed, "the stream is closed");
});

/** What the tests of the JavaScript client share: the service that Python started, and a network that can fail. */

import http from "node:http";

export const RELAY = process.env.RELAY_URL ?? "";

export const SLOW = Object.freeze({ prompt: "a lighthouse", steps: 12, width: 64, height: 64 });

export const QUICK = Object.freeze({ prompt: "a lighthouse", steps: 1, width: 64, height: 64 });

export const NOBODY = "00000000-0000-4000-8000-000000000000";

/** Short times, so that no test waits for what people would hardly notice. */
export const BRISK = Object.freeze({ retryMs: 50, maxRetryMs: 400, pollIntervalMs: 100 });

const WITHIN_MS = 15_000;

/** Ask the Python side for something: `restart`, `hold`, `release`, `streams`, ... */
export async function control(command) {
  const response = await fetch(`${process.env.RELAY_CONTROL}/${command}`, { method: "POST" });
  if (!response.ok) throw new Error(`${command}: ${await response.text()}`);
  return response.json();
}

/** Return once the condition holds. */
export async function until(holds, what = String(holds)) {
  const limit = performance.now() + WITHIN_MS;
  while (!(await holds())) {
    if (performance.now() > limit) throw new Error(`did not come true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The promise, or an error if it takes too long. */
export function soon(promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("hangs")), WITHIN_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Every event of a handle, from now on. */
export function recorded(handle) {
  const events = [];
  handle.on("*", (event) => events.push(event));
  return events;
}

export function types(events) {
  return events.map((event) => event.type);
}

/** Everything but what may be skipped, be repeated or come late. */
export function milestones(events) {
  return types(events).filter((type) => !["progress", "preview", "output", "status", "connection"].includes(type));
}

export function isStream(path) {
  return /\/events(\?|$)/.test(path);
}

/** A server on loopback that ends with the test. */
export async function serve(test, onRequest) {
  const server = http.createServer(onRequest);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

/**
 * A proxy in front of the service. `stream(answer, upstream, number)` replaces how the nth event stream is passed on;
 * `request(request, response, pass)` how any request is. Remembers all requests, and counts the streams that are open.
 */
export async function proxied(test, { stream, request: meddle } = {}) {
  const proxy = { url: "", requests: [], openStreams: 0, mostStreams: 0, streams: 0 };
  proxy.paths = () => proxy.requests.map(({ method, url }) => `${method} ${url}`);

  function pass(request, response, onAnswer) {
    const target = new URL(request.url, RELAY);
    const upstream = http.request(
      target,
      { method: request.method, headers: request.headers, agent: false },
      (answer) => {
        if (onAnswer) return onAnswer(answer);
        response.writeHead(answer.statusCode, answer.headers);
        const isEventStream = (answer.headers["content-type"] ?? "").startsWith("text/event-stream");
        if (isEventStream && stream) return stream(response, answer, proxy.streams);
        answer.on("error", () => response.destroy());
        answer.pipe(response);
      },
    );
    upstream.on("error", () => response.destroy());
    response.on("close", () => upstream.destroy());
    request.pipe(upstream);
  }

  proxy.url = await serve(test, (request, response) => {
    proxy.requests.push({ method: request.method, url: request.url, headers: request.headers });
    if (isStream(request.url)) {
      proxy.streams += 1;
      proxy.openStreams += 1;
      proxy.mostStreams = Math.max(proxy.mostStreams, proxy.openStreams);
      response.on("close", () => (proxy.openStreams -= 1));
    }
    if (meddle) meddle(request, response, (onAnswer) => pass(request, response, onAnswer));
    else pass(request, response);
  });
  return proxy;
}

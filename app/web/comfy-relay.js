/**
 * Client of the comfy-relay service for browsers and Node 20 or newer: one module, no dependencies.
 *
 * Owns how a generation is started and followed to its end: one stream per handle, opened only for an id the service
 * has confirmed, read with `fetch` (an API key goes into a header, which `EventSource` cannot send), resumed after a
 * loss, replaced by polling where streams do not get through, and closed at the end. Never draws anything, keeps
 * nothing between visits, and never cancels a generation unless told to. `comfy-relay.d.ts` describes every name.
 */

const ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const ENDS = Object.freeze({ succeeded: "complete", failed: "error", canceled: "canceled" });

const NEVER_AGAIN = new Set(["queue_full", "no_backend"]);

/** A person waits for the answer to a submit; somebody who follows may have left the room. */
const SUBMIT_FOR_MS = 15_000;

const SUBMIT_RETRY_MS = 500;

/** Failed streams in a row, while the service answers other requests, that count as "streams do not get through". */
const MAX_FAILED_STREAMS = 4;

/** The service writes at least every 15 s; a page that comes back does not wait longer to find a stream dead. */
const STALE_MS = 20_000;

/** No event is as long; something that sends no line's end must not fill the memory. */
const MAX_LINE = 64 * 1024 * 1024;

const DEFAULTS = Object.freeze({
  baseUrl: "",
  pollIntervalMs: 1000,
  firstEventMs: 3000,
  silenceMs: 40_000,
  retryStreamMs: 30_000,
  retryMs: null,
  maxRetryMs: 15_000,
  giveUpAfterMs: 15 * 60_000,
  timeoutMs: 30_000,
});

const SERVICE_RETRY_MS = 2000;

/** @param {unknown} value */
export function isGenerationId(value) {
  return typeof value === "string" && ID.test(value);
}

export class RelayError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

export class ProblemError extends RelayError {
  constructor(problem, retryAfterSeconds = null) {
    super(problem.detail || problem.title || `The service answered ${problem.status}.`);
    this.status = problem.status;
    this.code = problem.code ?? `http_${problem.status}`;
    this.title = problem.title ?? "";
    this.detail = this.message;
    this.errors = Object.freeze([...(problem.errors ?? [])]);
    this.nodeErrors = problem.nodeErrors ?? null;
    this.generationId = problem.generationId ?? null;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export class GenerationFailed extends RelayError {
  constructor(record) {
    super(record.error?.message || record.message || "The generation failed.");
    this.record = record;
    this.code = record.error?.code ?? record.status;
  }
}

export class GenerationCanceled extends GenerationFailed {}

export class ConnectionLost extends RelayError {}

/** Streams do not get through here, though other requests may. */
class StreamBlocked extends RelayError {}

/** The lines of an event stream, put together into events. Bytes may be cut anywhere. */
class EventParser {
  #decoder = new TextDecoder();
  #rest = "";
  #data = [];
  #id = null;
  /** @type {number | null} */ retryMs = null;

  /** Data and id of every event these bytes complete. The id of one that is cut off is not told. */
  *read(bytes) {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true });
    // A carriage return at the very end may be the first half of a line's end.
    const lines = text.split(/\r\n|\r(?!$)|\n/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > MAX_LINE) throw new StreamBlocked("The event stream has a line without an end.");
    for (const line of lines) {
      if (line !== "") this.#field(line);
      else if (this.#data.length > 0) yield { text: this.#data.splice(0).join("\n"), id: this.#id };
    }
  }

  #field(line) {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^\d{1,9}$/.test(value)) this.retryMs = Number(value);
  }
}

/** How long to wait before the next try: doubling, with jitter, and not for ever. */
class Patience {
  #failures = 0;
  #waitedMs = 0;

  constructor(firstMs, maxMs, giveUpAfterMs) {
    this.firstMs = firstMs;
    this.maxMs = maxMs;
    this.giveUpAfterMs = giveUpAfterMs;
  }

  /** Throws ConnectionLost when it has run out. */
  next(cause) {
    if (this.#waitedMs >= this.giveUpAfterMs) {
      throw new ConnectionLost(`The service is out of reach: ${cause.message} Try again later.`, { cause });
    }
    const longest = Math.min(this.maxMs, this.firstMs * 2 ** Math.min(this.#failures++, 20));
    const asked = Math.min(this.maxMs, (cause.retryAfterSeconds ?? 0) * 1000);
    // Half of it is chance, so that a service that restarts does not meet all its callers in one moment.
    const pauseMs = Math.max(asked, longest / 2 + (Math.random() * longest) / 2);
    this.#waitedMs += pauseMs;
    return pauseMs;
  }

  reset() {
    this.#failures = 0;
    this.#waitedMs = 0;
  }
}

/** Tells when the page is looked at again or the network is back: whoever waits need wait no longer. */
const awakening = {
  callbacks: new Set(),
  wake: () => {
    if (globalThis.document?.visibilityState === "hidden") return;
    for (const callback of [...awakening.callbacks]) callback();
  },
  listen(change) {
    for (const type of ["online", "pageshow"]) globalThis[change]?.(type, awakening.wake);
    for (const type of ["visibilitychange", "resume"]) globalThis.document?.[change]?.(type, awakening.wake);
  },
  add(callback) {
    if (this.callbacks.size === 0) this.listen("addEventListener");
    this.callbacks.add(callback);
  },
  remove(callback) {
    if (this.callbacks.delete(callback) && this.callbacks.size === 0) this.listen("removeEventListener");
  },
};

/** How many streams are open, and whether streams get through at all. Shared by the handles of a client. */
class Streams {
  #open = 0;
  #blockedUntil = 0;
  #blockedMs;

  constructor(max, retryMs) {
    this.max = max;
    this.retryMs = this.#blockedMs = retryMs;
  }

  /** What gives the place back, or null if there is none. */
  take() {
    if (this.#open >= this.max) return null;
    this.#open += 1;
    return () => (this.#open -= 1);
  }

  get blockedForMs() {
    return Math.max(0, this.#blockedUntil - performance.now());
  }

  block() {
    if (this.blockedForMs > 0) return;
    this.#blockedUntil = performance.now() + this.#blockedMs;
    this.#blockedMs *= 2;
  }

  unblock() {
    this.#blockedUntil = 0;
    this.#blockedMs = this.retryMs;
  }
}

/** Requests to the service: where it is, the key, time limits, and its answers as values or errors. */
class Http {
  #options;
  #fetch;
  #asking = null;

  constructor(options) {
    this.#options = options;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.baseUrl = String(options.baseUrl).replace(/\/+$/, "");
    this.apiKey = options.apiKey ?? null;
  }

  /** The JSON of the answer, frozen; null for 204. Throws ProblemError, ConnectionLost or the signal's reason. */
  json(method, path, request = {}) {
    return this.#withKey(() => this.#answer(method, path, request));
  }

  /** The response to a request that was not refused. No time limit but the signal's. */
  send(method, path, request = {}) {
    return this.#withKey(() => this.#response(method, path, request));
  }

  /** A decoded event with its URLs in place, frozen. */
  event(text) {
    return this.#placed(JSON.parse(text));
  }

  async #answer(method, path, request) {
    const limit = request.timeoutMs ?? this.#options.timeoutMs;
    const late = () => new ConnectionLost(`The service gave no answer within ${Math.round(limit / 1000)} s.`);
    const timer = deadline(request.signal, limit, late);
    try {
      const response = await this.#response(method, path, { ...request, signal: timer.signal });
      return response.status === 204 ? null : this.#placed(await response.json());
    } catch (error) {
      throw lost(error, timer.signal, "The service could not be understood.");
    } finally {
      timer.clear();
    }
  }

  async #response(method, path, request) {
    const response = await this.#request(method, path, request);
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async #request(method, path, { query = "", body, headers, signal }) {
    const sent = new Headers({ Accept: "application/json", ...this.#options.headers, ...headers });
    if (this.apiKey) sent.set("X-API-Key", latin1(this.apiKey));
    const url = this.baseUrl + path + (query === "" ? "" : `?${query}`);
    try {
      // A browser that answers from its cache would show yesterday's state of a generation.
      return await this.#fetch(url, { method, body, headers: sent, signal, cache: "no-store" });
    } catch (error) {
      throw lost(error, signal, "The service could not be reached.");
    }
  }

  /** Ask, and ask again with another key when there is one. A person who looks for it is under no time limit. */
  async #withKey(ask) {
    for (;;) {
      const sentKey = this.apiKey;
      try {
        return await ask();
      } catch (error) {
        if (error.status !== 401 || !(await this.#hasOtherKey(sentKey, error))) throw error;
      }
    }
  }

  /** One question for a key, however many requests were refused with the one they sent. */
  async #hasOtherKey(sentKey, problem) {
    if (this.apiKey !== sentKey) return true;
    if (this.#options.onUnauthorized === undefined) return false;
    this.#asking ??= Promise.resolve(this.#options.onUnauthorized(problem)).finally(() => (this.#asking = null));
    const key = await this.#asking;
    if (key) this.apiKey = key;
    return Boolean(key);
  }

  /** URLs in answers are paths on the service; seen from another place they need its address in front. */
  #placed(value) {
    return deepFreeze(this.baseUrl === "" ? value : moved(value, this.baseUrl));
  }
}

const URL_FIELDS = new Set(["url", "thumbnailUrl", "imageUrls", "self", "events", "cancel"]);
const URL_HOLDERS = new Set(["items", "images", "outputs", "output", "urls", "generation"]);

function moved(value, baseUrl) {
  if (Array.isArray(value)) return value.map((each) => moved(each, baseUrl));
  if (value === null || typeof value !== "object") return value;
  const copy = { ...value };
  for (const [name, part] of Object.entries(copy)) {
    if (URL_HOLDERS.has(name)) copy[name] = moved(part, baseUrl);
    else if (URL_FIELDS.has(name)) copy[name] = Array.isArray(part) ? part.map(absolute) : absolute(part);
  }
  return copy;

  function absolute(url) {
    return typeof url === "string" && url.startsWith("/") ? baseUrl + url : url;
  }
}

function deepFreeze(value) {
  if (value !== null && typeof value === "object" && !Object.isFrozen(value)) {
    Object.values(value).forEach(deepFreeze);
    Object.freeze(value);
  }
  return value;
}

/** Header values are bytes to `fetch`, and a key may be any text: its UTF-8, byte by byte. */
function latin1(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

/** A signal that follows `signal` and ends after `ms` besides. */
function deadline(signal, ms, reason) {
  const controller = new AbortController();
  const follow = () => controller.abort(signal.reason);
  if (signal?.aborted) follow();
  signal?.addEventListener("abort", follow, { once: true });
  const timer = Number.isFinite(ms) ? setTimeout(() => controller.abort(reason()), ms) : undefined;
  const clear = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", follow);
  };
  return { signal: controller.signal, clear };
}

/** What a failed `fetch` means: the reason it was ended for, or that nobody answered. */
function lost(error, signal, message) {
  if (signal?.aborted) return signal.reason;
  return error instanceof RelayError ? error : new ConnectionLost(message, { cause: error });
}

async function problemOf(response) {
  const text = await response.text().catch(() => "");
  const seconds = Number.parseFloat(response.headers.get("Retry-After") ?? "");
  const retryAfter = Number.isFinite(seconds) ? seconds : null;
  let problem = {};
  try {
    if (/\bjson\b/.test(response.headers.get("Content-Type") ?? "")) problem = JSON.parse(text) ?? {};
  } catch {
    // What is no JSON is no problem document: something between us and the service has answered.
  }
  const detail = `The service answered ${response.status} ${response.statusText}`.trim() + ".";
  return new ProblemError({ detail, ...problem, status: response.status }, retryAfter);
}

function noSuchId(id) {
  const shown = typeof id === "string" ? JSON.stringify(id.slice(0, 60)) : String(id);
  const detail = `${shown} is no generation's id. Take the id from the answer to a request.`;
  return new ProblemError({ status: 404, code: "not_found", title: "Not found", detail });
}

/** Whether the same request may go well a little later. */
function isTransient(error, isSubmit) {
  if (error instanceof ConnectionLost) return true;
  if (!(error instanceof ProblemError) || NEVER_AGAIN.has(error.code)) return false;
  if (error.code === "idempotency_in_progress") return isSubmit;
  return [408, 429, 502, 503, 504].includes(error.status) || (error.status >= 500 && !isSubmit);
}

/** A name nobody else takes. `randomUUID` exists only where the page came over HTTPS. */
function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const NOTHING_YET = Object.freeze({
  id: null,
  comfyuiPromptId: null,
  status: null,
  step: 0,
  totalSteps: 0,
  steps: null,
  percentage: 0,
  queuePosition: null,
  etaSeconds: null,
  message: "",
  nodeProgress: null,
  aggregateProgress: null,
  image: null,
  attempt: 1,
  progressType: null,
  preview: null,
  outputs: Object.freeze([]),
  images: Object.freeze([]),
  record: null,
  error: null,
  connection: "submitting",
  isOver: false,
});

const SHOWN = Object.freeze(["status", "step", "totalSteps", "percentage", "queuePosition", "etaSeconds", "message"]);

/** The progress state in a record, as events carry it. A record does not tell nodes. */
function momentOf(record) {
  const shown = Object.fromEntries(SHOWN.map((name) => [name, record[name]]));
  return {
    generationId: record.id,
    comfyuiPromptId: record.comfyuiPromptId,
    ...shown,
    nodeProgress: null,
    aggregateProgress: null,
    image: null,
    attempt: record.attempt,
  };
}

/** The terminal event of a finished record, as a stream would have told it. */
function endOf(record) {
  const { images, imageUrls, outputs, error } = record;
  const event = { type: ENDS[record.status], ...momentOf(record), generation: record, images, imageUrls, outputs };
  return { ...event, error, polled: true, ...(record.status === "succeeded" && { progressType: "complete" }) };
}

/** Events for one `for await` loop. Milestones all wait; of progress and previews only the newest does. */
class Reader {
  #waiting = [];
  #ready = null;
  #isOver = false;
  #error = null;

  push(event) {
    if (event.type === "progress" || event.type === "preview") {
      this.#waiting = this.#waiting.filter((each) => each.type !== event.type);
    }
    this.#waiting.push(event);
    this.#wake();
  }

  end(error) {
    this.#isOver = true;
    this.#error = error;
    this.#wake();
  }

  async next() {
    while (this.#waiting.length === 0 && !this.#isOver) await new Promise((resolve) => (this.#ready = resolve));
    if (this.#waiting.length > 0) return { value: this.#waiting.shift(), done: false };
    const error = this.#error;
    this.#error = null;
    if (error !== null) throw error;
    return { value: undefined, done: true };
  }

  #wake() {
    this.#ready?.();
    this.#ready = null;
  }
}

/** Calls listeners; one that throws neither stops the others nor the following, and is reported as usual. */
function callAll(listeners, ...given) {
  for (const listener of [...listeners]) {
    try {
      listener(...given);
    } catch (error) {
      if (typeof reportError === "function") reportError(error);
      else
        queueMicrotask(() => {
          throw error;
        });
    }
  }
}

function settleable() {
  const settle = {};
  settle.promise = new Promise((resolve, reject) => Object.assign(settle, { resolve, reject }));
  settle.promise.catch(() => {}); // The error is in the state and in an event as well; not to look here is no fault.
  return settle;
}

/** One generation, from its request or id to its end. */
class Generation {
  #http;
  #streams;
  #options;
  #patience;
  #signal;
  #leaving = new AbortController();
  #accepted = settleable();
  #done = settleable();
  #state = NOTHING_YET;
  #newest = null;
  #cursor = null;
  #failedStreams = 0;
  /** What loops over events end with. */
  #thrown = null;
  #listeners = new Map();
  #watchers = new Set();
  #readers = new Set();
  /** Ends the pause that is being made, or a stream that has said nothing for too long. */
  #hurry = () => {};
  #wake = () => this.#hurry();
  #abort = () => this.#stop(this.#signal.reason);

  /** `begin(signal)` makes the first request and gives the record; it is repeated while that can help. */
  constructor(http, streams, options, { begin, isSubmit, signal }) {
    this.#http = http;
    this.#streams = streams;
    this.#options = options;
    this.#signal = signal;
    this.#state = Object.freeze({ ...NOTHING_YET, connection: isSubmit ? "submitting" : "connecting" });
    signal?.addEventListener("abort", this.#abort, { once: true });
    awakening.add(this.#wake);
    this.#run(begin, isSubmit);
  }

  get id() {
    return this.#state.id;
  }

  get state() {
    return this.#state;
  }

  get accepted() {
    return this.#accepted.promise;
  }

  get done() {
    return this.#done.promise;
  }

  on(type, listener) {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    return () => void listeners.delete(listener);
  }

  subscribe(listener) {
    this.#watchers.add(listener);
    return () => void this.#watchers.delete(listener);
  }

  async cancel() {
    const { id } = await this.accepted;
    const record = await this.#http.json("POST", `/api/generations/${id}/cancel`);
    if (record.status in ENDS) this.#end(record, endOf(record));
    return record;
  }

  close() {
    this.#stop(new DOMException("The generation is not followed any more.", "AbortError"), true);
  }

  [Symbol.asyncIterator]() {
    const reader = new Reader();
    if (this.#newest !== null) reader.push(this.#newest);
    if (this.#state.isOver) reader.end(this.#thrown);
    else this.#readers.add(reader);
    return {
      next: () => reader.next(),
      return: async () => {
        this.#readers.delete(reader);
        reader.end(null);
        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  async #run(begin, isSubmit) {
    const { retryMs, maxRetryMs, giveUpAfterMs } = this.#options;
    const limit = isSubmit ? Math.min(SUBMIT_FOR_MS, giveUpAfterMs) : giveUpAfterMs;
    this.#patience = new Patience(isSubmit ? SUBMIT_RETRY_MS : (retryMs ?? SERVICE_RETRY_MS), maxRetryMs, limit);
    try {
      this.#signal?.throwIfAborted();
      const record = await this.#persist(() => begin(this.#leaving.signal), isSubmit);
      this.#patience = new Patience(retryMs ?? SERVICE_RETRY_MS, maxRetryMs, giveUpAfterMs);
      this.#accept(record);
      while (!this.#state.isOver) await this.#follow();
    } catch (error) {
      this.#stop(error);
    }
  }

  /** The answer to a request, made again as long as that can help. */
  async #persist(ask, isSubmit = false) {
    const connection = this.#state.connection;
    for (;;) {
      try {
        this.#connect(connection);
        const answer = await ask();
        this.#patience.reset();
        return answer;
      } catch (error) {
        if (!isTransient(error, isSubmit)) throw error;
        await this.#pause(error);
      }
    }
  }

  #accept(record) {
    if (this.#state.isOver) return;
    const event = Object.freeze({ type: "accepted", generationId: record.id, generation: record });
    this.#accepted.resolve(record);
    this.#change({ id: record.id, ...this.#merged(momentOf(record)), outputs: record.outputs, record }, event);
    if (record.status in ENDS) this.#end(record, endOf(record));
  }

  /** One stream, or a while of polling: until it breaks off, or the end. */
  async #follow() {
    const release = this.#streams.take();
    try {
      if (release === null) return await this.#poll(this.#options.pollIntervalMs, false);
      if (this.#streams.blockedForMs > 0) return await this.#poll(this.#streams.blockedForMs, true);
      await this.#stream();
    } catch (error) {
      if (error instanceof StreamBlocked) this.#block(error);
      else if (!isTransient(error, false)) throw error;
      else await this.#recover(error);
    } finally {
      release?.();
    }
  }

  /** A stream broke off. If that happens again and again while the service answers, it is the streams that fail. */
  async #recover(error) {
    this.#failedStreams += 1;
    await this.#pause(error);
    if (this.#failedStreams < 2) return;
    await this.#look(0);
    if (this.#failedStreams >= MAX_FAILED_STREAMS) this.#block(error);
  }

  #block(cause) {
    this.#failedStreams = 0;
    this.#streams.block();
    this.#connect("polling", cause);
  }

  /** Read the event stream to the end. Throws ConnectionLost or StreamBlocked when it ends before. */
  async #stream() {
    this.#connect("connecting");
    const { firstEventMs, silenceMs } = this.#options;
    const guard = new AbortController();
    const leave = () => guard.abort(this.#leaving.signal.reason);
    this.#leaving.signal.addEventListener("abort", leave, { once: true });
    const late = () =>
      guard.abort(new StreamBlocked("No event came in time; something between holds the stream back."));
    let timer = setTimeout(late, firstEventMs);
    let heardAt = performance.now();
    let hasBegun = false;
    this.#hurry = () => {
      if (performance.now() - heardAt > STALE_MS) guard.abort(new ConnectionLost("The stream has gone quiet."));
    };
    const onChunk = () => {
      heardAt = performance.now();
      if (!hasBegun) return;
      clearTimeout(timer);
      timer = setTimeout(late, silenceMs);
    };
    const onEvent = () => {
      if (!hasBegun) this.#begun();
      hasBegun = true;
    };
    try {
      await this.#readStream(guard.signal, onChunk, onEvent);
    } catch (error) {
      throw lost(error, guard.signal, "The connection broke off.");
    } finally {
      clearTimeout(timer);
      this.#hurry = () => {};
      this.#leaving.signal.removeEventListener("abort", leave);
      guard.abort(); // Whatever the reason, no stream stays open behind us.
    }
  }

  #begun() {
    this.#failedStreams = 0;
    this.#patience.reset();
    this.#streams.unblock();
    this.#connect("streaming");
  }

  async #readStream(signal, onChunk, onEvent) {
    const response = await this.#openStream(signal);
    if (response.status === 204) return this.#look(0);
    const type = response.headers.get("Content-Type") ?? "";
    if (!type.startsWith("text/event-stream") || !response.body)
      throw new StreamBlocked("The answer was no event stream.");
    const parser = new EventParser();
    const reader = response.body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new ConnectionLost("The connection was closed.");
      for (const { text, id } of parser.read(value)) {
        onEvent();
        this.#take(this.#decoded(text));
        if (this.#state.isOver) return undefined;
        this.#cursor = id ?? this.#cursor; // Only now: an event that could not be read has to come again.
      }
      this.#patience.firstMs = this.#options.retryMs ?? parser.retryMs ?? this.#patience.firstMs;
      onChunk();
    }
  }

  async #openStream(signal) {
    const headers = { Accept: "text/event-stream", ...(this.#cursor !== null && { "Last-Event-ID": this.#cursor }) };
    try {
      return await this.#http.send("GET", `/api/generations/${this.id}/events`, { signal, headers });
    } catch (error) {
      const isFinal = error.status === 404 && error.code === "not_found";
      // Whether it is the stream alone that is refused, polling finds out.
      if (error instanceof ProblemError && error.status < 500 && !isFinal) throw new StreamBlocked(error.message);
      throw error;
    }
  }

  #decoded(text) {
    try {
      return this.#http.event(text);
    } catch {
      throw new StreamBlocked("The event stream could not be read.");
    }
  }

  /** `holds`: let the service hold its answers, which takes a connection all the time. */
  async #poll(forMs, holds) {
    const { pollIntervalMs } = this.#options;
    const until = performance.now() + forMs;
    this.#connect("polling");
    for (let waitMs = 0; ; waitMs = holds ? pollIntervalMs : 0) {
      const began = performance.now();
      await this.#look(waitMs);
      if (this.#state.isOver) return;
      const isHeld = holds && waitMs === 0;
      if (!isHeld) await this.#sleep(pollIntervalMs - (performance.now() - began));
      if (performance.now() >= until) return;
    }
  }

  /** The record, held back by the service for `waitMs` unless it ends before. */
  async #look(waitMs) {
    const signal = this.#leaving.signal;
    const query = waitMs > 0 ? `wait=${waitMs / 1000}` : "";
    const request = { signal, query, timeoutMs: this.#options.timeoutMs + waitMs };
    const record = await this.#persist(() => this.#http.json("GET", `/api/generations/${this.id}`, request));
    if (this.#state.isOver) return;
    if (record.status in ENDS) this.#end(record, endOf(record));
    else this.#takeRecord(record);
  }

  #takeRecord(record) {
    const state = this.#state;
    const moved = SHOWN.filter((name) => record[name] !== state[name]);
    const moment = this.#merged(momentOf(record));
    const isStatus = moved.includes("status") || moved.includes("queuePosition");
    const kind = isStatus ? { type: "status" } : { type: "progress", progressType: "aggregate" };
    const event = moved.length > 0 ? this.#clamped({ ...kind, ...momentOf(record), polled: true }) : null;
    this.#change({ ...moment, outputs: record.outputs, record }, event);
  }

  /** An event of the stream. One of another generation is not ours, however it came here. */
  #take(event) {
    if (this.#state.isOver || event?.generationId !== this.id) return;
    if (event.type === "preview") {
      const { url, mimeType, nodeId } = event;
      this.#change({ preview: Object.freeze({ url, mimeType, nodeId }) }, event);
    } else if (event.type === "output") {
      const others = this.#state.outputs.filter((each) => each.index !== event.output.index);
      this.#change({ outputs: Object.freeze([...others, event.output]) }, event);
    } else if (event.generation) {
      this.#end(event.generation, event);
    } else if (typeof event.percentage === "number") {
      this.#change(this.#merged(event), this.#clamped(event));
    }
  }

  /** What of the state a moment replaces. */
  #merged(moment) {
    const { generationId, type, polled, ...state } = this.#clamped(moment);
    const { step, totalSteps } = state;
    return { ...state, steps: totalSteps > 0 ? Object.freeze({ done: step, total: totalSteps }) : null };
  }

  /** Whatever was said and in which order, a bar does not go back, and no step is beyond the last. */
  #clamped(moment) {
    const percentage = Math.max(moment.percentage, this.#state.percentage);
    const step = Math.min(moment.step, moment.totalSteps || moment.step);
    return Object.freeze({ ...moment, percentage, step });
  }

  #end(record, event) {
    if (this.#state.isOver) return;
    const isGood = record.status === "succeeded";
    const failure = record.status === "canceled" ? GenerationCanceled : GenerationFailed;
    const error = isGood ? null : new failure(record);
    const { images, outputs } = record;
    const ended = { ...this.#merged(momentOf(record)), images, outputs, record, error, preview: null, isOver: true };
    const progressType = isGood ? "complete" : this.#state.progressType;
    this.#change({ ...ended, progressType, connection: "closed" }, this.#clamped(event));
    if (isGood) this.#done.resolve(record);
    else this.#done.reject(error);
    this.#leave();
  }

  /** The following ends without an end of the generation. */
  #stop(error, isQuiet = false) {
    if (this.#state.isOver) return;
    this.#thrown = isQuiet ? null : error;
    this.#change(
      { error, preview: null, isOver: true, connection: "closed" },
      Object.freeze({ type: "problem", error }),
    );
    this.#accepted.reject(error);
    this.#done.reject(error);
    this.#leave();
  }

  #leave() {
    this.#leaving.abort();
    awakening.remove(this.#wake);
    this.#signal?.removeEventListener("abort", this.#abort);
    for (const reader of this.#readers) reader.end(this.#thrown);
    this.#readers.clear();
    this.#tell(Object.freeze({ type: "connection", connection: "closed", cause: null, retryInMs: null }));
  }

  #connect(connection, cause = null, retryInMs = null) {
    if (connection === this.#state.connection && cause === null) return;
    this.#change({ connection }, Object.freeze({ type: "connection", connection, cause, retryInMs }));
  }

  #change(part, event) {
    this.#state = Object.freeze({ ...this.#state, ...part });
    if (event !== null) this.#tell(event);
    callAll(this.#watchers);
  }

  #tell(event) {
    if (event.type !== "connection" && event.type !== "problem") {
      if (event.type !== "preview" && event.type !== "output") this.#newest = event;
      for (const reader of this.#readers) reader.push(event);
    }
    callAll(this.#listeners.get(event.type) ?? [], event);
    callAll(this.#listeners.get("*") ?? [], event);
  }

  async #pause(cause) {
    this.#leaving.signal.throwIfAborted();
    const pauseMs = this.#patience.next(cause);
    this.#connect("waiting", cause, Math.round(pauseMs));
    await this.#sleep(pauseMs);
  }

  /** Until the time is over, or the page is looked at again, or the network is back. Throws when we leave. */
  async #sleep(ms) {
    const { signal } = this.#leaving;
    await new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        this.#hurry = () => {};
        resolve(undefined);
      };
      const timer = setTimeout(end, Math.max(0, ms));
      signal.addEventListener("abort", end, { once: true });
      this.#hurry = end;
    });
    signal.throwIfAborted();
  }
}

export class ComfyRelay {
  #http;
  #streams;
  #options;

  constructor(options = {}) {
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    const maxStreams = typeof document === "undefined" ? Infinity : 3;
    this.#options = Object.freeze({ ...DEFAULTS, maxStreams, ...given });
    this.#http = new Http(this.#options);
    this.#streams = new Streams(this.#options.maxStreams, this.#options.retryStreamMs);
  }

  get apiKey() {
    return this.#http.apiKey;
  }

  set apiKey(key) {
    this.#http.apiKey = key ?? null;
  }

  generate(request, options) {
    return this.#submit(() => "/api/generate", request, options);
  }

  retry(id, overrides = {}, options = {}) {
    return this.#submit(() => pathOf(id, "/retry"), overrides, options);
  }

  follow(id, { signal } = {}) {
    const begin = (leaving) => this.get(id, { signal: leaving });
    return new Generation(this.#http, this.#streams, this.#options, { begin, isSubmit: false, signal });
  }

  async get(id, { signal } = {}) {
    return this.#http.json("GET", pathOf(id), { signal });
  }

  async list(filter = {}, { signal } = {}) {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(filter)) {
      const values = Array.isArray(value) ? value : [value];
      for (const each of values) {
        if (each === undefined || each === null || each === "") continue;
        query.append(name, each instanceof Date ? each.toISOString() : String(each));
      }
    }
    return this.#http.json("GET", "/api/generations", { query: query.toString(), signal });
  }

  async cancel(id, { signal } = {}) {
    return this.#http.json("POST", pathOf(id, "/cancel"), { signal });
  }

  async remove(id, { signal } = {}) {
    await this.#http.json("DELETE", pathOf(id), { signal });
  }

  async upload(file, { signal, filename = file.name, type = file.type } = {}) {
    const query = filename ? new URLSearchParams({ filename }).toString() : "";
    const headers = { "Content-Type": type || "application/octet-stream" };
    return this.#http.json("POST", "/api/uploads", { query, body: file, headers, signal, timeoutMs: Infinity });
  }

  async templates({ signal } = {}) {
    return this.#http.json("GET", "/api/templates", { signal });
  }

  async template(name, { signal } = {}) {
    return this.#http.json("GET", `/api/templates/${encodeURIComponent(name)}`, { signal });
  }

  async models({ signal } = {}) {
    return this.#http.json("GET", "/api/models", { signal });
  }

  async backends({ signal } = {}) {
    return this.#http.json("GET", "/api/backends", { signal });
  }

  #submit(path, request, { signal, idempotencyKey = randomKey() } = {}) {
    let body = null;
    const begin = async (leaving) => {
      const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
      body ??= JSON.stringify(request); // At once: what the caller changes in it later is not what was asked for.
      const sent = { body, headers, signal: leaving };
      // The answer also has the id under a name for older front ends, which the record itself does not have.
      const { session_id: _, ...record } = await this.#http.json("POST", path(), sent);
      return Object.freeze(record);
    };
    return new Generation(this.#http, this.#streams, this.#options, { begin, isSubmit: true, signal });
  }
}

/** Throws ProblemError for what cannot be an id, so that no request is made for it. */
function pathOf(id, rest = "") {
  if (!isGenerationId(id)) throw noSuchId(id);
  return `/api/generations/${id}${rest}`;
}

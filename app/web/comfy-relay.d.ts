/** Client of the comfy-relay service for browsers and Node 20 or newer. No dependencies. */

export type Status = "pending" | "queued" | "running" | "canceling" | "succeeded" | "failed" | "canceled";

/** What moved: a sampler's steps, another node's own progress, the count of nodes; and the two ends. */
export type ProgressType = "connected" | "inference" | "node" | "aggregate" | "complete";

/** How a handle hears of its generation; `waiting` is the pause before it tries again. */
export type Connection = "submitting" | "connecting" | "streaming" | "polling" | "waiting" | "closed";

export interface Output {
  readonly index: number;
  readonly kind: string;
  readonly url: string;
  readonly thumbnailUrl: string | null;
  readonly filename: string;
  readonly mimeType: string;
  readonly width: number | null;
  readonly height: number | null;
  readonly durationSeconds: number | null;
  readonly frames: number | null;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly nodeId: string;
  readonly text: string | null;
}

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly nodeId: string | null;
  readonly nodeType: string | null;
  readonly exceptionType: string | null;
  readonly nodeErrors: Readonly<Record<string, unknown>> | null;
}

/** A generation as the service has it on record. Frozen; times are RFC 3339 in UTC. */
export interface GenerationRecord {
  readonly id: string;
  readonly comfyuiPromptId: string;
  readonly status: Status;
  readonly template: string | null;
  readonly templateVersion: number | null;
  readonly prompt: string | null;
  readonly params: Readonly<Record<string, unknown>>;
  readonly seed: number | null;
  readonly step: number;
  readonly totalSteps: number;
  readonly percentage: number;
  readonly queuePosition: number | null;
  readonly etaSeconds: number | null;
  readonly message: string;
  readonly images: readonly Output[];
  readonly imageUrls: readonly string[];
  readonly outputs: readonly Output[];
  readonly error: Failure | null;
  readonly nodeErrors: Readonly<Record<string, unknown>> | null;
  readonly backend: string | null;
  readonly attempt: number;
  readonly outputsReused: boolean;
  readonly projectId: string | null;
  readonly batchId: string | null;
  readonly batchIndex: number | null;
  readonly itemKey: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly priority: number;
  readonly deadlineAt: string | null;
  readonly createdAt: string;
  readonly queuedAt: string | null;
  readonly startedAt: string | null;
  readonly completedAt: string | null;
  readonly durationSeconds: number | null;
  readonly urls: { readonly self: string; readonly events: string; readonly cancel: string };
}

export interface NodeProgress {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly nodeType: string;
  readonly value: number;
  readonly max: number;
}

export interface Preview {
  readonly url: string;
  readonly mimeType: string;
  readonly nodeId: string | null;
}

/** The whole progress state at one moment, as events carry it. */
export interface Moment {
  readonly generationId: string;
  readonly comfyuiPromptId: string | null;
  readonly status: Status;
  readonly step: number;
  readonly totalSteps: number;
  /** 0..100. Never falls; 100 only when it succeeded. */
  readonly percentage: number;
  /** 1 is next. */
  readonly queuePosition: number | null;
  readonly etaSeconds: number | null;
  /** One sentence for a person. */
  readonly message: string;
  /** The node at work. Not known while polling. */
  readonly nodeProgress: NodeProgress | null;
  /** Nodes finished of the nodes that will run. Not known while polling. */
  readonly aggregateProgress: { readonly finished: number; readonly total: number } | null;
  readonly image: { readonly current: number; readonly total: number } | null;
  readonly attempt: number;
}

/** Everything a handle knows, as one frozen value; a new one replaces it whenever something changes. */
export interface Snapshot extends Omit<Moment, "generationId" | "status"> {
  /** null until the service has accepted the request. */
  readonly id: string | null;
  /** null until the service has said it. */
  readonly status: Status | null;
  /** Steps done of all; null while the total is not known, so that nobody shows 0/0. */
  readonly steps: { readonly done: number; readonly total: number } | null;
  readonly progressType: ProgressType | null;
  /** The newest picture of the unfinished image; null before the first and after the end. */
  readonly preview: Preview | null;
  /** Files kept so far; after the end all of the record's. */
  readonly outputs: readonly Output[];
  /** The final images; empty before the end. */
  readonly images: readonly Output[];
  /** The newest whole record; final and fresh once `isOver`. */
  readonly record: GenerationRecord | null;
  /** Why there will be no picture: see `Generation.done`. */
  readonly error: Error | null;
  readonly connection: Connection;
  /** Nothing will change any more. */
  readonly isOver: boolean;
}

/** Made by the client when the service has accepted the request, or knows the id that is followed. */
export interface AcceptedEvent {
  readonly type: "accepted";
  readonly generationId: string;
  readonly generation: GenerationRecord;
}
/** `polled` marks events made from a polled record while no stream gets through. */
export interface ConnectedEvent extends Moment {
  readonly type: "connected";
  readonly progressType: ProgressType;
  readonly polled?: true;
}
export interface StatusEvent extends Moment {
  readonly type: "status";
  readonly polled?: true;
}
export interface ProgressEvent extends Moment {
  readonly type: "progress";
  readonly progressType: ProgressType;
  readonly polled?: true;
}
export interface PreviewEvent extends Preview {
  readonly type: "preview";
  readonly generationId: string;
}
export interface OutputEvent {
  readonly type: "output";
  readonly generationId: string;
  readonly output: Output;
}
interface EndEvent extends Moment {
  readonly generation: GenerationRecord;
  readonly images: readonly Output[];
  readonly imageUrls: readonly string[];
  readonly outputs: readonly Output[];
  readonly polled?: true;
}
export interface CompleteEvent extends EndEvent {
  readonly type: "complete";
  readonly progressType: "complete";
}
export interface ErrorEvent extends EndEvent {
  readonly type: "error";
  readonly error: Failure;
}
export interface CanceledEvent extends EndEvent {
  readonly type: "canceled";
}
/** Made by the client whenever `state.connection` changes. */
export interface ConnectionEvent {
  readonly type: "connection";
  readonly connection: Connection;
  /** Why it is not streaming, if something went wrong. */
  readonly cause: Error | null;
  /** Milliseconds until the next try; only while `waiting`. */
  readonly retryInMs: number | null;
}
/** Made by the client: the request was refused, or the generation cannot be followed any more. */
export interface ProblemEvent {
  readonly type: "problem";
  readonly error: Error;
}

/** What `for await` gives: what the service said. */
export type RelayEvent =
  | AcceptedEvent
  | ConnectedEvent
  | StatusEvent
  | ProgressEvent
  | PreviewEvent
  | OutputEvent
  | CompleteEvent
  | ErrorEvent
  | CanceledEvent;

/** By type, everything `on` can be asked for. */
export interface EventMap {
  accepted: AcceptedEvent;
  connected: ConnectedEvent;
  status: StatusEvent;
  progress: ProgressEvent;
  preview: PreviewEvent;
  output: OutputEvent;
  complete: CompleteEvent;
  error: ErrorEvent;
  canceled: CanceledEvent;
  connection: ConnectionEvent;
  problem: ProblemEvent;
  "*": RelayEvent | ConnectionEvent | ProblemEvent;
}

/** A media input: an upload's id, a data URL or an http(s) URL, alone or for a certain parameter. */
export type Reference = string | { readonly source: string; readonly parameter?: string };

/** The body of `POST /api/generate`; a template's parameters stand beside these fields. */
export interface GenerationRequest {
  readonly template?: string;
  readonly prompt?: string;
  readonly negativePrompt?: string;
  readonly width?: number;
  readonly height?: number;
  readonly steps?: number;
  readonly cfg?: number;
  readonly seed?: number;
  readonly sampler?: string;
  readonly scheduler?: string;
  readonly model?: string;
  readonly batchSize?: number;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly workflow?: Readonly<Record<string, unknown>>;
  readonly references?: readonly Reference[];
  readonly projectId?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly priority?: number;
  readonly force?: boolean;
  readonly deadlineSeconds?: number;
  /** Who is told of it by a signed POST; default of `events`: its end, whichever that is. */
  readonly webhook?: { readonly url: string; readonly events?: readonly string[] };
  readonly [parameter: string]: unknown;
}

export interface SubmitOptions {
  /** Ends the following, and the request if it is still on its way; never cancels the generation. */
  readonly signal?: AbortSignal;
  /** Made up when not given, so that a request lost on its way is sent again without running twice. */
  readonly idempotencyKey?: string;
}

export interface FollowOptions {
  /** Ends the following; never cancels the generation. */
  readonly signal?: AbortSignal;
}

/** One generation, followed to its end. Usable at once; owns at most one open stream. */
export interface Generation extends AsyncIterable<RelayEvent> {
  /** null until accepted. */
  readonly id: string | null;
  readonly state: Snapshot;
  /** The record as the service accepted it, or had it when following began. Rejects as `done` does. */
  readonly accepted: Promise<GenerationRecord>;
  /**
   * The final record of a generation that succeeded. Rejects with `GenerationFailed` (`GenerationCanceled` if it was
   * canceled), with `ProblemError` when the service refused, with `ConnectionLost` when it was out of reach for too
   * long, and with the signal's reason (an `AbortError`) after an abort or `close()`.
   * Nobody has to look at it: a rejection that is not handled is not reported.
   */
  readonly done: Promise<GenerationRecord>;
  /** Call `listener` for every later event of a type; `"*"` for all. Returns what takes it off again. */
  on<Type extends keyof EventMap>(type: Type, listener: (event: EventMap[Type]) => void): () => void;
  /** Call `listener` after every change of `state`. Returns what takes it off again. */
  subscribe(listener: () => void): () => void;
  /** Ask the service to end it. One not accepted yet is canceled as soon as it is. Resolves with the record. */
  cancel(): Promise<GenerationRecord>;
  /** Stop following. The generation goes on. */
  close(): void;
  /**
   * Begins with the newest state, ends after the terminal event; throws what `done` rejects with if following ended
   * by anything else but `close()`. A slow reader gets the newest of waiting `progress` and `preview` events only.
   * Leaving the loop early does not stop the following: `close()` does.
   */
  [Symbol.asyncIterator](): AsyncIterator<RelayEvent, void, undefined>;
}

export interface Upload {
  readonly id: string;
  readonly url: string;
  readonly thumbnailUrl: string | null;
  readonly kind: "image" | "video" | "audio";
  readonly filename: string;
  readonly mimeType: string;
  readonly width: number | null;
  readonly height: number | null;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly createdAt: string;
}

export interface TemplateParameter {
  readonly name: string;
  readonly kind: string;
  readonly description: string;
  readonly required: boolean;
  readonly bindings: readonly (readonly string[])[];
  readonly reason: string | null;
}

export interface Template {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly aliases: readonly string[];
  readonly builtIn: boolean;
  readonly version: number | null;
  readonly createdAt: string | null;
  readonly parameters: readonly TemplateParameter[];
  /** JSON Schema 2020-12 of the parameters. */
  readonly parametersSchema: Readonly<Record<string, unknown>>;
  readonly example: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

export interface Backend {
  readonly name: string;
  readonly healthy: boolean;
  readonly listening: boolean;
  readonly version: string | null;
  readonly device: string | null;
  readonly vramTotalBytes: number | null;
  readonly vramFreeBytes: number | null;
  readonly running: number | null;
  readonly queued: number | null;
  readonly inFlight: number;
  readonly lastError: string | null;
}

/** Names by category: `checkpoints`, `loras`, `vaes`, `samplers`, `schedulers`, ... */
export type Models = Readonly<Record<string, readonly string[]>>;

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

export interface ListFilter {
  readonly status?: Status | readonly Status[];
  readonly projectId?: string;
  readonly batchId?: string;
  readonly template?: string;
  readonly createdAfter?: string | Date;
  readonly createdBefore?: string | Date;
  /** Part of the prompt's text. */
  readonly q?: string;
  /** 1..200; default 50. */
  readonly limit?: number;
  /** `nextCursor` of the page before. */
  readonly cursor?: string | null;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
}

export interface ComfyRelayOptions {
  /** Where the service is, such as `https://pictures.example` or `/relay`; default: where the page comes from. */
  readonly baseUrl?: string;
  /** Sent with every request, never put into a URL. */
  readonly apiKey?: string | null;
  /**
   * Asked when the service answers 401, once for however many requests it refused: a key to try them again with, or
   * null. Without it 401 is a `ProblemError` like any other.
   */
  readonly onUnauthorized?: (problem: ProblemError) => string | null | Promise<string | null>;
  /** More headers for every request. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly fetch?: typeof globalThis.fetch;
  /** Time between two looks while no stream gets through; default 1000. */
  readonly pollIntervalMs?: number;
  /** A stream that has not begun after so long is taken to be held back by a proxy; default 3000. */
  readonly firstEventMs?: number;
  /** A stream without a byte for so long is dead; the service writes every 15 s. Default 40000. */
  readonly silenceMs?: number;
  /** How long to poll before a stream is tried again; doubles each time. Default 30000. */
  readonly retryStreamMs?: number;
  /** The first pause after a loss; default what the service says (2000). Doubles, with jitter, up to `maxRetryMs`. */
  readonly retryMs?: number;
  /** Default 15000. */
  readonly maxRetryMs?: number;
  /** Pauses that may add up without an answer before a handle ends with `ConnectionLost`; default 15 minutes. */
  readonly giveUpAfterMs?: number;
  /** How long any other request may take; uploads take as long as they take. Default 30000. */
  readonly timeoutMs?: number;
  /**
   * Streams open at once; other handles poll until there is room. Browsers allow six connections to a host over
   * HTTP/1.1. Default 3 in browsers, no limit elsewhere.
   */
  readonly maxStreams?: number;
}

export class ComfyRelay {
  constructor(options?: ComfyRelayOptions);
  /** May be changed at any time; used from the next request on. */
  apiKey: string | null;
  /**
   * Start a generation and follow it. Never throws: what goes wrong is told by the handle. A service that does not
   * answer is asked again for some 15 s, with the same `Idempotency-Key`.
   */
  generate(request: GenerationRequest, options?: SubmitOptions): Generation;
  /** Follow one that exists. An id that is none, or unknown, ends the handle with a `ProblemError` of status 404. */
  follow(id: string, options?: FollowOptions): Generation;
  /** A new generation from the request of another; `{ seed: -1 }` or any parameter overrides. */
  retry(id: string, overrides?: Readonly<Record<string, unknown>>, options?: SubmitOptions): Generation;
  get(id: string, options?: ReadOptions): Promise<GenerationRecord>;
  list(filter?: ListFilter, options?: ReadOptions): Promise<Page<GenerationRecord>>;
  /** Ask for its end; one that has ended comes back unchanged. */
  cancel(id: string, options?: ReadOptions): Promise<GenerationRecord>;
  /** Remove record and files; one that runs is canceled first. */
  remove(id: string, options?: ReadOptions): Promise<void>;
  /** Its `id` goes where a request takes a file. */
  upload(
    file: Blob | ArrayBuffer | ArrayBufferView,
    options?: ReadOptions & { filename?: string; type?: string },
  ): Promise<Upload>;
  templates(options?: ReadOptions): Promise<Page<Template>>;
  template(name: string, options?: ReadOptions): Promise<Template>;
  models(options?: ReadOptions): Promise<Models>;
  backends(options?: ReadOptions): Promise<Page<Backend>>;
}

/** Whether it has the form of a generation's id. */
export function isGenerationId(value: unknown): value is string;

/** Base of the errors below. */
export class RelayError extends Error {}

/** The service refused: an RFC 9457 problem document. */
export class ProblemError extends RelayError {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** Wrong places: JSON pointers into the body, or `?name` of a query parameter. */
  readonly errors: readonly { readonly pointer: string; readonly message: string }[];
  readonly nodeErrors: Readonly<Record<string, unknown>> | null;
  readonly generationId: string | null;
  readonly retryAfterSeconds: number | null;
}

/** It ended without success; `error` of the record says why. */
export class GenerationFailed extends RelayError {
  readonly record: GenerationRecord;
  /** The record's error code, or `canceled`. */
  readonly code: string;
}

/** It was canceled. */
export class GenerationCanceled extends GenerationFailed {}

/** The service could not be reached, or did not answer in time. `cause` has the reason. */
export class ConnectionLost extends RelayError {}

/**
 * What the page says: names, times and sizes in words, and for each thing that goes wrong the remedy.
 * Pure: owns no element and asks nobody.
 */

/** Labels of parameters whose name says too little. */
const LABELS = {
  cfg: "Guidance (CFG)",
  vae: "VAE",
  fps: "Frames per second",
  prompt: "Prompt",
  steps: "Steps",
  length: "Frames",
  textEncoder: "Text encoder",
  textEncoder2: "Second text encoder",
  textEncoder3: "Third text encoder",
  denoise: "Change (denoise)",
  batchSize: "Pictures at once",
  weightDtype: "Weight type",
  image: "Picture",
  lora: "LoRA",
};

const STATES = {
  pending: "Waiting",
  queued: "Queued",
  running: "Running",
  canceling: "Canceling",
  succeeded: "Done",
  failed: "Failed",
  canceled: "Canceled",
};

/** What the kinds of progress mean; the badge shows the key, its tooltip the sentence. */
export const KINDS = {
  connected: ["Connected", "In touch with the service; nothing has moved yet."],
  inference: ["Inference", "The bar follows the steps of the sampler."],
  node: ["Node", "The bar follows the own progress of a node that does not sample."],
  aggregate: ["Aggregate", "The bar follows how many nodes are finished."],
  complete: ["Complete", "Everything is finished and kept."],
};

/** By a failed record's code: what a person can do. */
const FAILURE_REMEDIES = {
  rejected: "ComfyUI refused the workflow. Choose other values, or check that the models it names are installed.",
  execution_error:
    "A node gave up. Try again; if it happens each time, change the settings or look at the server's log.",
  out_of_memory: "The server ran out of memory. Use a smaller size, fewer pictures at once, or a smaller model.",
  lost_by_backend:
    "The server lost the job several times, perhaps because it restarts. Look at the servers, then try again.",
  interrupted: "Somebody stopped it at the ComfyUI server. Try again.",
  outputs_unavailable: "It ran, but its files could not be fetched from the server. Try again.",
  stalled: "The server stopped giving signs of life. Look at the servers, then try again.",
  timed_out: "It was not done by its deadline. Try again when the servers are less busy.",
};

/** By a problem's code: what a person can do. */
const PROBLEM_REMEDIES = {
  invalid_request: "Correct the marked fields and send it again.",
  queue_full: "Too many jobs are waiting. Try again in a minute.",
  no_backend: "No ComfyUI server answers. Start one, then try again.",
  unavailable: "The service cannot reach its database or storage. Try again in a moment.",
  rejected: "ComfyUI refused the workflow. Choose other values, or check that the models it names are installed.",
  body_too_large: "Send a smaller file.",
  unsupported_media_type: "Use a picture, video or sound of a common type, such as PNG, JPEG or WebP.",
  unusable_file: "Save the picture anew in another program, or use a smaller one.",
  not_found: "It may have been removed. Choose another from the history.",
  unauthorized: "Enter a key that this service knows.",
};

/** `negativePrompt` as people write it. */
export function labelOf(name) {
  if (LABELS[name]) return LABELS[name];
  const words = name
    .replace(/[_-]+/g, " ")
    .replace(/([a-z\d])([A-Z])/g, "$1 $2")
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const stateOf = (status) => STATES[status] ?? "Unknown";

export const isOver = (status) => ["succeeded", "failed", "canceled"].includes(status);

/** `0:07`, `12:40` or `1:02:03`. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const rest = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes}:${rest}`
    : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

/** `0.8 s`, `14 s`, `3 min 5 s`. */
export function span(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.floor(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** How long ago, roughly. */
export function ago(time, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  if (seconds < 45) return "just now";
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/** `21.4 GB`. */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = count > 0 ? Math.min(units.length - 1, Math.floor(Math.log10(count) / 3)) : 0;
  const amount = count / 1000 ** power;
  return `${amount < 10 && power ? amount.toFixed(1) : Math.round(amount)} ${units[power]}`;
}

/** `1 picture`, `3 pictures`. */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

/** What went wrong with a generation, in two sentences: what happened, and what to do. */
export function failureWords(failure) {
  const remedy = FAILURE_REMEDIES[failure?.code] ?? "Try again, or change the settings.";
  return { what: failure?.message || "It failed and did not say why.", remedy };
}

/** The same for a request that was refused or did not get through. */
export function problemWords(error) {
  if (error?.status) {
    const fallback = error.status >= 500 ? "Try again in a moment." : "Change the request and try again.";
    return { what: error.detail || error.title || error.message, remedy: PROBLEM_REMEDIES[error.code] ?? fallback };
  }
  return {
    what: "The service did not answer.",
    remedy: "Check the connection and that the service runs, then try again.",
  };
}

"use client";
/**
 * A React hook around one generation at a time: what to show, and what can be done. `use-generation.d.ts` describes it.
 *
 * Owns which generation a component shows: starting or tracking another one lets go of the first, so that nothing of it
 * can appear any more, and unmounting closes the stream. Never talks to the service itself: `comfy-relay.js` does.
 */

import { useCallback, useEffect, useInsertionEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { ComfyRelay } from "./comfy-relay.js";

const NONE = Object.freeze([]);

let shared = null;

/** Made when it is first needed: a module that only is imported, on a server for example, makes nothing. */
function sharedClient() {
  return (shared ??= new ComfyRelay());
}

function nothing() {
  return null;
}

function progressOf(state) {
  if (state?.status == null) return null;
  const { percentage, step, totalSteps, steps, progressType, message, queuePosition, etaSeconds } = state;
  const { nodeProgress, aggregateProgress, preview } = state;
  const counts = { percentage, step, totalSteps, steps, progressType, message, queuePosition, etaSeconds };
  return Object.freeze({ ...counts, nodeProgress, aggregateProgress, preview });
}

/** What ended without the service's word on the generation is a problem, whatever was known of it before. */
function statusOf(state) {
  if (state === null) return "idle";
  const isEnded = state.record !== null && ["succeeded", "failed", "canceled"].includes(state.record.status);
  if (state.error !== null && !isEnded) return "problem";
  return state.status ?? "submitting";
}

/**
 * The generation a component shows, as a store of React's. Changing it is one step: no render sees the new one's
 * neighbour, nor the old one being closed.
 */
class Shown {
  handle = null;
  #listeners = new Set();
  #leave = () => {};

  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  state = () => this.handle?.state ?? null;

  show(next) {
    const before = this.handle;
    this.#leave();
    this.handle = next;
    this.#leave = next?.subscribe(this.#tell) ?? (() => {});
    before?.close();
    this.#tell();
  }

  #tell = () => {
    for (const listener of [...this.#listeners]) listener();
  };
}

export function useGeneration({ client, id, onComplete, onError } = {}) {
  const [shown] = useState(() => new Shown());
  const callbacks = useRef({});
  // Before any other effect, so that one that starts a generation at once is heard too.
  useInsertionEffect(() => {
    callbacks.current = { onComplete, onError };
  });

  const show = useCallback(
    (next) => {
      shown.show(next);
      next?.done.then(
        (record) => shown.handle === next && callbacks.current.onComplete?.(record),
        (error) => shown.handle === next && callbacks.current.onError?.(error),
      );
      return next;
    },
    [shown],
  );
  const generate = useCallback(
    (request, options) => show((client ?? sharedClient()).generate(request, options)).accepted,
    [client, show],
  );
  const startTracking = useCallback((wanted) => show((client ?? sharedClient()).follow(wanted)), [client, show]);
  const cancel = useCallback(async () => shown.handle?.cancel() ?? null, [shown]);
  const reset = useCallback(() => void show(null), [show]);

  useEffect(() => {
    if (id != null) startTracking(id);
    // In strict mode effects run twice: whatever was begun is let go of, and begun again.
    return reset;
  }, [id, startTracking, reset]);

  const state = useSyncExternalStore(shown.subscribe, shown.state, nothing);

  return useMemo(
    () => ({
      status: statusOf(state),
      id: state?.id ?? null,
      progress: progressOf(state),
      images: state?.images ?? NONE,
      outputs: state?.outputs ?? NONE,
      error: state?.error ?? null,
      record: state?.record ?? null,
      connection: state?.connection ?? null,
      isRunning: state !== null && !state.isOver,
      generate,
      startTracking,
      cancel,
      reset,
    }),
    [state, generate, startTracking, cancel, reset],
  );
}

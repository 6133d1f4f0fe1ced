/** A React hook around one generation at a time. React 18 or newer, from the application's own `react`. */

import type {
  ComfyRelay,
  Connection,
  Generation,
  GenerationRecord,
  GenerationRequest,
  Output,
  Preview,
  ProgressType,
  Snapshot,
  Status,
  SubmitOptions,
} from "./comfy-relay.js";

export interface UseGenerationOptions {
  /** Default: one client for the page's own origin. Make it once, outside of components. */
  readonly client?: ComfyRelay;
  /** Follow this generation from the first render on; another id follows that one, null or undefined none. */
  readonly id?: string | null;
  readonly onComplete?: (record: GenerationRecord) => void;
  /** Everything else a generation may end with: see `Generation.done`. Not called after `reset` or unmount. */
  readonly onError?: (error: Error) => void;
}

/** Progress to be shown. Never goes back, never says 0/0. */
export interface GenerationProgress {
  /** 0..100 */
  readonly percentage: number;
  readonly step: number;
  readonly totalSteps: number;
  /** null while the number of steps is not known. */
  readonly steps: { readonly done: number; readonly total: number } | null;
  readonly progressType: ProgressType | null;
  readonly message: string;
  readonly queuePosition: number | null;
  readonly etaSeconds: number | null;
  readonly nodeProgress: Snapshot["nodeProgress"];
  readonly aggregateProgress: Snapshot["aggregateProgress"];
  readonly preview: Preview | null;
}

export interface UseGeneration {
  /** `idle`: nothing was started; `submitting`: not accepted yet; `problem`: refused, or cannot be followed. */
  readonly status: Status | "idle" | "submitting" | "problem";
  readonly id: string | null;
  /** null while there is nothing to show progress of. */
  readonly progress: GenerationProgress | null;
  /** The final images; empty until it has succeeded. */
  readonly images: readonly Output[];
  /** Files kept so far, final ones included. */
  readonly outputs: readonly Output[];
  readonly error: Error | null;
  /** The newest whole record; final once the status is. */
  readonly record: GenerationRecord | null;
  readonly connection: Connection | null;
  /** Started and not over. */
  readonly isRunning: boolean;
  /** Start one; what was followed before is followed no more. Resolves with the record as it was accepted. */
  readonly generate: (request: GenerationRequest, options?: SubmitOptions) => Promise<GenerationRecord>;
  /** Follow one that exists, such as one another part of the application started. */
  readonly startTracking: (id: string) => Generation;
  /** Ask the service to end the generation; nothing if there is none. */
  readonly cancel: () => Promise<GenerationRecord | null>;
  /** Back to `idle`. The generation goes on. */
  readonly reset: () => void;
}

export function useGeneration(options?: UseGenerationOptions): UseGeneration;

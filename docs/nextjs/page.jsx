"use client";
// A page that makes a picture, follows it, and finds it again after a reload: the address names the generation.

import { useEffect } from "react";
import { isGenerationId } from "../lib/comfy-relay.js";
import { useGeneration } from "../lib/use-generation.js";

const BUSY = {
  submitting: "Sending …",
  pending: "Waiting for a free server",
  queued: "In the queue",
  canceling: "Stopping …",
};

export default function Page() {
  const { status, progress, images, error, isRunning, generate, startTracking, cancel } = useGeneration();

  useEffect(() => {
    const id = new URLSearchParams(window.location.search).get("g");
    if (isGenerationId(id)) startTracking(id);
  }, [startTracking]);

  async function submit(event) {
    event.preventDefault();
    const prompt = new FormData(event.currentTarget).get("prompt");
    try {
      const { id } = await generate({ template: "txt2img", prompt });
      window.history.replaceState(null, "", `?g=${id}`);
    } catch {
      // The hook has the error, and shows it below.
    }
  }

  return (
    <main>
      <form onSubmit={submit}>
        <label>
          Prompt <textarea name="prompt" required defaultValue="a lighthouse at dusk" />
        </label>
        <button disabled={isRunning}>Generate</button>
        {isRunning && (
          <button type="button" onClick={() => cancel().catch(() => {})}>
            Cancel
          </button>
        )}
      </form>

      {isRunning && <Progress progress={progress} text={progress?.message || BUSY[status] || "Working …"} />}
      {error && <Problem error={error} />}
      {images.map((image) => (
        <a key={image.url} href={image.url}>
          <img src={image.url} width={image.width} height={image.height} alt="The generated picture" />
        </a>
      ))}
    </main>
  );
}

function Progress({ progress, text }) {
  return (
    <section>
      <progress aria-label="Progress" max={100} value={progress?.percentage ?? 0} />
      <p role="status">
        {text}
        {progress?.steps && ` – step ${progress.steps.done} of ${progress.steps.total}`}
        {progress?.queuePosition && ` – place ${progress.queuePosition} in the queue`}
      </p>
      {progress?.preview && <img src={progress.preview.url} alt="The picture so far" />}
    </section>
  );
}

function Problem({ error }) {
  return (
    <section role="alert">
      <p>{error.message}</p>
      <ul>
        {error.errors?.map(({ pointer, message }) => (
          <li key={pointer}>
            {pointer}: {message}
          </li>
        ))}
      </ul>
    </section>
  );
}

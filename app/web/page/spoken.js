/**
 * What screen readers are told of progress: changes of state, each quarter, and the end. Not each step: nobody can
 * listen to that.
 */

import { say } from "./dom.js";
import { counted, failureWords, isOver, problemWords } from "./words.js";

export class Spoken {
  #last = new Map();

  constructor(element) {
    this.element = element;
  }

  /** Take in a handle's state; speaks only if there is something new to say. */
  heed(state) {
    const words = sentence(state);
    if (!state.id || !words || this.#last.get(state.id) === words) return;
    const isFirst = !this.#last.has(state.id);
    this.#last.set(state.id, words);
    // What had ended before it was shown is on the page; nothing happened.
    if (isFirst && state.isOver) return;
    say(this.element, words);
  }
}

function sentence({ status, percentage, queuePosition, record, isOver: gone, error }) {
  if (record && isOver(record.status)) {
    const { images, outputs } = record;
    const files = images.length ? counted(images.length, "picture") : counted(outputs.length, "file");
    if (record.status === "succeeded") return `Done: ${files}.`;
    return record.status === "failed" ? `Failed. ${failureWords(record.error).what}` : "Canceled.";
  }
  if (gone) return error ? problemWords(error).what : null;
  if (status === "running") return `Running, ${Math.floor(percentage / 25) * 25} percent.`;
  if (status === "canceling") return "Canceling.";
  return status ? `Waiting${queuePosition ? `, position ${queuePosition}` : ""}.` : null;
}

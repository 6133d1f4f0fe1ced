/**
 * The newest record of each generation the page knows. Owns no request: whoever hears of one puts it here, and every
 * view is told. A record that has ended is final: nothing older overwrites it.
 */

import { isOver } from "./words.js";

export class Records {
  #known = new Map();
  #listeners = new Set();

  get(id) {
    return this.#known.get(id);
  }

  /** Take in a whole record. */
  put(record) {
    const known = this.#known.get(record.id);
    if (known && isOver(known.status) && !isOver(record.status)) return;
    this.#known.set(record.id, record);
    this.#tell(record.id);
  }

  /** Take in what a handle knows by now; its record may be older than its state. */
  heed({ id, record, status, percentage, queuePosition, preview }) {
    if (!id || !record) return;
    const moment = { status: status ?? record.status, percentage, queuePosition, preview };
    this.put(isOver(record.status) ? record : { ...record, ...moment });
  }

  drop(id) {
    this.#known.delete(id);
    this.#tell(id);
  }

  unfinished() {
    return [...this.#known.values()].filter(({ status }) => !isOver(status));
  }

  /** Call `listener` with an id whenever its record changed or is gone. */
  watch(listener) {
    this.#listeners.add(listener);
  }

  #tell(id) {
    for (const listener of this.#listeners) listener(id);
  }
}

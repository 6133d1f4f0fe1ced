/**
 * Keeps the records of unfinished generations fresh that nobody follows: one question for all of them, only while the
 * page is seen. Also how tabs tell each other that something changed.
 */

const QUICK_MS = 2_000;
const CALM_MS = 15_000;
const ACTIVE = ["pending", "queued", "running", "canceling"];

export class Pulse {
  /** `followed()` gives the ids that are followed one by one; `news()` is called when the list is out of date. */
  constructor({ client, records, followed, news }) {
    Object.assign(this, { client, records, followed, news });
    this.channel = new BroadcastChannel("comfy-relay");
    this.channel.onmessage = () => this.wake();
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.wake();
    });
    addEventListener("online", () => this.wake());
  }

  /** Something changed here: the other tabs should look. */
  tell() {
    this.channel.postMessage("changed");
  }

  /** Something may have changed elsewhere. */
  wake() {
    this.news();
    this.schedule(0);
  }

  schedule(ms = this.pending().length ? QUICK_MS : CALM_MS) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.beat(), ms);
  }

  pending() {
    const followed = new Set(this.followed());
    return this.records.unfinished().filter(({ id }) => !followed.has(id));
  }

  async beat() {
    if (!document.hidden) {
      try {
        await this.look();
      } catch {
        // Out of reach: the next beat asks again, and what is followed says so itself.
      }
    }
    this.schedule();
  }

  async look() {
    const pending = this.pending();
    const { items } = await this.client.list({ status: ACTIVE, limit: 100 });
    const isNew = items.some(({ id }) => !this.records.get(id));
    const followed = new Set(this.followed());
    for (const record of items) if (!followed.has(record.id)) this.records.put(record);
    const active = new Set(items.map(({ id }) => id));
    const ended = pending.filter(({ id }) => !active.has(id));
    for (const { id } of ended) await this.settle(id);
    if (isNew) this.news();
  }

  async settle(id) {
    try {
      this.records.put(await this.client.get(id));
    } catch (error) {
      if (error.status === 404) this.records.drop(id);
      else throw error;
    }
  }
}

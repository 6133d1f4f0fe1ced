/**
 * Earlier generations, newest first: pages that load as they are scrolled to, filters, and cards that follow what is
 * heard of the unfinished ones. Owns the list; a click hands the id on.
 */

import { pageOf } from "./address.js";
import { h, icon, say } from "./dom.js";
import { load } from "./loading.js";
import { ago, counted, isOver, problemWords, stateOf } from "./words.js";

const PAGE = 24;
const ACTIVE = ["pending", "queued", "running", "canceling"];
const TYPING_MS = 250;

/** How far below the window the next page is asked for. */
const AHEAD_PX = 300;

export class History {
  constructor({ client, records, open, elements }) {
    Object.assign(this, { client, records, open, ...elements });
    this.ids = [];
    this.cursor = null;
    this.turn = 0;
    this.cardOf = new Map();
    records.watch((id) => this.changed(id));
    this.more.addEventListener("click", () => this.next());
    this.filters.addEventListener("submit", (event) => event.preventDefault());
    this.filters.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.load(), TYPING_MS);
    });
    new IntersectionObserver(
      (seen) => {
        if (seen.some(({ isIntersecting }) => isIntersecting)) this.next();
      },
      { rootMargin: `${AHEAD_PX}px` },
    ).observe(this.more);
  }

  /** The templates to filter by. */
  offer(templates) {
    const options = templates.map(({ name, title }) => h("option", { value: name, text: title || name }));
    this.filters.elements.template.append(...options);
    this.titles = new Map(templates.map(({ name, title }) => [name, title || name]));
    for (const id of this.ids) this.changed(id);
  }

  /** Begin anew, with the filters as they are. */
  async load() {
    this.ids = [];
    this.cursor = null;
    await this.fetch({ isHead: true });
  }

  /** Look for what is new at the top; what was scrolled to stays. */
  refresh() {
    return this.fetch({ isHead: true });
  }

  async next() {
    if (this.cursor && !this.isLoading) await this.fetch({ isHead: false });
  }

  async fetch({ isHead }) {
    const turn = (this.turn += 1);
    this.isLoading = true;
    try {
      const page = await this.client.list({ ...this.filter(), limit: PAGE, cursor: isHead ? null : this.cursor });
      if (turn !== this.turn) return;
      for (const record of page.items) this.records.put(record);
      const got = page.items.map(({ id }) => id);
      const rest = isHead ? this.older(page) : this.ids.filter((id) => !got.includes(id));
      if (!isHead || !rest.length) this.cursor = page.nextCursor;
      this.ids = isHead ? [...got, ...rest] : [...rest, ...got];
      this.show();
    } catch (error) {
      if (turn === this.turn) this.fail(error);
    } finally {
      if (turn === this.turn) this.isLoading = false;
    }
    if (turn === this.turn) this.fill();
  }

  /** The observer tells only of changes; a window that is not filled yet needs the next page without one. */
  fill() {
    if (!this.more.hidden && this.more.getBoundingClientRect().top < innerHeight + AHEAD_PX) this.next();
  }

  /** What is on the list below the newest page and stays there. */
  older({ items, nextCursor }) {
    const last = items.at(-1);
    if (!nextCursor || !last) return [];
    const got = new Set(items.map(({ id }) => id));
    return this.ids.filter((id) => !got.has(id) && this.records.get(id)?.createdAt <= last.createdAt);
  }

  filter() {
    const { q, status, template } = Object.fromEntries(new FormData(this.filters));
    return {
      ...(q.trim() && { q: q.trim() }),
      ...(status && { status: status === "active" ? ACTIVE : status }),
      ...(template && { template }),
    };
  }

  get isFiltered() {
    return Object.keys(this.filter()).length > 0;
  }

  fail(error) {
    const { what, remedy } = problemWords(error);
    say(this.note, `The history could not be read. ${what} ${remedy}`);
    this.more.hidden = true;
  }

  show() {
    this.ids = this.ids.filter((id) => this.records.get(id));
    for (const id of [...this.cardOf.keys()]) if (!this.ids.includes(id)) this.cardOf.delete(id);
    const cards = this.ids.map((id) => this.card(id).element);
    if (
      cards.length !== this.cards.children.length ||
      cards.some((card, index) => card !== this.cards.children[index])
    ) {
      this.cards.replaceChildren(...cards);
    }
    this.more.hidden = !this.cursor;
    const nothing = this.isFiltered
      ? "Nothing matches. Change or clear the filters."
      : "Nothing yet. What you make is kept here.";
    say(this.note, this.ids.length ? "" : nothing);
  }

  changed(id) {
    if (!this.ids.includes(id)) return;
    if (this.records.get(id)) this.card(id).update();
    else this.show();
  }

  /** Mark the ones the stage shows. */
  mark(ids) {
    this.current = new Set(ids);
    for (const id of this.cardOf.keys()) this.cardOf.get(id).update();
  }

  card(id) {
    const known = this.cardOf.get(id);
    if (known) return known;
    const card = new Card(id, this);
    this.cardOf.set(id, card);
    card.update();
    return card;
  }
}

class Card {
  constructor(id, list) {
    Object.assign(this, { id, list });
    this.frame = h("span", { class: "card-frame" });
    this.state = h("span", { class: "card-state" });
    this.count = h("span", { class: "card-count" });
    this.fill = h("span", { class: "bar-fill" });
    this.bar = h("span", { class: "bar", "aria-hidden": "true" }, this.fill);
    this.prompt = h("span", { class: "card-prompt" });
    this.meta = h("span", { class: "card-meta" });
    const open = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      list.open(id);
    };
    this.link = h("a", { class: "card", href: pageOf([id]), on: { click: open } }, this.frame, this.prompt, this.meta);
    this.element = h("li", {}, this.link);
  }

  update() {
    const record = this.list.records.get(this.id);
    const over = isOver(record.status);
    this.link.dataset.status = record.status;
    if (this.list.current?.has(this.id)) this.link.setAttribute("aria-current", "true");
    else this.link.removeAttribute("aria-current");
    say(this.prompt, record.prompt || this.list.titles?.get(record.template) || record.template || "A workflow");
    say(this.state, standing(record));
    this.fill.style.transform = `scaleX(${record.percentage / 100})`;
    this.bar.hidden = over;
    this.state.hidden = record.status === "succeeded";
    this.picture(record);
    say(this.count, record.images.length > 1 ? counted(record.images.length, "picture") : "");
    say(
      this.meta,
      [this.list.titles?.get(record.template) ?? record.template, ago(record.createdAt)].filter(Boolean).join(" · "),
    );
  }

  picture(record) {
    const output = record.images[0] ?? record.outputs.find(({ thumbnailUrl }) => thumbnailUrl);
    const kept = output?.thumbnailUrl;
    const src = kept ?? (isOver(record.status) ? null : record.preview?.url);
    const shown = `${src ?? record.status}`;
    if (this.shown === shown) return;
    this.shown = shown;
    const image = src
      ? h("img", { src: kept ? null : src, alt: "", loading: "lazy", decoding: "async" })
      : icon(record.status === "failed" ? "warning" : "picture");
    if (kept) load(image, kept);
    this.frame.replaceChildren(image, this.state, this.count, this.bar);
  }
}

/** `Done`, `Running · 40 %`, `Queued · position 2`. */
function standing({ status, percentage, queuePosition }) {
  if (status === "running") return `${stateOf(status)} · ${Math.floor(percentage)} %`;
  return queuePosition ? `${stateOf(status)} · position ${queuePosition}` : stateOf(status);
}

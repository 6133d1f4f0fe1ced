/**
 * What is shown: one generation, or the runs of a series side by side. Owns the handles of what is shown and closes
 * them when something else is; the URL follows it.
 */

import { name as nameInUrl, pageOf } from "./address.js";
import { button, h, icon } from "./dom.js";
import { SingleView } from "./single_view.js";
import { Tile } from "./tile.js";
import { alt } from "./gallery.js";
import { counted, isOver } from "./words.js";

/** Prompts to begin with, for someone who looks at an empty page. */
const IDEAS = [
  "a lighthouse at dusk, oil painting",
  "a paper boat on a calm lake, morning fog",
  "a greenhouse full of ferns, isometric drawing",
];

const TICK_MS = 250;

export class Stage {
  /** `acts`: see SingleView, and `idea(prompt)`; `spoken` is told what changed; `records` what was heard. */
  constructor(root, { client, records, lightbox, spoken, acts }) {
    Object.assign(this, { root, client, records, lightbox, spoken, acts });
    this.shown = [];
    this.acts = {
      ...acts,
      reload: () => this.open(this.ids, { replace: true }),
      enter: (id) => this.open([id]),
      open: (record, index) => this.enlarge(record, index),
    };
    setInterval(() => this.tick(), TICK_MS);
    this.empty();
  }

  get ids() {
    return this.shown.map(({ handle }) => handle.id).filter(Boolean);
  }

  /** Follow these and show them; none shows the invitation. */
  open(ids, { replace = false } = {}) {
    const same = new Map(this.shown.map(({ handle }) => [handle.id, handle]));
    const fresh = (id) => (same.get(id) && !same.get(id).state.error ? same.get(id) : this.client.follow(id));
    this.show(ids.map(fresh), { replace, ids });
  }

  /** Show generations that are followed already. `ids` where a handle does not know its own yet. */
  show(handles, { replace = false, ids = handles.map(({ id }) => id) } = {}) {
    this.release(handles);
    nameInUrl(ids, { replace });
    if (!handles.length) return this.empty();
    const single = handles.length === 1;
    this.shown = handles.map((handle, index) => {
      const view = single ? new SingleView(handle, this.acts) : new Tile(handle, index + 1, this.acts);
      const off = handle.subscribe(() => this.heard(handle, view));
      return { handle, view, off };
    });
    this.root.replaceChildren(single ? this.shown[0].view.element : this.series());
    for (const { handle, view } of this.shown) this.heard(handle, view);
    return undefined;
  }

  /** Say that what the URL names is no generation. */
  refuse(text) {
    this.release([]);
    this.root.replaceChildren(
      h(
        "div",
        { class: "outcome bad", role: "alert" },
        icon("warning"),
        h(
          "div",
          {},
          h("h2", { text: "Not found" }),
          h("p", { text: `“${text.slice(0, 60)}” names no generation.` }),
          h("p", { class: "remedy", text: "Choose one from the history, or make a new picture." }),
        ),
      ),
    );
  }

  heard(handle, view) {
    if (handle.state.connection === "closed" && !handle.state.isOver) return;
    view.update();
    this.records.heed(handle.state);
    this.spoken.heed(handle.state);
    this.head();
  }

  tick() {
    for (const { view } of this.shown) view.tick();
  }

  /** The window's title: how far it is, for someone in another tab. */
  head() {
    const running = this.shown.filter(({ handle }) => handle.state.status && !handle.state.isOver);
    const sum = this.shown.reduce((all, { handle }) => all + (handle.state.isOver ? 100 : handle.state.percentage), 0);
    document.title = running.length ? `${Math.floor(sum / this.shown.length)} % · comfy-relay` : "comfy-relay";
    if (!this.seriesHead) return;
    const over = this.shown.length - running.length;
    this.seriesHead.textContent = running.length
      ? `${over} of ${counted(this.shown.length, "run")} finished`
      : counted(this.shown.length, "run");
    this.stopAll.hidden = !running.length;
  }

  series() {
    this.seriesHead = h("h2", { text: "" });
    this.stopAll = button("Cancel all", { image: "stop" }, () => {
      for (const { handle } of this.shown) if (!handle.state.isOver) this.acts.cancel(handle);
    });
    const copy = button("Copy link", { image: "link" }, () => this.acts.copyPage(pageOf(this.ids)));
    const tiles = h("ul", { class: "tiles" }, ...this.shown.map(({ view }) => view.element));
    return h(
      "article",
      { class: "series" },
      h("div", { class: "series-head" }, this.seriesHead, this.stopAll, copy),
      tiles,
    );
  }

  empty() {
    const ideas = IDEAS.map((idea) =>
      h("button", { type: "button", class: "idea", text: idea, on: { click: () => this.acts.idea(idea) } }),
    );
    this.root.replaceChildren(
      h(
        "div",
        { class: "empty" },
        h("span", { class: "empty-sign", "aria-hidden": "true" }, icon("picture")),
        h("h2", { text: "Your picture appears here" }),
        h("p", { class: "soft", text: "Say what it should show and press Generate. Or begin with one of these:" }),
        h("div", { class: "ideas" }, ...ideas),
      ),
    );
    document.title = "comfy-relay";
  }

  enlarge(record, index) {
    const pictures = record.images.map((output, number) => ({
      output,
      caption: alt(record, record.images.length > 1 ? `Picture ${number + 1}` : "Picture"),
    }));
    this.lightbox.open(pictures, index);
  }

  release(kept) {
    this.seriesHead = this.stopAll = null;
    for (const { handle, off } of this.shown) {
      off();
      if (!kept.includes(handle) && !isOver(handle.state.status)) handle.close();
    }
    this.shown = [];
  }
}

/**
 * One generation of several: preview and bar while it runs, then its first picture. A link to the page that shows it
 * large. Shows what its handle knows.
 */

import { button, h, icon, say } from "./dom.js";
import { alt } from "./gallery.js";
import { pageOf } from "./address.js";
import { load } from "./loading.js";
import { failureWords, isOver, problemWords, stateOf } from "./words.js";

export class Tile {
  /** `acts`: `cancel(handle)`, `enter(id)` shows it alone, `open(handle, index)` shows a picture large. */
  constructor(handle, number, acts) {
    Object.assign(this, { handle, number, acts });
    this.image = h("img", { alt: "", hidden: true, decoding: "async" });
    this.fill = h("span", { class: "bar-fill" });
    this.bar = h(
      "div",
      {
        class: "bar",
        role: "progressbar",
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        "aria-label": `Progress of run ${number}`,
      },
      this.fill,
    );
    this.words = h("p", { class: "tile-words" });
    this.percent = h("span", { class: "percent numbers" });
    this.stop = button(`Cancel run ${number}`, { image: "stop", bare: true, hidden: true }, () => acts.cancel(handle));
    this.frame = h(
      "div",
      { class: "tile-frame" },
      h("span", { class: "canvas-blank", "aria-hidden": "true" }, icon("picture")),
      this.image,
    );
    this.foot = h("div", { class: "tile-foot" }, this.words, this.percent, this.stop);
    this.element = h("li", { class: "tile" }, this.frame, this.bar, this.foot);
  }

  update() {
    const { state } = this.handle;
    const over = isOver(state.record?.status) || state.isOver;
    this.shape(state.record);
    this.element.dataset.status = state.record && over ? state.record.status : (state.status ?? "pending");
    this.stop.hidden = over || !state.status || state.status === "canceling";
    this.bar.hidden = over;
    this.fill.style.transform = `scaleX(${state.percentage / 100})`;
    this.bar.setAttribute("aria-valuenow", Math.floor(state.percentage));
    say(this.percent, over ? "" : `${Math.floor(state.percentage)} %`);
    say(this.words, this.sentence(state, over));
    if (over) this.end(state.record);
    else if (state.preview) this.show(state.preview.url);
  }

  tick() {}

  get pictures() {
    return this.handle.state.record?.images ?? [];
  }

  sentence(state, over) {
    if (!over) return state.message || stateOf(state.status);
    if (!state.record || !isOver(state.record.status))
      return state.error?.status === 404 ? "Not found" : problemWords(state.error).what;
    return {
      succeeded: `Seed ${state.record.seed}`,
      failed: `Failed: ${failureWords(state.record.error).what}`,
      canceled: "Canceled",
    }[state.record.status];
  }

  shape(record) {
    const { width, height } = record?.params ?? {};
    this.frame.style.aspectRatio = width && height ? `${width} / ${height}` : "1 / 1";
  }

  end(record) {
    if (this.final || !record) return;
    this.final = true;
    const [first] = record.images;
    const url = pageOf([record.id]);
    const enter = (event) => {
      event.preventDefault();
      this.acts.enter(record.id);
    };
    const open = h("a", {
      class: "tile-open",
      href: url,
      "aria-label": `Run ${this.number}: show it alone`,
      on: { click: enter },
    });
    if (first) {
      this.image.alt = alt(record, `Run ${this.number}`);
      load(this.image, first.url).hidden = false;
    } else if (record.status !== "succeeded") {
      this.image.hidden = true;
    }
    this.frame.append(open);
  }

  show(url) {
    if (this.image.getAttribute("src") !== url) this.image.src = url;
    this.image.hidden = false;
  }
}

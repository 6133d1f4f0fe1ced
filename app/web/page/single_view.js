/**
 * One generation, large: preview and progress while it runs, then its pictures and what can be done with them, or why
 * there are none. Shows what its handle knows; what the buttons do is given.
 */

import { button, h, icon } from "./dom.js";
import { download, gallery } from "./gallery.js";
import { ProgressView } from "./progress.js";
import { KINDS, failureWords, isOver, problemWords, span } from "./words.js";

export class SingleView {
  /** `acts`: cancel, again, fill, remove, copy, use, open, enter; each takes the handle's record first. */
  constructor(handle, acts) {
    Object.assign(this, { handle, acts });
    this.progress = new ProgressView();
    this.preview = h("img", { class: "preview", alt: "Preview of the unfinished picture", hidden: true });
    this.canvas = h(
      "figure",
      { class: "canvas" },
      h("span", { class: "canvas-blank", "aria-hidden": "true" }, icon("picture")),
      this.preview,
    );
    this.stop = button("Cancel", { image: "stop", hidden: true }, () => acts.cancel(handle));
    this.running = h(
      "div",
      { class: "running" },
      this.canvas,
      h("div", { class: "panel" }, this.progress.element, this.stop),
    );
    this.ended = h("div", { class: "ended" });
    this.element = h("article", { class: "single" }, this.running, this.ended);
  }

  /** Show the handle's state; called whenever it changed. */
  update() {
    const state = this.handle.state;
    if (state.record && isOver(state.record.status)) return this.end(state.record);
    if (state.isOver) return this.lose(state.error);
    this.shape(state.record);
    this.progress.update(state);
    this.stop.hidden = !state.status || state.status === "canceling";
    if (state.preview && this.preview.getAttribute("src") !== state.preview.url) {
      this.preview.src = state.preview.url;
      this.preview.hidden = false;
    }
    return undefined;
  }

  tick() {
    if (this.handle.state.status && !this.handle.state.isOver) this.progress.tick();
  }

  /** The pictures, as the lightbox takes them. */
  get pictures() {
    return this.handle.state.record?.images ?? [];
  }

  /** Give the canvas the picture's shape before there is one, so that nothing jumps. */
  shape(record) {
    const { width, height } = record?.params ?? {};
    const known = width > 0 && height > 0;
    this.canvas.style.setProperty("--wide", known ? width : 512);
    this.canvas.style.setProperty("--high", known ? height : 512);
  }

  end(record) {
    if (this.final) return;
    this.final = record;
    this.running.remove();
    const shown = {
      succeeded: () => this.succeed(record),
      failed: () => this.fail(record),
      canceled: () => this.canceled(record),
    };
    this.ended.replaceChildren(...shown[record.status](), ...this.summary(record));
  }

  succeed(record) {
    const acts = { open: (index) => this.acts.open(record, index), use: (output) => this.acts.use(output) };
    const standIn = this.preview.hidden ? null : this.preview;
    const seed =
      record.seed != null &&
      button("Same again, new seed", { image: "again", class: "button" }, () => this.acts.again(record, { seed: -1 }));
    const shown = record.outputs.length ? gallery(record, acts, standIn) : this.nothing();
    return [shown, h("div", { class: "actions" }, seed, ...this.single(record), ...this.common(record))];
  }

  /** What can be done with the one file there is. */
  single({ outputs, images }) {
    if (outputs.length !== 1) return [];
    const use = images.length ? button("Use as input", { image: "input" }, () => this.acts.use(images[0])) : null;
    return [download(images[0] ?? outputs[0], "Download"), use];
  }

  nothing() {
    return h(
      "div",
      { class: "outcome" },
      icon("picture"),
      h(
        "div",
        {},
        h("h2", { text: "Nothing to show" }),
        h("p", { text: "It succeeded, and its workflow saves no file." }),
      ),
    );
  }

  fail(record) {
    const { what, remedy } = failureWords(record.error);
    const node = record.error?.nodeType
      ? h("p", { class: "soft", text: `At the node ${record.error.nodeType}.` })
      : null;
    return [
      h(
        "div",
        { class: "outcome bad", role: "alert" },
        icon("warning"),
        h(
          "div",
          {},
          h("h2", { text: "It failed" }),
          h("p", { text: what }),
          node,
          h("p", { class: "remedy", text: remedy }),
        ),
      ),
      h(
        "div",
        { class: "actions" },
        button("Try again", { image: "again", class: "button" }, () => this.acts.again(record, {})),
        ...this.common(record),
      ),
    ];
  }

  canceled(record) {
    return [
      h(
        "div",
        { class: "outcome" },
        icon("stop"),
        h(
          "div",
          {},
          h("h2", { text: "Canceled" }),
          h("p", { text: "It was ended before it was done. Nothing of it was kept." }),
        ),
      ),
      h(
        "div",
        { class: "actions" },
        button("Start it again", { image: "again", class: "button" }, () => this.acts.again(record, {})),
        ...this.common(record),
      ),
    ];
  }

  /** Following ended without an end of the generation: unknown, refused, out of reach. */
  lose(error) {
    const isUnknown = error?.status === 404;
    const { what, remedy } = isUnknown
      ? {
          what: "There is no such generation.",
          remedy: "The link is wrong, or it was removed. Choose another from the history.",
        }
      : problemWords(error);
    const retry = isUnknown ? null : button("Try again", { image: "again", class: "button" }, () => this.acts.reload());
    this.element.replaceChildren(
      h(
        "div",
        { class: "outcome bad", role: "alert" },
        icon("warning"),
        h(
          "div",
          {},
          h("h2", { text: isUnknown ? "Not found" : "Out of reach" }),
          h("p", { text: what }),
          h("p", { class: "remedy", text: remedy }),
          retry,
        ),
      ),
    );
  }

  common(record) {
    return [
      record.template && button("Edit settings", { image: "edit" }, () => this.acts.fill(record)),
      button("Copy link", { image: "link" }, () => this.acts.copy(record)),
      button("Remove", { image: "trash", bare: true, class: "icon-button last" }, () => this.acts.remove(record)),
    ];
  }

  summary(record) {
    const { width, height, model } = record.params;
    const facts = [
      ["Seed", record.seed],
      ["Steps", record.params.steps],
      ["Size", width && height ? `${width} × ${height}` : null],
      ["Model", model],
      ["Took", record.durationSeconds == null ? null : span(record.durationSeconds)],
      ["Server", record.backend],
      ["Project", record.projectId],
      ["From cache", record.outputsReused ? "yes" : null],
    ].filter(([, value]) => value != null && value !== "");
    const rows = facts.map(([name, value]) =>
      h("div", { class: "fact" }, h("dt", { text: name }), h("dd", { class: "numbers", text: String(value) })),
    );
    const [kind, meaning] = KINDS.complete;
    const done =
      record.status === "succeeded" &&
      h(
        "p",
        { class: "told" },
        h("span", { class: "badge", title: meaning, data: { kind: "complete" }, text: kind }),
        h("span", { text: record.message }),
      );
    return [
      done,
      record.prompt && h("p", { class: "asked", text: record.prompt }),
      h("dl", { class: "facts" }, ...rows),
    ].filter(Boolean);
  }
}

/**
 * The ComfyUI servers: a sentence in the header, and a sheet with health and load of each. Owns the questions to
 * `/api/backends`, which it asks only while somebody can see the page.
 */

import { button, h, say } from "./dom.js";
import { bytes, counted, problemWords } from "./words.js";

const IDLE_MS = 20_000;
const OPEN_MS = 3_000;

export class Backends {
  constructor({ client, opener, brief, notice }) {
    Object.assign(this, { client, opener, brief, notice });
    this.list = h("ul", { class: "servers" });
    this.said = h("p", { class: "soft", role: "status" });
    this.dialog = h(
      "dialog",
      { class: "sheet", "aria-labelledby": "backends-title" },
      h(
        "div",
        { class: "sheet-head" },
        h("h2", { id: "backends-title", text: "ComfyUI servers" }),
        button("Close", { image: "close", bare: true }, () => this.dialog.close()),
      ),
      this.said,
      this.list,
    );
    document.body.append(this.dialog);
    this.dialog.addEventListener("click", ({ target }) => {
      if (target === this.dialog) this.dialog.close();
    });
    opener.addEventListener("click", () => {
      this.dialog.showModal();
      this.look();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.look();
    });
  }

  /** Ask now, and again later. */
  async look() {
    clearTimeout(this.timer);
    const turn = (this.turn = (this.turn ?? 0) + 1);
    try {
      const { items } = await this.client.backends();
      if (turn === this.turn) this.show(items);
    } catch (error) {
      if (turn === this.turn) this.fail(error);
    }
    if (turn === this.turn && !document.hidden)
      this.timer = setTimeout(() => this.look(), this.dialog.open ? OPEN_MS : IDLE_MS);
  }

  show(items) {
    const ready = items.filter(({ healthy }) => healthy).length;
    this.mark(ready === items.length ? "good" : ready ? "some" : "bad");
    say(
      this.brief,
      items.length === 1 ? (ready ? "Server ready" : "Server away") : `${ready} of ${items.length} servers ready`,
    );
    say(
      this.said,
      items.length
        ? `${ready} of ${counted(items.length, "server")} ready`
        : "No server is set up. Set COMFY_RELAY_COMFYUI_URLS and start the service again.",
    );
    this.list.replaceChildren(...items.map(server));
    this.notice.hidden = ready > 0 || !items.length;
    say(
      this.notice,
      ready > 0 || !items.length
        ? ""
        : "No ComfyUI server answers right now. What you send is kept, and runs as soon as one is back.",
    );
  }

  fail(error) {
    const { what, remedy } = problemWords(error);
    this.mark("bad");
    say(this.brief, "Service away");
    say(this.said, `${what} ${remedy}`);
  }

  mark(health) {
    this.opener.querySelector(".dot").dataset.health = health;
  }
}

function server({
  name,
  healthy,
  version,
  device,
  vramTotalBytes,
  vramFreeBytes,
  running,
  queued,
  inFlight,
  lastError,
}) {
  const taken = vramTotalBytes ? vramTotalBytes - (vramFreeBytes ?? 0) : null;
  const facts = [
    ["Running", running ?? "?"],
    ["Queued", queued ?? "?"],
    ["Ours", inFlight],
    ["Version", version],
    ["Device", device],
  ].filter(([, value]) => value != null);
  return h(
    "li",
    { class: "server" },
    h(
      "div",
      { class: "server-head" },
      h("span", { class: "dot", data: { health: healthy ? "good" : "bad" } }),
      h("h3", { text: name }),
      h("span", { class: "soft", text: healthy ? "ready" : "not answering" }),
    ),
    lastError && !healthy
      ? h("p", { class: "error", text: `${lastError} Check that it runs and can be reached; work waits meanwhile.` })
      : null,
    h(
      "dl",
      { class: "facts" },
      ...facts.map(([term, value]) =>
        h("div", { class: "fact" }, h("dt", { text: term }), h("dd", { class: "numbers", text: String(value) })),
      ),
    ),
    taken === null
      ? null
      : h(
          "div",
          { class: "memory" },
          h(
            "p",
            { class: "node-words" },
            h("span", { text: "Video memory" }),
            h("span", { class: "soft numbers", text: `${bytes(taken)} of ${bytes(vramTotalBytes)}` }),
          ),
          h("meter", {
            min: 0,
            max: vramTotalBytes,
            high: vramTotalBytes * 0.92,
            value: taken,
            "aria-label": `Video memory of ${name}`,
          }),
        ),
  );
}

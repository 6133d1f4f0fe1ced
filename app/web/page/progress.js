/**
 * How far one generation is: kind, percentage, steps, the node at work, place in the queue, times. Shows what a handle
 * knows and a clock between two of its words; asks nobody.
 */

import { h, say } from "./dom.js";
import { KINDS, clock, isOver, stateOf } from "./words.js";

export class ProgressView {
  constructor() {
    this.badge = h("span", { class: "badge" });
    this.percent = h("span", { class: "percent numbers", "aria-hidden": "true" });
    this.message = h("p", { class: "message" });
    this.fill = h("span", { class: "bar-fill" });
    this.bar = h(
      "div",
      { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Progress" },
      this.fill,
    );
    this.facts = Object.fromEntries(
      ["Step", "Queue", "Pictures", "Nodes", "Elapsed", "Remaining"].map((name) => [name, fact(name)]),
    );
    this.nodeName = h("span", {});
    this.nodeCount = h("span", { class: "numbers soft" });
    this.nodeBar = h("progress", { class: "node-bar", "aria-label": "Progress of the node" });
    this.node = h(
      "div",
      { class: "node", hidden: true },
      h("p", { class: "node-words" }, this.nodeName, this.nodeCount),
      this.nodeBar,
    );
    this.trouble = h("p", { class: "trouble", role: "status", hidden: true });
    this.element = h(
      "div",
      { class: "progress" },
      h("div", { class: "progress-head" }, this.badge, this.message, this.percent),
      this.bar,
      this.node,
      h("dl", { class: "facts" }, ...Object.values(this.facts).map(({ element }) => element)),
      this.trouble,
    );
  }

  /** Show a handle's state. */
  update(state) {
    this.state = state;
    if (state.status === "running")
      this.ranAt ??= state.record?.startedAt ? Date.parse(state.record.startedAt) : Date.now();
    if (state.etaSeconds !== this.eta) Object.assign(this, { eta: state.etaSeconds, etaAt: Date.now() });
    const percentage = Math.floor(state.percentage);
    const isWaiting = state.status === "pending" || state.status === "queued";
    this.kind(state);
    say(this.message, state.message || stateOf(state.status));
    say(this.percent, `${percentage} %`);
    this.element.classList.toggle("waiting", isWaiting);
    this.fill.style.transform = `scaleX(${state.percentage / 100})`;
    this.bar.setAttribute("aria-valuenow", percentage);
    this.bar.setAttribute("aria-valuetext", `${percentage} percent. ${state.message ?? ""}`);
    this.facts.Step.show(state.steps && `${state.steps.done} / ${state.steps.total}`);
    this.facts.Queue.show(isWaiting && state.queuePosition ? `Position ${state.queuePosition}` : null);
    this.facts.Pictures.show(state.image?.total > 1 ? `${state.image.current} / ${state.image.total}` : null);
    this.facts.Nodes.show(
      state.aggregateProgress?.total ? `${state.aggregateProgress.finished} / ${state.aggregateProgress.total}` : null,
    );
    this.atNode(state.nodeProgress);
    this.connection(state.connection);
    this.tick();
  }

  /** Move the clocks on; called some times a second while it runs. */
  tick() {
    const { status, record, etaSeconds } = this.state;
    if (isOver(status)) return;
    const since = this.ranAt ?? (record ? Date.parse(record.createdAt) : Date.now());
    this.facts.Elapsed.name(this.ranAt ? "Elapsed" : "Waiting");
    this.facts.Elapsed.show(clock((Date.now() - since) / 1000));
    const left = etaSeconds == null ? null : etaSeconds - (Date.now() - this.etaAt) / 1000;
    this.facts.Remaining.show(left == null ? null : `about ${clock(Math.max(0, Math.ceil(left)))}`);
  }

  kind({ progressType, status }) {
    const kind = KINDS[progressType] ? progressType : "connected";
    const failed = status === "failed" || status === "canceled" || status === "canceling";
    const [word, meaning] = failed ? [stateOf(status), ""] : KINDS[kind];
    say(this.badge, word);
    this.badge.title = meaning;
    this.badge.dataset.kind = failed ? status : kind;
  }

  atNode(node) {
    this.node.hidden = !node;
    if (!node) return;
    say(this.nodeName, node.nodeName || node.nodeType);
    say(this.nodeCount, node.max > 1 ? `${node.value} / ${node.max}` : "");
    this.nodeBar.max = node.max || 1;
    this.nodeBar.value = node.value;
    this.nodeBar.textContent = `${node.value} of ${node.max}`;
  }

  connection(connection) {
    const isLost = connection === "waiting";
    this.trouble.hidden = !isLost;
    say(this.trouble, isLost ? "The connection was lost. The job goes on; this page is trying to reach it again." : "");
  }
}

function fact(word) {
  const term = h("dt", { text: word });
  const value = h("dd", { class: "numbers" });
  const element = h("div", { class: "fact", hidden: true, data: { fact: word } }, term, value);
  return {
    element,
    name: (name) => say(term, name),
    show: (text) => {
      element.hidden = !text;
      say(value, text || "");
    },
  };
}

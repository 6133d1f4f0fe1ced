/**
 * The form: a template, its parameters, how many runs. Owns what the visitor has entered, for each template, and keeps
 * it in this tab. It sends nothing: it hands a checked request to whoever made it.
 */

import { h, icon } from "./dom.js";
import { NumberField, TextField } from "./fields.js";
import { MediaField } from "./media_field.js";
import { fieldsOf } from "./parameters.js";
import { SizeField } from "./size_field.js";
import { problemWords } from "./words.js";

const DRAFT = "comfy-relay-draft";
const FIRST = "txt2img";
const MAX_RUNS = 8;

export class Form {
  /** `submit(request, runs)` returns a promise that rejects with what the service said if it refuses. */
  constructor(root, { client, submit }) {
    Object.assign(this, { root, client, submit });
    this.templates = [];
    this.models = {};
    this.fields = [];
    this.draft = JSON.parse(sessionStorage.getItem(DRAFT) ?? "null") ?? { template: null, values: {} };
    this.make();
    root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    root.addEventListener("input", () => this.keep());
    root.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.send();
      }
    });
    document.addEventListener("paste", (event) => this.paste(event));
  }

  /** Ask the service for templates and models and show the form. Rejects if it does not answer. */
  async load() {
    const [{ items }, models] = await Promise.all([this.client.templates(), this.client.models().catch(() => ({}))]);
    this.templates = items;
    this.models = models;
    const own = items.filter((template) => !template.builtIn);
    const group = (label, some) =>
      some.length &&
      h(
        "optgroup",
        { label },
        some.map(({ name, title }) => h("option", { value: name, text: title || name })),
      );
    this.select.replaceChildren(
      ...[
        group("Your own", own),
        group(
          "Built in",
          items.filter(({ builtIn }) => builtIn),
        ),
      ].filter(Boolean),
    );
    const known = [this.draft.template, FIRST, items[0]?.name].find((name) => items.some((each) => each.name === name));
    this.choose(known);
    this.button.disabled = false;
  }

  /** Show the fields of a template, with what was entered for it before. False if there is no such template. */
  choose(name) {
    const template = this.templates.find((each) => each.name === name || each.aliases.includes(name));
    if (!template) return false;
    this.template = template;
    this.select.value = template.name;
    this.about.textContent = template.description;
    const { sight, folded, fields } = fieldsOf(template, { client: this.client, models: this.models });
    this.fields = fields;
    this.size = [...sight, ...folded].find((field) => field instanceof SizeField);
    this.sight.replaceChildren(...sight.map(({ element }) => element));
    this.folded.replaceChildren(...folded.map(({ element }) => element), this.project.element);
    this.count.textContent = String(folded.length + 1);
    this.put(this.draft.values[template.name] ?? {});
    this.alert.hidden = true;
    return true;
  }

  /** Show the settings of an earlier generation; files stay as they are. False if its template is gone. */
  fill({ template, params, seed, projectId }) {
    if (!this.choose(template)) return false;
    const held = Object.fromEntries(
      this.fields.filter((field) => field instanceof MediaField).map(({ name, value }) => [name, value]),
    );
    this.put({ ...params, seed, ...held });
    this.project.value = projectId;
    this.keep();
    return true;
  }

  /** Put an upload into the first field that takes such a file, changing to a template that has one if need be. */
  async use(file) {
    const has = ({ parametersSchema }) =>
      Object.values(parametersSchema.properties).some(({ contentMediaType }) => contentMediaType?.startsWith("image/"));
    if (!has(this.template)) {
      const other = this.templates.find(({ name }) => name === "img2img") ?? this.templates.find(has);
      if (!other) throw new Error("No template takes a picture. Make one with POST /api/templates.");
      const prompt = this.field("prompt")?.value;
      this.choose(other.name);
      if (prompt && this.field("prompt")?.value === undefined) this.field("prompt").value = prompt;
    }
    const field = this.fields.find((each) => each instanceof MediaField && each.takes(file));
    this.root.scrollIntoView({ block: "start" });
    field.focus();
    await field.take(file);
    this.keep();
  }

  field(name) {
    return this.fields.find((each) => each.name === name);
  }

  /** Check, hand over, and show what was wrong where it was wrong. */
  async send() {
    if (this.button.disabled || !this.template) return;
    this.alert.hidden = true;
    const bad = [...this.fields, this.project, this.runs].filter((field) => !field.check());
    if (bad.length) return this.reveal(bad[0]);
    this.button.disabled = true;
    this.button.classList.add("busy");
    try {
      await this.submit(this.request(), this.runs.value ?? 1);
    } catch (error) {
      this.refused(error);
    } finally {
      this.button.disabled = false;
      this.button.classList.remove("busy");
    }
    return undefined;
  }

  request() {
    const params = {};
    const references = [];
    for (const field of this.fields) {
      const { name, value } = field;
      if (value === undefined) continue;
      if (field instanceof MediaField) references.push({ source: value.id, parameter: name });
      else params[name] = value;
    }
    this.referenced = references.map(({ parameter }) => parameter);
    return {
      template: this.template.name,
      params,
      ...(references.length && { references }),
      ...(this.project.value && { projectId: this.project.value }),
    };
  }

  /** Each place the service named goes to its field; the rest is said above the button. */
  refused(error) {
    const places = (error.errors ?? []).map(({ pointer, message }) => ({ field: this.at(pointer), message }));
    for (const { field, message } of places) field?.fail(sentence(message));
    const placed = places.find(({ field }) => field)?.field;
    const rest = places
      .filter(({ field }) => !field)
      .map(({ message }) => sentence(message))
      .join(" ");
    const { what, remedy } = problemWords(error);
    this.alert.replaceChildren(icon("warning"), h("p", {}, h("strong", { text: rest || what }), " ", remedy));
    this.alert.hidden = false;
    if (placed) this.reveal(placed);
  }

  /** The field a JSON pointer into the request means. */
  at(pointer) {
    const steps = pointer.split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
    if (steps[1] === "references") return this.field(this.referenced[Number(steps[2])]);
    if (steps[1] === "projectId") return this.project;
    return this.field(steps[1] === "params" ? steps[2] : steps[1]);
  }

  reveal(field) {
    if (this.fold.contains(field.element)) this.fold.open = true;
    field.focus();
  }

  put(values) {
    for (const field of this.fields) field.value = values[field.name] ?? field.schema.default;
    this.size?.mark();
  }

  keep() {
    if (!this.template) return;
    const values = Object.fromEntries(this.fields.map(({ name, value }) => [name, value]));
    this.draft.template = this.template.name;
    this.draft.values[this.template.name] = values;
    sessionStorage.setItem(DRAFT, JSON.stringify(this.draft));
  }

  paste(event) {
    const [file] = event.clipboardData?.files ?? [];
    const fields = this.fields.filter((each) => file && each instanceof MediaField && each.takes(file));
    const field =
      fields.find((each) => each.element.contains(document.activeElement)) ??
      fields.find((each) => !each.value) ??
      fields[0];
    if (!field) return;
    event.preventDefault();
    field.take(file);
  }

  make() {
    this.select = h("select", {
      id: "template",
      on: {
        change: () => {
          this.choose(this.select.value);
          this.keep();
        },
      },
    });
    this.about = h("p", { class: "hint" });
    this.sight = h("div", { class: "fields" });
    this.folded = h("div", { class: "fields" });
    this.count = h("span", { class: "count", "aria-hidden": "true" });
    this.fold = h("details", { class: "fold" }, h("summary", {}, "More settings", this.count), this.folded);
    this.project = new TextField("projectId", {
      schema: { maxLength: 200, description: "Any name, to find what belongs together." },
      label: "Project",
    });
    this.alert = h("div", { class: "alert", role: "alert", hidden: true });
    const runs = { type: "integer", minimum: 1, maximum: MAX_RUNS };
    this.runs = new NumberField("runs", { schema: runs, label: "Runs", hint: null });
    this.runs.value = 1;
    this.runs.element.title = "How many times, each with a new seed";
    this.button = h("button", { type: "submit", class: "button", disabled: true }, h("span", { text: "Generate" }));
    const keys = /Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘ Enter" : "Ctrl Enter";
    this.root.replaceChildren(
      h("div", { class: "field" }, h("label", { for: "template", text: "Template" }), this.select, this.about),
      this.sight,
      this.fold,
      h(
        "div",
        { class: "send" },
        this.alert,
        h("div", { class: "send-row" }, this.runs.element, this.button),
        h("p", { class: "hint keys", text: `${keys} sends it from any field.` }),
      ),
    );
  }
}

/** What the service says of a place, as a sentence. */
function sentence(message) {
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

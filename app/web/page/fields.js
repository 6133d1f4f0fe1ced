/**
 * The controls of a form, one for each property of a JSON Schema. Each knows its value, checks it against the schema
 * and shows what is wrong with it; none knows the form around it.
 */

import { button, h, nextId } from "./dom.js";
import { labelOf } from "./words.js";

/** Where a slider is of use. The number beside it takes everything the schema allows. */
const SLIDERS = {
  steps: [1, 60, 1],
  cfg: [1, 15, 0.5],
  guidance: [0, 10, 0.5],
  denoise: [0.05, 1, 0.05],
  batchSize: [1, 8, 1],
  length: [1, 161, 4],
  fps: [4, 60, 1],
  shift: [0, 16, 0.5],
  growMask: [0, 64, 1],
  strength: [0, 1, 0.05],
};

/** The words a checked value is answered with; null if it is right. `value` undefined means left empty. */
export function wrong(schema, value, required) {
  if (value === undefined) return required ? "Fill this in to go on." : null;
  if (typeof value === "number") return wrongNumber(schema, value);
  if (schema.maxLength && value.length > schema.maxLength) return `Too long: at most ${schema.maxLength} characters.`;
  return null;
}

function wrongNumber({ type, minimum, maximum, multipleOf }, value) {
  if (!Number.isFinite(value)) return "Give a number.";
  if (type === "integer" && !Number.isInteger(value)) return "Give a whole number.";
  if (minimum !== undefined && value < minimum) return `Give at least ${minimum}.`;
  if (maximum !== undefined && value > maximum) return `Give at most ${maximum}.`;
  if (multipleOf && Math.abs(value / multipleOf - Math.round(value / multipleOf)) > 1e-9) {
    return `Give a multiple of ${multipleOf}, such as ${Math.round(value / multipleOf) * multipleOf}.`;
  }
  return null;
}

/** What all controls share: label, hint, and the place for what is wrong. */
export class Field {
  constructor(name, { schema, required = false, label = labelOf(name), hint = schema.description }) {
    Object.assign(this, { name, schema, required });
    this.id = nextId("field");
    this.label = h("label", { for: this.id, text: label });
    this.wanted = name === "prompt" ? "Say what it should show." : null;
    this.hint = hint ? h("p", { class: "hint", id: `${this.id}-hint`, text: hint }) : null;
    this.error = h("p", { class: "error", id: `${this.id}-error`, hidden: true });
    this.element = h("div", { class: "field", data: { name } });
  }

  /** Put the control into its place; `control` is what takes focus and is marked when wrong. */
  build(control, ...around) {
    this.control = control;
    control.id = this.id;
    if (this.required) control.setAttribute("aria-required", "true");
    this.element.append(
      this.label,
      ...(around.length ? around : [control]),
      ...(this.hint ? [this.hint] : []),
      this.error,
    );
    this.describe();
    this.element.addEventListener("input", () => this.clear());
    return this;
  }

  describe() {
    const ids = [this.hint?.id, this.error.hidden ? null : this.error.id].filter(Boolean).join(" ");
    if (ids) this.control.setAttribute("aria-describedby", ids);
    else this.control.removeAttribute("aria-describedby");
  }

  get value() {
    return this.control.value === "" ? undefined : this.control.value;
  }

  set value(value) {
    this.control.value = value ?? "";
  }

  /** Whether the value may be sent; shows the reason if not. */
  check() {
    const isMissing = this.required && this.value === undefined;
    const reason = (isMissing && this.wanted) || wrong(this.schema, this.value, this.required);
    if (reason) this.fail(reason);
    else this.clear();
    return !reason;
  }

  fail(reason) {
    this.error.textContent = reason;
    this.error.hidden = false;
    this.control.setAttribute("aria-invalid", "true");
    this.describe();
  }

  clear() {
    if (this.error.hidden) return;
    this.error.hidden = true;
    this.control.removeAttribute("aria-invalid");
    this.describe();
  }

  focus() {
    this.control.focus();
  }
}

export class TextField extends Field {
  constructor(name, options) {
    super(name, options);
    const { schema, long } = options;
    const shared = {
      placeholder: long && name === "prompt" ? example(schema) : null,
      spellcheck: long ? null : "false",
    };
    this.build(
      long ? h("textarea", { rows: name === "prompt" ? 4 : 2, ...shared }) : h("input", { type: "text", ...shared }),
    );
  }

  get value() {
    return this.control.value.trim() === "" ? undefined : this.control.value.trim();
  }

  set value(value) {
    this.control.value = value ?? "";
  }
}

/** A list. Without a default the first entry leaves the choice to the service. */
export class ChoiceField extends Field {
  constructor(name, options) {
    const { schema, choices, required } = options;
    const free = schema.default === undefined && !required;
    super(name, free ? { ...options, hint: firstSentence(schema.description) } : options);
    const entries = choices.map((choice) => h("option", { value: String(choice), text: String(choice) }));
    this.choices = choices;
    this.build(h("select", {}, free && h("option", { value: "", text: "Automatic" }), ...entries));
  }

  get value() {
    return this.choices.find((choice) => String(choice) === this.control.value);
  }

  set value(value) {
    const known = this.choices.some((choice) => choice === value);
    if (value !== undefined && value !== null && !known) {
      this.choices = [...this.choices, value];
      this.control.append(h("option", { value: String(value), text: String(value) }));
    }
    this.control.value = value ?? "";
  }
}

export class SwitchField extends Field {
  constructor(name, options) {
    super(name, options);
    this.element.classList.add("switch");
    this.build(h("input", { type: "checkbox" }));
  }

  get value() {
    return this.control.checked;
  }

  set value(value) {
    this.control.checked = Boolean(value);
  }
}

/** A number, with a slider where one is of use: it repeats the number for the mouse, so others are not told of it. */
export class NumberField extends Field {
  constructor(name, options) {
    super(name, options);
    const { type, minimum, maximum, multipleOf } = options.schema;
    const step = multipleOf ?? (type === "integer" ? 1 : "any");
    const input = h("input", { type: "number", min: minimum, max: maximum, step, inputmode: "decimal" });
    const range = SLIDERS[name];
    if (!range) return this.build(input);
    const [low, high, by] = range;
    const least = Math.max(low, minimum ?? low);
    this.slider = h("input", {
      type: "range",
      min: least,
      max: Math.min(high, maximum ?? high),
      step: by,
      tabindex: -1,
      "aria-hidden": "true",
    });
    this.slider.addEventListener("input", () => {
      input.value = this.slider.value;
    });
    input.addEventListener("input", () => this.slide());
    return this.build(input, h("div", { class: "slider" }, this.slider, input));
  }

  get value() {
    if (this.control.validity.badInput) return NaN;
    return this.control.value === "" ? undefined : Number(this.control.value);
  }

  set value(value) {
    this.control.value = value ?? "";
    this.slide();
  }

  slide() {
    if (!this.slider) return;
    if (this.control.value !== "") this.slider.value = this.control.value;
    const { min, max, value } = this.slider;
    this.slider.style.setProperty("--filled", `${((value - min) / (max - min)) * 100}%`);
  }
}

/** A seed: empty means that the service chooses one. */
export class SeedField extends Field {
  constructor(name, options) {
    super(name, { ...options, hint: "The same seed and settings draw the same picture. Empty: a new one each time." });
    const input = h("input", {
      type: "text",
      inputmode: "numeric",
      placeholder: "New each time",
      spellcheck: "false",
      class: "numbers",
    });
    const roll = button("Roll a seed", { image: "dice", bare: true }, () =>
      this.change(Math.floor(Math.random() * 2 ** 32)),
    );
    const forget = button("New seed each time", { image: "close", bare: true }, () => this.change(undefined));
    this.build(input, h("div", { class: "joined" }, input, roll, forget));
  }

  change(value) {
    this.value = value;
    this.control.dispatchEvent(new Event("input", { bubbles: true }));
  }

  get value() {
    const text = this.control.value.trim();
    return text === "" || text === "-1" ? undefined : Number(text);
  }

  set value(value) {
    this.control.value = value === undefined || value === null || value === -1 ? "" : String(value);
  }

  check() {
    const value = this.value;
    if (value === undefined || Number.isSafeInteger(value)) return super.check();
    this.fail(`Give a whole number up to ${Number.MAX_SAFE_INTEGER}, or leave it empty.`);
    return false;
  }
}

/** What follows the first sentence of a description is for those who write requests by hand. */
export function firstSentence(text) {
  return text?.replace(/(?<=[.!?])\s.*/s, "");
}

function example(schema) {
  const [first] = schema.examples ?? [];
  return typeof first === "string" ? first : null;
}

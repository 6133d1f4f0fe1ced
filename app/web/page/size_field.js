/**
 * Width and height together: shapes to choose from, the two numbers, and a button that turns them.
 * Owns two fields; the form sees them as parameters of their own.
 */

import { button, h, nextId } from "./dom.js";
import { NumberField } from "./fields.js";

const SHAPES = [
  ["Square", 1, 1],
  ["Portrait", 3, 4],
  ["Tall", 9, 16],
  ["Landscape", 4, 3],
  ["Wide", 16, 9],
];

/** Pixels of a shape that a model draws well where the template has no size of its own. */
const USUAL_PIXELS = 512 * 512;

export class SizeField {
  constructor(width, height, { required }) {
    this.width = new NumberField("width", { schema: width, required: required.includes("width"), hint: null });
    this.height = new NumberField("height", { schema: height, required: required.includes("height"), hint: null });
    const group = nextId("shape");
    this.keeps = width.minimum === 0 && height.minimum === 0;
    const shapes = this.keeps ? [["As the input", 0, 0], ...SHAPES] : SHAPES;
    this.presets = shapes.map(([label, x, y]) =>
      this.preset(group, label, x ? `${x}:${y}` : "Keep", this.sized(width, height, x, y)),
    );
    const turn = button("Turn", { image: "swap", bare: true }, () => this.put(this.height.value, this.width.value));
    this.element = h(
      "fieldset",
      { class: "size" },
      h("legend", { text: "Size" }),
      h("div", { class: "shapes" }, ...this.presets.map(({ element }) => element)),
      h("div", { class: "pair" }, this.width.element, turn, this.height.element),
    );
    for (const field of [this.width, this.height]) field.control.addEventListener("input", () => this.mark());
  }

  /** The two fields, as any others. */
  get fields() {
    return [this.width, this.height];
  }

  /** Light up the shape that the numbers are, if any. */
  mark() {
    for (const { input, size } of this.presets) {
      input.checked = size[0] === this.width.value && size[1] === this.height.value;
    }
  }

  put(width, height) {
    this.width.value = width;
    this.height.value = height;
    this.width.control.dispatchEvent(new Event("input", { bubbles: true }));
    this.height.control.dispatchEvent(new Event("input", { bubbles: true }));
  }

  preset(group, label, ratio, size) {
    const title = size[0] ? `${label}, ${size[0]} × ${size[1]}` : label;
    const input = h("input", {
      type: "radio",
      name: group,
      class: "unseen",
      "aria-label": title,
      on: { change: () => this.put(...size) },
    });
    const drawn = h("span", { class: "shape-drawn", "aria-hidden": "true" });
    const [wide, high] = size[0] ? size : [1, 1];
    drawn.style.width = `${(18 * wide) / Math.max(wide, high)}px`;
    drawn.style.height = `${(18 * high) / Math.max(wide, high)}px`;
    if (!size[0]) drawn.classList.add("dashed");
    return {
      input,
      size,
      element: h("label", { class: "shape", title }, input, drawn, h("span", { "aria-hidden": "true", text: ratio })),
    };
  }

  sized(width, height, x, y) {
    if (!x) return [0, 0];
    const pixels = width.default && height.default ? width.default * height.default : USUAL_PIXELS;
    const fit = (length, { multipleOf = 8, maximum = 4096 }) =>
      Math.min(maximum, Math.round(length / multipleOf) * multipleOf);
    return [fit(Math.sqrt((pixels * x) / y), width), fit(Math.sqrt((pixels * y) / x), height)];
  }
}

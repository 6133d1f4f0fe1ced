/**
 * Builds elements. Owns no state and knows nothing of generations.
 */

const SVG = "http://www.w3.org/2000/svg";

/** Paths on a 24 by 24 grid, drawn with a line of the text's colour. */
const ICONS = {
  dice: "M4 4h16v16H4zM8.5 8.5h.01M15.5 8.5h.01M12 12h.01M8.5 15.5h.01M15.5 15.5h.01",
  close: "M6 6l12 12M18 6L6 18",
  download: "M12 4v11m0 0l-4.5-4.5M12 15l4.5-4.5M5 20h14",
  link: "M10 14a4 4 0 0 0 6 .4l3-3a4.2 4.2 0 0 0-6-6l-1.4 1.4M14 10a4 4 0 0 0-6-.4l-3 3a4.2 4.2 0 0 0 6 6l1.4-1.4",
  again: "M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6",
  input: "M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3M12 15V4m0 0L7.5 8.5M12 4l4.5 4.5",
  edit: "M4 20h4L19 9l-4-4L4 16z",
  trash: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13",
  stop: "M6 6h12v12H6z",
  swap: "M4 9h14m0 0l-4-4m4 4l-4 4M20 15H6m0 0l4 4m-4-4l4-4",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  expand: "M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9h.01",
  warning: "M12 4l9 16H3zM12 10v4M12 17h.01",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M4 12H2M22 12h-2M5 5l1 1M18 18l1 1M5 19l1-1M18 6l1-1",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  contrast: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M15 4v16M18 6v12",
};

/**
 * An element. `props`: `class`, `text`, `on` (listeners by type), `data`, properties such as `value` and `disabled`;
 * anything else is an attribute. Null and false leave an attribute out. Children that are null are left out.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) set(element, name, value);
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** A decorative picture; what it means must be said by the element around it. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button that shows an icon and a word, or with `{bare: true}` the icon alone and the word to screen readers. */
export function button(label, { image, bare = false, ...props } = {}, onClick) {
  const name = bare ? { "aria-label": label, title: label } : {};
  const style = bare ? "icon-button" : "button quiet";
  const on = onClick ? { click: onClick } : {};
  return h(
    "button",
    { type: "button", class: style, on, ...name, ...props },
    image && icon(image),
    bare ? null : label,
  );
}

/** Change the text only if it is another, so that live regions and observers hear of changes alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A new id for pairing a control with its label and hints. */
export const nextId = (
  (count) => (stem) =>
    `${stem}-${(count += 1)}`
)(0);

function set(element, name, value) {
  if (name === "on") {
    for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
  } else if (name === "data") {
    Object.assign(element.dataset, value);
  } else if (name === "text") {
    element.textContent = value;
  } else if (["value", "checked", "disabled", "hidden", "muted", "loop", "controls"].includes(name)) {
    element[name] = value;
  } else if (value != null && value !== false) {
    element.setAttribute(name, value === true ? "" : value);
  }
}

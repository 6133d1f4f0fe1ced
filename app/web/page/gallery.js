/**
 * What a generation delivered: pictures in their full size, videos, sounds, texts, other files. Owns the look of
 * results; what the buttons do is given.
 */

import { button, h, icon } from "./dom.js";
import { load } from "./loading.js";
import { bytes, counted } from "./words.js";

/**
 * `acts`: `open(index)` shows a picture large, `use(output)` takes it as input. What can be done with a single file is
 * among the buttons of its generation; of several each has its own. `standIn` is the last preview.
 */
export function gallery(record, acts, standIn = null) {
  const single = record.outputs.length === 1;
  const pictures = record.images.map((image, index) => picture(record, image, index, acts, single));
  const others = record.outputs.filter(({ kind }) => kind !== "image").map((output) => other(output, single));
  if (standIn && pictures.length) stand(standIn, pictures[0]);
  return h("div", { class: "gallery", data: { count: String(Math.min(pictures.length, 3)) } }, ...pictures, ...others);
}

/** Show the last preview until the browser has the picture, so that nothing is blank in between. */
function stand(preview, figure) {
  const shown = figure.querySelector("img");
  preview.alt = "";
  shown.before(preview);
  shown.addEventListener("load", () => preview.remove(), { once: true });
}

function picture(record, image, index, acts, single) {
  const many = record.images.length > 1;
  const name = many ? `Picture ${index + 1} of ${record.images.length}` : "The picture";
  const { width, height } = image;
  const shown = load(h("img", { width, height, alt: alt(record, name), decoding: "async" }), image.url);
  const open = h(
    "button",
    { type: "button", class: "open", "aria-label": `${name}: show it large`, on: { click: () => acts.open(index) } },
    shown,
    h("span", { class: "open-sign" }, icon("expand")),
  );
  if (single) return h("figure", { class: "shot" }, open);
  return h(
    "figure",
    { class: "shot" },
    open,
    h(
      "figcaption",
      { class: "shot-tools" },
      h("span", { class: "soft numbers", text: `${image.width} × ${image.height} · ${bytes(image.sizeBytes)}` }),
      download(image, `Download picture ${index + 1}`),
      button(`Use picture ${index + 1} as input`, { image: "input", bare: true }, () => acts.use(image)),
    ),
  );
}

/** A link that saves the file; the URL may carry a token already. */
export function download(output, label, bare = label !== "Download") {
  const url = `${output.url}${output.url.includes("?") ? "&" : "?"}download=true`;
  const props = bare ? { "aria-label": label, title: label } : {};
  return h(
    "a",
    { class: bare ? "icon-button" : "button quiet", href: url, download: output.filename, ...props },
    icon("download"),
    bare ? null : label,
  );
}

function other(output, single) {
  const shown =
    {
      video: () =>
        h("video", {
          src: output.url,
          controls: true,
          loop: true,
          muted: true,
          playsinline: true,
          "aria-label": output.filename,
        }),
      audio: () => h("audio", { src: output.url, controls: true, "aria-label": output.filename }),
      text: () => h("pre", { class: "text", tabindex: "0", text: output.text ?? output.filename }),
    }[output.kind]?.() ?? h("p", { class: "file" }, icon("picture"), output.filename);
  if (single) return h("figure", { class: "shot" }, shown);
  const frames = output.frames ? [counted(output.frames, "frame")] : [];
  const facts = [...frames, bytes(output.sizeBytes)].join(" · ");
  return h(
    "figure",
    { class: "shot" },
    shown,
    h(
      "figcaption",
      { class: "shot-tools" },
      h("span", { class: "soft numbers", text: facts }),
      download(output, "Download"),
    ),
  );
}

/** What a picture shows, as far as we know: what was asked for. */
export function alt(record, name) {
  return record.prompt ? `${name}: ${record.prompt}` : name;
}

/**
 * A picture, video or sound for a parameter: chosen, dropped or pasted, uploaded at once, shown small.
 * The value is the upload's record; what of it is sent is the form's business.
 */

import { button, h } from "./dom.js";
import { Field, firstSentence } from "./fields.js";
import { bytes, problemWords } from "./words.js";

export class MediaField extends Field {
  constructor(name, options) {
    super(name, { ...options, hint: firstSentence(options.schema.description) });
    this.client = options.client;
    this.upload = null;
    this.kind = (options.schema.contentMediaType ?? "image/*").split("/")[0];
    this.element.classList.add("media");
    const input = h("input", { type: "file", accept: `${this.kind}/*`, class: "unseen" });
    const words =
      this.kind === "image"
        ? "Drop, paste or choose a picture"
        : `Drop or choose a ${this.kind === "audio" ? "sound" : this.kind}`;
    this.words = words;
    this.text = h("span", { class: "drop-text", text: words });
    this.shown = h("span", { class: "drop-shown" });
    this.remove = button("Take it out", { image: "close", bare: true, hidden: true }, () => this.change(null));
    this.area = h("label", { class: "drop" }, this.shown, this.text, input);
    this.build(input, h("div", { class: "drop-row" }, this.area, this.remove));
    this.label.setAttribute("for", this.id);
    input.addEventListener("change", () => {
      if (input.files[0]) this.take(input.files[0]);
    });
    this.listen();
  }

  get value() {
    return this.upload ?? undefined;
  }

  set value(upload) {
    this.upload = upload ?? null;
    this.control.value = "";
    this.show();
  }

  /** Upload a file and hold it. A newer file given meanwhile wins. */
  async take(file) {
    const turn = (this.turn = (this.turn ?? 0) + 1);
    this.clear();
    this.area.classList.add("busy");
    this.text.textContent = "Uploading…";
    try {
      const upload = await this.client.upload(file, { filename: file.name });
      if (turn === this.turn) this.change(upload);
    } catch (error) {
      if (turn !== this.turn) return;
      this.change(null);
      const { what, remedy } = problemWords(error);
      this.fail(`${what} ${remedy}`);
    } finally {
      if (turn === this.turn) this.area.classList.remove("busy");
    }
  }

  /** Whether this field would take a pasted or dropped file. */
  takes(file) {
    return file.type.startsWith(`${this.kind}/`);
  }

  check() {
    const reason = this.area.classList.contains("busy") ? "Still uploading; wait a moment." : null;
    if (!reason && (this.upload || !this.required)) return true;
    this.fail(reason ?? `${this.words}.`);
    return false;
  }

  change(upload) {
    this.value = upload;
    this.element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  show() {
    const upload = this.upload;
    this.remove.hidden = !upload;
    this.area.classList.toggle("held", Boolean(upload));
    this.text.textContent = upload ? describe(upload) : this.words;
    this.shown.replaceChildren(...(upload?.thumbnailUrl ? [h("img", { src: upload.thumbnailUrl, alt: "" })] : []));
  }

  listen() {
    const over = (event) => {
      event.preventDefault();
      this.area.classList.add("over");
    };
    const out = () => this.area.classList.remove("over");
    this.area.addEventListener("dragenter", over);
    this.area.addEventListener("dragover", over);
    this.area.addEventListener("dragleave", out);
    this.area.addEventListener("drop", (event) => {
      event.preventDefault();
      out();
      const [file] = event.dataTransfer.files;
      if (file && this.takes(file)) this.take(file);
      else if (file) this.fail(`${this.words}: this is another kind of file.`);
    });
  }
}

function describe({ filename, width, height, sizeBytes }) {
  return [filename, width && height ? `${width} × ${height}` : null, bytes(sizeBytes)].filter(Boolean).join(" · ");
}

/**
 * One picture over the whole window, with its neighbours a key away. Owns the dialog; given the pictures each time.
 */

import { button, h, say } from "./dom.js";
import { download } from "./gallery.js";
import { load } from "./loading.js";

export class Lightbox {
  constructor() {
    this.image = h("img", { class: "lightbox-image" });
    this.caption = h("p", { class: "lightbox-caption" });
    this.place = h("span", { class: "numbers" });
    this.before = button("Picture before", { image: "left", bare: true }, () => this.step(-1));
    this.after = button("Picture after", { image: "right", bare: true }, () => this.step(1));
    this.tools = h("span", { class: "lightbox-tools" });
    this.dialog = h(
      "dialog",
      { class: "lightbox", "aria-label": "Picture, large" },
      h(
        "div",
        { class: "lightbox-top" },
        this.place,
        this.tools,
        button("Close", { image: "close", bare: true }, () => this.dialog.close()),
      ),
      h("div", { class: "lightbox-middle" }, this.before, this.image, this.after),
      this.caption,
    );
    this.dialog.addEventListener("keydown", ({ key }) => {
      if (key === "ArrowLeft") this.step(-1);
      if (key === "ArrowRight") this.step(1);
    });
    this.dialog.addEventListener("click", ({ target }) => {
      if (target === this.dialog || target.matches(".lightbox-middle")) this.dialog.close();
    });
    document.body.append(this.dialog);
  }

  /** `pictures`: `{output, caption}` each. Focus returns to where it was when the dialog closes. */
  open(pictures, index) {
    this.pictures = pictures;
    this.show(index);
    this.dialog.showModal();
  }

  step(by) {
    this.show((this.index + by + this.pictures.length) % this.pictures.length);
  }

  show(index) {
    const { output, caption } = this.pictures[index];
    this.index = index;
    const { width, height } = output;
    const image = load(h("img", { class: "lightbox-image", width, height, alt: caption }), output.url);
    this.image.replaceWith(image);
    this.image = image;
    say(this.caption, caption);
    const many = this.pictures.length > 1;
    this.place.textContent = many ? `${index + 1} / ${this.pictures.length}` : "";
    this.before.hidden = this.after.hidden = !many;
    this.tools.replaceChildren(download(output, "Download this picture"));
  }
}

/**
 * Light, dark, or as the system. Owns the button and what the visitor chose (localStorage).
 */

import { icon } from "./dom.js";

const CHOICE = "comfy-relay-theme";
const CHOICES = ["system", "light", "dark"];
const SHOWN = {
  system: ["contrast", "Colours: as the system"],
  light: ["sun", "Colours: light"],
  dark: ["moon", "Colours: dark"],
};

/** Apply the choice and let the button change it. */
export function theme(button) {
  let chosen = CHOICES.includes(localStorage.getItem(CHOICE)) ? localStorage.getItem(CHOICE) : "system";
  const apply = () => {
    const [image, label] = SHOWN[chosen];
    if (chosen === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.replaceChildren(icon(image));
    button.setAttribute("aria-label", label);
    button.title = label;
  };
  button.addEventListener("click", () => {
    chosen = CHOICES[(CHOICES.indexOf(chosen) + 1) % CHOICES.length];
    localStorage.setItem(CHOICE, chosen);
    apply();
  });
  apply();
}

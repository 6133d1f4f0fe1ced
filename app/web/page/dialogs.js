/**
 * Questions to the visitor that have to be answered first: the key, and whether something may be removed.
 * Each opens a modal dialog and resolves when it is closed.
 */

import { h, nextId } from "./dom.js";

/** The key typed in, or null if the visitor would rather not. */
export async function askKey({ wasWrong }) {
  const id = nextId("key");
  const input = h("input", { type: "password", id, required: true, autocomplete: "off", spellcheck: "false" });
  const said = wasWrong ? "That key is not known here. Check it, or ask whoever runs the service." : null;
  const error = said && h("p", { class: "error", id: `${id}-error`, text: said });
  if (error) input.setAttribute("aria-describedby", error.id);
  const body = h("div", { class: "field" }, h("label", { for: id, text: "API key" }), input, error);
  const why = "This service asks for a key. It is kept in this tab only, until you close it.";
  const answer = await ask("A key, please", why, body, { yes: "Continue", no: "Not now", focus: input });
  return answer ? input.value.trim() || null : null;
}

/** Whether the visitor agrees to something that cannot be taken back. */
export function confirm(title, consequence, yes) {
  return ask(title, consequence, null, { yes, no: "Keep it", danger: true });
}

/** Show an address to copy by hand, where the browser does not let pages write to the clipboard. */
export function showAddress(url) {
  const id = nextId("address");
  const input = h("input", { type: "text", id, readonly: true, value: url, on: { focus: () => input.select() } });
  const body = h("div", { class: "field" }, h("label", { for: id, text: "Link" }), input);
  return ask("Copy this link", "This browser lets no page write to the clipboard here.", body, {
    yes: "Done",
    focus: input,
  });
}

function ask(title, text, body, { yes, no, danger = false, focus }) {
  const id = nextId("dialog");
  const form = h(
    "form",
    { method: "dialog", class: "ask" },
    h("h2", { id, text: title }),
    h("p", { class: "soft", text }),
    body,
    h(
      "div",
      { class: "ask-buttons" },
      // Not a submit button: Enter in a field must press the other one.
      no && h("button", { type: "button", class: "button quiet", text: no, on: { click: () => dialog.close("") } }),
      h("button", { value: "yes", class: danger ? "button danger" : "button", text: yes }),
    ),
  );
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": id }, form);
  document.body.append(dialog);
  dialog.showModal();
  focus?.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

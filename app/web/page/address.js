/**
 * The state that can be shared: the page's URL names what is shown. Owns the `g` parameter, nothing else of the URL.
 */

import { isGenerationId } from "/web/comfy-relay.js";

/** Pictures of one series shown together; the URL stays short enough to be sent around. */
export const MAX_SHOWN = 12;

/** The ids the URL names; what is no id is left out. */
export function shownIds(search = location.search) {
  const ids = (new URLSearchParams(search).get("g") ?? "").split(",").filter(isGenerationId);
  return [...new Set(ids)].slice(0, MAX_SHOWN);
}

/** What the URL names that is no id, for saying so. */
export function strangeId(search = location.search) {
  const given = new URLSearchParams(search).get("g");
  return given && shownIds(search).length === 0 ? given : null;
}

/** Address of a page that shows these. */
export function pageOf(ids) {
  return ids.length ? `${location.pathname}?g=${ids.join(",")}` : location.pathname;
}

/** Make the URL name these. A visitor's Back button returns to what was shown before, unless `replace`. */
export function name(ids, { replace = false } = {}) {
  const url = pageOf(ids);
  if (url === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", url);
}

/** Call `listener` with the ids whenever Back or Forward changed them. */
export function onReturn(listener) {
  addEventListener("popstate", () => listener(shownIds()));
}

/**
 * The page's one client of the service, and the key it may need. The key stays in this tab (sessionStorage).
 */

import { ComfyRelay } from "/web/comfy-relay.js";
import { askKey } from "./dialogs.js";

const KEY = "comfy-relay-key";

/**
 * Streams open at once. A browser allows six connections to a host over HTTP/1.1, all tabs together: pictures,
 * requests and a second tab need the rest.
 */
const MAX_STREAMS = 2;

/** The client. When the service answers 401 the visitor is asked, and the request goes on. */
export function connect() {
  const client = new ComfyRelay({
    apiKey: sessionStorage.getItem(KEY),
    maxStreams: MAX_STREAMS,
    onUnauthorized: async () => {
      const key = await askKey({ wasWrong: client.apiKey !== null });
      if (key) sessionStorage.setItem(KEY, key);
      else sessionStorage.removeItem(KEY);
      return key;
    },
  });
  return client;
}

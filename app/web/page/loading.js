/**
 * Pictures that come although the network went away meanwhile: asked for again, a few times, and once it is back.
 * Browsers by themselves ask once. Owns nothing of how a picture looks.
 */

const FIRST_PAUSE_MS = 1_000;

/** The last pause is then half a minute; a file that is gone for good is not asked for any longer. */
const TRIES = 6;

/** Give the element this address, and again while it does not load. An element may be given another address later. */
export function load(image, url) {
  image.src = url;
  let tries = 0;
  const again = () => {
    clearTimeout(timer);
    removeEventListener("online", again);
    if (image.getAttribute("src") === url) image.src = url;
  };
  let timer;
  const failed = () => {
    if (image.getAttribute("src") !== url || (tries += 1) > TRIES) return;
    timer = setTimeout(again, FIRST_PAUSE_MS * 2 ** (tries - 1));
    addEventListener("online", again);
  };
  image.addEventListener("error", failed);
  return image;
}

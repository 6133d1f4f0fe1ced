/**
 * Puts the page together: the only module that knows all parts of it.
 */

import { name as nameInUrl, onReturn, pageOf, shownIds, strangeId } from "./address.js";
import { Backends } from "./backends.js";
import { confirm, showAddress } from "./dialogs.js";
import { button, h } from "./dom.js";
import { Form } from "./form.js";
import { History } from "./history.js";
import { Lightbox } from "./lightbox.js";
import { Pulse } from "./pulse.js";
import { Records } from "./records.js";
import { connect } from "./service.js";
import { Spoken } from "./spoken.js";
import { Stage } from "./stage.js";
import { theme } from "./theme.js";
import { problemWords } from "./words.js";

const TOAST_MS = 5_000;

const part = (id) => document.getElementById(id);

const client = connect();
const records = new Records();
const stage = new Stage(part("stage"), {
  client,
  records,
  lightbox: new Lightbox(),
  spoken: new Spoken(part("spoken")),
  acts: {
    cancel: attempt((handle) => handle.cancel()),
    again: attempt(async (record, overrides) => begin([await accepted(client.retry(record.id, overrides))])),
    fill: (record) => {
      if (form.fill(record)) part("form").scrollIntoView({ block: "start" });
      else toast(`The template ${record.template} is gone.`);
    },
    remove: attempt(remove),
    copy: (record) => copy(pageOf([record.id])),
    copyPage: copy,
    use: attempt(useAsInput),
    idea: (prompt) => {
      const field = form.field("prompt");
      if (!field) return;
      field.value = prompt;
      field.focus();
    },
  },
});
const form = new Form(part("form"), { client, submit });
const history = new History({
  client,
  records,
  open: (id) => show([id]),
  elements: { cards: part("cards"), filters: part("filters"), more: part("more"), note: part("history-note") },
});
const pulse = new Pulse({ client, records, followed: () => stage.ids, news: () => history.refresh() });
const backends = new Backends({
  client,
  opener: part("backends-open"),
  brief: part("backends-brief"),
  notice: part("notice"),
});

theme(part("theme"));
onReturn((ids) => show(ids, { replace: true }));
document.querySelector("[data-home]").addEventListener("click", (event) => {
  event.preventDefault();
  nameInUrl([]);
  show([], { replace: true });
});
start();

/** Everything is asked for at once; each part says for itself what it did not get. */
async function start() {
  if (strangeId()) stage.refuse(strangeId());
  else show(shownIds(), { replace: true });
  backends.look();
  history.load().then(() => pulse.schedule());
  await loadForm();
}

async function loadForm() {
  try {
    await form.load();
    history.offer(form.templates);
  } catch (error) {
    const { what, remedy } = problemWords(error);
    const again = button("Try again", { image: "again" }, () => {
      form.make();
      start();
    });
    form.sight.replaceChildren(
      h("div", { class: "alert", role: "alert" }, h("p", {}, h("strong", { text: what }), " ", remedy), again),
    );
  }
}

/** Send a request as often as asked, the first with the seed that was given and the others with new ones. */
async function submit(request, runs) {
  const handles = [await accepted(client.generate(request))];
  const next = { ...request, params: { ...request.params } };
  delete next.params.seed;
  try {
    while (handles.length < runs) handles.push(await accepted(client.generate(next)));
  } catch (error) {
    toast(`${handles.length} of ${runs} runs were started. ${problemWords(error).what}`);
  }
  begin(handles);
}

async function accepted(handle) {
  records.put(await handle.accepted);
  return handle;
}

function begin(handles) {
  stage.show(handles);
  history.mark(stage.ids);
  history.refresh();
  pulse.tell();
  reveal();
}

function show(ids, options) {
  stage.open(ids, options);
  history.mark(ids);
  if (ids.length && !options?.replace) reveal();
}

/** Bring the stage into view: on a narrow window it is below the form, and the history below both. */
function reveal() {
  const { top } = part("stage").getBoundingClientRect();
  const isSeen = top >= 0 && top < 140;
  if (!isSeen) part("stage").scrollIntoView({ block: "start", behavior: "smooth" });
  part("stage").focus({ preventScroll: true });
}

async function remove(record) {
  if (!(await confirm("Remove this generation?", "Its record and its files are deleted for good.", "Remove"))) return;
  await client.remove(record.id);
  records.drop(record.id);
  nameInUrl([]);
  show([], { replace: true });
  history.refresh();
  pulse.tell();
}

async function useAsInput(output) {
  const answer = await fetch(output.url);
  if (!answer.ok) throw new Error("The picture is no longer there. Choose another.");
  await form.use(new File([await answer.blob()], output.filename, { type: output.mimeType }));
}

async function copy(page) {
  const url = new URL(page, location.href).href;
  try {
    await navigator.clipboard.writeText(url);
    toast("Link copied");
  } catch {
    await showAddress(url);
  }
}

/** The same function, with what goes wrong said in words. */
function attempt(action) {
  return async (...given) => {
    try {
      await action(...given);
    } catch (error) {
      const { what, remedy } =
        error.status || error.name === "ConnectionLost" ? problemWords(error) : { what: error.message, remedy: "" };
      toast(`${what} ${remedy}`.trim());
    }
  };
}

function toast(text) {
  const element = part("toast");
  clearTimeout(toast.timer);
  element.textContent = text;
  element.classList.add("up");
  toast.timer = setTimeout(() => element.classList.remove("up"), TOAST_MS);
}

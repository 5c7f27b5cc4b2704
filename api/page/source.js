// The source beside an answer: a document at the passage that is cited, as its page looks or as text with line numbers.

import { byId, el, icon, problemNote } from "./dom.js";
import { nameOf, place } from "./format.js";
import { call, getJson, query } from "./http.js";
import { textOf } from "./source_text.js";

const SIDE = 24; // pixels to the left of it
const AROUND = 12_000; // characters on either side of what is cited
const PDF = "application/pdf";
const GRADES = {
  exact: "Exact: the source says this in so many words.",
  partial: "Partial: the source supports a part of this.",
  unsupported: "Unsupported: the words that were named do not support this.",
};

let shown = null; // what the pane shows: {answer, places, cited, collections, opener, ...}

export function openCitation(answer, places, cited, opener) {
  return open({ answer, places, cited, collections: answer.receipt.collection.split(", "), opener });
}

export function openDocument(document, collection, opener) {
  const cited = { document_id: document.id, source: document.source, title: document.title, span: { start: 0, end: 0 }, grade: "", place: { page: document.pages ? 1 : null } };
  return open({ answer: null, places: [], cited, collections: [collection], opener });
}

export function closeSource() {
  const pane = byId("source");
  if (pane.hidden) return;
  pane.hidden = true;
  pane.replaceChildren();
  document.body.classList.remove("with-source");
  byId("main").inert = byId("side").inert = false;
  mark(null);
  shown?.image && URL.revokeObjectURL(shown.image);
  const { opener } = shown;
  shown = null;
  if (opener?.isConnected) opener.focus();
}

async function open(wanted) {
  if (shown?.image) URL.revokeObjectURL(shown.image);
  const mine = (shown = { ...wanted, opener: shown?.opener?.isConnected && !wanted.opener ? shown.opener : wanted.opener });
  const pane = byId("source");
  const body = el("div", { class: "source-body", tabindex: "0", role: "region", "aria-label": "The source's text" }, el("p", { class: "muted", text: "Opening…" }));
  pane.hidden = false;
  document.body.classList.add("with-source");
  pane.replaceChildren(head(mine), body);
  byId("main").inert = byId("side").inert = covers(pane);
  mark(wanted.opener);
  pane.querySelector("#source-title").focus({ preventScroll: true });
  try {
    await load(mine);
    if (shown !== mine) return;
    pane.replaceChildren(head(mine), body);
    pane.querySelector("#source-title").focus({ preventScroll: true });
    await draw(mine, body);
  } catch (error) {
    if (shown === mine) body.replaceChildren(problemNote(error));
  }
}

/** Whether it lies over the page, rather than beside it. */
const covers = (pane) => getComputedStyle(pane).position === "fixed";

function mark(opener) {
  document.querySelectorAll(".is-open").forEach((each) => each.classList.remove("is-open"));
  opener?.classList.add("is-open");
}

/** The text around, from the one of the collections that has the document. */
async function load(mine) {
  const { cited, collections } = mine;
  const whole = cited.span ? { start: Math.max(0, cited.span.start - AROUND), end: cited.span.end + AROUND } : {};
  for (const [index, collection] of collections.entries()) {
    try {
      mine.text = await getJson(`v1/documents/${cited.document_id}/text${query({ collection, ...whole })}`);
      mine.collection = collection;
      break;
    } catch (error) {
      if (error.status !== 404 || index === collections.length - 1) throw error;
    }
  }
  mine.span = cited.span ?? passageAt(mine.text, cited.place);
  mine.page = cited.place?.page ?? null;
  mine.view = mine.text.media_type === PDF && mine.page ? "page" : "text";
}

/** A nearest miss names the lines of a passage, not its characters. */
function passageAt(text, at) {
  const found = text.passages.find((part) => part.line === at.line_start && (part.page ?? null) === (at.page ?? null));
  return found ? { start: found.start, end: found.end } : { start: 0, end: 0 };
}

function head(mine) {
  const { cited, places, text } = mine;
  const at = places.indexOf(cited);
  const step = (by) => () => open({ ...mine, cited: places[at + by], image: null, opener: chipOf(places[at + by]) ?? mine.opener });
  const views = text?.media_type === PDF ? el("div", { class: "switch", role: "group", "aria-label": "Show as" },
    ["page", "text"].map((view) => el("button", { type: "button", "aria-pressed": String(mine.view === view), text: view === "page" ? "Page" : "Text", onclick: () => show(mine, view) }))) : null;
  return el("header", { class: "source-head" },
    el("div", { class: "source-top" },
      el("h2", { id: "source-title", tabindex: "-1" }, nameOf(cited.source)),
      places.length > 1 ? el("div", { class: "stepper" },
        el("button", { type: "button", class: "icon-button", "aria-label": "Previous source", disabled: at <= 0, onclick: step(-1) }, icon("left")),
        el("span", { class: "muted small", text: `${at + 1} of ${places.length}` }),
        el("button", { type: "button", class: "icon-button", "aria-label": "Next source", disabled: at >= places.length - 1, onclick: step(1) }, icon("right"))) : null,
      el("button", { type: "button", class: "icon-button", "aria-label": "Close the source", onclick: closeSource }, icon("close"))),
    el("div", { class: "source-about" },
      cited.place?.line_start || cited.place?.page ? el("span", { text: place(cited.place) }) : null,
      cited.grade ? el("span", { class: `grade ${cited.grade}`, title: GRADES[cited.grade], text: cited.grade }) : null,
      cited.commit ? el("span", { class: "muted", text: `at ${cited.commit.slice(0, 10)}` }) : null,
      el("span", { class: "grow" }), views),
    cited.grade ? el("p", { class: "muted small", text: GRADES[cited.grade] }) : null);
}

const chipOf = (cited) => [...document.querySelectorAll(".answer .chip")].find((each) => each.textContent === String(cited.label));

function show(mine, view) {
  mine.view = view;
  const pane = byId("source");
  const body = pane.querySelector(".source-body");
  pane.replaceChildren(head(mine), body);
  pane.querySelector(`[aria-pressed="true"]`)?.focus();
  draw(mine, body).catch((error) => body.replaceChildren(problemNote(error)));
}

async function draw(mine, body) {
  if (mine.view === "page") {
    body.replaceChildren(el("p", { class: "muted", text: "Drawing the page…" }));
    try {
      return await drawPage(mine, body);
    } catch (error) { // its text is there in any case
      mine.view = "text";
      body.replaceChildren(el("p", { class: "note", text: `${error.message} Its text is shown instead.` }), textOf(mine.text, mine.span, grow(mine, body)));
      return scrollTo(body, body.querySelector("mark"));
    }
  }
  body.replaceChildren(textOf(mine.text, mine.span, grow(mine, body)));
  return scrollTo(body, body.querySelector("mark"));
}

async function drawPage(mine, body) {
  const { span, page, text } = mine;
  const path = `v1/documents/${text.document_id}/pages/${page}${query({ collection: mine.collection, start: span.start, end: span.end })}`;
  const response = await call("GET", path);
  if (mine.image) URL.revokeObjectURL(mine.image);
  mine.image = URL.createObjectURL(await response.blob());
  const quote = mine.cited.quote ? `, with this marked: ${mine.cited.quote.replace(/\s+/g, " ")}` : "";
  const image = el("img", { class: "page-image", src: mine.image, alt: `Page ${page} of ${nameOf(text.source)}${quote}` });
  const holder = el("div", { class: "page-holder" }, image);
  const box = response.headers.get("X-Highlight");
  const spot = box ? el("span", { class: "spot" }) : null;
  if (spot) {
    const [left, top, right, bottom] = box.split(" ").map((share) => `${100 * Number(share)}%`);
    Object.assign(spot.style, { left, top, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top})` });
    holder.append(spot);
  }
  await image.decode().catch(() => {});
  const turn = (to) => () => { mine.page = to; drawPage(mine, body).catch((error) => body.replaceChildren(problemNote(error))); };
  body.replaceChildren(holder, el("div", { class: "pager" },
    el("button", { type: "button", class: "small-button", disabled: page <= 1, onclick: turn(page - 1), text: "Page before" }),
    el("span", { class: "muted small", text: `Page ${page} of ${text.pages}` }),
    el("button", { type: "button", class: "small-button", disabled: page >= text.pages, onclick: turn(page + 1), text: "Page after" })));
  body.scrollTop = 0;
  if (spot) scrollTo(body, spot);
}

/** Reads on before or after what is shown. */
function grow(mine, body) {
  return async (before) => {
    const { text, collection } = mine;
    const range = before ? { start: Math.max(0, text.start - 2 * AROUND), end: text.start } : { start: text.end, end: text.end + 2 * AROUND };
    try {
      const more = await getJson(`v1/documents/${text.document_id}/text${query({ collection, ...range })}`);
      const [first, second] = before ? [more, text] : [text, more];
      mine.text = { ...text, start: first.start, end: second.end, text: first.text + second.text, passages: [...first.passages, ...second.passages] };
      const from = body.scrollHeight - body.scrollTop;
      body.replaceChildren(textOf(mine.text, mine.span, grow(mine, body)));
      if (before) body.scrollTop = body.scrollHeight - from;
    } catch (error) {
      body.prepend(problemNote(error));
    }
  };
}

function scrollTo(body, target) {
  if (!target) return;
  const [here, frame] = [target.getBoundingClientRect(), body.getBoundingClientRect()];
  body.scrollBy({ top: here.top - frame.top - body.clientHeight * 0.35, left: here.left - frame.left - SIDE, behavior: "instant" });
}

// A document's text with the numbers of its lines, and what is cited in it marked.

import { el } from "./dom.js";
import { unitsOf } from "./format.js";

/** ``grow(before)`` is called for what comes before or after the part that is there. */
export function textOf(part, span, grow) {
  const unit = unitsOf(part.text);
  const marked = [unit(Math.max(0, span.start - part.start)), unit(Math.max(0, span.end - part.start))];
  const rows = el("div", { class: `lines${isCode(part) ? " code" : ""}` });
  const pages = pageStarts(part, unit);
  let at = 0;
  let line = part.passages[0]?.line ?? 1;
  for (const text of part.text.split("\n")) {
    for (const page of pages.filter((each) => each.at >= at && each.at <= at + text.length)) {
      rows.append(el("div", { class: "page-mark", text: page.told }));
    }
    if (at + text.length < part.text.length || text) rows.append(row(line, text, marked[0] - at, marked[1] - at));
    at += text.length + 1;
    line += 1;
  }
  return el("div", {},
    part.start > 0 ? more("Show what comes before", () => grow(true)) : null,
    rows,
    part.end < part.characters ? more("Show what comes after", () => grow(false)) : null);
}

const isCode = (part) => Boolean(part.code) || /json|xml|yaml|csv|x-/.test(part.media_type);

const more = (text, onclick) => el("button", { type: "button", class: "small-button more", onclick, text });

function pageStarts(part, unit) {
  const found = [];
  let before = null;
  for (const passage of part.passages) {
    const told = passage.page ? `Page ${passage.page}` : passage.sheet ? `Sheet ${passage.sheet}` : null;
    if (told && told !== before) found.push({ at: unit(passage.start - part.start), told });
    before = told;
  }
  return found;
}

function row(line, text, from, to) {
  const first = Math.max(0, from);
  const last = Math.min(text.length, to);
  const content = first < last
    ? [text.slice(0, first), el("mark", { text: text.slice(first, last) }), text.slice(last)]
    : [text];
  return el("div", { class: "row" }, el("span", { class: "line-number", "aria-hidden": "true", text: String(line) }), el("span", { class: "line" }, content));
}

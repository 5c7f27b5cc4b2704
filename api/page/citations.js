// The citations of an answer: numbered in the order in which they are met, each a chip in the text and a line below it.

import { el } from "./dom.js";
import { excerpt, nameOf, place, unitsOf } from "./format.js";
import { openCitation } from "./source.js";

/** One for each place that is cited, with the sentences that it supports. */
export function numbered(answer) {
  const found = new Map();
  for (const citation of [...answer.citations].sort((one, other) => one.sentence.end - other.sentence.end)) {
    const id = `${citation.document_id} ${citation.span.start} ${citation.span.end}`;
    if (!found.has(id)) found.set(id, { ...citation, label: found.size + 1, uses: [] });
    const kept = found.get(id);
    kept.uses.push(citation);
    if (rank(citation.grade) < rank(kept.grade)) kept.grade = citation.grade;
  }
  return [...found.values()];
}

const rank = (grade) => ["exact", "partial", "unsupported"].indexOf(grade);

/** For prose.js: where which chips stand. */
export function chipsOf(answer, places) {
  const at = unitsOf(answer.text);
  return places
    .flatMap((cited) => cited.uses.map((use) => ({ at: at(use.sentence.end), make: () => chip(answer, places, cited, use) })))
    .sort((one, other) => one.at - other.at);
}

export function doubtfulOf(answer) {
  const at = unitsOf(answer.text);
  return answer.unsupported.map((span) => [at(span.start), at(span.end)]);
}

function chip(answer, places, cited, use) {
  const where = `${nameOf(cited.source)}, ${place(cited.place)}`;
  return el("button", {
    type: "button", class: `chip ${use.grade}`, text: String(cited.label), title: `${where} · ${use.grade}`,
    "aria-label": `Source ${cited.label}: ${where}, ${use.grade}`,
    onclick: (event) => openCitation(answer, places, cited, event.currentTarget),
  });
}

export function sourceList(answer, places) {
  if (!places.length) return null;
  return el("ol", { class: "cited", "aria-label": "Sources" }, places.map((cited) =>
    el("li", {}, el("button", { type: "button", onclick: (event) => openCitation(answer, places, cited, event.currentTarget) },
      el("span", { class: `chip ${cited.grade}`, text: String(cited.label), "aria-hidden": "true" }),
      el("span", { class: "cited-what" },
        el("span", { class: "cited-where" }, el("b", { text: nameOf(cited.source) }), ` ${place(cited.place)} `, el("span", { class: `grade ${cited.grade}`, text: cited.grade })),
        el("span", { class: "cited-quote", text: excerpt(cited.quote) }))))));
}

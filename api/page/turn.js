// One question and its answer, from the first event of the stream to the last.

import { chipsOf, doubtfulOf, numbered, sourceList } from "./citations.js";
import { el, problemNote } from "./dom.js";
import { excerpt, nameOf, number, place, plural, seconds, tokens } from "./format.js";
import { prose } from "./prose.js";
import { receiptOf } from "./receipt.js";
import { openCitation } from "./source.js";

const REDRAW_MS = 60;

export class Turn {
  constructor(question) {
    this.text = "";
    this.status = el("p", { class: "status" }, el("span", { class: "pulse", "aria-hidden": "true" }), el("span", { class: "status-text", text: "Searching…" }));
    this.body = el("div", { class: "answer", "aria-busy": "true" });
    this.foot = el("div", { class: "turn-foot" });
    this.element = el("article", { class: "turn" }, el("h2", { class: "question", text: question }), this.status, this.body, this.foot);
  }

  say(text) {
    this.status.hidden = !text;
    this.status.querySelector(".status-text").textContent = text;
  }

  waiting({ position, start_s: start }) {
    this.say(position > 0
      ? `Waiting: ${inLine(position)}, about ${seconds(start)}`
      : "Its turn has come…");
  }

  reading({ receipt, searched_for: searched }) {
    const documents = new Set(receipt.read.map((each) => each.document_id)).size;
    const soon = receipt.predicted_s ? `, about ${seconds(receipt.predicted_s)}` : "";
    this.searched = searched;
    if (receipt.read.length) this.say(`Reading ${tokens(receipt.context_tokens)} of ${plural(documents, "document")}${soon}…`);
  }

  piece(text) {
    this.text += text;
    this.say("");
    this.drawing ??= setTimeout(() => { this.drawing = null; this.draw(); }, REDRAW_MS);
  }

  draw() {
    if (this.isDone) return;
    this.body.replaceChildren(...prose(this.text));
    this.body.classList.add("writing");
  }

  /** The whole answer, also one of an earlier conversation. */
  answer(answer) {
    this.end();
    if (!answer.answerable) {
      this.body.replaceChildren(...notFound(answer));
    } else {
      const places = numbered(answer);
      const numbers = new Set(answer.receipt.read.map((each) => each.number));
      for (const citation of answer.citations) numbers.add(citation.number);
      this.body.replaceChildren(...prose(answer.text, { chips: chipsOf(answer, places), doubtful: doubtfulOf(answer), numbers }));
      this.foot.append(...[doubts(answer), sourceList(answer, places)].filter(Boolean));
    }
    if (this.searched && this.searched !== answer.question) {
      this.foot.append(el("p", { class: "muted small", text: `Searched for: ${this.searched}` }));
    }
    this.foot.append(receiptOf(answer.receipt));
  }

  stopped() {
    this.draw();
    this.end();
    this.foot.append(el("p", { class: "note", text: this.text ? "Stopped. This is not the whole answer, and it has not been checked." : "Stopped." }));
  }

  failed(error, again) {
    this.draw();
    this.end();
    this.foot.append(problemNote(error, error.retryable && again ? el("button", { type: "button", class: "small-button", onclick: again, text: "Ask again" }) : null));
  }

  end() {
    this.isDone = true;
    clearTimeout(this.drawing);
    this.say("");
    this.body.classList.remove("writing");
    this.body.removeAttribute("aria-busy");
  }
}

const inLine = (position) => (position === 1 ? "next in line" : `${number(position)}${{ 2: "nd", 3: "rd" }[position] ?? "th"} in line`);

function doubts(answer) {
  const count = answer.unsupported.length;
  if (!count) return null;
  return el("p", { class: "muted small doubts" }, el("span", { class: "unsupported", text: "Underlined" }),
    `: no support was found for ${count === 1 ? "this sentence" : `these ${count} sentences`} in what was read.`);
}

/** What was searched in vain, and what came nearest. */
function notFound(answer) {
  const { searched } = answer;
  const made = [el("p", { class: "not-found", text: "The documents do not say." })];
  if (answer.reason) made.push(el("p", { class: "muted", text: answer.reason }));
  if (!searched) return made;
  made.push(el("p", { class: "muted", text:
    `Searched ${plural(searched.passages, "passage")} of ${plural(searched.documents, "document")} in ${searched.collections.join(", ")}; ${number(searched.found)} found, ${tokens(searched.tokens_read)} read.` }));
  if (searched.nearest.length) {
    made.push(el("p", { class: "small-title", text: "What came nearest" }),
      el("ol", { class: "cited", "aria-label": "What came nearest" }, searched.nearest.map((miss) => el("li", {}, nearest(answer, miss)))));
  }
  return made;
}

function nearest(answer, miss) {
  return el("button", { type: "button", onclick: (event) => openCitation(answer, [], { ...miss, grade: "", line: miss.place.line_start }, event.currentTarget) },
    el("span", { class: "cited-what" },
      el("span", { class: "cited-where" }, el("b", { text: nameOf(miss.source) }), ` ${place(miss.place)} `, el("span", { class: "muted", text: miss.read ? "was read" : "was not read" })),
      el("span", { class: "cited-quote", text: `${excerpt(miss.quote)}…` })));
}

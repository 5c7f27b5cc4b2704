// An answer's text as elements: Markdown, with the chips of its citations and its unsupported sentences marked.

import { el } from "./dom.js";
import { blocks } from "./markdown.js";

const MARK = /\s*\[ ?(\d{1,4}(?:\s*[,;]\s*\d{1,4})*) ?\]/g;

/** ``chips``: [{at, make}] by rising offset, ``doubtful``: spans [start, end). The model's own marks of the blocks
 * ``numbers`` are left out: chips stand for them. */
export function prose(text, { chips = [], doubtful = [], numbers = new Set() } = {}) {
  return new Painter(text, chips, doubtful, marks(text, numbers)).painted();
}

function marks(text, numbers) {
  return [...text.matchAll(MARK)]
    .filter((match) => match[1].split(/[,;]/).every((each) => numbers.has(Number(each))))
    .map((match) => [match.index, match.index + match[0].length]);
}

class Painter {
  constructor(text, chips, doubtful, hidden) {
    Object.assign(this, { text, doubtful, hidden });
    this.chips = [...chips];
  }

  painted() {
    const made = blocks(this.text).map((block) => this.block(block));
    if (this.chips.length) (made.at(-1) ?? (made[0] = el("p"))).append(...this.due(Infinity));
    return made;
  }

  block(block) {
    switch (block.kind) {
      case "code": return el("pre", { tabindex: "0" }, el("code", { text: this.text.slice(block.start, block.end) }), ...this.due(block.end));
      case "h": return el("p", { class: "heading" }, this.runs(block.runs));
      case "quote": return el("blockquote", {}, this.runs(block.runs));
      case "ul": case "ol":
        return el(block.kind, {}, block.items.map((item) => el("li", { class: `depth-${item.depth}` }, this.runs(item.runs))));
      case "table": return this.table(block.rows);
      default: return el("p", {}, this.runs(block.runs));
    }
  }

  table([head, ...rows]) {
    const cellsOf = (row, kind) => row.map((cell) => el(kind, kind === "th" ? { scope: "col" } : {}, this.runs(cell)));
    return el("div", { class: "wide", tabindex: "0" },
      el("table", {}, el("thead", {}, el("tr", {}, cellsOf(head, "th"))), el("tbody", {}, rows.map((row) => el("tr", {}, cellsOf(row, "td"))))));
  }

  runs(runs) {
    const made = runs.flatMap((run) => this.run(run));
    return [...made, ...this.due(runs.at(-1)?.end ?? -1)];
  }

  run({ start, end, styles }) {
    const inCode = styles.includes("code");
    const borders = [...this.doubtful, ...(inCode ? [] : this.hidden)].flat();
    const cuts = [...new Set([start, end, ...[...borders, ...this.chips.map((chip) => chip.at)].filter((at) => at > start && at < end)])];
    cuts.sort((one, other) => one - other);
    return cuts.slice(1).flatMap((to, index) => {
      const from = cuts[index];
      const isHidden = !inCode && this.hidden.some(([first, last]) => first <= from && to <= last);
      return [...(isHidden ? [] : [this.piece(from, to, styles)]), ...this.due(to)];
    });
  }

  piece(from, to, styles) {
    let node = lines(this.text.slice(from, to));
    for (const style of [...styles].reverse()) node = el(style, {}, node);
    const isDoubtful = this.doubtful.some(([first, last]) => first <= from && to <= last);
    return isDoubtful ? el("span", { class: "unsupported", title: "No support was found for this in what was read" }, node) : node;
  }

  due(at) {
    const made = [];
    while (this.chips.length && this.chips[0].at <= at) made.push(this.chips.shift().make());
    return made;
  }
}

function lines(text) {
  const parts = text.split("\n");
  if (parts.length === 1) return document.createTextNode(text);
  const made = document.createDocumentFragment();
  parts.forEach((part, index) => made.append(...(index ? [el("br")] : []), part));
  return made;
}

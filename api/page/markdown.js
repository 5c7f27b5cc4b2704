// A safe subset of Markdown to a tree of blocks. Text is never copied: leaves are spans of the source, so that what is
// known of its characters (sentences, citations) can be put on them. Links stay text: a model's word is no address to go to.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const HEADING = /^ {0,3}#{1,6}\s+/;
const ITEM = /^(\s*)([-*+]|\d{1,3}[.)])\s+/;
const QUOTE = /^ {0,3}>\s?/;
const RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** Blocks: {kind, ...}. "p", "h", "quote" have ``runs``; "ul", "ol" ``items`` of runs with a depth; "table" ``rows`` of
 * cells of runs; "code" a span. A run is {start, end, styles}. */
export function blocks(text) {
  const lines = linesOf(text);
  const made = [];
  for (let at = 0; at < lines.length;) at = next(text, lines, at, made);
  return made;
}

function linesOf(text) {
  const lines = [];
  for (let start = 0; start <= text.length;) {
    let end = text.indexOf("\n", start);
    if (end < 0) end = text.length;
    lines.push({ start, end, text: text.slice(start, end) });
    start = end + 1;
  }
  return lines;
}

/** The line after the block that begins at ``at``. */
function next(text, lines, at, made) {
  const line = lines[at];
  if (!line.text.trim()) return at + 1;
  if (FENCE.test(line.text)) return code(lines, at, made);
  if (HEADING.test(line.text)) {
    made.push({ kind: "h", runs: runs(text, line.start + HEADING.exec(line.text)[0].length, line.end) });
    return at + 1;
  }
  if (ITEM.test(line.text)) return list(text, lines, at, made);
  if (line.text.includes("|") && RULE.test(lines[at + 1]?.text ?? "")) return table(text, lines, at, made);
  const quote = QUOTE.exec(line.text);
  let end = at + 1;
  while (end < lines.length && lines[end].text.trim() && !begins(lines[end].text)) end += 1;
  made.push({ kind: quote ? "quote" : "p", runs: runs(text, line.start + (quote?.[0].length ?? 0), lines[end - 1].end) });
  return end;
}

const begins = (line) => FENCE.test(line) || HEADING.test(line) || ITEM.test(line) || QUOTE.test(line);

function code(lines, at, made) {
  const fence = FENCE.exec(lines[at].text)[1];
  let end = at + 1;
  while (end < lines.length && !lines[end].text.trim().startsWith(fence)) end += 1;
  const last = lines[end - 1];
  made.push({ kind: "code", start: Math.min(lines[at].end + 1, last.end), end: last.end });
  return end + 1;
}

function list(text, lines, at, made) {
  const items = [];
  const ordered = /\d/.test(ITEM.exec(lines[at].text)[2]);
  for (; at < lines.length && lines[at].text.trim(); at += 1) {
    const item = ITEM.exec(lines[at].text);
    if (item) items.push({ depth: Math.min(3, Math.floor(item[1].length / 2)), start: lines[at].start + item[0].length, end: lines[at].end });
    else if (begins(lines[at].text)) break;
    else items.at(-1).end = lines[at].end;
  }
  made.push({ kind: ordered ? "ol" : "ul", items: items.map((each) => ({ depth: each.depth, runs: runs(text, each.start, each.end) })) });
  return at;
}

function table(text, lines, at, made) {
  const rows = [];
  for (let row = at; row < lines.length && lines[row].text.includes("|"); row += 1) {
    if (row !== at + 1) rows.push(cells(lines[row]).map(([start, end]) => runs(text, start, end)));
  }
  made.push({ kind: "table", rows });
  return at + 1 + rows.length;
}

function cells(line) {
  const found = [];
  const inner = /^\s*\|?/.exec(line.text)[0].length;
  let start = inner;
  for (let end = inner; end <= line.text.length; end += 1) {
    if (end < line.text.length && line.text[end] !== "|") continue;
    if (end < line.text.length || line.text.slice(start, end).trim()) found.push([line.start + start, line.start + end]);
    start = end + 1;
  }
  return found;
}

const INLINE = /(`+)(?!`)([^\n]+?)(?<!`)\1(?!`)|\*\*(?!\s)([^]+?)\*\*|__(?!\s)([^]+?)__|\*(?![\s*])([^*]+?)\*|(?<![\w_])_(?![\s_])([^_]+?)_(?!\w)/g;
const STYLES = [null, null, "code", "strong", "strong", "em", "em"];

function runs(text, start, end, styles = []) {
  const made = [];
  let at = start;
  for (const match of text.slice(start, end).matchAll(INLINE)) {
    const group = STYLES.findIndex((style, index) => style && match[index] !== undefined);
    const began = start + match.index;
    const inner = began + match[0].indexOf(match[group], match[1]?.length ?? 1);
    if (began > at) made.push({ start: at, end: began, styles });
    const within = [...styles, STYLES[group]];
    if (STYLES[group] === "code") made.push({ start: inner, end: inner + match[group].length, styles: within });
    else made.push(...runs(text, inner, inner + match[group].length, within));
    at = began + match[0].length;
  }
  if (at < end) made.push({ start: at, end, styles });
  return made;
}

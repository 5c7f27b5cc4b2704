// The receipt of an answer as a picture: where its tokens came from, when it began, what took how long, what was read.

import { el } from "./dom.js";
import { nameOf, number, place, plural, seconds, tokens } from "./format.js";

const STAGES = [
  ["wait", "waiting for others"], ["rewrite", "rewriting the question"], ["embed", "embedding"], ["search", "searching"],
  ["read", "reading around hits"], ["pack", "packing"], ["first_token", "prefill"], ["generate", "writing"], ["cite", "citing"],
];

export function receiptOf(receipt) {
  const took = receipt.seconds.total;
  const first = receipt.seconds.first_token;
  const told = [
    `${tokens(receipt.context_tokens)} read of ${plural(new Set(receipt.read.map((each) => each.document_id)).size, "document")}`,
    first === undefined ? null : `first word after ${seconds(first)}`,
    took === undefined ? null : `${seconds(took)} in all`,
  ].filter(Boolean);
  return el("details", { class: "receipt" },
    el("summary", {}, el("span", { text: "Receipt" }), el("span", { class: "muted", text: told.join(" · ") })),
    el("div", { class: "receipt-body" }, tokenBar(receipt), beginning(receipt), stages(receipt), read(receipt), dropped(receipt),
      receipt.warnings.map((warning) => el("p", { class: "note", text: warning })),
      el("p", { class: "muted small", text: `${receipt.model} · searched ${plural(receipt.passages, "passage")} of ${plural(receipt.documents, "document")} in ${receipt.collection}, ${number(receipt.hits)} found` })));
}

function figure(title, picture, ...below) {
  return el("figure", {}, el("figcaption", { text: title }), picture, ...below);
}

/** Shares of one bar, in the order of their parts: [name, value, class, text]. */
function bar(parts, label) {
  const sum = parts.reduce((total, part) => total + part[1], 0) || 1;
  return el("div", { class: "stack", role: "img", "aria-label": label }, parts.filter((part) => part[1] > 0).map(([, value, kind]) => {
    const piece = el("span", { class: kind });
    piece.style.flexGrow = String(value / sum);
    return piece;
  }));
}

function legend(parts) {
  return el("ul", { class: "legend" }, parts.map(([name, , kind, text]) =>
    el("li", {}, el("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), `${name} `, el("b", { text }))));
}

function tokenBar(receipt) {
  const left = receipt.dropped.reduce((sum, drop) => sum + drop.tokens, 0);
  const { usage } = receipt;
  const prompt = usage ? usage.prompt : receipt.context_tokens;
  const known = usage && usage.cached !== null && usage.cached !== undefined;
  const parts = known
    ? [["from cache", usage.cached, "cached", number(usage.cached)], ["computed", prompt - usage.cached, "computed", number(prompt - usage.cached)]]
    : [["in the prompt", prompt, "computed", number(prompt)]];
  parts.push(["left out", left, "dropped", number(left)]);
  const label = `Tokens: ${parts.map(([name, , , text]) => `${text} ${name}`).join(", ")}`;
  return figure("Tokens", bar(parts, label), legend(parts));
}

function beginning(receipt) {
  const measured = receipt.seconds.first_token;
  if (measured === undefined) return null;
  const { predicted_s: predicted, target_s: target } = receipt;
  const longest = Math.max(measured, predicted ?? 0, target ?? 0) * 1.08;
  const told = [["measured", measured, "computed"], ["predicted", predicted, "predicted"], ["target", target, "aim"]]
    .filter((each) => each[1] !== null && each[1] !== undefined)
    .map(([name, value, kind]) => [name, value, kind, seconds(value)]);
  const track = el("div", { class: "gauge", role: "img", "aria-label": `First word: ${told.map((each) => `${each[0]} ${each[3]}`).join(", ")}` });
  for (const [, value, kind] of told) {
    const piece = el("span", { class: kind });
    piece.style[kind === "computed" ? "width" : "left"] = `${(100 * value) / longest}%`;
    track.append(piece);
  }
  const late = target !== null && target !== undefined && measured > target * 1.1;
  return figure("First word", track, legend(told), late ? el("p", { class: "muted small", text: "Later than its target." }) : null);
}

function stages(receipt) {
  const parts = STAGES.filter(([name]) => receipt.seconds[name] >= 0.0005)
    .map(([name, told], index) => [told, receipt.seconds[name], `stage-${index % 5} stage-${name}`, seconds(receipt.seconds[name])]);
  if (!parts.length) return null;
  return figure("Time", bar(parts, `Time: ${parts.map((part) => `${part[0]} ${part[3]}`).join(", ")}`), legend(parts));
}

function read(receipt) {
  if (!receipt.read.length) return null;
  return el("details", { class: "list", open: receipt.read.length <= 6 }, el("summary", { text: `Read: ${tokens(receipt.context_tokens)} of ${number(receipt.budget_tokens)}` }),
    el("ul", {}, receipt.read.map((each) =>
      el("li", {}, el("span", { class: "name", text: nameOf(each.source, 2) }), el("span", { class: "muted", text: `${place(each.place)} · ${tokens(each.tokens)}` })))));
}

function dropped(receipt) {
  if (!receipt.dropped.length) return null;
  const sum = receipt.dropped.reduce((total, drop) => total + drop.tokens, 0);
  const merged = new Map();
  for (const drop of receipt.dropped) {
    const key = `${drop.title}\n${drop.reason}`;
    const kept = merged.get(key) ?? { ...drop, tokens: 0, count: 0 };
    merged.set(key, { ...kept, tokens: kept.tokens + drop.tokens, count: kept.count + drop.ordinals.length });
  }
  return el("details", { class: "list" }, el("summary", { text: `Found and left out: ${tokens(sum)}` }),
    el("ul", {}, [...merged.values()].map((drop) =>
      el("li", {}, el("span", { class: "name", text: drop.title }), el("span", { class: "muted", text: `${plural(drop.count, "passage")} · ${tokens(drop.tokens)} · ${drop.reason}` })))));
}

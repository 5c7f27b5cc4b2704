// "Start answering within N seconds", and how much will be read for it.

import { asked, onCollections } from "./collections.js";
import { byId } from "./dom.js";
import { number, seconds, tokens } from "./format.js";
import { getJson, query } from "./http.js";

const KEPT = "openbook.target";
const STOPS = [250, 500, 1000, 2000, 3000, 5000, 8000, 12000, 20000, 30000, 60000, null]; // milliseconds
const SETTLED_MS = 150;

let timer = null;
let latest = 0;

/** Milliseconds; null for no target. */
export const target = () => STOPS[Number(byId("target-range").value)] ?? null;

export function startTarget() {
  const range = byId("target-range");
  range.max = String(STOPS.length - 1);
  const kept = STOPS.indexOf(Number(localStorage.getItem(KEPT)));
  range.value = String(kept < 0 ? STOPS.length - 1 : kept);
  range.addEventListener("input", () => {
    localStorage.setItem(KEPT, String(target()));
    tell();
    soon();
  });
  byId("target").addEventListener("toggle", soon);
  onCollections(soon);
  tell();
}

function tell() {
  const ms = target();
  const told = ms === null ? "no limit" : `${ms / 1000} s`;
  byId("target-value").textContent = told;
  byId("target-range").setAttribute("aria-valuetext", ms === null ? "no limit" : `within ${told}`);
  byId("target-chosen").textContent = ms === null ? "Any time" : `Within ${told}`;
}

function soon() {
  clearTimeout(timer);
  if (byId("target").open) timer = setTimeout(plan, SETTLED_MS);
}

async function plan() {
  const mine = ++latest;
  const told = byId("target-plan");
  if (!asked().length) return;
  try {
    const found = await getJson(`v1/plan${query({ collection: asked(), target_ttft_ms: target() })}`, { quiet: true });
    if (mine === latest) show(found, told);
  } catch (error) {
    if (mine === latest) told.textContent = error.message;
  }
}

function show(found, told) {
  const most = Math.max(1, Math.min(found.budget_tokens, found.collection_tokens));
  byId("target-meter").style.width = `${Math.min(100, (100 * found.tokens) / most)}%`;
  const all = found.tokens >= found.collection_tokens ? "all " : "";
  const read = `Reads ${all || "up to "}${tokens(found.tokens)}${all ? "" : ` of ${number(found.collection_tokens)}`}.`;
  if (found.seconds === null) {
    told.textContent = `${read} How fast the model reads is not known yet, so a time has no effect (openbook calibrate).`;
    return;
  }
  const sure = found.error ? `, within ${Math.round(100 * found.error)}% in nine of ten cases` : "";
  const set = target() === null && found.target_ttft_ms ? ` ${found.target_ttft_ms / 1000} s are set for this collection.` : "";
  told.textContent = `${read} First word predicted after ${seconds(found.seconds)}${sure}.${set}`;
}

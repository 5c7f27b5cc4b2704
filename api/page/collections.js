// The collections that there are, and those that are asked.

import { byId, el } from "./dom.js";
import { plural } from "./format.js";
import { getJson } from "./http.js";

const KEPT = "openbook.collections";

let known = null; // by name: documents, passages, error
let chosen = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
const listeners = [];

export const onCollections = (listener) => listeners.push(listener);
export const names = () => Object.keys(known ?? {});
export const asked = () => chosen.filter((name) => name in (known ?? {}));

/** What ``/v1/status`` says. Raises Problem. */
export async function refreshCollections() {
  const status = await getJson("v1/status", { quiet: true });
  if (JSON.stringify(status.collections) === JSON.stringify(known)) return status; // nobody's focus is lost
  known = status.collections;
  if (!asked().length) chosen = names().includes("default") ? ["default"] : names().slice(0, 1);
  draw();
  listeners.forEach((listener) => listener());
  return status;
}

export function choose(these) {
  chosen = these;
  localStorage.setItem(KEPT, JSON.stringify(chosen));
  draw();
  listeners.forEach((listener) => listener());
}

function draw() {
  const asking = asked();
  byId("collections-chosen").textContent = asking.length > 2 ? plural(asking.length, "collection") : asking.join(", ") || "nothing yet";
  byId("collections-list").replaceChildren(...names().map((name) => {
    const size = known[name];
    const box = el("input", { type: "checkbox", name: "collection", value: name, checked: asking.includes(name), disabled: Boolean(size.error), onchange: change });
    return el("label", { class: "check" }, box, el("span", { text: name }),
      el("span", { class: "muted small", text: size.error ?? plural(size.documents, "document") }));
  }));
}

function change(event) {
  const boxes = [...byId("collections-list").querySelectorAll("input:checked")].map((box) => box.value);
  if (!boxes.length) { // one is asked at least
    event.target.checked = true;
    return;
  }
  chosen = boxes;
  localStorage.setItem(KEPT, JSON.stringify(chosen));
  const { value } = event.target;
  draw();
  byId("collections-list").querySelector(`input[value="${CSS.escape(value)}"]`)?.focus();
  listeners.forEach((listener) => listener());
}

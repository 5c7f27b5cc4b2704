// The conversations that there were.

import { byId, confirmed, el, icon } from "./dom.js";
import { ago } from "./format.js";
import { call, getJson, needsKey } from "./http.js";
import { askForKey } from "./key.js";

const SHOWN = 50;

export async function refreshHistory() {
  const list = byId("history");
  try {
    const { conversations } = await getJson(`v1/conversations?limit=${SHOWN}`, { quiet: true });
    const used = conversations.filter((each) => each.turns > 0);
    list.replaceChildren(...(used.length ? used.map(line) : [el("li", { class: "muted small", text: "None yet." })]));
  } catch (error) {
    const more = needsKey(error.status)
      ? el("button", { type: "button", class: "link", onclick: () => askForKey("Earlier conversations are for who has a key."), text: "Show with a key" })
      : el("span", { class: "muted small", text: error.message });
    list.replaceChildren(el("li", {}, more));
  }
}

function line(each) {
  const isOpen = location.hash === `#/c/${each.id}`;
  return el("li", {},
    el("a", { href: `#/c/${each.id}`, title: `${each.title}\n${ago(each.used_at)}`, "aria-current": isOpen ? "page" : null, text: each.title }),
    el("button", { type: "button", class: "icon-button", "aria-label": `Delete: ${each.title}`, onclick: () => remove(each) }, icon("bin")));
}

async function remove(each) {
  if (!(await confirmed("Delete this conversation?", each.title, "Delete"))) return;
  await call("DELETE", `v1/conversations/${each.id}`).catch(() => {}); // gone already is as good
  if (location.hash === `#/c/${each.id}`) location.hash = "#/";
  await refreshHistory();
}

// What a collection holds: looked through, added to, removed from.

import { asked, choose, names, onCollections, refreshCollections } from "./collections.js";
import { announce, byId, confirmed, el, icon, problemNote } from "./dom.js";
import { ago, nameOf, number, plural, tokens } from "./format.js";
import { call, getJson, query } from "./http.js";
import { openDocument } from "./source.js";
import { filesOf, onUploaded, upload } from "./uploads.js";

const AT_ONCE = 100; // documents of one page

const SETTLED_MS = 150; // after the last key

let timer = null;
let latest = 0;

export function startDocuments() {
  const collection = byId("documents-collection");
  collection.addEventListener("change", () => { showDocuments(); if (!collection.value) byId("new-collection").focus(); });
  byId("new-collection").addEventListener("input", name);
  byId("documents-filter").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(showDocuments, SETTLED_MS);
  });
  byId("documents-tools").addEventListener("submit", (event) => event.preventDefault());
  byId("pick").addEventListener("click", () => byId("files").click());
  byId("files").addEventListener("change", (event) => {
    take([...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })));
    event.target.value = "";
  });
  onUploaded((into) => {
    if (into === collectionOf()) showDocuments();
    if (!asked().length) choose([into]);
  });
  onCollections(options);
  dropping();
}

/** One of those that there are, or the name of a new one. */
const collectionOf = () => byId("documents-collection").value || byId("new-collection").value.trim() || "default";

function options() {
  const select = byId("documents-collection");
  const wanted = select.options.length ? collectionOf() : asked()[0];
  select.replaceChildren(...names().map((each) => el("option", { value: each, text: each })), el("option", { value: "", text: "New collection…" }));
  select.value = names().includes(wanted) ? wanted : "";
  name();
}

function name() {
  byId("new-collection-field").hidden = Boolean(byId("documents-collection").value);
  byId("drop-collection").textContent = collectionOf();
}

function take(files) {
  if (files.length) upload(files, collectionOf());
}

/** Files may be dropped anywhere on the page. */
function dropping() {
  const cover = byId("drop-all");
  const brings = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const shows = (is) => { cover.hidden = !is; if (!is) depth = 0; };
  addEventListener("dragenter", (event) => {
    if (!brings(event)) return;
    depth += 1;
    cover.firstElementChild.textContent = `Drop to add to ${collectionOf()}`;
    shows(true);
  });
  addEventListener("dragover", (event) => { if (brings(event)) event.preventDefault(); });
  addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) shows(false); });
  addEventListener("drop", async (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    shows(false);
    const dropped = filesOf(event.dataTransfer); // what it holds is gone after the first wait
    location.hash = "#/documents";
    take(await dropped);
  });
}

export async function showDocuments() {
  const collection = collectionOf();
  const list = byId("documents-list");
  name();
  if (!names().includes(collection)) {
    latest += 1;
    byId("documents-count").textContent = `There is no collection ${collection} yet: the first file makes it.`;
    list.replaceChildren();
    return;
  }
  const page = await pageOf(collection, 0);
  if (!page) return;
  const wanted = byId("documents-filter").value.trim();
  byId("documents-count").textContent = wanted ? `${plural(page.total, "document")} of that name` : plural(page.total, "document");
  const rows = el("ul", { class: "documents" });
  list.replaceChildren(rows);
  fill(rows, page);
}

/** Those of the filter from ``offset`` on; null where somebody has asked for others meanwhile. */
async function pageOf(collection, offset) {
  const mine = ++latest;
  try {
    const name = byId("documents-filter").value.trim();
    const page = await getJson(`v1/collections/${collection}/documents${query({ name, offset, limit: AT_ONCE })}`);
    return mine === latest ? page : null;
  } catch (error) {
    if (mine === latest) byId("documents-list").replaceChildren(problemNote(error));
    return null;
  }
}

function fill(rows, { collection, documents, offset, total }) {
  rows.append(...documents.map(line));
  const next = offset + documents.length;
  if (next >= total) return;
  const more = el("button", { type: "button", class: "small-button", text: `Show more (${number(total - next)} left)`, onclick: async () => {
    const page = await pageOf(collection, next);
    if (!page) return;
    more.remove();
    fill(rows, page);
  } });
  rows.after(more);
}

function line(each) {
  const file = nameOf(each.source);
  const about = [
    each.title && each.title !== file ? each.title : null,
    each.pages ? plural(each.pages, "page") : null,
    tokens(each.tokens),
    ago(each.ingested_at),
  ].filter(Boolean).join(" · ");
  return el("li", {},
    el("button", { type: "button", class: "document", onclick: (event) => openDocument(each, collectionOf(), event.currentTarget) },
      icon("files"), el("span", {}, el("b", { text: file }), el("span", { class: "muted small", text: about }))),
    el("button", { type: "button", class: "icon-button", "aria-label": `Remove ${file}`, title: "Remove", onclick: () => remove(each) }, icon("bin")));
}

async function remove(each) {
  const file = nameOf(each.source);
  const collection = collectionOf();
  const kept = each.source.includes("/uploads/") ? "The file that was uploaded goes with it." : "The file itself stays where it is.";
  if (!(await confirmed(`Remove ${file}?`, `It will not be found in ${collection} any more. ${kept}`, "Remove"))) return;
  try {
    await call("DELETE", `v1/collections/${collection}/documents/${each.id}`);
    announce(`${file} was removed`);
    await refreshCollections();
    await showDocuments();
  } catch (error) {
    byId("documents-list").prepend(problemNote(error));
  }
}

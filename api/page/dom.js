// Elements without innerHTML: text of documents and models becomes text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Properties: "class", "text", functions for "onclick" and the like, and attributes; false and null leave one out. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const byId = (id) => document.getElementById(id);

/** For screen readers; politely, after what they are saying. */
export function announce(text) {
  const live = byId("live");
  live.textContent = "";
  requestAnimationFrame(() => { live.textContent = text; });
}

/** What went wrong, with the way out. */
export function problemNote(error, ...more) {
  return el("div", { class: "note problem", role: "alert" }, icon("warn"),
    el("div", {}, el("p", { text: error.message }), error.hint ? el("p", { class: "muted", text: error.hint }) : null, ...more));
}

/** Whether the person says yes. */
export async function confirmed(title, text, yes) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  return (await answered(dialog)) === "yes";
}

/** The value of the button that closed a dialog; "" for Escape. */
export function answered(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

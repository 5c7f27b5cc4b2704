// Figures, times and places as people read them.

const whole = new Intl.NumberFormat("en");

export const number = (value) => whole.format(value);

export const tokens = (value) => `${number(value)} ${value === 1 ? "token" : "tokens"}`;

export const plural = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export function seconds(value) {
  if (value < 0.095) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 90) return `${Math.round(value)} s`;
  return `${Math.round(value / 60)} min`;
}

export function bytes(value) {
  if (value < 1000) return `${value} B`;
  const unit = value < 1e6 ? "kB" : value < 1e9 ? "MB" : "GB";
  const scaled = value / { kB: 1e3, MB: 1e6, GB: 1e9 }[unit];
  return `${scaled < 10 ? scaled.toFixed(1) : Math.round(scaled)} ${unit}`;
}

/** The file's name in a source URI; "folder/name" where ``parts`` is 2. */
export function nameOf(source, parts = 1) {
  let path = source;
  try { path = decodeURIComponent(source.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, "")); } catch { /* as it is */ }
  return path.replace(/\/+$/, "").split("/").slice(-parts).join("/");
}

export function place(at) {
  if (at.page !== null && at.page !== undefined) return `p. ${at.page}`;
  if (at.sheet) return `sheet ${at.sheet}`;
  return at.line_start === at.line_end ? `line ${at.line_start}` : `lines ${at.line_start}–${at.line_end}`;
}

/** A quotation in one line; the borders of a table's cells become points. */
export const excerpt = (quote) => quote.replace(/\s+/g, " ").replace(/^\s*\||\|\s*$/g, "").replace(/ ?(\| ?)+/g, " · ").trim();

export function ago(iso) {
  if (!iso) return "";
  const passed = (Date.now() - Date.parse(iso)) / 1000;
  if (passed < 60) return "just now";
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 86400) return `${Math.floor(passed / 3600)} h ago`;
  return new Date(iso).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
}

/** Offsets in the service count characters, those of JavaScript UTF-16 units: a function from the first to the second. */
export function unitsOf(text) {
  if (!/[\ud800-\udbff]/.test(text)) return (at) => at;
  const units = [0];
  for (const character of text) units.push(units[units.length - 1] + character.length);
  return (at) => units[Math.min(at, units.length - 1)];
}

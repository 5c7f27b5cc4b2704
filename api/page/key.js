// The key: from the link that `openbook serve` prints (#key=...) or as typed, for as long as the tab is open.

import { answered, byId } from "./dom.js";

const KEPT = "openbook.key";
let asking = null;

/** Takes the key out of the address, where it would stay in the history; whether there was one. */
export function keyFromAddress() {
  const found = /[#&]key=([^&]+)/.exec(location.hash);
  if (!found) return false;
  sessionStorage.setItem(KEPT, decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

export const key = () => sessionStorage.getItem(KEPT) ?? "";

export function authorization() {
  return key() ? { Authorization: `Bearer ${key()}` } : {};
}

/** Asks for a key, once however many requests need it; whether there is another one now. */
export function askForKey(why) {
  asking ??= asked(why).finally(() => { asking = null; });
  return asking;
}

async function asked(why) {
  const input = byId("key-input");
  byId("key-why").textContent = why;
  input.value = "";
  const answer = await answered(byId("key-dialog"));
  const typed = input.value.trim().replace(/^.*#key=/, "");
  input.value = "";
  if (answer !== "use" || !typed) return false;
  sessionStorage.setItem(KEPT, typed);
  dispatchEvent(new Event("openbook:key"));
  return true;
}

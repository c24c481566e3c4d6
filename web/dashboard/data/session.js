// Who is signed in. The token lives in this tab alone, goes out as a header and never as a cookie,
// so no other site can use it.

import { store } from "../parts/store.js";

const KEY = "callboard.token";
const LINK = "#/link/";

/**
 * {token, account, rights, until}: `account` undefined for the administrator; `rights` (read or
 * manage) and `until` (Unix seconds) of a link; null when nobody is signed in.
 */
export const session = store(null);
export const farewell = store("");

let ending = null;

/** The token of the link that the address is, which is then put away; else the one of this tab. */
export function remembered() {
  if (location.hash.startsWith(LINK)) {
    const token = location.hash.slice(LINK.length);
    history.replaceState(null, "", `${location.pathname}${location.search}#/`);
    return token;
  }
  return kept((storage) => storage.getItem(KEY)) ?? null;
}

/** A link that is opened in a tab with the page takes the place of who was signed in. */
addEventListener("hashchange", () => location.hash.startsWith(LINK) && location.reload());

export function signedIn(token, { account, rights, until }) {
  kept((storage) => storage.setItem(KEY, token));
  farewell.set("");
  clearTimeout(ending);
  if (until) {
    const leftMs = until * 1000 - Date.now();
    ending = setTimeout(() => signOut("The link has ended."), Math.max(0, leftMs));
  }
  session.set({ token, account, rights, until });
}

export function signOut(reason = "") {
  clearTimeout(ending);
  kept((storage) => storage.removeItem(KEY));
  farewell.set(reason);
  session.set(null);
}

/** Whether who is signed in may change things, as far as the page knows; the server decides. */
export const mayChange = () => session.get()?.rights !== "read";

/** Uses the tab's storage. A frame of another site may have none: then a reload ends the session. */
function kept(use) {
  try {
    return use(sessionStorage);
  } catch {
    return undefined;
  }
}

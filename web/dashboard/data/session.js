// Who is signed in. The token lives in this tab alone, goes out as a header and never as a cookie,
// so no other site can use it.

import { store } from "../parts/store.js";

const KEY = "callboard.token";

/** {token, account}: `account` undefined for the administrator; null when nobody is signed in. */
export const session = store(null);
export const farewell = store("");

export const remembered = () => sessionStorage.getItem(KEY);

export function signedIn(token, account) {
  sessionStorage.setItem(KEY, token);
  farewell.set("");
  session.set({ token, account });
}

export function signOut(reason = "") {
  sessionStorage.removeItem(KEY);
  farewell.set(reason);
  session.set(null);
}

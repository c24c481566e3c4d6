// Which view is open: the part of the address behind #, so that views can be linked and gone back to.

import { store } from "./store.js";

const parse = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);

/** The parts of the address, e.g. ["hooks", account, id]; [""] is the overview. */
export const route = store(parse());
addEventListener("hashchange", () => route.set(parse()));

export const link = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

export const go = (...parts) => {
  location.hash = link(...parts);
};

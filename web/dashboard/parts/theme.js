// Light or dark: what the system prefers, until the operator chooses.

import { store } from "./store.js";

const KEY = "callboard.theme";
const preference = matchMedia("(prefers-color-scheme: dark)");
const current = () =>
  document.documentElement.dataset.theme ?? (preference.matches ? "dark" : "light");

/** The colours in use: light or dark. */
export const theme = store(current());
preference.addEventListener("change", () => theme.set(current()));

export function toggleTheme() {
  const chosen = theme.get() === "dark" ? "light" : "dark";
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // A frame of another site may keep nothing.
  }
  document.documentElement.dataset.theme = chosen;
  theme.set(chosen);
}

// Keys that do something wherever the focus is, except in a field or a dialog.

import { useLayoutEffect } from "./html.js";

const typing = (target) =>
  target.closest?.("input, textarea, select, dialog[open]") || target.isContentEditable;

/** `bindings`: {key: function}; they hold while the view that uses them is there. */
export function useKeys(bindings) {
  useLayoutEffect(() => {
    const listen = (press) => {
      if (press.ctrlKey || press.metaKey || press.altKey || press.defaultPrevented) return;
      if (press.key === "Escape" && press.target.matches?.("main input")) press.target.blur();
      const bound = typing(press.target) ? undefined : bindings[press.key];
      if (bound) {
        press.preventDefault();
        bound();
      }
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  });
}

/** Moves the focus among the rows of a table: j, k and the arrow keys. */
export function moveRow(step) {
  const rows = [...document.querySelectorAll("main [data-row]")];
  const at = rows.indexOf(document.activeElement.closest("[data-row]"));
  const next = rows[at === -1 ? (step > 0 ? 0 : rows.length - 1) : at + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** Keys of a row that can be opened. */
export const rowKeys = (open) => (press) => {
  if (press.target !== press.currentTarget) return;
  if (press.key === "Enter" || press.key === " ") {
    press.preventDefault();
    open();
  }
};

// Preact with htm: templates that are parsed here, so that there is nothing to build. A value in a
// template becomes a text node or an attribute's value, never markup.

import htm from "../vendor/htm.js";
import { h } from "../vendor/preact.js";

export { render } from "../vendor/preact.js";
export {
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "../vendor/hooks.js";

export const html = htm.bind(h);

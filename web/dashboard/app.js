// The page: who is signed in, the bar at the top, the view that the address names.

import * as api from "./data/api.js";
import { Question } from "./parts/dialog.js";
import { duration } from "./parts/format.js";
import { html, render, useEffect, useState } from "./parts/html.js";
import { moveRow, useKeys } from "./parts/keys.js";
import { follow, live, stop } from "./data/live.js";
import { stopWatching, watchTrouble } from "./data/trouble.js";
import { Notes } from "./parts/notes.js";
import { go, link, route } from "./parts/route.js";
import { remembered, session, signedIn, signOut } from "./data/session.js";
import { store, useStore } from "./parts/store.js";
import { theme, toggleTheme } from "./parts/theme.js";
import { Attempts } from "./views/attempts.js";
import { Catalogue } from "./views/catalogue.js";
import { DeadLetters } from "./views/dead_letters.js";
import { Endpoints } from "./views/endpoints.js";
import { Help } from "./views/help.js";
import { Hook } from "./views/hook.js";
import { NewHook } from "./views/hook/form.js";
import { Hooks } from "./views/hooks.js";
import { Overview } from "./views/overview.js";
import { SignIn } from "./views/sign_in.js";

const VIEWS = [
  ["", "Overview"],
  ["hooks", "Hooks"],
  ["deliveries", "Deliveries"],
  ["endpoints", "Endpoints"],
  ["dead-letters", "Dead letters"],
  ["events", "Events"],
];
/** What an account sees. */
const OWN_VIEWS = ["hooks", "deliveries", "dead-letters", "events"];

/** {name}: what it is called here. */
const brand = store({ name: "Callboard" });

function App() {
  const signed = useStore(session);
  return html`${signed ? html`<${Board} key=${signed.token} account=${signed.account} />` : html`<${SignIn} name=${brand.get().name} />`}
    <${Notes} />
    <${Question} />`;
}

function Board({ account }) {
  const [helping, setHelping] = useState(false);
  const [name, ...rest] = useStore(route);
  const lost = useStore(live, ({ connection }) => connection === "lost");
  const views = VIEWS.filter(([path]) => (account ? OWN_VIEWS.includes(path) : path !== "deliveries"));
  const current = views.some(([path]) => path === name) ? name : views[0][0];

  useEffect(() => {
    if (account) return undefined;
    follow();
    watchTrouble();
    return () => (stop(), stopWatching());
  }, []);
  useKeys({
    ...Object.fromEntries(views.map(([path], i) => [String(i + 1), () => go(path)])),
    "/": () => document.querySelector("[data-search]")?.focus(),
    "?": () => setHelping(true),
    t: toggleTheme,
    j: () => moveRow(1),
    k: () => moveRow(-1),
    ArrowDown: () => moveRow(1),
    ArrowUp: () => moveRow(-1),
  });

  return html`
    <header class="top">
      <a class="brand" href=${link("")}><img src="dashboard/logo" alt="" width="20" height="20" /> <span class="cut">${brand.get().name}</span></a>
      <nav aria-label="Views">
        ${views.map(
          ([path, title]) => html`<a
            key=${path}
            href=${link(path)}
            aria-current=${path === current ? "page" : undefined}
          >
            ${title}
          </a>`,
        )}
      </nav>
      <span class="fill"></span>
      ${account ? html`<span class="mono quiet cut">${account}</span>` : html`<${Connection} />`}
      <${ThemeButton} />
      <button type="button" class="plain" aria-label="Keys" onClick=${() => setHelping(true)}>?</button>
      <button type="button" class="plain" onClick=${() => signOut()}>Sign out</button>
    </header>
    <main class=${lost ? "old" : ""}>${view(current, rest)}</main>
    ${helping && html`<${Help} views=${views} close=${() => setHelping(false)} />`}
  `;
}

function view(name, rest) {
  if (name === "hooks" && rest[0] === "find") return html`<${Hooks} key=${rest[1]} text=${rest[1]} />`;
  if (name === "hooks" && rest[0] === "disabled") return html`<${Hooks} key="disabled" enabled="false" />`;
  if (name === "hooks" && rest[0] === "new") return html`<${NewHook} event=${rest[1]} />`;
  if (name === "hooks" && rest.length > 1) {
    const [account, id, ...more] = rest;
    return html`<${Hook} key=${`${account}/${id}`} account=${account} id=${id} more=${more} />`;
  }
  if (name === "deliveries") return html`<${Attempts} account=${session.get().account} />`;
  if (name === "events") return html`<${Catalogue} />`;
  if (name === "hooks") return html`<${Hooks} />`;
  if (name === "endpoints") return html`<${Endpoints} />`;
  if (name === "dead-letters") return html`<${DeadLetters} />`;
  return html`<${Overview} />`;
}

function Connection() {
  const { connection, now, heardMs } = useStore(live);
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const open = now?.figures.circuits ?? 0;
  useEffect(() => {
    const alarm = connection === "lost" ? "(lost) " : open > 0 ? `(${open} open) ` : "";
    document.title = `${alarm}${brand.get().name}`;
    return () => (document.title = brand.get().name);
  }, [connection, open]);
  const age = duration((Date.now() - heardMs) / 1000);
  const text = connection === "lost" && now ? `lost ${age} ago` : connection;
  const problems = now?.problems ?? [];
  return html`${problems.length > 0 &&
    html`<span class="trouble cut" role="alert" title=${problems.join("\n")}>${problems.join(" · ")}</span>`}
    <span class="node quiet cut">${now?.node}</span>
    <span class=${`connection connection-${connection}`} role="status">${text}</span>`;
}

const ThemeButton = () => {
  const dark = useStore(theme) === "dark";
  return html`<button
    type="button"
    class="plain"
    aria-label=${dark ? "Use light colours" : "Use dark colours"}
    onClick=${toggleTheme}
  >
    ${dark ? "☀" : "☾"}
  </button>`;
};

async function begin() {
  const token = remembered();
  const named = api.brand().then((found) => brand.set(found));
  if (token) {
    try {
      signedIn(token, await api.whose(token));
    } catch (problem) {
      signOut(problem.status === 401 ? "The token is no longer accepted." : problem.message);
    }
  }
  await named.catch(() => {});
  document.title = brand.get().name;
  render(html`<${App} />`, document.getElementById("app"));
}

begin();

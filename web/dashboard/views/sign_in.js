// The way in: a token, of the administrator or of an account.

import * as api from "../data/api.js";
import { html, useState } from "../parts/html.js";
import { farewell, signedIn } from "../data/session.js";
import { useStore } from "../parts/store.js";

export function SignIn({ name }) {
  const [problem, setProblem] = useState("");
  const [asking, setAsking] = useState(false);
  const reason = useStore(farewell);

  const submit = async (event) => {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    if (!token) return;
    setAsking(true);
    try {
      signedIn(token, await api.whose(token));
    } catch (refused) {
      setProblem(refused.status === 401 ? "That token is not known here." : refused.message);
      setAsking(false);
    }
  };

  return html`<main class="sign-in">
    <form onSubmit=${submit}>
      <h1><img src="dashboard/logo" alt="" width="28" height="28" /> ${name}</h1>
      ${reason && html`<p class="quiet">${reason}</p>`}
      <label>
        Token
        <input
          name="token"
          type="password"
          autocomplete="off"
          spellcheck=${false}
          autofocus
          required
          aria-describedby="token-help"
        />
      </label>
      <p id="token-help" class="quiet">It is kept in this tab only, until you close it.</p>
      ${problem && html`<p class="problem" role="alert">${problem}</p>`}
      <button class="primary" disabled=${asking}>Sign in</button>
    </form>
  </main>`;
}

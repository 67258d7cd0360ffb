// Signing in with a token of the API.
import { ask } from "/dashboard/api.js";
import { html, useEffect, useRef, useState } from "/dashboard/html.js";
import { Failed } from "/dashboard/parts.js";

export function SignIn({ status, ended, onSignedIn }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const field = useRef();
  useEffect(() => field.current?.focus(), []);
  const signIn = async (event) => {
    event.preventDefault();
    setBusy(true);
    try {
      onSignedIn((await ask("/session", { method: "POST", body: { token: field.current.value.trim() }, refused: false })).data);
    } catch (refusal) {
      setError(refusal.status === 401 ? { title: "No such token", message: "Take one from API_TOKENS of this service: the part after the =." } : refusal);
      setBusy(false);
      field.current.select();
    }
  };
  if (!status.canSignIn) {
    return html`<main class="alone"><h1>Ringback</h1>
      <div class="notice" role="alert"><p><strong>Nobody can sign in yet.</strong> Requests from elsewhere need a token. Set
        <code>API_TOKENS=me=A_LONG_RANDOM_TOKEN</code>, start the service again, and sign in with that token.</p></div></main>`;
  }
  return html`
    <main class="alone">
      <img src="/dashboard/icon.svg" alt="" width="48" height="48" />
      <h1>Ringback</h1>
      ${ended && !error && html`<div class="notice" role="status"><p>Your session is over. Please sign in again.</p></div>`}
      ${error && html`<${Failed} error=${error} />`}
      <form onSubmit=${signIn}>
        <label for="token">API token</label>
        <input id="token" ref=${field} type="password" autocomplete="current-password" required spellcheck="false" aria-describedby="about-token" />
        <p id="about-token" class="quiet">One of <code>API_TOKENS</code>, of scope read or wider. What you may do here is what the token may do.</p>
        <button class="primary" type="submit" disabled=${busy}>${busy ? "Signing in…" : "Sign in"}</button>
      </form>
      <p class="quiet"><a href="/docs">API documentation</a></p>
    </main>`;
}

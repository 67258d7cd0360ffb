// Begins here: who is signed in, which page, and the frame around it.
import { Access } from "/dashboard/access.js";
import { Analytics } from "/dashboard/analytics.js";
import { ask, session as sessions } from "/dashboard/api.js";
import { Batch, Batches } from "/dashboard/batches.js";
import { Call } from "/dashboard/call.js";
import { Calls } from "/dashboard/calls.js";
import { Health } from "/dashboard/health.js";
import { html, render, useEffect, useRef, useState } from "/dashboard/html.js";
import { Now } from "/dashboard/now.js";
import { Failed, Loading } from "/dashboard/parts.js";
import { SignIn } from "/dashboard/signin.js";
import { Subscription } from "/dashboard/subscription.js";
import { Subscriptions } from "/dashboard/subscriptions.js";

const LINKS = [
  ["#/", "Now"], ["#/calls", "Calls"], ["#/batches", "Batches"], ["#/analytics", "Analytics"], ["#/subscriptions", "Subscriptions"],
  ["#/health", "Health"], ["#/access", "Access"],
];

/** The page that the address names, and what it says about it. */
function route() {
  const [path, search = ""] = location.hash.replace(/^#/, "").split("?");
  const [, page = "", id] = path.split("/");
  const parameters = new URLSearchParams(search);
  try {
    if (page === "calls" && id) return { name: "Call", link: "#/calls", page: Call, id: decodeURIComponent(id) };
  } catch {
    // An id that nobody could have given out.
  }
  if (page === "calls") return { name: "Calls", link: "#/calls", page: Calls, parameters };
  if (page === "analytics") return { name: "Analytics", link: "#/analytics", page: Analytics, parameters };
  if (page === "batches") return { name: id ? "Batch" : "Batches", link: "#/batches", page: id ? Batch : Batches, id, parameters };
  if (page === "subscriptions") return { name: id ? "Subscription" : "Subscriptions", link: "#/subscriptions", page: id ? Subscription : Subscriptions, id, parameters };
  if (page === "access") return { name: "Access", link: "#/access", page: Access, parameters };
  if (page === "health") return { name: "Health", link: "#/health", page: Health };
  return { name: "Now", link: "#/", page: Now };
}

function App() {
  const [session, setSession] = useState(null);
  const [ended, setEnded] = useState(false);
  const [error, setError] = useState(null);
  const look = () => ask("/session").then((it) => { setSession(it.data); setError(null); }, setError);
  useEffect(() => {
    look();
    const over = () => { setEnded(true); look(); };
    sessions.addEventListener("ended", over);
    return () => sessions.removeEventListener("ended", over);
  }, []);
  useEffect(() => {
    if (!session?.endsIn) return undefined;
    const timer = setTimeout(() => sessions.dispatchEvent(new Event("ended")), (session.endsIn + 1) * 1_000);
    return () => clearTimeout(timer);
  }, [session]);
  if (error) return html`<main class="alone"><h1>Ringback</h1><${Failed} error=${error} retry=${look} /></main>`;
  if (!session) return html`<main class="alone"><h1>Ringback</h1><${Loading} /></main>`;
  const signOut = () => ask("/session", { method: "DELETE" }).then((it) => { setEnded(false); setSession(it.data); }, setError);
  const signedIn = (now) => { setEnded(false); setSession(now); };
  return session.signedIn
    ? html`<${Frame} session=${session} signOut=${signOut} />`
    : html`<${SignIn} status=${session} ended=${ended} onSignedIn=${signedIn} />`;
}

function Frame({ session, signOut }) {
  const [at, go] = useState(route);
  const main = useRef();
  const first = useRef(true);
  const drawn = useRef(location.hash);
  useEffect(() => {
    const moved = () => go(route());
    // It may have moved since the page was drawn first.
    if (location.hash !== drawn.current) moved();
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const key = `${at.name} ${at.id ?? ""}`;
  useEffect(() => {
    document.title = `${at.name} · Ringback`;
    if (!first.current) {
      scrollTo(0, 0);
      main.current.querySelector("h1")?.focus({ preventScroll: true });
    }
    first.current = false;
  }, [key]);
  const skip = (event) => { event.preventDefault(); main.current.focus(); };
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to content</a>
    <header class="bar">
      <a class="brand" href="#/"><img src="/dashboard/icon.svg" alt="" width="28" height="28" />Ringback</a>
      <nav aria-label="Pages">${LINKS.map(([link, name]) => html`<a href=${link} aria-current=${at.link === link ? "page" : undefined}>${name}</a>`)}</nav>
      <div class="self"><a href="/docs">API</a>
        ${session.token ? html`<span class="quiet"><bdi>${session.token}</bdi> (${session.scope})</span><button type="button" class="link" onClick=${signOut}>Sign out</button>` : html`<span class="quiet">open on this machine</span>`}</div>
    </header>
    <main id="main" ref=${main} tabindex="-1"><${at.page} key=${key} session=${session} id=${at.id} parameters=${at.parameters} /></main>`;
}

render(html`<${App} />`, document.getElementById("app"));

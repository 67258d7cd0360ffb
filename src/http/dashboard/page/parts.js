// Small parts that several pages show.
import { html, useState } from "/dashboard/html.js";
import { OUTCOMES, ago, isLive, moment, outcome, title, LINES } from "/dashboard/words.js";

/** How deep other people's data is laid out before it is shown as JSON. */
const DEEPEST = 4;

export const When = ({ at, short }) =>
  at ? html`<time datetime=${at} title=${moment(at)}>${short ? moment(at, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }) : moment(at)}</time>` : "–";
export const Ago = ({ at }) => html`<time datetime=${at} title=${moment(at)}>${ago(at)}</time>`;

/** How a call turned out, or where its line is. */
export function Badge({ call }) {
  const live = isLive(call) && call.status === "pending";
  const kind = live ? "live" : call.status in OUTCOMES ? call.status : "pending";
  // Ended, or not heard of since: there is no outcome yet.
  return html`<span class="badge ${kind}">${call.status === "pending" ? LINES[call.callStatus] ?? call.callStatus : outcome(call)}</span>`;
}

/** A refusal, and what to do. */
export const Failed = ({ error, retry }) => html`
  <div class="notice bad" role="alert">
    <p><strong>${error.title ?? "Something went wrong"}.</strong> ${error.fields?.length > 0 ? "Correct these and try again:" : error.message}</p>
    ${error.fields?.length > 0 && html`<ul>${error.fields.map((it) => html`<li><code>${it.field}</code> ${it.message}</li>`)}</ul>`}
    ${error.requestId && html`<p class="quiet">The log has this as request <code>${error.requestId}</code>.</p>`}
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
  </div>`;

export const Loading = () => html`<p class="loading" role="status">Loading…</p>`;

/** What the stream of news is doing. */
export function Connection({ state }) {
  const words = { connecting: "Connecting…", live: "Live", reconnecting: "Connection lost, reconnecting…" };
  return html`<p class="connection ${state === "live" ? "up" : state}" role="status">${words[state]}</p>`;
}

/** Text to take along. */
export function Copy({ text, label }) {
  const [said, say] = useState("Copy");
  const copy = () => (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => say("Copied"), () => say("Select and copy it"));
  return html`<div class="copy"><pre tabindex="0" aria-label=${label}>${text}</pre><button type="button" onClick=${copy} aria-label="Copy: ${label}" title=${said}>${said}</button></div>`;
}

const isPlain = (value) => value === null || typeof value !== "object";
const plain = (value) => (value === null || value === "" ? "–" : value === true ? "Yes" : value === false ? "No" : String(value));

/** Somebody else's JSON, laid out. Whatever it says enters the page as text. */
export function Data({ value, depth = 0 }) {
  if (isPlain(value)) return html`<span class="words">${plain(value)}</span>`;
  if (depth >= DEEPEST) return html`<pre tabindex="0" aria-label="As JSON">${JSON.stringify(value, null, 2)}</pre>`;
  if (Array.isArray(value)) return html`<ul class="data">${value.map((item) => html`<li><${Data} value=${item} depth=${depth + 1} /></li>`)}</ul>`;
  return html`<dl class="data">${Object.entries(value).map(([key, item]) => html`<div><dt>${title(key)}</dt><dd><${Data} value=${item} depth=${depth + 1} /></dd></div>`)}</dl>`;
}

/** Pairs of a name and what stands under it; what says nothing is left out. */
export const Facts = ({ pairs }) => html`<dl class="facts">${pairs
  .filter(([, value]) => value !== null && value !== undefined && value !== false && value !== "")
  .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

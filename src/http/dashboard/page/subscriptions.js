// Who is told what: all subscriptions, and making one.
import { may, Secret } from "/dashboard/act.js";
import { api, useLoad } from "/dashboard/api.js";
import { html, useState } from "/dashboard/html.js";
import { Failed, Loading, When } from "/dashboard/parts.js";
import { Draft } from "/dashboard/draft.js";
import { STANDINGS } from "/dashboard/words.js";

/** Failed deliveries are counted so far. */
const MOST_COUNTED = 100;

export const Standing = ({ status }) => html`<span class="badge ${STANDINGS[status]?.[1] ?? ""}">${STANDINGS[status]?.[0] ?? status}</span>`;

export function Subscriptions({ session }) {
  const { data, error, reload } = useLoad(() => api("/subscriptions"), "subscriptions");
  const [drafting, draft] = useState(false);
  const [made, setMade] = useState(null);
  const isDone = (it) => { draft(false); setMade(it.data); reload(); };
  return html`
    <div class="heading"><h1 tabindex="-1">Subscriptions</h1>
      ${may(session, "admin") && !drafting && html`<button type="button" class="primary" onClick=${() => { setMade(null); draft(true); }}>New subscription</button>`}</div>
    <p class="quiet">An address that is told what happens to calls, signed, and again until it takes it. ${!may(session, "admin") && "Changes take a token of scope admin."}</p>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${made && html`<${Secret} secret=${made.secret} gone=${() => setMade(null)} />`}
    ${drafting && html`<${Draft} isDone=${isDone} leave=${() => draft(false)} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data?.count === 0 && !drafting && html`<div class="empty"><p class="big">Nobody is told yet.</p>
      <p>A subscription posts what becomes of each call to an address of yours. ${may(session, "admin") ? "Make the first one above." : html`Sign in with a token of scope admin to make one, or read <a href="/docs">the API documentation</a>.`}</p></div>`}
    ${data?.count > 0 && html`<ul class="stack" aria-label="Subscriptions">${data.data.map((it) => html`<${Row} key=${it.id} of=${it} />`)}</ul>`}`;
}

function Row({ of }) {
  const { data } = useLoad(() => api(`/subscriptions/${of.id}/deliveries?state=dead&limit=${MOST_COUNTED}`), `${of.id} ${of.updatedAt}`);
  const failed = data?.count ?? 0;
  return html`
    <li class="card">
      <div class="heading"><h2><a href="#/subscriptions/${of.id}"><bdi>${of.description || of.url}</bdi></a></h2><${Standing} status=${of.status} />
        ${failed > 0 && html`<span class="badge error">${failed}${data.pagination.hasMore ? "+" : ""} failed</span>`}</div>
      ${of.description && html`<p><bdi class="quiet">${of.url}</bdi></p>`}
      <p class="tags">${of.events.map((event) => html`<code class="tag">${event}</code>`)}</p>
      <p class="quiet">Made <${When} at=${of.createdAt} />. ${STANDINGS[of.status]?.[2]}</p>
    </li>`;
}

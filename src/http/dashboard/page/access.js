// Who may do what, and who did what.
import { Head, Pages } from "/dashboard/act.js";
import { api, query, useLoad } from "/dashboard/api.js";
import { html } from "/dashboard/html.js";
import { Ago, Failed, Loading, When } from "/dashboard/parts.js";
import { title } from "/dashboard/words.js";

const PAGE = 50;

const SCOPES = {
  poll: "Reads single calls", read: "Reads everything", place: "Reads, places and cancels calls, has Vapi asked", admin: "Everything, deleting and settings too",
};
const ACTIONS = {
  "call.place": "Placed a call", "call.cancel": "Had a call hung up", "call.fetch": "Had Vapi asked again", "call.delete": "Deleted a call", "call.change": "Changed a call at Vapi",
  "batch.create": "Placed a batch", "batch.cancel": "Canceled a batch",
  "subscription.create": "Made a subscription", "subscription.change": "Changed a subscription", "subscription.delete": "Deleted a subscription", "subscription.rotate": "Rotated a secret",
  "subscription.pause": "Paused a subscription", "subscription.resume": "Resumed a subscription", "subscription.test": "Sent a test event", "subscription.redeliver": "Sent deliveries again",
  "cache.clear": "Cleared the memory", "cache.drop": "Dropped a call from memory", backfill: "Fetched what was missing", "sign-in": "Signed in", "sign-out": "Signed out",
  "doctor.fix": "Changed settings at Vapi", "doctor.restore": "Restored settings at Vapi", "vapi.pass": "Asked Vapi directly",
};
/** The page of what was changed. */
const PLACES = { call: "calls", batch: "batches", subscription: "subscriptions" };

export function Access({ parameters }) {
  const cursor = parameters.get("cursor") ?? "";
  const path = `/audit${query({ limit: PAGE, cursor })}`;
  const { data, error, reload } = useLoad(() => api(path), path);
  return html`
    <div class="heading"><h1 tabindex="-1">Access</h1></div>
    <${Tokens} />
    <section class="list" aria-labelledby="audit"><h2 id="audit">What was changed</h2>
      <p class="quiet">Every change, noted before it was done, newest first.</p>
      ${error && html`<${Failed} error=${error} retry=${reload} />`}
      ${!data && !error && html`<${Loading} />`}
      ${data?.count === 0 && html`<div class="empty"><p class="big">Nothing was changed yet.</p><p>What people and programs do here, by the page or the API, stands here then.</p></div>`}
      ${data?.count > 0 && html`<table role="table" class="audit" aria-label="Changes, newest first"><${Head} names=${["When", "Who", "What", "What came of it", "From"]} />
        <tbody role="rowgroup">${data.data.map((it) => html`<${Change} key=${it.id} of=${it} />`)}</tbody></table>`}
      <${Pages} cursor=${cursor} pagination=${data?.pagination} go=${(cursor) => { location.hash = `#/access${query({ cursor })}`; }} />
    </section>`;
}

function Change({ of }) {
  const [thing] = of.action.split(".");
  const place = PLACES[thing];
  const id = of.subject && html`<code>${of.subject}</code>`;
  const came = of.status === null ? ["calm", "Not known"] : of.status < 400 ? ["completed", "Done"] : ["error", `Refused (${of.status})`];
  return html`
    <tr role="row">
      <td role="cell" data-label="When"><${When} at=${of.at} short /></td>
      <td role="cell" data-label="Who">${of.token ? html`<bdi>${of.token}</bdi>` : html`<span class="quiet">No token</span>`}</td>
      <td role="cell" class="who"><strong title=${of.action}>${ACTIONS[of.action] ?? title(of.action.replace(".", " "))}</strong>
        ${id && html`<p class="gist">${place ? html`<a href="#/${place}/${encodeURIComponent(of.subject)}">${id}</a>` : id}</p>`}</td>
      <td role="cell" data-label="What came of it"><span class="badge ${came[0]}">${came[1]}</span></td>
      <td role="cell" data-label="From" title=${of.requestId && `Request ${of.requestId}`}><span class="quiet">${of.clientIp ?? "–"}</span></td>
    </tr>`;
}

function Tokens() {
  const { data, error, reload } = useLoad(() => api("/tokens"), "tokens");
  return html`
    <section class="list" aria-labelledby="tokens"><h2 id="tokens">Tokens</h2>
      ${error && html`<${Failed} error=${error} retry=${reload} />`}
      ${!data && !error && html`<${Loading} />`}
      ${data?.count === 0 && html`<div class="empty"><p class="big">There is no token.</p><p>Whoever is on this machine may do everything. Set <code>API_TOKENS</code> before anybody else can reach this address.</p></div>`}
      ${data?.count > 0 && html`<table role="table" aria-label="Tokens"><${Head} names=${["Name", "Scope", "What it may do", "Used last"]} />
        <tbody role="rowgroup">${data.data.map((it) => html`
          <tr role="row" key=${it.name}>
            <td role="cell" data-label="Name"><strong><bdi>${it.name}</bdi></strong></td><td role="cell" data-label="Scope"><code>${it.scope}</code></td>
            <td role="cell" class="who">${SCOPES[it.scope] ?? ""}</td>
            <td role="cell" data-label="Used last">${it.lastUsedAt ? html`<${Ago} at=${it.lastUsedAt} />` : html`<span class="quiet">Never</span>`}</td>
          </tr>`)}</tbody></table>
        <p class="quiet">Tokens come and go with <code>API_TOKENS</code>. One that nobody uses can be taken out.</p>`}
    </section>`;
}

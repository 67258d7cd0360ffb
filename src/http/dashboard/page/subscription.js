// One subscription: how it stands, what was sent to it, and what did not arrive and why.
import { Ask, Pages, Secret, may, useAct } from "/dashboard/act.js";
import { api, query, useLoad } from "/dashboard/api.js";
import { html, useState } from "/dashboard/html.js";
import { Data, Facts, Failed, Loading, When } from "/dashboard/parts.js";
import { Standing } from "/dashboard/subscriptions.js";
import { DELIVERIES, STANDINGS, count, title } from "/dashboard/words.js";

const PAGE = 25;
/** All that there ever was. */
const EVER = "1970-01-01T00:00:00Z";
/** States by which deliveries are looked through, in the order of what one comes for. */
const STATES = ["", "dead", "pending", "delivered"];

const isThere = (value) => value && Object.values(value).some((it) => Object.keys(it).length);

export function Subscription({ id, session, parameters }) {
  const path = `/subscriptions/${encodeURIComponent(id)}`;
  const { data, error, reload } = useLoad(() => api(path), path);
  const [gone, setGone] = useState(false);
  const [secret, setSecret] = useState(null);
  const [turn, again] = useState(0);
  const changed = () => { reload(); again((n) => n + 1); };
  const back = html`<p class="back"><a href="#/subscriptions">All subscriptions</a></p>`;
  if (gone) return html`<div class="heading"><h1 tabindex="-1">This subscription was deleted</h1></div><div class="empty"><p>It is told nothing any more. <a href="#/subscriptions">Back to all subscriptions</a>.</p></div>`;
  if (!data) return html`${back}<div class="heading"><h1 tabindex="-1">Subscription</h1></div>${error ? html`<${Failed} error=${error} retry=${reload} />` : html`<${Loading} />`}`;
  const it = data.data;
  return html`
    ${back}
    <div class="heading"><h1 tabindex="-1"><bdi>${it.description || "Subscription"}</bdi></h1><${Standing} status=${it.status} /></div>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${STANDINGS[it.status]?.[2] && html`<p class="notice">${STANDINGS[it.status][2]}</p>`}
    ${may(session, "admin") && html`<${Actions} of=${it} path=${path} changed=${changed} deleted=${() => setGone(true)} secret=${setSecret} />`}
    ${secret && html`<${Secret} secret=${secret} gone=${() => setSecret(null)} />`}
    <section class="card broad" aria-labelledby="about"><h2 id="about">Told</h2>
      <${Facts} pairs=${[
        ["Address", html`<bdi>${it.url}</bdi>`], ["Events", html`<span class="tags">${it.events.map((event) => html`<code class="tag">${event}</code>`)}</span>`],
        ["How much of a call", it.view === "full" ? "Everything" : "Without transcript and messages"], ["Headers sent along", it.headerNames.join(", ")],
        ["Made", html`<${When} at=${it.createdAt} />`], ["The secret before signs along until", it.oldSecretUntil && html`<${When} at=${it.oldSecretUntil} />`], ["Id", html`<code>${it.id}</code>`],
      ]} />
      ${isThere(it.filter) && html`<h3>Only calls that fit</h3><${Data} value=${Object.fromEntries(Object.entries(it.filter).filter(([, wanted]) => Object.keys(wanted).length))} />`}
    </section>
    <${Deliveries} path=${path} id=${it.id} session=${session} parameters=${parameters} turn=${turn} again=${() => again((n) => n + 1)} />`;
}

const worded = ({ data: { delivered, attempt } }) => (delivered
  ? `The test event was taken: ${attempt.status} in ${attempt.tookMs} ms.`
  : `The test event was not taken: ${attempt.error ?? `answered ${attempt.status}`}.`);

function Actions({ of, path, changed, deleted, secret }) {
  const { act, busy, said } = useAct();
  const post = (rest, body) => () => api(`${path}/${rest}`, { method: "POST", body }).then((it) => { changed(); return it; });
  const isActive = of.status === "active";
  const rotate = () => api(`${path}/rotate`, { method: "POST" }).then((it) => { secret(it.data.secret); changed(); });
  return html`
    <div class="actions">
      <button type="button" disabled=${busy} onClick=${act(() => api(`${path}/test`, { method: "POST" }), worded)}>Send a test</button>
      ${isActive
        ? html`<button type="button" disabled=${busy} onClick=${act(post("pause"), "Paused: its news are collected.")}>Pause</button>`
        : html`<button type="button" disabled=${busy} onClick=${act(post("resume"), "It is told again, what was collected first.")}>Resume</button>`}
      <${Ask} name="Rotate secret…" title="Make a new secret?" yes="Make a new one" no="Keep the secret" busy=${busy} action=${act(rotate, "It has a new secret.")}>
        <p>It is shown once. The secret of now signs along for 24 hours, so that the receiver can change over.</p></${Ask}>
      <${Ask} name="Send failed again…" title="Send all failed deliveries again?" yes="Send them" no="Leave them" busy=${busy}
        action=${act(post("redeliver", { since: EVER, state: "dead" }), (it) => (it.data.redelivered ? `${count(it.data.redelivered, "delivery goes", "deliveries go")} out again.` : "There is none that failed."))}>
        <p>Whatever was given up is tried anew from the start.</p></${Ask}>
      <${Ask} name="Delete…" title="Delete this subscription?" yes="Delete for good" no="Keep it" danger busy=${busy} action=${act(() => api(path, { method: "DELETE" }).then(deleted), "")}>
        <p><bdi>${of.url}</bdi> is told nothing more, and what is on its way to it is dropped.</p></${Ask}>
    </div>
    ${said}`;
}

function Deliveries({ path, id, session, parameters, turn, again }) {
  const [state, cursor] = [parameters.get("state") ?? "", parameters.get("cursor") ?? ""];
  const address = `${path}/deliveries${query({ state, cursor, limit: PAGE })}`;
  const { data, error, loading, reload } = useLoad(() => api(address), `${address} ${turn}`);
  const { act, busy, said } = useAct();
  const go = (more) => { location.hash = `#/subscriptions/${id}${query({ state, ...more })}`; };
  const redeliver = (it) => act(() => api(`${path}/redeliver`, { method: "POST", body: { ids: [it.id] } }).then(again), "It goes out again.");
  return html`
    <section class="card deliveries" aria-labelledby="deliveries"><h2 id="deliveries">Deliveries</h2>
      <div class="buttons" role="group" aria-label="Which deliveries">
        ${STATES.map((it) => html`<button type="button" aria-pressed=${it === state} onClick=${() => go({ state: it })}>${DELIVERIES[it]?.[0] ?? "All"}</button>`)}
        <button type="button" class="link" onClick=${reload}>${loading && data ? "Loading…" : "Look again"}</button></div>
      ${said}
      ${error && html`<${Failed} error=${error} retry=${reload} />`}
      ${!data && !error && html`<${Loading} />`}
      ${data?.count === 0 && html`<p class="quiet">${state ? "None." : "Nothing was to be told yet. Send a test, or wait for a call."}</p>`}
      <ol>${data?.data.map((it) => html`<${Delivery} key=${it.id} of=${it} busy=${busy} redeliver=${may(session, "admin") && it.state !== "pending" && redeliver(it)} />`)}</ol>
      <${Pages} cursor=${cursor} pagination=${data?.pagination} go=${(cursor) => go({ cursor })} />
    </section>`;
}

const Delivery = ({ of, busy, redeliver }) => {
  const [words, kind] = DELIVERIES[of.state] ?? [title(of.state), ""];
  return html`
    <li>
      <p><span class="badge ${kind}">${words}</span> <code>${of.type}</code>${of.callId && html`<a href="#/calls/${encodeURIComponent(of.callId)}"><code>${of.callId}</code></a>`}
        <span class="quiet"><${When} at=${of.createdAt} /></span>
        ${redeliver && html`<button type="button" class="link" disabled=${busy} aria-label="Send again: ${of.type}" onClick=${redeliver}>Send again</button>`}</p>
      ${of.state === "pending" && html`<p class="quiet">${of.nextAttemptAt ? html`Next try <${When} at=${of.nextAttemptAt} />.` : "Waits for what comes before it."}</p>`}
      ${of.attempts.map((it) => html`<p class="try ${it.error ? "failed" : ""}"><${When} at=${it.at} /> <span class="words">${it.error ?? `answered ${it.status}`}</span> <span class="quiet number">${it.tookMs} ms</span></p>`)}
    </li>`;
};

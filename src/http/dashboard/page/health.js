// How the service is doing, in words.
import { api, ask, query, useLoad } from "/dashboard/api.js";
import { html, useEffect } from "/dashboard/html.js";
import { Ago, Facts, Failed, Loading } from "/dashboard/parts.js";
import { REFUSALS, bytes, count, title, whole } from "/dashboard/words.js";

/** Milliseconds between two looks. */
const AGAIN = 10_000;
/** Milliseconds that a fetch may be late before it is worth a word. */
const OVERDUE = 120_000;
/** Hours in which a refused webhook is worth a word. */
const RECENT = 3;
/** With these reasons webhooks of Vapi's get lost; without a proof, or unreadable, they need not be Vapi's. */
const SERIOUS = ["invalid", "stale", "not_configured", "too_large"];

/** Reads Prometheus' text: the samples of a counter, each with its labels. */
function samples(text, name) {
  const found = [];
  for (const line of text.split("\n")) {
    const match = line.match(/^(\w+)(?:\{(.*)\})? (\S+)$/);
    if (match?.[1] !== name) continue;
    const labels = Object.fromEntries([...(match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, value]) => [key, value]));
    found.push({ labels, value: Number(match[3]) });
  }
  return found.filter((sample) => sample.value > 0);
}
const sum = (found) => found.reduce((total, it) => total + it.value, 0);
/** Webhooks that were refused; what the doctor sends to be refused is none. */
const rejections = (metrics) => samples(metrics, "ringback_webhook_rejections_total").filter(({ labels }) => labels.reason !== "doctor");

const greatestFirst = (totals) => Object.entries(totals).filter(([, times]) => times > 0).sort((a, b) => b[1] - a[1]);
/** Totals by a label, the greatest first. */
function by(found, label) {
  const totals = {};
  for (const { labels, value } of found) totals[labels[label]] = (totals[labels[label]] ?? 0) + value;
  return greatestFirst(totals);
}

/** Reasons for which webhooks were refused of late, at any instance, and how often; the most frequent first. */
async function refusedOfLate({ checks }) {
  const since = new Date(Date.parse(checks.clock.now) - RECENT * 3_600_000).toISOString();
  const { data } = await api(`/analytics${query({ since })}`);
  return greatestFirst(data.webhooks.byReason);
}

/** A sentence out of the doctor's words; what is typed or set stands between backticks. */
function sentence(words) {
  // Names of settings stay as they are.
  const begun = /^[a-z]+(?![\w.])/.test(words) ? words.charAt(0).toUpperCase() + words.slice(1) : words;
  return `${begun}${/[.!?]$/.test(words) ? "" : "."}`.split("`").map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));
}

export function Health({ session }) {
  const { data, error, reload } = useLoad(async () => {
    const [ready, cache, metrics, subscriptions] = await Promise.all([ask("/readyz?verbose"), api("/cache/stats?limit=0").catch(() => null), ask("/metrics", { json: false }), api("/subscriptions").catch(() => null)]);
    const refused = await refusedOfLate(ready).catch(() => []);
    return { ready, refused, cache: cache?.stats, metrics, subscriptions: subscriptions?.data };
  }, "health");
  useEffect(() => {
    const timer = setInterval(reload, AGAIN);
    return () => clearInterval(timer);
  }, []);
  return html`
    <div class="heading"><h1 tabindex="-1">Health</h1></div>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<${Verdict} findings=${findings(data, session.service)} ready=${data.ready} />
      <div class="cards"><${Checks} ready=${data.ready} service=${session.service} /><${Doctor} doctor=${data.ready.checks.doctor} />
      <${Webhooks} metrics=${data.metrics} late=${data.refused} last=${data.ready.checks.webhooks.lastReceivedAt} /><${Subscriptions} all=${data.subscriptions} backlog=${data.ready.checks.backlog} metrics=${data.metrics} />
      <${Work} ready=${data.ready} metrics=${data.metrics} /><${Vapi} ready=${data.ready} metrics=${data.metrics} service=${session.service} />${data.cache && html`<${Memory} cache=${data.cache} />`}</div>`}`;
}

const isSerious = (refused) => refused.some(([reason]) => SERIOUS.includes(reason));
/** What to do about the most frequent reason. */
const advice = ([[reason] = []]) => REFUSALS[reason]?.[1] ?? "See under Webhooks.";

/** What does not go well, the worst first: `[bad, what is, what to do]`. */
function findings({ ready: { checks }, refused, subscriptions }, service) {
  const times = refused.reduce((total, [, times]) => total + times, 0);
  const told = checks.doctor.findings.filter((it) => it.severity === "error").length;
  const disabled = subscriptions?.filter((it) => it.status === "disabled").length ?? 0;
  const { pendingFetches, oldestDueAt, deadDeliveries } = checks.backlog;
  const overdue = pendingFetches > 0 && oldestDueAt && Date.parse(checks.clock.now) - Date.parse(oldestDueAt) > OVERDUE;
  const all = [
    [checks.stopping, true, "The service is stopping.", "It takes no new requests. Start it again if that was not meant."],
    [!checks.store.ok, true, "The store does not answer.", "Webhooks are refused, and Vapi sends them again for a while. Look at the database or disk behind DATABASE_URL."],
    [!checks.disk.ok, true, "Little room is left on the disk.", "Old bodies are dropped to make room. Free some, or lower PAYLOAD_RETENTION_DAYS."],
    [!checks.vapi.ok, true, "Vapi can't be asked.", `Late analyses and lost reports can't be fetched: ${checks.vapi.error}.`],
    [checks.kestra?.places && !checks.kestra.ok, true, "Kestra can't be asked.", `No call can be placed by it: ${checks.kestra?.error}.`],
    [!checks.sweep.ok, true, "The search for lost webhooks failed.", `${checks.sweep.error ?? "The store could not be asked how it goes"}. It is tried again; if that goes on, look at VAPI_API_KEY and https://status.vapi.ai.`],
    [times > 0, isSerious(refused), `${count(times, "webhook was", "webhooks were")} refused in the last ${RECENT} hours.`, `${advice(refused)} If they were of calls, those are looked for at Vapi.`],
    [told > 0, true, `The doctor found ${count(told, "error")} in the settings.`, "Webhooks get lost, or will. Under Doctor it says which, and what to do."],
    [overdue, true, "Fetches from Vapi are overdue.", "Vapi answers slowly or not at all: see Vapi below and https://status.vapi.ai."],
    [disabled > 0, true, `${count(disabled, "subscription is", "subscriptions are")} disabled.`, "The endpoint answered 410 Gone. Mend it and resume the subscription, or delete it."],
    [deadDeliveries > 0, false, `${count(deadDeliveries, "delivery was", "deliveries were")} given up.`, "Look at the deliveries of the subscription, mend its endpoint, and redeliver them."],
    [!checks.vapi.keyConfigured, false, "There is no VAPI_API_KEY.", "Nothing can be fetched, and a report settles a call as it comes. Set Vapi's private key."],
    [!checks.webhooks.lastReceivedAt, false, "No webhook has come from Vapi yet.", "If there were calls, run ringback doctor."],
    [!service.encrypted, false, "Records are stored in clear.", "Set DATA_KEY to encrypt them."],
  ];
  return all.filter(([is]) => is).map(([, ...finding]) => finding).sort(([a], [b]) => b - a);
}

const Level = ({ bad, ok }) => html`<span class="badge ${ok ? "completed" : bad ? "error" : "timeout"}">${ok ? "Fine" : bad ? "Trouble" : "Note"}</span>`;

function Verdict({ findings, ready: { status } }) {
  const bad = findings.filter(([bad]) => bad).length;
  const words = bad ? `${count(bad, "thing needs", "things need")} your attention` : status === "ok" ? "All that matters works" : "Not ready";
  return html`<section class="card" aria-labelledby="verdict"><h2 id="verdict" class="sr">In short</h2><p class="verdict" role="status">${words}</p>
    ${findings.length > 0 && html`<ul class="checks">${findings.map(([bad, what, advice]) => html`<li key=${what}><${Level} bad=${bad} /> <div><strong>${what}</strong><p>${advice}</p></div></li>`)}</ul>`}</section>`;
}

const Check = ({ ok, bad = true, name, children }) => html`<li><${Level} ok=${ok} bad=${bad} /> <div><strong>${name}</strong><p>${children}</p></div></li>`;

function Checks({ ready: { checks, status }, service }) {
  const { store, disk, vapi, kestra, sweep } = checks;
  return html`<section class="card" aria-labelledby="checks"><h2 id="checks">${status === "ok" ? "Ready" : checks.stopping ? "Stopping" : "Not ready"}</h2>
    <ul class="checks">
      <${Check} ok=${store.ok} name="Store">${store.ok ? html`It answers${store.sizeBytes ? html`, and takes <data value=${store.sizeBytes}>${bytes(store.sizeBytes)}</data>` : ""}.` : "It does not answer."}</${Check}>
      <${Check} ok=${disk.ok} name="Disk">${disk.freeBytes === null ? "Nothing to watch for this store." : html`<data value=${disk.freeBytes}>${bytes(disk.freeBytes)}</data> free.`}</${Check}>
      <${Check} ok=${vapi.ok && vapi.keyConfigured} bad=${!vapi.ok} name="Vapi">${!vapi.keyConfigured ? "There is no key." : !vapi.ok ? `Trouble: ${vapi.error}.` : vapi.lastAnsweredAt ? html`The key is set. Vapi last answered <${Ago} at=${vapi.lastAnsweredAt} />.` : "The key is set. Vapi has not been asked yet."}</${Check}>
      ${kestra && html`<${Check} ok=${kestra.ok} bad=${kestra.places} name="Kestra">${kestra.ok ? "It answers." : `Trouble: ${kestra.error}.`}</${Check}>`}
      <${Check} ok=${sweep.ok && sweep.on} bad=${!sweep.ok} name="Search for lost webhooks"><${Sweep} ...${sweep} /></${Check}>
      <${Check} ok=${service.encrypted} bad=${false} name="Encryption at rest">${service.encrypted ? "Records are encrypted with DATA_KEY." : "None."}</${Check}>
    </ul></section>`;
}

function Sweep({ on, running, lastBegunAt, lastEndedAt, error }) {
  if (error) return error;
  if (running) return html`It goes on${lastBegunAt && html`, since <${Ago} at=${lastBegunAt} />`}.`;
  if (!on) return "Off: there is no VAPI_API_KEY, or RECONCILE_SECONDS is 0.";
  return lastEndedAt ? html`The last one ended <${Ago} at=${lastEndedAt} />.` : "None has been made yet.";
}

/** What is wrong, in the doctor's words; objects at Vapi have names that other people gave them. */
function Doctor({ doctor: { on, lastEndedAt, findings } }) {
  return html`<section class="card" aria-labelledby="doctor"><h2 id="doctor">Doctor</h2>
    ${!on ? html`<p>It makes no rounds. Set <code>DOCTOR_SECONDS</code>, to 3600 say, or run <code>ringback doctor</code>: it compares the settings at Vapi with what is needed here, and tries the public address.</p>`
      : !lastEndedAt ? html`<p>Its first round since this instance started is still to come.</p>`
      : html`<p>${findings.length ? html`${count(findings.length, "finding")} of the round that ended <${Ago} at=${lastEndedAt} />.` : html`It found nothing wrong <${Ago} at=${lastEndedAt} />.`}</p>`}
    ${findings.length > 0 && html`<ul class="checks">${findings.map((it) => html`<li data-check=${it.check}><${Level} bad=${it.severity === "error"} />
      <div><strong>${title(it.check)}</strong>${it.subject && html` <bdi class="quiet">${it.subject}${it.name && ` (${it.name})`}</bdi>`}<p>${sentence(it.found)}</p>${it.advice && html`<p>${sentence(it.advice)}</p>`}</div></li>`)}</ul>
      <p class="quiet"><code>ringback doctor</code> shows them with what is to be changed; <code>--fix</code> changes what you name.</p>`}</section>`;
}

const STANDINGS = { active: ["Active", "completed"], paused: ["Paused", "timeout"], disabled: ["Disabled", "error"] };

function Subscriptions({ all, backlog: { pendingDeliveries, deadDeliveries }, metrics }) {
  const tries = samples(metrics, "ringback_push_attempts_total");
  return html`<section class="card" aria-labelledby="subscriptions"><h2 id="subscriptions">Subscriptions</h2>
    ${!all ? html`<p>They can't be read right now.</p>` : !all.length ? html`<p>Nobody has subscribed. <a href="#/subscriptions">Have somebody told</a> when a call is done.</p>`
      : html`<ul class="checks">${all.map((it) => html`<li key=${it.id}><span class="badge ${STANDINGS[it.status]?.[1]}">${STANDINGS[it.status]?.[0] ?? it.status}</span>
        <div><a href="#/subscriptions/${encodeURIComponent(it.id)}"><strong><bdi>${it.description || it.url}</bdi></strong></a><p>${it.description && html`<bdi>${it.url}</bdi>; `}${it.events.join(", ")}</p></div></li>`)}</ul>`}
    <p><data value=${pendingDeliveries}>${count(pendingDeliveries, "delivery waits", "deliveries wait")}</data> to be tried, <data value=${deadDeliveries}>${count(deadDeliveries, "was", "were")} given up</data>.</p>
    <${Facts} pairs=${by(tries, "result").map(([result, times]) => [`Tries: ${title(result).toLowerCase()}`, html`<span class="number">${whole(times)}</span>`])} /></section>`;
}

function Vapi({ ready: { checks }, metrics, service }) {
  const asked = samples(metrics, "ringback_vapi_requests_total");
  const lost = samples(metrics, "ringback_lost_webhooks_total");
  return html`<section class="card" aria-labelledby="vapi"><h2 id="vapi">Vapi</h2>
    <p>${!checks.vapi.keyConfigured ? "Without a key Vapi is not asked for anything." : `Asked ${count(sum(asked), "time")} since this instance started.`}
      ${lost.length > 0 && ` ${count(sum(lost), "lost webhook was", "lost webhooks were")} found by asking.`}</p>
    <${Facts} pairs=${[["Webhooks go to", service.webhookUrl && html`<code>${service.webhookUrl}</code>`], ...by(asked, "status").map(([status, times]) => [`Answered ${status.replace(/_/g, " ")}`, html`<span class="number">${whole(times)}</span>`])]} /></section>`;
}

function Webhooks({ metrics, late, last }) {
  const taken = samples(metrics, "ringback_webhook_deliveries_total");
  const refused = by(rejections(metrics), "reason");
  const [all, failed] = [sum(taken), refused.reduce((total, [, times]) => total + times, 0)];
  return html`<section class="card" aria-labelledby="webhooks"><h2 id="webhooks">Webhooks</h2>
    <p>${last ? html`The last one came <${Ago} at=${last} />.` : "None has come."} Since this instance started, ${count(all, "message was", "messages were")} taken
      and ${failed ? count(failed, "was", "were") : "none was"} refused.</p>
    ${failed > 0 && html`<div class="notice ${isSerious(late) ? "bad" : ""}"><p>Refused: ${refused.map(([reason, times]) => `${times} ${REFUSALS[reason]?.[0] ?? title(reason).toLowerCase()}`).join(", ")}. ${advice(refused)}</p></div>`}
    <${Facts} pairs=${by(taken, "type").slice(0, 12).map(([type, times]) => [html`<code>${type}</code>`, html`<span class="number">${times}</span>`])} /></section>`;
}

function Work({ ready: { checks }, metrics }) {
  const { pendingFetches, oldestDueAt, waiters } = checks.backlog;
  const done = samples(metrics, "ringback_calls_done_total");
  const streams = sum(samples(metrics, "ringback_stream_clients"));
  return html`<section class="card" aria-labelledby="work"><h2 id="work">Work</h2>
    <p>${pendingFetches ? html`${count(pendingFetches, "call waits", "calls wait")} for an answer of Vapi${oldestDueAt && html`; the first is due <${Ago} at=${oldestDueAt} />`}.` : "No call waits for an answer of Vapi."}
      ${" "}${count(waiters, "client waits", "clients wait")} for a result, ${count(streams, "listens", "listen")} to a stream.</p>
    <p>${count(sum(done), "call was", "calls were")} finished since this instance started.</p>
    <${Facts} pairs=${by(done, "status").map(([status, times]) => [title(status), html`<span class="number">${times}</span>`])} /></section>`;
}

function Memory({ cache }) {
  const looked = cache.hits + cache.misses;
  return html`<section class="card" aria-labelledby="memory"><h2 id="memory">Memory</h2>
    <p>${count(cache.size, "call is", "calls are")} kept in memory, in ${bytes(cache.bytes)} of ${bytes(cache.maxBytes)}, each for ${Math.round(cache.ttlSeconds / 60)} minutes.
      ${looked ? ` ${Math.round((100 * cache.hits) / looked)} % of ${count(looked, "look", "looks")} found what they sought.` : ""}</p></section>`;
}

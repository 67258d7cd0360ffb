// How the service is doing, in words.
import { api, ask, useLoad } from "/dashboard/api.js";
import { html, useEffect } from "/dashboard/html.js";
import { Ago, Facts, Failed, Loading } from "/dashboard/parts.js";
import { bytes, count, title } from "/dashboard/words.js";

/** Milliseconds between two looks. */
const AGAIN = 10_000;

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
const sum = (found, fits = () => true) => found.filter((it) => fits(it.labels)).reduce((total, it) => total + it.value, 0);

/** Totals by a label, the greatest first. */
function by(found, label) {
  const totals = {};
  for (const { labels, value } of found) totals[labels[label]] = (totals[labels[label]] ?? 0) + value;
  return Object.entries(totals).sort((a, b) => b[1] - a[1]);
}

export function Health({ session }) {
  const { data, error, reload } = useLoad(async () => {
    const [ready, cache, metrics] = await Promise.all([ask("/readyz?verbose"), api("/cache/stats?limit=0"), ask("/metrics", { json: false })]);
    return { ready, cache: cache.stats, metrics };
  }, "health");
  useEffect(() => {
    const timer = setInterval(reload, AGAIN);
    return () => clearInterval(timer);
  }, []);
  return html`
    <div class="heading"><h1 tabindex="-1">Health</h1></div>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data && html`<div class="grid"><${Checks} ready=${data.ready} service=${session.service} /><${Webhooks} metrics=${data.metrics} last=${data.ready.checks.webhooks.lastReceivedAt} />
      <${Work} ready=${data.ready} metrics=${data.metrics} /><${Memory} cache=${data.cache} /></div>`}`;
}

const Check = ({ ok, not = "Trouble", name, children }) => html`<li><span class="badge ${ok ? "completed" : not === "Note" ? "timeout" : "error"}">${ok ? "Fine" : not}</span> <div><strong>${name}</strong><p>${children}</p></div></li>`;

function Checks({ ready: { checks, status }, service }) {
  return html`<section class="card" aria-labelledby="checks"><h2 id="checks">${status === "ok" ? "Ready" : checks.stopping ? "Stopping" : "Not ready"}</h2>
    <ul class="checks">
      <${Check} ok=${checks.store.ok} name="Store">${checks.store.ok ? `It answers${checks.store.sizeBytes ? `, and takes ${bytes(checks.store.sizeBytes)}` : ""}.` : "It does not answer. Webhooks are refused, and Vapi sends them again. Check the database and DATABASE_URL."}</${Check}>
      <${Check} ok=${checks.disk.ok} name="Disk">${!checks.disk.ok ? "Little room is left: old bodies are dropped to make room. Free some, or lower PAYLOAD_RETENTION_DAYS." : checks.disk.freeBytes ? `${bytes(checks.disk.freeBytes)} free.` : "Nothing to watch for this store."}</${Check}>
      <${Check} ok=${checks.vapi.ok && checks.vapi.keyConfigured} not=${checks.vapi.ok ? "Note" : "Trouble"} name="Vapi">${!checks.vapi.keyConfigured ? "There is no VAPI_API_KEY: nothing can be fetched, and a report settles a call as it comes." : !checks.vapi.ok ? `Trouble: ${checks.vapi.error}.` : checks.vapi.lastAnsweredAt ? html`The key is set. Vapi last answered <${Ago} at=${checks.vapi.lastAnsweredAt} />.` : "The key is set. Vapi has not been asked yet."}</${Check}>
      <${Check} ok=${service.encrypted} not="Note" name="Encryption at rest">${service.encrypted ? "Records are encrypted with DATA_KEY." : "Records are stored in clear. Set DATA_KEY to encrypt them."}</${Check}>
    </ul></section>`;
}

function Webhooks({ metrics, last }) {
  const taken = samples(metrics, "ringback_webhook_deliveries_total");
  const refused = samples(metrics, "ringback_webhook_rejections_total");
  const lost = samples(metrics, "ringback_lost_webhooks_total");
  const [all, failed] = [sum(taken), sum(refused)];
  const reasons = { missing: "without any proof", invalid: "with a wrong proof", stale: "with an old timestamp" };
  return html`<section class="card" aria-labelledby="webhooks"><h2 id="webhooks">Webhooks</h2>
    <p>${last ? html`The last one came <${Ago} at=${last} />.` : html`None has come yet. <a href="#/">How to connect Vapi</a>.`} Since this instance started, ${count(all, "message was", "messages were")} taken
      and ${failed ? count(failed, "was", "were") : "none was"} refused.</p>
    ${failed > 0 && html`<div class="notice bad"><p>Refused: ${by(refused, "reason").map(([reason, times]) => `${times} ${reasons[reason] ?? reason}`).join(", ")}. Check that the secret at Vapi is one of <code>VAPI_WEBHOOK_SECRET</code>.</p></div>`}
    ${lost.length > 0 && html`<p>${count(sum(lost), "lost webhook was", "lost webhooks were")} found by asking Vapi.</p>`}
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

// Everything that happened to a call, in order of time; redacted bodies when somebody asks.
import { api, useLoad } from "/dashboard/api.js";
import { html, useState } from "/dashboard/html.js";
import { Failed, Loading } from "/dashboard/parts.js";
import { count, moment, title } from "/dashboard/words.js";

const KINDS = { delivery: "Vapi sent", fetch: "Vapi was asked", placed: "Placed", tool: "Tool", settled: "Settled", recovered: "A lost report was found", outbound: "Sent on", deleted: "Deleted" };

export function Timeline({ path, version }) {
  const [open, setOpen] = useState(false);
  return html`
    <details class="card timeline" onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary><h2>Timeline</h2></summary>
      ${open && html`<${Entries} path=${path} version=${version} />`}
    </details>`;
}

function Entries({ path, version }) {
  const [bodies, setBodies] = useState(false);
  const { data, error, loading, reload } = useLoad(() => api(`${path}/timeline${bodies ? "?body=1" : ""}`), `${path} ${version} ${bodies}`);
  if (error) return html`<${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<${Loading} />`;
  return html`
    <p class="buttons"><span class="quiet">${count(data.count, "entry", "entries")}</span>
      <button type="button" aria-pressed=${bodies} onClick=${() => setBodies(!bodies)}>${loading ? "Loading…" : bodies ? "Hide bodies" : "Show redacted bodies"}</button></p>
    <ol>${data.data.map((entry, index) => html`<${Entry} key=${`${entry.eventId} ${index}`} entry=${entry} />`)}</ol>`;
}

const Entry = ({ entry }) => html`
  <li>
    <p><time datetime=${entry.at} class="number quiet">${moment(entry.at, { timeStyle: "medium" })}</time>
      <strong>${KINDS[entry.kind] ?? title(entry.kind)}</strong> <code>${entry.source}</code>
      ${entry.proof && html`<span class="quiet">proven by ${entry.proof}</span>`} ${entry.duplicate && html`<span class="tag">repeat</span>`} ${entry.version && html`<span class="tag">version ${entry.version}</span>`}</p>
    ${entry.details && html`<p class="words" dir="auto">${entry.details}</p>`}
    ${entry.changed.length > 0 && html`<p class="quiet">Changed ${entry.changed.map(title).join(", ").toLowerCase()}</p>`}
    ${entry.body !== undefined && (entry.body === null ? entry.kind === "delivery" && html`<p class="quiet">Its body is not kept.</p>` : html`<pre tabindex="0" aria-label="Redacted body">${JSON.stringify(entry.body, null, 2)}</pre>`)}
  </li>`;

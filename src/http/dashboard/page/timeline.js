// Everything that happened to a call, in order of time; some at first, and redacted bodies when somebody asks.
import { api, useLoad } from "/dashboard/api.js";
import { html, useEffect, useRef, useState } from "/dashboard/html.js";
import { Failed, Loading } from "/dashboard/parts.js";
import { count, moment, title, whole } from "/dashboard/words.js";

const KINDS = { delivery: "Vapi sent", fetch: "Vapi was asked", placed: "Placed", tool: "Tool", settled: "Settled", recovered: "A lost report was found", outbound: "Sent on", deleted: "Deleted" };
/** These were messages, so that they had a body. */
const TOLD = ["delivery", "fetch", "placed", "tool"];
/** Entries drawn at first, and more each time somebody wants more. */
const PAGE = 100;

/** Repeats have the id and the body of the first. */
const nameOf = ({ kind, eventId }) => `${kind} ${eventId}`;

export function Timeline({ path, version }) {
  const [open, setOpen] = useState(false);
  return html`
    <details class="card timeline" onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary><h2>Timeline</h2></summary>
      ${open && html`<${Entries} path=${path} version=${version} />`}
    </details>`;
}

function Entries({ path, version }) {
  const { data, error, reload } = useLoad(() => api(`${path}/timeline`), `${path} ${version}`);
  const [most, setMost] = useState(PAGE);
  const [all, setAll] = useState(false);
  const bodies = useBodies(path);
  if (error) return html`<${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<${Loading} />`;
  const drawn = data.data.slice(0, most);
  const rest = data.count - drawn.length;
  return html`
    <p class="buttons"><span class="quiet">${count(data.count, "entry", "entries")}${rest > 0 && `, the first ${whole(drawn.length)} shown`}</span>
      <button type="button" aria-pressed=${all} onClick=${() => setAll(!all)}>${all ? "Hide bodies" : "Show redacted bodies"}</button></p>
    <ol>${drawn.map((entry, index) => html`<${Entry} key=${`${entry.eventId} ${index}`} entry=${entry} all=${all} bodies=${bodies} />`)}</ol>
    ${rest > 0 && html`<p class="buttons"><button type="button" onClick=${() => setMost(most + PAGE)}>Show ${whole(Math.min(PAGE, rest))} more</button></p>`}`;
}

/** Bodies by the names of their entries; `need(name)` loads all there are by then. */
function useBodies(path) {
  const [state, setState] = useState({ known: {}, error: null });
  const asking = useRef(false);
  const need = async (name) => {
    if (name in state.known || asking.current) return;
    asking.current = true;
    const next = await api(`${path}/timeline?body=1`).then(
      // What is gone by now is not asked for again.
      ({ data }) => ({ known: { [name]: null, ...bodiesOf(data) }, error: null }),
      (error) => ({ ...state, error }),
    );
    asking.current = false;
    setState(next);
  };
  return { ...state, need };
}

const bodiesOf = (entries) => Object.fromEntries(entries.filter((it) => it.body !== null).concat(entries).reverse().map((it) => [nameOf(it), it.body]));

function Entry({ entry, all, bodies: { known, error, need } }) {
  const [own, setOwn] = useState(null);
  const name = nameOf(entry);
  const told = TOLD.includes(entry.kind);
  const open = told && (own ?? all);
  useEffect(() => setOwn(null), [all]);
  useEffect(() => { if (open) need(name); }, [open, known]);
  return html`
    <li>
      <p><time datetime=${entry.at} class="number quiet">${moment(entry.at, { timeStyle: "medium" })}</time>
        <strong>${KINDS[entry.kind] ?? title(entry.kind)}</strong> <code>${entry.source}</code>
        ${entry.proof && html`<span class="quiet">proven by ${entry.proof}</span>`} ${entry.duplicate && html`<span class="tag">repeat</span>`} ${entry.version && html`<span class="tag">version ${entry.version}</span>`}
        ${told && html`<button type="button" class="link" aria-expanded=${open} onClick=${() => setOwn(!open)}>${open ? "Hide body" : "Body"}</button>`}</p>
      ${entry.details && html`<p class="words" dir="auto">${entry.details}</p>`}
      ${entry.changed.length > 0 && html`<p class="quiet">Changed ${entry.changed.map(title).join(", ").toLowerCase()}</p>`}
      ${open && (known[name] ? html`<pre tabindex="0" aria-label="Redacted body">${JSON.stringify(known[name], null, 2)}</pre>`
        : html`<p class="quiet">${name in known ? "Its body is not kept." : error ? error.message : "Loading…"}</p>`)}
    </li>`;
}

// Telling subscribers of a call again.
import { Ask } from "/dashboard/act.js";
import { api } from "/dashboard/api.js";
import { html, useRef, useState } from "/dashboard/html.js";
import { Failed, Loading } from "/dashboard/parts.js";
import { count } from "/dashboard/words.js";

/** What was sent of a call, by subscription. */
async function sent(path) {
  const [timeline, subscriptions] = await Promise.all([api(`${path}/timeline`), api("/subscriptions")]);
  const out = timeline.data.filter((entry) => entry.kind === "outbound");
  // Their lines begin with whom they were for.
  const of = ({ id }) => [...new Set(out.filter((entry) => entry.details?.startsWith(`${id}:`)).map((entry) => entry.eventId))];
  return subscriptions.data.map((it) => ({ ...it, ids: of(it) })).filter((it) => it.ids.length);
}

export function Tell({ path, act, busy }) {
  const [{ told, error }, set] = useState({});
  const list = useRef();
  const load = () => { set({}); sent(path).then((told) => set({ told }), (error) => set({ error })); };
  const tell = async () => {
    const wanted = new Set([...list.current?.querySelectorAll("input:checked") ?? []].map((it) => it.value));
    const answers = await Promise.all((told ?? []).filter((it) => wanted.has(it.id)).map((it) => api(`/subscriptions/${it.id}/redeliver`, { method: "POST", body: { ids: it.ids } })));
    return answers.reduce((sum, it) => sum + it.data.redelivered, 0);
  };
  const worded = (sum) => (sum ? `${count(sum, "delivery goes", "deliveries go")} out again.` : "Nothing was sent: what is pending is on its way.");
  return html`
    <${Ask} name="Tell again…" title="Tell subscribers of this call again?" yes="Tell them" no="Leave it" busy=${busy} opened=${load} action=${act(tell, worded)}>
      <p>All that was sent of it goes out once more. Receivers know repeats by the header <code>webhook-id</code>.</p>
      ${error && html`<${Failed} error=${error} retry=${load} />`}
      ${!told && !error && html`<${Loading} />`}
      ${told?.length === 0 && html`<p class="notice">No <a href="#/subscriptions">subscription</a> was told of this call.</p>`}
      ${told?.length > 0 && html`<fieldset ref=${list}><legend>Whom</legend>${told.map((it) => html`
        <label class="choice" key=${it.id}><input type="checkbox" value=${it.id} defaultChecked /><span><bdi>${it.description || it.url}</bdi> <span class="quiet">${count(it.ids.length, "event")}</span></span></label>`)}</fieldset>`}
    </${Ask}>`;
}

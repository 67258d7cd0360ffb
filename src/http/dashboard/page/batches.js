// Many calls placed together: all batches, and one with its calls.
import { Ask, Head, Pages, may, useAct } from "/dashboard/act.js";
import { api, query, useLoad } from "/dashboard/api.js";
import { html, useEffect, useRef } from "/dashboard/html.js";
import { Badge, Copy, Facts, Failed, Loading, When } from "/dashboard/parts.js";
import { count, dollars, lasted, number, who } from "/dashboard/words.js";

const PAGE = 25;
/** Milliseconds between two looks at a batch that goes on. */
const AGAIN = 2_000;
const COMMAND = `curl -X POST ORIGIN/api/v1/vapi/batches \\
  -H 'authorization: Bearer YOUR_TOKEN' -H 'content-type: application/json' \\
  -d '{"maxConcurrent":5,"requests":[{"providerName":"Hill Plumbing","providerPhone":"+15551234567","serviceNeeded":"a leaking tap"}]}'`;

const finished = ({ completed, failed, timeout, noAnswer, voicemail }) => completed + failed + timeout + noAnswer + voicemail;
const isOver = ({ stats }) => finished(stats) === stats.total;
/** Parts of the bar: what became of calls, in the colors of the badges. */
const PARTS = [["completed", "completed", "completed"], ["noAnswer", "no_answer", "not answered"], ["voicemail", "no_answer", "voicemail"], ["timeout", "no_answer", "timed out"], ["failed", "error", "failed"]];

const State = ({ batch, done }) => {
  const [kind, words] = batch.canceled ? ["timeout", "Canceled"] : done ? ["completed", "Done"] : ["live", "Going on"];
  return html`<span class="badge ${kind}">${words}</span>`;
};

/** How far it is. */
function Progress({ stats }) {
  const there = finished(stats);
  const parts = PARTS.filter(([name]) => stats[name]);
  return html`
    <div class="progress">
      <svg viewBox="0 0 ${stats.total} 1" preserveAspectRatio="none" role="progressbar" aria-label="Calls that are done" aria-valuemin="0" aria-valuemax=${stats.total} aria-valuenow=${there}>
        ${parts.map(([name, kind], index) => html`<rect class=${kind} x=${parts.slice(0, index).reduce((sum, [before]) => sum + stats[before], 0)} width=${stats[name]} height="1" />`)}</svg>
      <p class="quiet"><span class="number">${there}</span> of <span class="number">${stats.total}</span> done${parts.map(([name, , words]) => `, ${stats[name]} ${words}`).join("")}</p>
    </div>`;
}

/** Looks again and again while something goes on, and somebody looks. */
function useAgain(goes, reload) {
  const latest = useRef();
  latest.current = reload;
  useEffect(() => {
    const timer = goes && setInterval(() => document.hidden || latest.current(), AGAIN);
    return () => clearInterval(timer);
  }, [Boolean(goes)]);
}

export function Batches({ session, parameters }) {
  const cursor = parameters.get("cursor") ?? "";
  const path = `/batches${query({ limit: PAGE, cursor })}`;
  const { data, error, reload } = useLoad(() => api(path), path);
  useAgain(data?.data.some((it) => !it.canceled && !isOver(it)), reload);
  return html`
    <div class="heading"><h1 tabindex="-1">Batches</h1></div>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${!data && !error && html`<${Loading} />`}
    ${data?.count === 0 && html`<div class="empty wide"><p class="big">No batches yet.</p>
      <p>A batch places up to 500 calls, so many at once, and waits for all of them. ${may(session, "place") ? "Start one with the API:" : "Starting one takes a token of scope place:"}</p>
      <${Copy} text=${COMMAND.replace("ORIGIN", location.origin)} label="Command that places a batch" /></div>`}
    <ul class="stack" aria-label="Batches, newest first">${data?.data.map((it) => html`
      <li class="card" key=${it.batchId}>
        <div class="heading"><h2><a href="#/batches/${it.batchId}">${count(it.stats.total, "call")}, <${When} at=${it.createdAt} short /></a></h2><${State} batch=${it} done=${isOver(it)} /></div>
        <${Progress} stats=${it.stats} />
      </li>`)}</ul>
    <${Pages} cursor=${cursor} pagination=${data?.pagination} go=${(cursor) => { location.hash = `#/batches${query({ cursor })}`; }} />`;
}

export function Batch({ id, session }) {
  const path = `/batches/${encodeURIComponent(id)}`;
  const { data, error, reload } = useLoad(() => api(`${path}?view=summary`), path);
  const done = data?.done;
  useAgain(data && !done, reload);
  const back = html`<p class="back"><a href="#/batches">All batches</a></p>`;
  if (!data) return html`${back}<div class="heading"><h1 tabindex="-1">Batch</h1></div>${error ? html`<${Failed} error=${error} retry=${reload} />` : html`<${Loading} />`}`;
  const batch = data.data;
  const { stats } = batch;
  return html`
    ${back}
    <div class="heading"><h1 tabindex="-1">Batch of ${count(stats.total, "call")}</h1><${State} batch=${batch} done=${done} /></div>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${!done && may(session, "place") && html`<${Cancel} batch=${batch} path=${path} changed=${reload} />`}
    <section class="card broad" aria-labelledby="progress"><h2 id="progress">Progress</h2><${Progress} stats=${stats} />
      <${Facts} pairs=${[
        ["Asked for", html`<${When} at=${batch.createdAt} />`], ["Placed", `${stats.placed} of ${stats.total}`], [done ? "Took" : "Goes on for", lasted(stats.duration / 1_000)],
        ["A call lasted on average", stats.averageCallDuration ? lasted(stats.averageCallDuration * 60) : ""], ["Id", html`<code>${batch.batchId}</code>`],
      ]} /></section>
    <table role="table" class="rows" aria-label="Calls of the batch"><${Head} names=${["Nr.", "Call", "Outcome", "Lasted", "Cost"]} />
      <tbody role="rowgroup">${batch.results.map((it) => html`<${Row} key=${it.index} of=${it} />`)}</tbody></table>`;
}

function Cancel({ batch, path, changed }) {
  const { act, busy, said } = useAct();
  const hangup = useRef();
  const cancel = () => api(`${path}/cancel${query({ hangup: hangup.current.checked ? 1 : "" })}`, { method: "POST" }).then(changed);
  return html`
    <div class="actions">
      <${Ask} name=${batch.canceled ? "Hang up what goes on…" : "Cancel…"} title=${batch.canceled ? "Hang up its calls?" : "Cancel this batch?"} yes=${batch.canceled ? "Do it" : "Cancel it"} no="Let it go on" danger busy=${busy}
        action=${act(cancel, "No more calls are placed.")}>
        <p>No more calls are placed. Those that go on come to their end by themselves, unless you have them hung up.</p>
        <label class="choice"><input type="checkbox" ref=${hangup} defaultChecked=${batch.canceled} /><span>Hang up the calls that go on</span></label></${Ask}>
      ${said}
    </div>`;
}

/** How a row stands whose call is not shown: it is not known yet, was deleted since, or there is none. */
const stands = ({ callId, code, done }) => (done ? (code ? "Failed" : callId ? "Done" : "Canceled") : code ? "Tried again" : callId ? "Being placed" : "Waiting");

function Row({ of: { index, callId, data, code, error, done } }) {
  const is = data?.createdAt ? data : null;
  return html`
    <tr role="row">
      <td role="cell" data-label="Nr." class="quiet number nr">${index + 1}</td>
      <td role="cell" class="who">${callId ? html`<a href="#/calls/${encodeURIComponent(callId)}"><bdi>${is ? who(is) : callId}</bdi></a> <bdi class="quiet">${is && number(is)}</bdi>` : html`<span class="quiet">${done ? "Not placed" : "To be placed"}</span>`}
        ${error && html`<p class="gist words" dir="auto" title=${code}>${error}</p>`}${is?.analysis.summary && html`<p class="gist" dir="auto">${is.analysis.summary.slice(0, 240)}</p>`}</td>
      <td role="cell" data-label="Outcome">${is ? html`<${Badge} call=${is} />` : html`<span class="badge ${done && code ? "error" : code ? "timeout" : ""}">${stands({ callId, code, done })}</span>`}</td>
      <td role="cell" data-label="Lasted" class="number">${lasted(is?.durationSeconds)}</td>
      <td role="cell" data-label="Cost" class="number">${dollars(is?.cost)}</td>
    </tr>`;
}

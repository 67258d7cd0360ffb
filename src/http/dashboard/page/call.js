// One call: what came of it, what was said, and everything that happened.
import { api, useLoad, useStream } from "/dashboard/api.js";
import { html, useEffect, useRef, useState } from "/dashboard/html.js";
import { Badge, Connection, Data, Facts, Failed, Loading, When } from "/dashboard/parts.js";
import { Timeline } from "/dashboard/timeline.js";
import { DATA, LINES, MISSING, dollars, fault, isLive, lasted, number, title, who } from "/dashboard/words.js";

/** Events come in bursts; the call is read once after each, milliseconds later. */
const SETTLES = 200;

const isThere = (value) => value && (Array.isArray(value) ? value.length : Object.keys(value).length) > 0;

export function Call({ id, session }) {
  const path = `/calls/${encodeURIComponent(id)}`;
  const { data, error, reload } = useLoad(() => api(`${path}/result`), path);
  const [gone, setGone] = useState(false);
  const [passing, setPassing] = useState({});
  const timer = useRef();
  useEffect(() => () => clearTimeout(timer.current), []);
  // What is being deleted is not asked for any more.
  const leaving = useRef(false);
  const soon = () => { clearTimeout(timer.current); timer.current = setTimeout(() => leaving.current || reload(), SETTLES); };
  const state = useStream(gone ? null : `${path}/events`, (type, { data }) => {
    if (type === "call.deleted") return setGone(true);
    if (type === "call.transcript" && data && !data.final) return setPassing((was) => ({ ...was, [data.role]: data }));
    setPassing({});
    soon();
  }, soon);
  if (gone || error?.code === "CALL_DELETED") return html`<${Note} title="This call was deleted">Nothing of it is kept. <a href="#/calls">Back to all calls</a>.</${Note}>`;
  if (error && !data) return html`<div class="heading"><h1 tabindex="-1">Call</h1></div><${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<div class="heading"><h1 tabindex="-1">Call</h1></div><${Loading} />`;
  const call = data.data;
  if (!call.createdAt) return html`<${Note} title="Nothing was heard of this call">Check the id: <code>${id}</code>. If it is right, this page shows the call as soon as Vapi tells of it.</${Note}>`;
  return html`
    <p class="back"><a href="#/calls">All calls</a></p>
    <div class="heading"><h1 tabindex="-1"><bdi>${who(call)}</bdi></h1><${Badge} call=${call} />${isLive(call) && html`<${Connection} state=${state} />`}</div>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    <${Actions} call=${call} path=${path} session=${session} leaving=${leaving} deleted=${() => setGone(true)} />
    <div class="columns">
      <div>
        <${Analysis} call=${call} />
        <${Conversation} call=${call} passing=${Object.values(passing)} path=${path} />
      </div>
      <div>
        <${Outcome} call=${call} />
        <${Cost} call=${call} />
        <${Particulars} call=${call} />
      </div>
    </div>
    <${Timeline} path=${path} version=${call.version} />`;
}

const Note = ({ title, children }) => html`<div class="heading"><h1 tabindex="-1">${title}</h1></div><div class="empty"><p>${children}</p></div>`;

function Actions({ call, path, session, leaving, deleted }) {
  const [said, say] = useState(null);
  const dialog = useRef();
  const can = (scope) => session.may.includes(scope);
  const act = (words, request) => async () => {
    say(null);
    await request().then(() => say({ words }), (error) => say({ error }));
  };
  const erase = async () => {
    dialog.current.close();
    leaving.current = true;
    await api(path, { method: "DELETE" }).then(deleted, (error) => { leaving.current = false; say({ error }); });
  };
  if (!can("place") && !can("admin")) return null;
  return html`
    <div class="actions">
      ${can("place") && html`<button type="button" onClick=${act("Vapi is being asked. What it says appears here.", () => api(`${path}/fetch`, { method: "POST" }))}>Fetch again</button>`}
      ${can("place") && session.service.canCancel && isLive(call) && html`<button type="button" onClick=${act("Vapi was told to hang up.", () => api(`${path}/cancel`, { method: "POST" }))}>Hang up</button>`}
      ${can("admin") && html`<button type="button" class="danger" onClick=${() => dialog.current.showModal()}>Delete…</button>`}
      <dialog ref=${dialog} aria-labelledby="sure">
        <h2 id="sure">Delete this call?</h2>
        <p>Its record, transcript and events are erased here for good, and what Vapi sends later is ignored. ${isLive(call) && "The call itself goes on: this does not hang up. "}Vapi's own copy stays at Vapi.</p>
        <div class="buttons"><button type="button" class="danger" onClick=${erase}>Delete for good</button><button type="button" autofocus onClick=${() => dialog.current.close()}>Keep it</button></div>
      </dialog>
      <p role="status" class="quiet">${said?.words}</p>
    </div>
    ${said?.error && html`<${Failed} error=${said.error} />`}`;
}

const Outcome = ({ call }) => html`
  <section class="card" aria-labelledby="outcome"><h2 id="outcome">Outcome</h2>
    ${call.error && html`<p class="notice bad words" dir="auto">${call.error}</p>`}
    <${Facts} pairs=${[
      ["Line", LINES[call.callStatus] ?? call.callStatus], ["Ended because", call.endedReason && html`<code>${call.endedReason}</code>`], ["Whose doing", call.status === "error" && fault(call)],
      ["Picked up", call.outcome.kind && (call.outcome.connected ? "Yes" : "No")], ["The other end spoke", call.outcome.kind && (call.outcome.userSpoke ? "Yes" : "No")],
      ["SIP status", call.outcome.sipStatus], ["Lasted", call.durationSeconds !== null && lasted(call.durationSeconds)],
      ["Our copy", DATA[call.dataStatus]], ["Next fetch", call.nextFetchAt && html`<${When} at=${call.nextFetchAt} />`], ["Fetches so far", call.fetchAttempts || ""], ["Why the last fetch failed", call.fetchError],
    ]} />
  </section>`;

function Analysis({ call }) {
  const { summary, structuredData, structuredDataMulti, successEvaluation } = call.analysis;
  const [why, advice] = MISSING[call.outcome.analysisMissingReason] ?? [];
  const outputs = Object.values(call.structuredOutputs);
  const nothing = !why && !summary && !isThere(structuredData) && !isThere(structuredDataMulti) && !outputs.length && !successEvaluation;
  return html`
    <section class="card" aria-labelledby="summary"><h2 id="summary">Summary</h2>
      ${why && html`<div class="notice"><p data-missing=${call.outcome.analysisMissingReason}><strong>${why}</strong> ${advice}</p></div>`}
      ${nothing && html`<p class="quiet">${isLive(call) ? "It comes when the call has ended." : "There is no result yet."}</p>`}
      ${summary && html`<p class="summary words" dir="auto">${summary}</p>`}
      ${successEvaluation && html`<${Facts} pairs=${[["Evaluation", html`<bdi>${successEvaluation}</bdi>`]]} />`}
      ${call.request.criteria && html`<h3>Criteria</h3><p class="words" dir="auto">${call.request.criteria}</p>`}
      ${isThere(structuredData) && html`<h3>Structured data</h3><${Data} value=${structuredData} />`}
      ${isThere(structuredDataMulti) && html`<h3>Structured data of several plans</h3><${Data} value=${structuredDataMulti} />`}
      ${outputs.map((output) => html`<h3><bdi>${output?.name ? title(output.name) : "Structured output"}</bdi></h3><${Data} value=${output?.result ?? output} />`)}
    </section>`;
}

function Conversation({ call, passing, path }) {
  const player = useRef();
  const [trouble, setTrouble] = useState(false);
  const play = (seconds) => () => { player.current.currentTime = seconds; player.current.play().catch(() => setTrouble(true)); };
  const lines = call.messages;
  return html`
    <section class="card" aria-labelledby="conversation"><h2 id="conversation">Conversation</h2>
      ${call.recording.available && html`<audio ref=${player} controls preload="none" src=${`/api/v1/vapi${path}/recording?proxy=1`} onError=${() => setTrouble(true)} aria-label="Recording"></audio>`}
      ${trouble && html`<p class="notice bad" role="alert">The recording can't be played. Vapi may not have it yet or any more; check VAPI_API_KEY under Health.</p>`}
      ${lines.length + passing.length === 0 && (call.transcript
        ? html`<p class="words" dir="auto">${call.transcript}</p>`
        : html`<p class="quiet">${isLive(call) ? "Nothing was said yet." : "Nothing was said, or nothing of it reached us."}</p>`)}
      <div role="log" aria-live=${isLive(call) ? "polite" : "off"} aria-label="Transcript"><ol class="talk">
        ${lines.map((line, index) => html`<li class="said ${line.role}" key=${index}>
          <span class="by">${line.role === "bot" ? "Assistant" : "Customer"} <${Time} line=${line} play=${call.recording.available && play} /></span><p dir="auto">${line.message}</p></li>`)}
      </ol></div>
      <ol class="talk" aria-label="Being said" aria-live="off">${passing.map((line) => html`<li class="said passing ${line.role}" key=${line.role}><span class="by">${line.role === "bot" ? "Assistant" : "Customer"}</span><p dir="auto">${line.message} …</p></li>`)}</ol>
    </section>`;
}

function Time({ line, play }) {
  const seconds = line.secondsFromStart;
  if (seconds === null) return line.time ? html`<span class="quiet">${new Date(line.time).toLocaleTimeString()}</span>` : null;
  const at = lasted(seconds);
  return play ? html`<button type="button" class="link" onClick=${play(Math.max(0, seconds))} aria-label="Play from ${at}">${at}</button>` : html`<span class="quiet">${at}</span>`;
}

function Cost({ call }) {
  // Counts of tokens and characters stand beside the amounts.
  const isMoney = ([key, value]) => typeof value === "number" && key !== "total" && !/tokens|characters|count/i.test(key) && value !== 0;
  const parts = Object.entries(call.costBreakdown).flatMap(([key, value]) => (value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value).map(([inner, amount]) => [inner, amount]) : [[key, value]]));
  return html`<section class="card" aria-labelledby="cost"><h2 id="cost">Cost</h2>
    <p class="big number">${dollars(call.cost)}</p>
    <${Facts} pairs=${parts.filter(isMoney).map(([key, value]) => [key.length <= 3 ? key.toUpperCase() : title(key), html`<span class="number">${dollars(value)}</span>`])} />
  </section>`;
}

const Particulars = ({ call }) => html`
  <section class="card" aria-labelledby="particulars"><h2 id="particulars">Particulars</h2>
    <${Facts} pairs=${[
      ["Customer", call.customer.name && html`<bdi>${call.customer.name}</bdi>`], ["Number", html`<bdi>${number(call) || call.customer.number}</bdi>`],
      ["Service", call.provider.service], ["Location", call.provider.location], ["Urgency", call.request.urgency && title(call.request.urgency)],
      ["First heard of", html`<${When} at=${call.createdAt} />`], ["Began", call.startedAt && html`<${When} at=${call.startedAt} />`], ["Ended", call.endedAt && html`<${When} at=${call.endedAt} />`],
      ["Call", html`<code>${call.id}</code>`], ["Assistant", call.assistantId && html`<code>${call.assistantId}</code>`], ["Correlation", call.correlationId && html`<code>${call.correlationId}</code>`], ["Request", call.serviceRequestId && html`<code>${call.serviceRequestId}</code>`],
    ]} />
    ${isThere(call.metadata) && html`<details><summary>Metadata</summary><${Data} value=${call.metadata} /></details>`}
    ${call.toolCalls.length > 0 && html`<details><summary>Tools asked: ${call.toolCalls.length}</summary>${call.toolCalls.map((tool) => html`
      <h3><bdi>${tool.name ?? "A tool"}</bdi></h3><${Data} value=${tool.arguments} /><p class="words" dir="auto">${[tool.result, tool.error].filter(Boolean).join(" – ") || "No answer yet"}</p>`)}</details>`}
  </section>`;

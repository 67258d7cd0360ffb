// One call: what came of it, what was said, and everything that happened.
import { Ask, may, useAct } from "/dashboard/act.js";
import { api, useLoad, useStream } from "/dashboard/api.js";
import { html, useEffect, useRef, useState } from "/dashboard/html.js";
import { Badge, Connection, Data, Facts, Failed, Loading, When } from "/dashboard/parts.js";
import { Tell } from "/dashboard/tell.js";
import { Timeline } from "/dashboard/timeline.js";
import { DATA, LINES, MISSING, dollars, fault, isLive, lasted, number, title, who } from "/dashboard/words.js";

/** Events come in bursts; the call is read once after each, milliseconds later. */
const SETTLES = 200;
/** Milliseconds after which somebody asks again what became of a placing. */
const LOOKS = 2_000;

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
  const [isLeaving, setLeaving] = useState(false);
  const leave = (is) => { leaving.current = is; setLeaving(is); };
  const soon = () => { clearTimeout(timer.current); timer.current = setTimeout(() => leaving.current || reload(), SETTLES); };
  // Nobody knows yet which call a placing became: it is looked for.
  const placing = id.startsWith("pl_") && !data?.data.createdAt;
  const waits = placing && data !== null && !error;
  useEffect(() => {
    const look = waits && setInterval(() => document.hidden || reload(), LOOKS);
    return () => clearInterval(look);
  }, [waits]);
  const state = useStream(gone || placing ? null : `${path}/events`, (type, { data }) => {
    if (type === "call.deleted") return setGone(true);
    if (type === "call.transcript" && data && !data.final) return setPassing((was) => ({ ...was, [data.role]: data }));
    setPassing({});
    soon();
  }, soon);
  if (gone || error?.code === "CALL_DELETED") return html`<${Note} title="This call was deleted">Nothing of it is kept. <a href="#/calls">Back to all calls</a>.</${Note}>`;
  if (error && !data) return html`<div class="heading"><h1 tabindex="-1">Call</h1></div><${Failed} error=${error} retry=${reload} />`;
  if (!data) return html`<div class="heading"><h1 tabindex="-1">Call</h1></div><${Loading} />`;
  const call = data.data;
  if (placing) return html`<${Placing} id=${id} path=${path} session=${session} />`;
  if (!call.createdAt) return html`<${Note} title="Nothing was heard of this call">Check the id: <code>${id}</code>. If it is right, this page shows the call as soon as Vapi tells of it.</${Note}>`;
  return html`
    <p class="back"><a href="#/calls">All calls</a></p>
    <div class="heading"><h1 tabindex="-1"><bdi>${who(call)}</bdi></h1><${Badge} call=${call} />${isLive(call) && html`<${Connection} state=${state} />`}</div>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    <${Actions} call=${call} path=${path} session=${session} leave=${leave} deleted=${() => setGone(true)} />
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
    ${!isLeaving && html`<${Timeline} path=${path} version=${call.version} />`}`;
}

const Note = ({ title, children }) => html`<div class="heading"><h1 tabindex="-1">${title}</h1></div><div class="empty"><p>${children}</p></div>`;

/** A call that was asked for, and nobody knows yet whether there is one. */
function Placing({ id, path, session }) {
  const { act, busy, said } = useAct();
  return html`
    <p class="back"><a href="#/calls">All calls</a></p>
    <div class="heading"><h1 tabindex="-1">A call being placed</h1><span class="badge live">Not confirmed</span></div>
    ${may(session, "place") && html`<div class="actions"><button type="button" disabled=${busy} onClick=${act(() => api(`${path}/fetch`, { method: "POST" }), "Vapi is being asked. What it says appears here.")}>Look for it now</button></div>${said}`}
    <div class="empty"><p class="big">Nobody knows yet which call this became.</p>
      <p>It was asked for, and may ring. So it is not asked for again, but looked for; this page shows the call as soon as it is found.</p><p><code>${id}</code></p></div>`;
}

function Actions({ call, path, session, leave, deleted }) {
  const { act, busy, said } = useAct();
  const can = (scope) => may(session, scope);
  const erase = () => {
    leave(true);
    return api(path, { method: "DELETE" }).then(deleted, (error) => { leave(false); throw error; });
  };
  // A placing that came to nothing is no call at Vapi.
  const isVapis = !call.id.startsWith("pl_");
  const [end, scheduled] = call.callStatus === "scheduled" ? ["Call off…", true] : ["Hang up…", false];
  // Without a key nobody can ask Vapi for anything.
  const mute = !session.service.vapiKey;
  if (!can("place")) return null;
  return html`
    <div class="actions">
      ${isVapis && html`<button type="button" disabled=${busy || mute} onClick=${act(() => api(`${path}/fetch`, { method: "POST" }), "Vapi is being asked. What it says appears here.")}>Fetch again</button>`}
      ${isVapis && isLive(call) && html`<${Ask} name=${end} title=${scheduled ? "Call this call off?" : "Hang up this call?"} yes=${scheduled ? "Call it off" : "Hang up"} no="Let it go on" danger busy=${busy || mute}
        action=${act(() => api(`${path}/cancel`, { method: "POST" }), scheduled ? "Vapi was told to call it off." : "Vapi was told to hang up.")}>
        <p>${scheduled ? "It does not take place." : "Whoever is on the line is cut off at once."} How it ended is told here as of any call.</p></${Ask}>`}
      ${can("admin") && html`<${Tell} path=${path} act=${act} busy=${busy} />
        <${Ask} name="Delete…" title="Delete this call?" yes="Delete for good" no="Keep it" danger busy=${busy} action=${act(erase, "")}>
          <p>Its record, transcript and events are erased here for good, and what Vapi sends later is ignored. ${isLive(call) && "The call itself goes on: this does not hang up. "}Vapi's own copy stays at Vapi.</p></${Ask}>`}
    </div>
    ${mute && html`<p class="quiet">Without VAPI_API_KEY Vapi can't be asked for anything.</p>`}
    ${said}`;
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
  const { session, feedback } = call;
  // Ours stands in where Vapi has none, and says so.
  const ours = !summary && session.source === "extractive" && session.summary;
  const said = [["Score", feedback.npsScore], ["In all", feedback.overallFeedback], ["Good", feedback.positives], ["Not good", feedback.detractors], ["To do", feedback.actionItems]];
  const nothing = !why && !summary && !isThere(structuredData) && !isThere(structuredDataMulti) && !outputs.length && !successEvaluation;
  return html`
    <section class="card" aria-labelledby="summary"><h2 id="summary">Summary</h2>
      ${why && html`<div class="notice"><p data-missing=${call.outcome.analysisMissingReason}><strong>${why}</strong> ${advice}</p></div>`}
      ${nothing && html`<p class="quiet">${isLive(call) ? "It comes when the call has ended." : "There is no result yet."}</p>`}
      ${summary && html`<p class="summary words" dir="auto">${summary}</p>`}
      ${ours && html`<p class="words" dir="auto">${ours}</p><p class="quiet">Not by Vapi: sentences of the transcript, as they were said.</p>`}
      ${session.keyInsights.length > 0 && html`<ul class="tags" aria-label="What stands out">${session.keyInsights.map((it) => html`<li class="tag"><bdi>${it}</bdi></li>`)}</ul>`}
      ${successEvaluation && html`<${Facts} pairs=${[["Evaluation", html`<bdi>${successEvaluation}</bdi>`]]} />`}
      ${call.request.criteria && html`<h3>Criteria</h3><p class="words" dir="auto">${call.request.criteria}</p>`}
      ${isThere(structuredData) && html`<h3>Structured data</h3><${Data} value=${structuredData} />`}
      ${isThere(structuredDataMulti) && html`<h3>Structured data of several plans</h3><${Data} value=${structuredDataMulti} />`}
      ${said.some(([, it]) => it !== null && it !== "") && html`<h3>Feedback</h3><${Facts} pairs=${said.map(([name, it]) => [name, it !== null && it !== "" && html`<span class="words" dir="auto">${it}</span>`])} />`}
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

// Calls that go on right now, and what is said in them.
import { api, query, useLoad, useStream } from "/dashboard/api.js";
import { Connect } from "/dashboard/connect.js";
import { html, useEffect, useRef, useState } from "/dashboard/html.js";
import { Badge, Connection, Failed, Loading } from "/dashboard/parts.js";
import { isLive, lasted, number, who } from "/dashboard/words.js";

const LIVE = "scheduled,queued,ringing,in-progress,forwarding";
/** Calls that just ended stay in sight, but not more than this. */
const MOST_ENDED = 5;
const MOST_CALLS = 100;

const nameOf = (line) => `${line.role} ${line.time} ${line.message}`;
/** Lines of both, each once, in order of time. */
function merged(lines, more) {
  const known = new Set(lines.map(nameOf));
  return [...lines, ...more.filter((line) => !known.has(nameOf(line)))].sort((a, b) => (a.time ?? 0) - (b.time ?? 0));
}

const blank = { call: null, lines: [], passing: {} };
/** The newer of two states of a call. */
const newer = (was, call) => (was && was.version > call.version ? was : call);

/** Those whose call is not known: lines may come before anything else was heard of it. */
const orphansOf = (calls) => Object.keys(calls).filter((id) => !calls[id].call);
const endOf = ({ call }) => call.endedAt ?? call.updatedAt;
/** Ended calls, the latest first. */
const endedOf = (calls) => Object.values(calls).filter((it) => it.call && !isLive(it.call)).sort((a, b) => (endOf(a) < endOf(b) ? 1 : -1));

/** A page may stay open for months: ended calls that are not shown any more are forgotten, with their words. */
function kept(calls) {
  const past = endedOf(calls).slice(MOST_ENDED);
  if (!past.length) return calls;
  const gone = new Set(past.map((it) => it.call.id));
  return Object.fromEntries(Object.entries(calls).filter(([id]) => !gone.has(id)));
}

/** What the page knows once live calls were read; `asked` are the orphans of before. What was missed while the connection was lost: a call that is not on the list any more has ended. */
function read(calls, { list, asked }) {
  const there = list.data;
  const live = new Set(there.map((call) => call.id));
  // Beyond the list nobody knows whether older ones go on.
  const oldest = list.pagination.hasMore ? there.at(-1).createdAt : "";
  const stays = (id, { call }) => live.has(id) || (call ? !isLive(call) || call.createdAt < oldest : !asked.includes(id));
  const next = Object.fromEntries(Object.entries(calls).filter(([id, it]) => stays(id, it)));
  for (const call of there) next[call.id] = { ...(next[call.id] ?? blank), call: newer(next[call.id]?.call, call), lines: merged(next[call.id]?.lines ?? [], call.messages) };
  return kept(next);
}

/** What the page knows after one more event. */
function told(calls, type, { callId, data }) {
  const was = calls[callId] ?? blank;
  if (type === "call.deleted") {
    const { [callId]: gone, ...rest } = calls;
    return rest;
  }
  if (type === "call.tool") return calls;
  if (type !== "call.transcript") {
    // A finished call that was not seen live is no news here.
    if (!was.call && !isLive(data)) return calls;
    return { ...calls, [callId]: { ...was, call: newer(was.call, data), passing: isLive(data) ? was.passing : {} } };
  }
  if (!data) return calls;
  const passing = { ...was.passing };
  if (!data.final) return { ...calls, [callId]: { ...was, passing: { ...passing, [data.role]: data } } };
  delete passing[data.role];
  return { ...calls, [callId]: { ...was, lines: merged(was.lines, [data]), passing } };
}

export function Now({ session }) {
  const [calls, setCalls] = useState({});
  const latest = useRef();
  latest.current = calls;
  const loaded = useLoad(async () => {
    const asked = orphansOf(latest.current);
    return { asked, list: await api(`/calls${query({ callStatus: LIVE, view: "full", limit: MOST_CALLS })}`) };
  }, "live");
  const any = useLoad(() => api("/calls?limit=1"), "any");
  const state = useStream("/events", (type, event) => setCalls((was) => kept(told(was, type, event))), loaded.reload);
  useEffect(() => { if (loaded.data) setCalls((was) => read(was, loaded.data)); }, [loaded.data]);
  const orphans = orphansOf(calls).join();
  useEffect(() => { if (orphans) loaded.reload(); }, [orphans]);

  // Only one call is read out while it goes on: the one that was last looked into, or the newest.
  const [chosen, setChosen] = useState("");
  const live = Object.values(calls).filter((it) => it.call && isLive(it.call)).sort((a, b) => (a.call.createdAt < b.call.createdAt ? 1 : -1));
  const ended = endedOf(calls);
  const aloud = (live.find((it) => it.call.id === chosen) ?? live[0])?.call.id;
  return html`
    <div class="heading"><h1 tabindex="-1">Now</h1><${Connection} state=${state} /></div>
    ${loaded.error && html`<${Failed} error=${loaded.error} retry=${loaded.reload} />`}
    ${!loaded.data && loaded.loading && html`<${Loading} />`}
    ${live.length > 0 && html`<section aria-labelledby="live"><h2 id="live" class="sr">Live calls</h2>
      <div class="lives">${live.map((it) => html`<${Live} key=${it.call.id} ...${it} aloud=${it.call.id === aloud} choose=${() => setChosen(it.call.id)} />`)}</div></section>`}
    ${loaded.data?.list.pagination.hasMore && html`<p class="notice">More than ${MOST_CALLS} calls go on. These are the newest, and older ones of which something was heard since; <a href="#/calls?status=pending">all calls without an outcome</a> are in the list.</p>`}
    ${loaded.data && !live.length && html`<div class="empty"><p class="big">No call right now.</p>
      <p>When Vapi places or takes one, it appears here by itself, with its words as they are spoken. <a href="#/calls">Look at past calls</a>.</p></div>`}
    ${ended.length > 0 && html`<section aria-labelledby="ended"><h2 id="ended">Just ended</h2>
      <div class="lives">${ended.map((it) => html`<${Live} key=${it.call.id} ...${it} />`)}</div></section>`}
    ${any.data && !any.data.data.length && !live.length && !ended.length && html`<${Connect} service=${session.service} />`}`;
}

/** Seconds since a call began, counting. */
function Clock({ since }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
  return lasted((Date.now() - new Date(since)) / 1_000);
}

function Live({ call, lines, passing, aloud = false, choose }) {
  const log = useRef();
  const spoken = Object.values(passing);
  useEffect(() => { if (log.current) log.current.scrollTop = log.current.scrollHeight; }, [lines.length, spoken.map((it) => it.message).join()]);
  const live = isLive(call);
  return html`
    <article class="card call ${live ? "on" : ""}" onFocusCapture=${choose}>
      <header>
        <h3><a href="#/calls/${encodeURIComponent(call.id)}"><bdi>${who(call)}</bdi></a></h3>
        <${Badge} call=${call} />
        <p class="quiet"><bdi>${number(call)}</bdi> <span class="time">${live && call.startedAt ? html`<${Clock} since=${call.startedAt} />` : live ? "" : lasted(call.durationSeconds)}</span></p>
      </header>
      ${!live && call.analysis.summary && html`<p class="words" dir="auto">${call.analysis.summary}</p>`}
      <div class="log" ref=${log} role="region" aria-label="What is said" tabindex="0">
        <div role="log" aria-live=${aloud ? "polite" : "off"} aria-label="Transcript"><ol>${lines.map((line) => html`<${Said} key=${nameOf(line)} ...${line} />`)}</ol></div>
        <ol aria-label="Being said" aria-live="off">${spoken.map((line) => html`<${Said} key=${line.role} ...${line} passing />`)}</ol>
        ${live && !lines.length && !spoken.length && html`<p class="quiet">Nothing was said yet.</p>`}
      </div>
    </article>`;
}

const Said = ({ role, message, passing }) => html`
  <li class="said ${role} ${passing ? "passing" : ""}"><span class="by">${role === "bot" ? "Assistant" : "Customer"}</span><p dir="auto">${message}${passing ? " …" : ""}</p></li>`;

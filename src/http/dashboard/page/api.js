// Talks to the service: requests, their failures, and streams.
import { useEffect, useRef, useState } from "/dashboard/html.js";

const API = "/api/v1/vapi";
/** Types of events that streams may bring. */
const TYPES = ["call.updated", "call.ended", "call.done", "call.recovered", "call.deleted", "call.transcript", "call.tool", "stream.gap", "stream.dropped"];
/** Milliseconds until a stream that the browser gave up is opened again; doubled up to the longest. */
const [FIRST_RETRY, LONGEST_RETRY] = [1_000, 30_000];

/** Whoever has to know that nobody is signed in any more. */
export const session = new EventTarget();

/** A refusal, in the words of the service. */
export class Failure extends Error {
  constructor(status, body) {
    super(body?.message || "The service did not answer. Check that it runs and that you are online, then try again.");
    this.status = status;
    this.code = body?.code ?? "";
    this.title = body?.error || (status ? `The service answered ${status}` : "No connection");
    /** What is wrong with which field. */
    this.fields = body?.code === "VALIDATION_FAILED" ? body.details : null;
    this.requestId = body?.requestId ?? "";
  }
}

/** Asks for anything; refusals are thrown as `Failure`. */
export async function ask(path, { method = "GET", body, json = true, refused = true } = {}) {
  let answer;
  try {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: "same-origin" });
  } catch {
    throw new Failure(0, null);
  }
  const read = json ? await answer.json().catch(() => null) : await answer.text();
  if (answer.status === 401 && refused) session.dispatchEvent(new Event("ended"));
  if (!answer.ok && !(answer.status === 503 && read?.checks)) throw new Failure(answer.status, json ? read : null);
  return read;
}

/** Asks for something under /api/v1/vapi. */
export const api = (path, options) => ask(API + path, options);

/** A query of everything that says something. */
export function query(parameters) {
  const said = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return said.length ? `?${new URLSearchParams(said)}` : "";
}

/** Loads something, again whenever `key` changes or `reload` is called; what was there stays until the new comes. */
export function useLoad(load, key) {
  const [state, setState] = useState({ key: null, data: null, error: null, loading: true });
  const turn = useRef(0);
  const reload = async () => {
    const mine = ++turn.current;
    setState((was) => ({ ...was, loading: true }));
    const [data, error] = await load().then((data) => [data, null], (error) => [null, error]);
    if (mine === turn.current) setState((was) => ({ key, data: data ?? (was.key === key ? was.data : null), error, loading: false }));
  };
  useEffect(() => {
    reload();
    return () => { turn.current++; };
  }, [key]);
  return { ...state, reload };
}

/** Listens to a stream as long as the page is there, and there is a path. `heard(type, event)`; `again()` when something may have been missed. */
export function useStream(path, heard, again) {
  const [state, setState] = useState("connecting");
  const latest = useRef();
  latest.current = { heard, again };
  useEffect(() => {
    if (!path) return undefined;
    let source, timer, last = "", wait = FIRST_RETRY, opened = false;
    const open = () => {
      source = new EventSource(API + path + query({ last_event_id: last }));
      source.onopen = () => {
        // With an id the service tells what was missed; without one nobody does.
        if (opened && !last) latest.current.again();
        [opened, wait] = [true, FIRST_RETRY];
        setState("live");
      };
      source.onerror = async () => {
        setState("reconnecting");
        if (source.readyState !== EventSource.CLOSED) return;
        timer = setTimeout(open, wait);
        wait = Math.min(wait * 2, LONGEST_RETRY);
        // A stream does not say why it was refused.
        ask("/session").then((it) => it.data.signedIn || session.dispatchEvent(new Event("ended")), () => {});
      };
      for (const type of TYPES) {
        source.addEventListener(type, (event) => {
          last = event.lastEventId || last;
          if (type === "stream.gap") latest.current.again();
          else if (type !== "stream.dropped") latest.current.heard(type, JSON.parse(event.data));
        });
      }
    };
    open();
    return () => { clearTimeout(timer); source.close(); };
  }, [path]);
  return state;
}

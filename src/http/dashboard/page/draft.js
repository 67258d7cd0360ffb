// A subscription to be made.
import { api } from "/dashboard/api.js";
import { html, useEffect, useRef, useState } from "/dashboard/html.js";
import { Failed } from "/dashboard/parts.js";
import { OUTCOMES } from "/dashboard/words.js";

/** What may be told, and when. */
const EVENTS = {
  "call.done": "Everything about a call is there", "call.ended": "A call has ended, more may come", "call.updated": "Anything changed",
  "call.recovered": "A lost report was found", "call.deleted": "A call was erased", "call.transcript": "A line was spoken", "call.tool": "A tool was asked",
  "subscription.disabled": "A subscription was disabled",
};
const STATUSES = ["completed", "no_answer", "voicemail", "timeout", "error"];

const list = (text) => text.split(",").map((it) => it.trim()).filter(Boolean);
/** Lines `Name: value` as an object. */
const pairs = (text) => Object.fromEntries(text.split("\n").filter((line) => line.trim()).map((line) => {
  const [name, ...rest] = line.split(":");
  return [name.trim(), rest.join(":").trim()];
}));

/** What a form says, as the API takes it. */
function body(form) {
  const said = new FormData(form);
  const filter = { assistantId: list(said.get("assistantId")), phone: list(said.get("phone")), status: said.getAll("status") };
  return { url: said.get("url").trim(), events: said.getAll("event"), description: said.get("description").trim(), view: said.get("view"), filter, headers: pairs(said.get("headers")) };
}

export function Draft({ isDone, leave }) {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const first = useRef();
  useEffect(() => first.current.focus(), []);
  const make = (event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    api("/subscriptions", { method: "POST", body: body(event.currentTarget) }).then(isDone, (error) => { setBusy(false); setError(error); });
  };
  return html`
    <form class="card draft" aria-labelledby="draft" onSubmit=${make}>
      <h2 id="draft">New subscription</h2>
      <div><label for="url">Address</label><input id="url" name="url" ref=${first} type="url" required spellcheck="false" placeholder="https://example.com/hook" /></div>
      <div><label for="description">What it is for</label><input id="description" name="description" maxlength="500" /></div>
      <fieldset><legend>Tell it when</legend><div class="choices">${Object.entries(EVENTS).map(([name, words]) => html`
        <label><input type="checkbox" name="event" value=${name} defaultChecked=${name === "call.done"} /><span>${words} <code>${name}</code></span></label>`)}</div></fieldset>
      <details><summary>Which calls, and how</summary>
        <div class="fields">
          <div><label for="assistantId">Assistant ids</label><input id="assistantId" name="assistantId" spellcheck="false" placeholder="All, or a list with commas" /></div>
          <div><label for="phone">Phone numbers</label><input id="phone" name="phone" placeholder="All, or such as +15551234567" /></div>
          <div><label for="view">How much of a call</label><select id="view" name="view"><option value="full">Everything</option><option value="summary">Without transcript and messages</option></select></div>
          <div><label for="headers">Headers to send along, one a line</label><textarea id="headers" name="headers" rows="2" spellcheck="false" placeholder="X-Key: value"></textarea></div>
        </div>
        <fieldset><legend>Only calls that turned out so</legend><div class="choices">${STATUSES.map((status) => html`<label><input type="checkbox" name="status" value=${status} /><span>${OUTCOMES[status]}</span></label>`)}</div></fieldset>
      </details>
      ${error && html`<${Failed} error=${error} />`}
      <div class="buttons"><button class="primary" type="submit" disabled=${busy}>Make it</button><button type="button" onClick=${leave}>Leave it</button></div>
    </form>`;
}

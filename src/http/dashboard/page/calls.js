// Recent calls: search, filters, pages. What is asked for stands in the address.
import { api, query, useLoad } from "/dashboard/api.js";
import { html } from "/dashboard/html.js";
import { Badge, Failed, Loading, When } from "/dashboard/parts.js";
import { DATA, OUTCOMES, dollars, lasted, number, who } from "/dashboard/words.js";

const PAGE = 25;
const STATUSES = ["pending", "completed", "no_answer", "voicemail", "timeout", "error"];
/** What may stand in the address. */
const FIELDS = ["q", "status", "dataStatus", "assistantId", "phone", "from", "to", "cursor"];

/** The start of a day where the reader is, `days` later. */
function day(date, days = 0) {
  const start = new Date(`${date}T00:00:00`);
  if (Number.isNaN(start.getTime())) return "";
  start.setDate(start.getDate() + days);
  return start.toISOString();
}

const asked = (parameters) => Object.fromEntries(FIELDS.map((field) => [field, parameters.get(field) ?? ""]));

export function Calls({ parameters, session }) {
  const wish = asked(parameters);
  const { from, to, ...rest } = wish;
  const path = `/calls${query({ ...rest, since: from && day(from), until: to && day(to, 1), limit: PAGE })}`;
  const { data, error, loading, reload } = useLoad(() => api(path), path);
  const filtered = FIELDS.some((field) => field !== "cursor" && wish[field]);
  const go = (more) => { location.hash = `#/calls${query({ ...wish, ...more })}`; };
  const submit = (event) => {
    event.preventDefault();
    go({ ...Object.fromEntries(new FormData(event.currentTarget)), cursor: "" });
  };
  const pick = (event) => event.currentTarget.form.requestSubmit();
  return html`
    <div class="heading"><h1 tabindex="-1">Calls</h1></div>
    <form class="filters" role="search" aria-label="Calls" onSubmit=${submit} key=${JSON.stringify(wish)}>
      <div class="wide"><label for="q">Search</label><input id="q" name="q" type="search" value=${wish.q} placeholder="Names, numbers, ids, words" /></div>
      <div><label for="status">Outcome</label><select id="status" name="status" onChange=${pick}>
        <option value="">Any</option>${STATUSES.map((it) => html`<option value=${it} selected=${it === wish.status}>${OUTCOMES[it]}</option>`)}</select></div>
      <div><label for="dataStatus">Data</label><select id="dataStatus" name="dataStatus" onChange=${pick}>
        <option value="">Any</option>${Object.entries(DATA).map(([it, words]) => html`<option value=${it} selected=${it === wish.dataStatus}>${words}</option>`)}</select></div>
      <div><label for="phone">Phone</label><input id="phone" name="phone" type="tel" value=${wish.phone} /></div>
      <div><label for="assistantId">Assistant id</label><input id="assistantId" name="assistantId" value=${wish.assistantId} spellcheck="false" /></div>
      <div><label for="from">From</label><input id="from" name="from" type="date" value=${wish.from} /></div>
      <div><label for="to">To</label><input id="to" name="to" type="date" value=${wish.to} /></div>
      <div class="buttons"><button class="primary" type="submit">Search</button>${filtered && html`<a class="button" href="#/calls">Clear</a>`}</div>
    </form>
    ${session.service.encrypted && html`<p class="quiet">Records are encrypted: the search looks only into call, assistant and request ids, status and reasons. A whole number is found by Phone.</p>`}
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${loading && !data && html`<${Loading} />`}
    ${data && html`<p class="sr" role="status">${data.count} calls on this page</p>`}
    ${data && data.count > 0 && html`<${Table} calls=${data.data} busy=${loading} />`}
    ${data && data.count === 0 && html`<div class="empty"><p class="big">${filtered ? "No call fits." : "No calls yet."}</p>
      ${filtered ? html`<p>Try fewer words or a longer span. <a href="#/calls">Show all calls</a>.</p>` : html`<p>The first one appears when Vapi tells of it. <a href="#/">How to connect Vapi</a>.</p>`}</div>`}
    ${data && html`<nav class="pages" aria-label="Pages">
      ${wish.cursor && html`<button type="button" onClick=${() => go({ cursor: "" })}>Newest</button>`}
      ${data.pagination.hasMore && html`<button type="button" onClick=${() => go({ cursor: data.pagination.nextCursor })}>Older</button>`}</nav>`}`;
}

// On a phone the rows become cards: then roles that a browser would drop with the layout have to be said.
const Table = ({ calls, busy }) => html`
  <table role="table" aria-busy=${busy} aria-label="Calls, newest first">
    <thead role="rowgroup"><tr role="row">${["Call", "When", "Outcome", "Data", "Lasted", "Cost"].map((name) => html`<th role="columnheader" scope="col">${name}</th>`)}</tr></thead>
    <tbody role="rowgroup">${calls.map((call) => html`
      <tr role="row" key=${call.id}>
        <td role="cell" class="who"><a href="#/calls/${encodeURIComponent(call.id)}"><bdi>${who(call)}</bdi></a> <bdi class="quiet">${number(call)}</bdi>
          ${call.analysis.summary && html`<p class="gist" dir="auto">${call.analysis.summary.slice(0, 240)}</p>`}</td>
        <td role="cell" data-label="When"><${When} at=${call.createdAt} short /></td>
        <td role="cell" data-label="Outcome"><${Badge} call=${call} /></td>
        <td role="cell" data-label="Data">${DATA[call.dataStatus] ?? call.dataStatus}</td>
        <td role="cell" data-label="Lasted" class="number">${lasted(call.durationSeconds)}</td>
        <td role="cell" data-label="Cost" class="number">${dollars(call.cost)}</td>
      </tr>`)}</tbody>
  </table>`;

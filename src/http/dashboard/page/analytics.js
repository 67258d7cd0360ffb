// Numbers about many calls: how they turned out, what they took, and what got lost on the way.
import { api, ask, query, useLoad } from "/dashboard/api.js";
import { Chart, Patterns, Share } from "/dashboard/charts.js";
import { Connect } from "/dashboard/connect.js";
import { html } from "/dashboard/html.js";
import { Facts, Failed, Loading } from "/dashboard/parts.js";
import { DATA, MISSING, OUTCOMES, REFUSALS, amount, count, dollars, lasted, milliseconds, percent, title, whole } from "/dashboard/words.js";

const SPANS = [7, 30, 90];
const USUAL = "30";
const DAY = 86_400_000;
/** Ids to choose from are those of so many latest calls. */
const LATEST = 100;
/** From the bottom of a bar upwards. */
const STATUSES = ["completed", "no_answer", "voicemail", "timeout", "error", "pending"];
/** What may stand in the address. */
const FIELDS = ["days", "from", "to", "assistantId", "providerId"];

/** Days are those of UTC, as the service counts them; what today is, the service knows. */
async function range({ days, from, to }) {
  if (from || to) return { since: from && `${from}T00:00:00Z`, until: to && new Date(Date.parse(`${to}T00:00:00Z`) + DAY).toISOString() };
  const ready = await ask("/readyz?verbose");
  const today = Math.floor(Date.parse(ready.checks.clock.now) / DAY) * DAY;
  return { since: new Date(today - (days - 1) * DAY).toISOString(), until: new Date(today + DAY).toISOString() };
}

export function Analytics({ parameters, session }) {
  const wish = Object.fromEntries(FIELDS.map((field) => [field, parameters.get(field) ?? ""]));
  if (!SPANS.includes(Number(wish.days))) wish.days = USUAL;
  const { assistantId, providerId, from, to } = wish;
  const { data, error, loading, reload } = useLoad(async () => {
    const path = `/analytics${query({ ...(await range(wish)), assistantId, providerId })}`;
    return { path, numbers: (await api(path)).data };
  }, JSON.stringify(wish));
  const latest = useLoad(() => api(`/calls?limit=${LATEST}`), "latest");
  const narrowed = Boolean(assistantId || providerId);
  const submit = (event) => {
    event.preventDefault();
    const said = Object.fromEntries(new FormData(event.currentTarget));
    location.hash = `#/analytics${query({ ...said, days: said.from || said.to ? "" : wish.days })}`;
  };
  const pick = (event) => event.currentTarget.form.requestSubmit();
  const own = Boolean(from || to);
  return html`
    <div class="heading"><h1 tabindex="-1">Analytics</h1>
      <nav class="spans" aria-label="Range">${SPANS.map((days) => html`<a href="#/analytics${query({ days, assistantId, providerId })}" aria-current=${!own && Number(wish.days) === days ? "true" : undefined}>${days} days</a>`)}</nav></div>
    <form class="ranges" role="search" aria-label="Analytics" onSubmit=${submit} key=${JSON.stringify(wish)}>
      <div><label for="from">From (UTC)</label><input id="from" name="from" type="date" value=${from} onChange=${pick} /></div>
      <div><label for="to">To (UTC)</label><input id="to" name="to" type="date" value=${to} onChange=${pick} /></div>
      <div><label for="assistantId">Assistant id</label><input id="assistantId" name="assistantId" value=${assistantId} spellcheck="false" list="assistants" /><${Known} id="assistants" calls=${latest.data?.data} field="assistantId" /></div>
      <div><label for="providerId">Provider id</label><input id="providerId" name="providerId" value=${providerId} spellcheck="false" list="providers" /><${Known} id="providers" calls=${latest.data?.data} field="providerId" /></div>
      <div class="buttons"><button class="primary" type="submit">Show</button>${(own || narrowed) && html`<a class="button" href="#/analytics">Clear</a>`}
        ${data && html`<a class="button" href="/api/v1/vapi${data.path}&format=csv" download="ringback-analytics.csv">Download CSV</a>`}</div>
    </form>
    ${error && html`<${Failed} error=${error} retry=${reload} />`}
    ${loading && !data && html`<${Loading} />`}
    ${data && !error && html`<${Numbers} key=${data.path} numbers=${data.numbers} any=${latest.data && latest.data.data.length > 0} narrowed=${narrowed} wish=${wish} session=${session} />`}`;
}

/** Ids that calls had, to choose from. */
const Known = ({ id, calls, field }) => html`<datalist id=${id}>${[...new Set((calls ?? []).map((call) => call[field]).filter(Boolean))].map((it) => html`<option key=${it} value=${it} />`)}</datalist>`;

/** `any`: is any call kept at all? `null` as long as nobody knows. */
function Numbers({ numbers, any, narrowed, wish, session }) {
  const { calls, series, webhooks } = numbers;
  const days = series.map((it) => it.date);
  const of = (pick) => series.map(pick);
  if (calls === 0) return html`
    <div class="empty"><p class="big">${narrowed ? "No call fits." : "No calls in these days."}</p>
      ${narrowed ? html`<p>Check the ids, or <a href="#/analytics${query({ days: wish.days })}">count all calls</a>.</p>`
        : any ? html`<p>There are calls of other days. <a href="#/analytics?days=90">Look at 90 days</a>, or <a href="#/">watch for the next call</a>.</p>`
        : html`<p>Numbers appear here after the first call.</p>`}</div>
    ${webhooks.rejected > 0 && html`<${Patterns} /><${Refused} webhooks=${webhooks} days=${days} of=${of} />`}
    ${any === false && !narrowed && html`<${Connect} service=${session.service} />`}`;
  return html`<${Patterns} /><p class="sr" role="status">${count(calls, "call")} counted</p><${Tiles} numbers=${numbers} />
    <div class="charts"><${Outcomes} numbers=${numbers} days=${days} of=${of} /><${Answered} numbers=${numbers} days=${days} of=${of} />
      <${Completion} numbers=${numbers} days=${days} of=${of} /><${Durations} numbers=${numbers} days=${days} of=${of} />
      <${Costs} numbers=${numbers} days=${days} of=${of} /><${Reports} numbers=${numbers} days=${days} of=${of} />
      <${Lost} numbers=${numbers} days=${days} of=${of} /><${Refused} webhooks=${webhooks} days=${days} of=${of} />
      <div class="stack"><${Feedback} feedback=${numbers.feedback} encrypted=${session.service.encrypted} /><${LateData} numbers=${numbers} /></div></div>`;
}

const Tile = ({ name, value, show, children }) => html`<div><dt>${name}</dt><dd><data value=${value ?? ""}>${show(value)}</data></dd><dd>${children}</dd></div>`;

const Tiles = ({ numbers: { calls, byStatus, answerRate, durationSeconds, cost, webhooks, completionSeconds } }) => html`<dl class="tiles" aria-label="In all">
  <${Tile} name="Calls" value=${calls} show=${whole}>${count(byStatus.completed, "completed", "completed")}</${Tile}>
  <${Tile} name="Answer rate" value=${answerRate} show=${percent}>of calls with a result</${Tile}>
  <${Tile} name="Average call" value=${durationSeconds.average} show=${lasted}>half are under ${lasted(durationSeconds.p50)}</${Tile}>
  <${Tile} name="Cost" value=${cost.total} show=${dollars}>${cost.average === null ? "no call told its cost" : `${dollars(cost.average)} a call`}</${Tile}>
  <${Tile} name="End to complete" value=${completionSeconds.p50} show=${amount}>${completionSeconds.p95 === null ? "no call is done" : `95% within ${amount(completionSeconds.p95)}`}</${Tile}>
  <${Tile} name="Reports delivered" value=${webhooks.deliverySuccess} show=${percent}>${webhooks.lost ? `${webhooks.lost} lost and found` : "none lost"}</${Tile}></dl>`;

function Outcomes({ numbers: { calls, byStatus }, days, of }) {
  const series = STATUSES.map((kind) => ({ kind, name: OUTCOMES[kind], values: of((it) => it.byStatus[kind]), sum: byStatus[kind] }));
  const gist = `${count(calls, "call")}: ${STATUSES.filter((it) => byStatus[it]).map((it) => `${OUTCOMES[it].toLowerCase()} ${percent(byStatus[it] / calls)}`).join(", ")}.`;
  return html`<div class="wide"><${Chart} name="Calls by outcome" gist=${gist} days=${days} series=${series} show=${whole} whole /></div>`;
}

const Answered = ({ numbers: { answerRate }, days, of }) => html`<${Chart} name="Answer rate" days=${days} lines show=${percent} most=${1}
  gist=${answerRate === null ? "No call has a result yet." : `Somebody picked up ${percent(answerRate)} of the calls that have a result.`}
  series=${[{ kind: "base", name: "Answered", values: of((it) => it.answerRate) }]} />`;

const Completion = ({ numbers: { completionSeconds: { p50, p95 } }, days, of }) => html`<${Chart} name="From the end of a call until it is complete" days=${days} lines show=${amount}
  gist=${p50 === null ? "No call is done yet." : `Half are complete within ${amount(p50)}, 95% within ${amount(p95)}.`}
  series=${[{ kind: "base", name: "Half within", values: of((it) => it.completionSeconds.p50) }, { kind: "upper", name: "95% within", values: of((it) => it.completionSeconds.p95) }]} />`;

const Durations = ({ numbers: { durationSeconds: { average, p50, p95 } }, days, of }) => html`<${Chart} name="Duration" days=${days} lines clock show=${lasted}
  gist=${average === null ? "No call told how long it was." : `${lasted(average)} on average; half are under ${lasted(p50)}, 95% under ${lasted(p95)} (minutes and seconds).`}
  series=${[{ kind: "middle", name: "Average", values: of((it) => it.durationSeconds.average) }, { kind: "base", name: "Half under", values: of((it) => it.durationSeconds.p50) }, { kind: "upper", name: "95% under", values: of((it) => it.durationSeconds.p95) }]} />`;

const Costs = ({ numbers: { cost }, days, of }) => html`<${Chart} name="Cost" days=${days} show=${dollars}
  gist=${cost.average === null ? "No call told its cost." : `${dollars(cost.total)} in all, ${dollars(cost.average)} a call, as Vapi tells it.`}
  series=${[{ kind: "base", name: "US dollars", values: of((it) => it.cost.total) }]} />`;

const Reports = ({ numbers: { webhooks }, days, of }) => html`<${Chart} name="Reports that came by webhook" days=${days} lines show=${percent} most=${1}
  gist=${webhooks.deliverySuccess === null ? "No call has ended yet." : `Of ${percent(webhooks.deliverySuccess)} of the ended calls the report came by itself.`}
  series=${[{ kind: "base", name: "Delivered", values: of((it) => it.webhooks.deliverySuccess) }]} />`;

const Lost = ({ numbers: { webhooks }, days, of }) => html`<${Chart} name="Lost webhooks" days=${days} show=${whole} whole
  gist=${webhooks.lost ? `The report of ${count(webhooks.lost, "call")} never came, and was fetched from Vapi. If this goes on, run ringback doctor.` : "Every report that was to be expected came."}
  series=${[{ kind: "failed", name: "Lost", values: of((it) => it.webhooks.lost) }]} />`;

function Refused({ webhooks: { received, rejected, byReason }, days, of }) {
  if (rejected === null) return html`<section class="card" aria-labelledby="refused"><h2 id="refused">Refused webhooks</h2>
    <p class="quiet">Who a refused webhook was about is not known, so they are counted for all calls only. <a href="#/analytics">Count all calls</a>.</p></section>`;
  const reasons = Object.entries(byReason).filter(([, times]) => times).sort((a, b) => b[1] - a[1]);
  return html`<${Chart} name="Refused webhooks" days=${days} show=${whole} whole
    gist=${rejected ? `${count(rejected, "webhook was", "webhooks were")} refused, ${whole(received)} taken.` : `None was refused; ${count(received, "webhook was", "webhooks were")} taken.`}
    series=${[{ kind: "failed", name: "Refused", values: of((it) => it.webhooks.rejected) }]}>
    ${reasons.length > 0 && html`<ul class="reasons">${reasons.map(([reason, times]) => html`<li data-reason=${reason}><data value=${times}>${whole(times)}</data><div>${REFUSALS[reason]?.[0] ?? title(reason)}${REFUSALS[reason] && html`<p>${REFUSALS[reason][1]}</p>`}</div></li>`)}</ul>`}</${Chart}>`;
}

function Feedback({ feedback, encrypted }) {
  const { responses, averageScore, nps, promoters, passives, detractors } = feedback;
  const parts = [["completed", "Promoters (9 and more)", promoters], ["pending", "Passives", passives], ["error", "Detractors (6 and less)", detractors]];
  return html`<section class="card" aria-labelledby="feedback"><h2 id="feedback">Feedback</h2>
    ${responses === null ? html`<p class="quiet">${encrypted ? "Scores are encrypted with DATA_KEY and so can't be counted." : "Scores can't be counted here."}</p>`
      : !responses ? html`<p class="quiet">No call has a score. Have the assistant's structured data or a structured output tell an <code>nps_score</code> from 0 to 10.</p>`
      : html`<${Share} name="Scores" show=${whole} parts=${parts.map(([kind, name, value]) => ({ kind, name, value }))} />
        <${Facts} pairs=${[["Net promoter score", html`<data value=${nps}>${whole(nps)}</data>`], ["Average score", html`<data value=${averageScore}>${whole(averageScore)}</data>`], ["Calls with a score", html`<data value=${responses}>${whole(responses)}</data>`]]} />`}</section>`;
}

function LateData({ numbers: { enrichment, store: { commitMs } } }) {
  const missing = Object.entries(enrichment.analysisMissing).filter(([, calls]) => calls).sort((a, b) => b[1] - a[1]);
  return html`<section class="card" aria-labelledby="late"><h2 id="late">Late and missing data</h2>
    <${Facts} pairs=${[[DATA.complete, whole(enrichment.complete)], ["Still to come", whole(enrichment.pending)], [DATA.fetch_failed, whole(enrichment.failed)],
      ["Asked of Vapi", `${count(enrichment.calls, "call")}, ${count(enrichment.attempts, "time")}`],
      ["A webhook is stored in", commitMs.p50 !== null && `${milliseconds(commitMs.p50)}; 95% in ${milliseconds(commitMs.p95)}`]]} />
    ${missing.length > 0 && html`<h3>Calls without an analysis</h3><ul class="reasons">${missing.map(([reason, calls]) => html`<li data-missing=${reason}><data value=${calls}>${whole(calls)}</data><div>${MISSING[reason]?.[0] ?? reason}${MISSING[reason]?.[1] && html`<p>${MISSING[reason][1]}</p>`}</div></li>`)}</ul>`}</section>`;
}

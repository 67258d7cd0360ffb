// Charts as SVG, drawn as wide as there is room. Each says in words what it shows, and has all of it as a table.
import { html, useEffect, useId, useRef, useState } from "/dashboard/html.js";
import { day } from "/dashboard/words.js";

/** Pixels: how high a chart is, what is left around it, and the least between two names of days. */
const [HEIGHT, TOP, BOTTOM, LEFT, RIGHT, APART] = [200, 12, 26, 46, 12, 76];
/** Pixels that a bar is wide at most. */
const WIDEST = 44;
/** Drawn before it is known how wide it may be. */
const FIRST_WIDTH = 560;
/** Up to so many days every point of a line is marked; among more, only those that stand alone. */
const MARKED = 31;
const STEPS = [1, 2, 2.5, 5, 10];
/** Steps of a clock, in seconds. */
const CLOCK = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600];

/** Round numbers from 0 to `most` and a bit further. */
function ticks(most, { whole, clock }) {
  const rough = (most || 1) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  let step = unit * STEPS.find((it) => it * unit >= rough * 0.999);
  if (clock) step = CLOCK.find((it) => it >= rough * 0.999) ?? step;
  if (whole) step = Math.max(1, Math.ceil(step));
  const count = Math.max(1, Math.ceil((most || step) / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, at) => Number((at * step).toPrecision(12)));
}

/** How wide the element is that `ref` is on. */
function useWidth() {
  const ref = useRef();
  const [width, setWidth] = useState(FIRST_WIDTH);
  useEffect(() => {
    const watch = new ResizeObserver(([{ contentRect }]) => setWidth(Math.max(220, Math.floor(contentRect.width))));
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  return [ref, width];
}

// Every kind has stripes, dots or nothing on it: colors are not all that tells them apart.
const MOTIFS = {
  no_answer: "M-2 2L2 -2M0 8L8 0M6 10L10 6", voicemail: "M0 4H8", timeout: "M4 0V8", error: "M0 0L8 8M8 0L0 8", pending: "M2 2h2v2h-2zM6 6h2v2h-2z",
};
export const Patterns = () => html`
  <svg class="patterns" width="0" height="0" aria-hidden="true" focusable="false"><defs>${Object.entries(MOTIFS).map(([kind, path]) => html`
    <pattern id="motif-${kind}" width="8" height="8" patternUnits="userSpaceOnUse"><rect class="hue ${kind}" width="8" height="8" /><path class="motif" d=${path} /></pattern>`)}</defs></svg>`;
const paint = (kind) => (kind in MOTIFS ? { class: "bar", fill: `url(#motif-${kind})` } : { class: `bar hue ${kind}` });

const Swatch = ({ kind, line }) => html`
  <svg class="swatch" width=${line ? 24 : 14} height="14" aria-hidden="true" focusable="false">${line
    ? html`<path class="line ${kind}" d="M0 7H24" /><${Mark} kind=${kind} x=${12} y=${7} />`
    : html`<rect width="14" height="14" rx="3" ...${paint(kind)} />`}</svg>`;
/** The points of two lines differ in shape, the lines in their dashes. */
const Mark = ({ kind, x, y }) => (kind === "upper"
  ? html`<rect class="mark ${kind}" x=${x - 3} y=${y - 3} width="6" height="6" />`
  : html`<circle class="mark ${kind}" cx=${x} cy=${y} r="3" />`);

/** Stretches of days that have a value. */
function stretches(values) {
  const found = [];
  values.forEach((value, at) => {
    if (value === null || value === undefined) return;
    if (at && found.length && found.at(-1).at(-1) === at - 1) found.at(-1).push(at);
    else found.push([at]);
  });
  return found;
}

/**
 * A chart of days. `series`: `{kind, name, values}` each with a value or null a day; `show(value)` puts one into words; `lines` instead of stacked bars; `whole`, `clock`: what
 * the steps of its axis are like; `most`: the top, where it does not follow from the values; `gist`: what is to be seen, in a sentence.
 */
export function Chart({ name, gist, days, series, show, axis = show, lines = false, whole = false, clock = false, most, children }) {
  const id = useId();
  const [ref, width] = useWidth();
  const [over, setOver] = useState(null);
  const totals = days.map((_, at) => (lines ? Math.max(0, ...series.map((it) => it.values[at] ?? 0)) : series.reduce((sum, it) => sum + (it.values[at] ?? 0), 0)));
  const steps = ticks(most ?? Math.max(0, ...totals), { whole, clock });
  const [inner, high] = [width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
  const slot = inner / days.length;
  const x = (at) => LEFT + slot * at;
  const y = (value) => TOP + high - (value / steps.at(-1)) * high;
  const every = Math.max(1, Math.ceil(APART / slot));
  const move = (event) => {
    const at = Math.floor((event.clientX - event.currentTarget.getBoundingClientRect().left - LEFT) / slot);
    setOver(at >= 0 && at < days.length ? at : null);
  };
  const isNamed = (at) => (days.length - 1 - at) % every === 0;
  return html`
    <figure class="card chart" aria-labelledby="${id}-name">
      <figcaption><h2 id="${id}-name">${name}</h2><p class="quiet" id="${id}-gist">${gist}</p></figcaption>
      <ul class="legend">${series.length > 1 && series.map((it) => html`<li key=${it.kind}><${Swatch} kind=${it.kind} line=${lines} />${it.name}${it.sum !== undefined && html`${" "}<data value=${it.sum}>${show(it.sum)}</data>`}</li>`)}</ul>
      <div class="drawing" ref=${ref}>
        <svg role="img" aria-labelledby="${id}-title ${id}-desc" width=${width} height=${HEIGHT} viewBox="0 0 ${width} ${HEIGHT}" onPointerMove=${move} onPointerLeave=${() => setOver(null)}>
          <title id="${id}-title">${name}, by day</title><desc id="${id}-desc">${gist} The table below has every number.</desc>
          ${steps.map((step) => html`<g key=${step}><path class="rule" d="M${LEFT} ${y(step)}H${width - RIGHT}" /><text class="tick" x=${LEFT - 8} y=${y(step) + 4} text-anchor="end">${axis(step)}</text></g>`)}
          ${over !== null && html`<rect class="over" x=${x(over)} y=${TOP} width=${slot} height=${high} />`}
          ${lines ? series.map((it) => html`<${Line} key=${it.kind} ...${it} x=${(at) => x(at) + slot / 2} y=${y} marked=${days.length <= MARKED} />`)
            : html`<${Bars} series=${series} count=${days.length} x=${x} y=${y} slot=${slot} />`}
          ${days.map((date, at) => isNamed(at) && html`<text class="tick" key=${date} x=${Math.min(x(at) + slot / 2, width - 22)} y=${HEIGHT - 8} text-anchor="middle">${day(date)}</text>`)}
        </svg>
        <p class="readout quiet" aria-hidden="true">${over === null ? "" : `${day(days[over])}: ${series.filter((it) => lines || series.length === 1 || it.values[over]).map((it) => `${it.name} ${show(it.values[over] ?? null)}`).join(", ") || "none"}`}</p>
      </div>
      ${children}
      <details><summary>As a table</summary><div class="scroll" tabindex="0" role="region" aria-labelledby="${id}-name"><table class="plain">
        <thead><tr><th scope="col">Day (UTC)</th>${series.map((it) => html`<th scope="col">${it.name}</th>`)}</tr></thead>
        <tbody>${days.map((date, at) => html`<tr key=${date}><th scope="row">${date}</th>${series.map((it) => html`<td><data value=${it.values[at] ?? ""}>${show(it.values[at] ?? null)}</data></td>`)}</tr>`)}</tbody>
      </table></div></details>
    </figure>`;
}

function Bars({ series, count, x, y, slot }) {
  const wide = Math.min(Math.max(slot - 3, slot * 0.72), WIDEST);
  const bars = [];
  for (let at = 0; at < count; at++) {
    let under = 0;
    for (const { kind, values } of series) {
      const value = values[at] ?? 0;
      if (!value) continue;
      const [top, bottom] = [y(under + value), y(under)];
      bars.push(html`<rect key="${at} ${kind}" x=${x(at) + (slot - wide) / 2} y=${top} width=${wide} height=${Math.max(bottom - top, 1)} ...${paint(kind)} />`);
      under += value;
    }
  }
  return bars;
}

function Line({ kind, values, x, y, marked }) {
  const parts = stretches(values);
  return html`<g>${parts.map((part) => html`<path class="line ${kind}" d=${`M${part.map((at) => `${x(at)} ${y(values[at])}`).join("L")}`} />`)}
    ${parts.flatMap((part) => (marked || part.length === 1 ? part : [])).map((at) => html`<${Mark} kind=${kind} x=${x(at)} y=${y(values[at])} />`)}</g>`;
}

/** Parts of a whole as one bar. `parts`: `{kind, name, value}`. */
export function Share({ name, parts, show }) {
  const id = useId();
  const [ref, width] = useWidth();
  const all = parts.reduce((sum, it) => sum + it.value, 0);
  let from = 0;
  const drawn = parts.map((it) => {
    const part = { ...it, from: (from / (all || 1)) * width, wide: (it.value / (all || 1)) * width };
    from += it.value;
    return part;
  });
  return html`<div class="drawing" ref=${ref}>
    <svg role="img" aria-labelledby="${id}-title" width=${width} height="22" viewBox="0 0 ${width} 22"><title id="${id}-title">${name}: ${parts.map((it) => `${it.name} ${show(it.value)}`).join(", ")}</title>
      ${drawn.map((it) => it.value > 0 && html`<rect x=${it.from} y="0" width=${it.wide} height="22" ...${paint(it.kind)} />`)}</svg></div>
    <ul class="legend">${parts.map((it) => html`<li><${Swatch} kind=${it.kind} />${it.name}${" "}<data value=${it.value}>${show(it.value)}</data></li>`)}</ul>`;
}

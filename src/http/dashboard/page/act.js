// What people do here: buttons that ask the service for something, a question before what can't be undone, and what came of it.
import { html, useRef, useState } from "/dashboard/html.js";
import { Copy, Failed } from "/dashboard/parts.js";

/** May whoever is signed in do what takes this scope? */
export const may = (session, scope) => session.may.includes(scope);

/** Does one thing after the other: `act(request, words)` makes what a button does, `said` shows what came of it. */
export function useAct() {
  const [{ words, error, busy }, tell] = useState({ busy: false });
  const act = (request, words) => async () => {
    tell({ busy: true });
    await request().then((it) => tell({ busy: false, words: typeof words === "function" ? words(it) : words }), (error) => tell({ busy: false, error }));
  };
  const said = html`<p role="status" class="quiet said-of-it">${busy ? "One moment…" : words}</p>${error && html`<${Failed} error=${error} />`}`;
  return { act, busy, said };
}

/** A button that asks first. Who leaves with Escape is back at the button. `children` may hold controls of the question. */
export function Ask({ name, title, yes, no, action, danger, busy, opened, children }) {
  const dialog = useRef();
  const id = useRef(`ask-${name.replace(/\W+/g, "-").toLowerCase()}`).current;
  const open = () => { opened?.(); dialog.current.showModal(); };
  const sure = () => { dialog.current.close(); action(); };
  return html`
    <button type="button" class=${danger ? "danger" : ""} disabled=${busy} aria-haspopup="dialog" onClick=${open}>${name}</button>
    <dialog ref=${dialog} aria-labelledby=${id}>
      <h2 id=${id}>${title}</h2>
      ${children}
      <div class="buttons"><button type="button" class=${danger ? "danger" : "primary"} onClick=${sure}>${yes}</button><button type="button" autofocus onClick=${() => dialog.current.close()}>${no}</button></div>
    </dialog>`;
}

/** A secret that is shown this once. */
export const Secret = ({ secret, gone }) => html`
  <section class="card secret" aria-label="Secret"><p><strong>Copy this secret now.</strong> It is shown this once. With it the receiver checks that what comes is from here (Standard Webhooks).</p>
    <${Copy} text=${secret} label="Secret" />
    <div class="buttons"><button type="button" onClick=${gone}>I have it</button></div></section>`;

/** Leads through pages of a list. */
export function Pages({ cursor, pagination, go }) {
  if (!cursor && !pagination?.hasMore) return null;
  return html`<nav class="pages" aria-label="Pages of the list">
    ${cursor && html`<button type="button" onClick=${() => go("")}>Newest</button>`}
    ${pagination?.hasMore && html`<button type="button" onClick=${() => go(pagination.nextCursor)}>Older</button>`}</nav>`;
}

/** The head of a table whose rows become cards on a phone: roles that a browser would drop with the layout are said. */
export const Head = ({ names }) => html`<thead role="rowgroup"><tr role="row">${names.map((name) => html`<th role="columnheader" scope="col">${name}</th>`)}</tr></thead>`;

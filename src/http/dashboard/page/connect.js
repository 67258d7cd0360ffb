// What to do when no call was ever heard of.
import { html } from "/dashboard/html.js";
import { Copy } from "/dashboard/parts.js";

export function Connect({ service }) {
  const url = service.webhookUrl ?? `${location.origin}/api/v1/vapi/webhook`;
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
  const body = '{"message":{"type":"status-update","status":"ringing","call":{"id":"my-first-call"}}}';
  const proof = service.webhookSecret ? " \\\n  -H 'x-vapi-secret: YOUR_SECRET'" : "";
  return html`
    <section class="card connect" aria-labelledby="connect">
      <h2 id="connect">Connect Vapi</h2>
      <p>No call was heard of yet. Three steps:</p>
      <ol>
        <li>
          <p>In Vapi, open your assistant or your organization settings, and set this as the <strong>Server URL</strong>:</p>
          <${Copy} text=${url} label="Server URL" />
          ${local && html`<p class="notice">Vapi can't reach this address. Set <code>PUBLIC_URL</code> to the https address of this service, or use a tunnel.</p>`}
        </li>
        <li>
          ${service.webhookSecret
            ? html`<p>Give it a credential that sends the first secret of <code>VAPI_WEBHOOK_SECRET</code> in this header:</p>
                <${Copy} text="x-vapi-secret: YOUR_SECRET" label="Header" />`
            : html`<p>No <code>VAPI_WEBHOOK_SECRET</code> is set, so no proof is asked for, and only this machine may send webhooks unless
                <code>ALLOW_UNAUTHENTICATED</code> lists <code>webhooks</code>. Set a secret here and at Vapi before anybody else can reach this address.</p>`}
        </li>
        <li>
          <p>Try it. A ringing call appears above:</p>
          <${Copy} text=${`curl -X POST ${url}${proof} \\\n  -H 'content-type: application/json' \\\n  -d '${body}'`} label="Test command" />
        </li>
      </ol>
      ${!service.vapiKey && html`<p class="notice">There is no <code>VAPI_API_KEY</code>. Webhooks work without one, but missing analyses and lost reports can't be fetched.</p>`}
    </section>`;
}

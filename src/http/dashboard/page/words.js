// What the service says in codes, in words.

export const OUTCOMES = {
  pending: "Pending", completed: "Completed", no_answer: "No answer", busy: "Busy", voicemail: "Voicemail", timeout: "Timed out",
  canceled: "Canceled", error: "Error", unknown: "Unclear",
};
export const LINES = {
  unknown: "Not heard from yet", scheduled: "Scheduled", queued: "Queued", ringing: "Ringing", "in-progress": "Talking", forwarding: "Being forwarded", ended: "Ended",
};
export const DATA = { pending: "No result yet", partial: "Partial", fetching: "Being fetched", complete: "Complete", fetch_failed: "Fetch failed" };

/** How a subscription stands: in a word, the color of its badge, and what that means. */
export const STANDINGS = {
  active: ["Active", "completed", ""], paused: ["Paused", "timeout", "Somebody paused it: its news are collected until it is resumed."],
  disabled: ["Disabled", "error", "Its address answered 410 Gone, so nothing is sent any more. Mend the receiver, then resume it."],
};
/** How a delivery stands. */
export const DELIVERIES = { pending: ["Pending", ""], delivered: ["Delivered", "completed"], dead: ["Failed", "error"] };

/** Why there is no analysis, and what to do about it. */
export const MISSING = {
  not_connected: ["Nobody picked up, so there was nothing to analyze.", ""],
  still_fetching: ["The analysis is not here yet. Ringback is asking Vapi for it.", "It usually comes within a minute; this page shows it when it does."],
  not_promised: ["The assistant is set up without an analysis.", "Turn on a summary, structured data or a structured output for the assistant at Vapi."],
  too_short: ["The conversation was too short: Vapi does not analyze calls of fewer than two turns.", ""],
  could_not_ask: ["The report came without an analysis, and Ringback could not ask Vapi for it.", "Check VAPI_API_KEY under Health, then fetch again."],
  never_came: ["Vapi was asked, and it has no analysis of this call.", "Look at the assistant's analysis plan at Vapi. If the call just ended, fetch again."],
};

/** Why webhooks were refused, and what to do. What has no proof need not be Vapi's. */
export const REFUSALS = {
  missing: ["without any proof", "Give Vapi's server URL a credential that sends the secret; or somebody else found the address."],
  invalid: ["with a wrong proof", "The secret at Vapi is none of VAPI_WEBHOOK_SECRET. Put both in there while you change it."],
  stale: ["with an old timestamp", "Set the clock of this machine, or raise VAPI_WEBHOOK_TOLERANCE_SECONDS."],
  not_configured: ["because no secret is set here", "Set VAPI_WEBHOOK_SECRET, and the same secret at Vapi."],
  too_large: ["that were too large", "Raise MAX_BODY_MB if they were Vapi's: reports of long calls are large."],
  invalid_payload: ["that could not be read", "They carry a proof, but are no messages of Vapi's. See whether something else sends to this address."],
};

const FAULTS = {
  vapi: "Vapi's own fault", provider: "A model, voice or transcriber failed", config: "Settings, keys or limits of the account",
  transport: "The phone network or carrier", customer: "The person called", assistant: "The assistant", unknown: "Unclear",
};

export const outcome = (call) => OUTCOMES[call.outcome.kind ?? call.status] ?? call.status;
export const fault = (call) => FAULTS[call.outcome.fault] ?? "";
export const isLive = (call) => !["ended", "unknown"].includes(call.callStatus);

/** Who was called, in words. */
export const who = (call) => call.provider.name || call.customer.name || call.customer.number || call.provider.phone || "A call without a number";
export const number = (call) => [call.customer.number, call.provider.phone].find((number) => number && number !== who(call)) ?? "";

export const dollars = (amount) => (amount === null || amount === undefined ? "–" : `$${amount.toFixed(amount !== 0 && Math.abs(amount) < 0.1 ? 4 : 2)}`);
export function lasted(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const two = (part) => String(part).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
export const whole = (number) => (number === null || number === undefined ? "–" : new Intl.NumberFormat().format(number));
export const percent = (share) => (share === null || share === undefined ? "–" : new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 }).format(share));
/** Seconds of machines: "2.5 s", "1:30". */
export const amount = (seconds) => (seconds === null || seconds === undefined ? "–" : seconds < 60 ? `${new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 }).format(seconds)} s` : lasted(seconds));
export const milliseconds = (number) => `${new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 }).format(number)} ms`;
/** A day in UTC, `2026-11-21`: "Nov 21". */
export const day = (date) => new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", timeZone: "UTC" }).format(new Date(date));
export const count = (number, one, many = `${one}s`) => `${new Intl.NumberFormat().format(number)} ${number === 1 ? one : many}`;
export function bytes(size) {
  if (!Number.isFinite(size)) return "–";
  const units = ["B", "KB", "MB", "GB", "TB"];
  const step = size < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(size) / 10));
  return `${new Intl.NumberFormat(undefined, { maximumFractionDigits: step ? 1 : 0 }).format(size / 1024 ** step)} ${units[step]}`;
}

const STEPS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
/** "5 minutes ago". */
export function ago(at) {
  const seconds = (new Date(at) - Date.now()) / 1_000;
  const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}
export const moment = (at, style = { dateStyle: "medium", timeStyle: "medium" }) => new Intl.DateTimeFormat(undefined, style).format(new Date(at));

/** `estimated_rate`, `estimatedRate` → "Estimated rate". */
export function title(key) {
  const words = String(key).replace(/([a-z\d])([A-Z])/g, "$1 $2").replace(/[_-]+/g, " ").trim().toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

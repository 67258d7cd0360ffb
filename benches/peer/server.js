// The peer: what the service before Ringback did, written with care. It checks the proof over the raw body, parses, makes a result of the
// report, keeps it in a Map, and serves it through a response schema. Nothing is on disk, nothing is joined, nothing is redacted.
//
//   PORT=8102 SECRET=… LOG=/dev/null node server.js

import { createHmac, timingSafeEqual } from 'node:crypto';
import Fastify from 'fastify';
import pino from 'pino';

const { PORT, SECRET, LOG } = process.env;
// About as many results as Ringback keeps in 256 MB; without a bound the process would grow until it dies.
const MOST_CALLS = 5000;

// Buffered and asynchronous: pino's fastest way to write.
const stream = pino.destination({ dest: LOG, sync: false, minLength: 4096 });
const app = Fastify({ loggerInstance: pino({ level: 'info' }, stream), bodyLimit: 10 * 1024 * 1024 });
const calls = new Map();

app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body));

const text = { type: 'string' };
const maybeText = { type: ['string', 'null'] };
const maybeNumber = { type: ['number', 'null'] };
const flag = { type: 'boolean' };
const open = { type: 'object', additionalProperties: true };
const list = (properties) => ({ type: 'array', items: { type: 'object', properties } });
const object = (properties) => ({ type: 'object', properties });

const callResult = object({
  id: text,
  callId: text,
  status: text,
  callMethod: text,
  callStatus: text,
  dataStatus: text,
  duration: maybeNumber,
  durationSeconds: maybeNumber,
  endedReason: maybeText,
  transcript: text,
  messages: list({
    role: text,
    message: text,
    time: maybeNumber,
    endTime: maybeNumber,
    duration: maybeNumber,
    secondsFromStart: maybeNumber,
  }),
  analysis: object({ summary: text, structuredData: open, structuredDataMulti: { type: 'array' }, successEvaluation: text }),
  structuredOutputs: open,
  provider: object({ name: maybeText, phone: maybeText, service: maybeText, location: maybeText }),
  request: object({ criteria: text, urgency: maybeText }),
  customer: object({ number: maybeText, name: maybeText }),
  cost: maybeNumber,
  costBreakdown: open,
  startedAt: maybeText,
  endedAt: maybeText,
  createdAt: maybeText,
  assistantId: maybeText,
  phoneNumberId: maybeText,
  metadata: open,
  recording: object({ available: flag, url: maybeText }),
  toolCalls: list({ id: text, name: maybeText, result: maybeText }),
  error: text,
  webhookReceivedAt: maybeText,
});

const answer = object({ success: flag, done: flag, callId: maybeText, data: callResult });
const failure = object({ success: flag, error: text });
const receipt = object({ success: flag, status: text, received: flag, message: text, callId: maybeText });

app.post('/api/v1/vapi/webhook', { schema: { response: { 200: receipt, '4xx': failure } } }, async (request, reply) => {
  if (!isProven(request.headers, request.body)) {
    return reply.code(401).send({ success: false, error: 'The signature is wrong.' });
  }
  let message;
  try {
    ({ message } = JSON.parse(request.body));
  } catch {
    return reply.code(400).send({ success: false, error: 'The body is no JSON.' });
  }
  if (typeof message?.type !== 'string') {
    return reply.code(400).send({ success: false, error: 'message.type is missing.' });
  }
  const callId = message.call?.id ?? null;
  if (message.type === 'end-of-call-report' && callId) {
    keep(callId, resultOf(callId, message));
  }
  return { success: true, status: 'success', received: true, message: 'Stored.', callId };
});

const byId = { params: object({ id: { type: 'string', minLength: 1, maxLength: 128 } }), response: { 200: answer, '4xx': failure } };
app.get('/api/v1/vapi/calls/:id', { schema: byId }, async (request, reply) => {
  const data = calls.get(request.params.id);
  if (!data) {
    return reply.code(404).send({ success: false, error: 'No such call.' });
  }
  return { success: true, done: true, callId: data.callId, data };
});

function isProven(headers, body) {
  const [signature, timestamp] = [headers['x-signature'], headers['x-timestamp']];
  if (!signature || !(Math.abs(Date.now() - Number(timestamp)) <= 300_000)) {
    return false;
  }
  const right = createHmac('sha256', SECRET).update(`${timestamp}.`).update(body).digest();
  const shown = Buffer.from(signature, 'hex');
  return shown.length === right.length && timingSafeEqual(shown, right);
}

function keep(id, result) {
  calls.delete(id);
  calls.set(id, result);
  if (calls.size > MOST_CALLS) {
    calls.delete(calls.keys().next().value);
  }
}

function resultOf(callId, message) {
  const { call, artifact = {}, analysis = {}, customer = {} } = message;
  const metadata = call.metadata ?? {};
  const role = { bot: 'bot', assistant: 'bot', user: 'user' };
  const spoken = (artifact.messages ?? []).filter((entry) => role[entry.role] && entry.message);
  const results = (artifact.messages ?? []).filter((entry) => entry.role === 'tool_call_result');
  return {
    id: callId,
    callId,
    status: statusOf(message.endedReason ?? '', spoken),
    callMethod: 'direct_vapi',
    callStatus: 'ended',
    dataStatus: 'complete',
    duration: message.durationMinutes ?? null,
    durationSeconds: message.durationSeconds ?? null,
    endedReason: message.endedReason ?? null,
    transcript: artifact.transcript ?? message.transcript ?? '',
    messages: spoken.map(({ role: by, message: words, time, endTime, duration, secondsFromStart }) => ({
      role: role[by],
      message: words,
      time: time ?? null,
      endTime: endTime ?? null,
      duration: duration ?? null,
      secondsFromStart: secondsFromStart ?? null,
    })),
    analysis: {
      summary: analysis.summary ?? '',
      structuredData: analysis.structuredData ?? {},
      structuredDataMulti: analysis.structuredDataMulti ?? [],
      successEvaluation: String(analysis.successEvaluation ?? ''),
    },
    structuredOutputs: artifact.structuredOutputs ?? {},
    provider: {
      name: metadata.providerName ?? null,
      phone: metadata.providerPhone ?? customer.number ?? null,
      service: metadata.serviceNeeded ?? null,
      location: metadata.location ?? null,
    },
    request: { criteria: metadata.userCriteria ?? '', urgency: metadata.urgency ?? null },
    customer: { number: customer.number ?? null, name: customer.name ?? null },
    cost: message.cost ?? null,
    costBreakdown: message.costBreakdown ?? {},
    startedAt: message.startedAt ?? null,
    endedAt: message.endedAt ?? null,
    createdAt: call.createdAt ?? null,
    assistantId: call.assistantId ?? null,
    phoneNumberId: call.phoneNumberId ?? null,
    metadata,
    recording: { available: Boolean(artifact.recordingUrl), url: artifact.recordingUrl ?? null },
    toolCalls: results.map(({ toolCallId, name, result }) => ({ id: toolCallId, name: name ?? null, result: result ?? null })),
    error: '',
    webhookReceivedAt: new Date().toISOString(),
  };
}

function statusOf(reason, spoken) {
  if (reason.includes('voicemail')) return 'voicemail';
  if (reason.includes('did-not-answer') || reason.includes('busy')) return 'no_answer';
  if (reason.includes('error') || reason.includes('failed')) return 'error';
  return spoken.some((entry) => entry.role === 'user') ? 'completed' : 'no_answer';
}

await app.listen({ port: Number(PORT), host: '127.0.0.1' });

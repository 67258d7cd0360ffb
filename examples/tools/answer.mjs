// Answers the tools of tools.toml; no dependencies. Start it with `node examples/tools/answer.mjs`; PORT changes its port (8090).
// Ringback posts {callId, toolCallId, name, arguments, call}. The answer may be text, JSON, {"result": …} or {"error": …}.
import { createServer } from 'node:http';

const orders = { 1007: 'packed, it leaves on Monday', 1008: 'delivered on Friday' };
const taken = new Set();

const answers = {
  '/lookup': ({ arguments: { order } }) =>
    orders[order] ? { result: `Order ${order} is ${orders[order]}.` } : { error: `There is no order ${order}.` },
  '/schedule': ({ arguments: { date, time, name } }) => {
    const slot = `${date} ${time}`;
    if (!date || !time) return { error: 'Ask for a date and a time.' };
    if (taken.has(slot)) return { error: `${time} on ${date} is taken.` };
    taken.add(slot);
    return { result: `Booked for ${name ?? 'the caller'}: ${date} at ${time}.` };
  },
  '/other': ({ name }) => ({ error: `Nobody knows how to do ${name}.` }),
};

const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const answer = answers[request.url];
  response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer ? answer(JSON.parse(body)) : { error: 'No such tool.' }));
});
server.listen(Number(process.env.PORT ?? 8090), '127.0.0.1', () => console.error(`answering on port ${server.address().port}`));

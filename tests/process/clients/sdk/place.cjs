// What a script does that was written for Vapi's SDK: place a call, wait for its result, look at calls.
const [name, base, token, backend, webhook] = process.argv.slice(2);
const { VapiClient } = require(name);
const vapi = new VapiClient({ token, baseUrl: base });
const failing = async (what) => {
    try { await what(); return "nothing failed"; } catch (error) { return { status: error.statusCode, body: error.body }; }
};

// The original poller: no credentials, first after five seconds, then every five, at most sixty times; 404 means not yet.
async function result(id) {
    for (let polls = 1; polls <= 60; polls++) {
        await new Promise((resolve) => setTimeout(resolve, 5000));
        const answer = await fetch(`${backend}/api/v1/vapi/calls/${id}`);
        if (!answer.ok) continue;
        const { data } = await answer.json();
        const { status, dataStatus, transcript, analysis, duration, endedReason } = data;
        if (status === "completed" && ["complete", "fetch_failed", undefined, "unknown"].includes(dataStatus))
            return { polls, dataStatus, transcript, analysis, duration, endedReason };
    }
}

async function main() {
    const made = await vapi.calls.create({
        phoneNumberId: "11111111-2222-3333-4444-555555555555",
        customer: { number: "+15551234567", name: "Service Provider" },
        assistant: {
            name: "Concierge-1", firstMessage: "Hi",
            model: { provider: "google", model: "gemini-2.5-flash", messages: [{ role: "system", content: "Ask when they come." }] },
            voice: { provider: "11labs", voiceId: "21m00Tcm4TlvDq8ikWAM", stability: 0.5, similarityBoost: 0.75 },
            ...(webhook ? { server: { url: webhook, timeoutSeconds: 20 } } : {}),
            serverMessages: ["status-update", "end-of-call-report"],
        },
    });
    const told = { id: made.id, status: made.status, result: await result(made.id) };
    if (!webhook) {
        told.call = await vapi.calls.get({ id: made.id });
        told.listed = (await vapi.calls.list({ limit: 10, createdAtGe: told.call.createdAt })).map((call) => call.id);
        told.renamed = (await vapi.calls.update({ id: made.id, name: "Second try" })).name;
        told.unknown = await failing(() => vapi.calls.get({ id: "00000000-0000-7000-8000-000000000000" }));
        told.wrong = await failing(() => vapi.calls.create({ customer: { number: "+15551234567" } }));
        told.stranger = await failing(() => new VapiClient({ token: "nobody", baseUrl: base }).calls.list({}));
        told.deleted = (await vapi.calls.delete({ id: made.id })).id;
        told.gone = await failing(() => vapi.calls.get({ id: made.id }));
    }
    console.log(JSON.stringify(told));
}

main().catch((error) => { console.error(error); process.exit(1); });

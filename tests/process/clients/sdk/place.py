"""What a script does that was written for Vapi's SDK: place a call, wait for its result, look at calls."""
import json
import sys
import time
import urllib.error
import urllib.request

from vapi import Vapi
from vapi.core.api_error import ApiError

base, token, backend, webhook = (sys.argv[1:] + [""])[:4]
client = Vapi(token=token, base_url=base)


def failing(what):
    try:
        what()
        return "nothing failed"
    except ApiError as error:
        return {"status": error.status_code, "body": error.body}


def result(call_id):
    """The original poller: no credentials, first after five seconds, then every five, at most sixty times; 404 means not yet."""
    for polls in range(1, 61):
        time.sleep(5)
        try:
            with urllib.request.urlopen(f"{backend}/api/v1/vapi/calls/{call_id}") as answer:
                data = json.load(answer)["data"]
        except urllib.error.HTTPError:
            continue
        if data["status"] == "completed" and data.get("dataStatus") in ("complete", "fetch_failed", None, "unknown"):
            wanted = ("dataStatus", "transcript", "analysis", "duration", "endedReason")
            return {"polls": polls, **{key: data[key] for key in wanted}}
    return None


assistant = {
    "name": "Concierge-1", "firstMessage": "Hi",
    "model": {"provider": "google", "model": "gemini-2.5-flash", "messages": [{"role": "system", "content": "Ask when they come."}]},
    "voice": {"provider": "11labs", "voiceId": "21m00Tcm4TlvDq8ikWAM", "stability": 0.5, "similarityBoost": 0.75},
    "serverMessages": ["status-update", "end-of-call-report"],
}
if webhook:
    assistant["server"] = {"url": webhook, "timeoutSeconds": 20}
made = client.calls.create(
    assistant=assistant,
    phone_number_id="11111111-2222-3333-4444-555555555555",
    customer={"number": "+15551234567", "name": "Service Provider"},
)
told = {"id": made.id, "status": made.status, "result": result(made.id)}
if not webhook:
    call = client.calls.get(id=made.id)
    # What the SDK made of the answer, in Vapi's own names again.
    told["call"] = json.loads(call.json(by_alias=True, exclude_unset=True))
    told["typed"] = [call.status, call.artifact.transcript, call.analysis.summary, type(call.started_at).__name__, call.cost]
    told["listed"] = [listed.id for listed in client.calls.list(limit=10, created_at_ge=call.created_at)]
    told["renamed"] = client.calls.update(id=made.id, name="Second try").name
    told["unknown"] = failing(lambda: client.calls.get(id="00000000-0000-7000-8000-000000000000"))
    told["wrong"] = failing(lambda: client.calls.create(customer={"number": "+15551234567"}))
    told["stranger"] = failing(lambda: Vapi(token="nobody", base_url=base).calls.list())
    told["deleted"] = client.calls.delete(id=made.id).id
    told["gone"] = failing(lambda: client.calls.get(id=made.id))
print(json.dumps(told))

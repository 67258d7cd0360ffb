#!/usr/bin/env python3
"""Calls a provider the way the older scripts do: place the call and return, then poll for the result. Python's standard library only.

    call_provider.py place request.json       prints {"callId": …}; `-` reads the request from stdin
    call_provider.py result CALL_ID           polls until the call is done, and prints its result
    call_provider.py call request.json        both

Environment: BACKEND_URL or RINGBACK_URL (default http://127.0.0.1:8000), RINGBACK_TOKEN, IDEMPOTENCY_KEY (in Kestra: {{ execution.id }}-place).
In Kestra's script tasks the last line, ::{"outputs": …}::, becomes the task's outputs. Exit codes: 0 completed, 3 the call ended otherwise,
1 failed, 124 not done in time.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

# The older scripts' rhythm: every 5 seconds, for 5 minutes.
PAUSE_SECONDS = float(os.environ.get("POLL_SECONDS", "5"))
MOST_POLLS = int(os.environ.get("MOST_POLLS", "60"))
# Of the result, what becomes outputs of a Kestra task.
OUTPUTS = ["callId", "status", "dataStatus", "duration", "endedReason", "analysis", "error"]


def ask(method, path, body=None, headers=None):
    """One request; returns the status and the parsed answer, whatever the status."""
    base = os.environ.get("RINGBACK_URL") or os.environ.get("BACKEND_URL") or "http://127.0.0.1:8000"
    headers = {"content-type": "application/json", **(headers or {})}
    if token := os.environ.get("RINGBACK_TOKEN"):
        headers["authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base.rstrip("/") + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def place(file):
    """Places the call, once for each IDEMPOTENCY_KEY, and returns its id."""
    request = json.load(sys.stdin if file == "-" else open(file, encoding="utf-8"))
    key = os.environ.get("IDEMPOTENCY_KEY")
    status, answer = ask("POST", "/api/v1/vapi/calls", request, {"idempotency-key": key} if key else {})
    if status not in (201, 202):
        sys.exit(f"not placed: {status} {answer['code']}: {answer['message']} {json.dumps(answer['details'])}")
    return answer["callId"]


def result(call_id):
    """Polls the plain GET: 404 until there is a result, then 200; it is final when `done` says so."""
    for _ in range(MOST_POLLS):
        status, answer = ask("GET", f"/api/v1/vapi/calls/{call_id}")
        if status == 200 and answer["done"]:
            return answer["data"]
        if status not in (200, 404, 429, 503):
            sys.exit(f"no result: {status} {answer['code']}: {answer['message']}")
        time.sleep(PAUSE_SECONDS)
    print(f"call {call_id} is not done yet", file=sys.stderr)
    sys.exit(124)


def main():
    """Does what the arguments say."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("place", "result", "call"):
        sys.exit(__doc__)
    command, argument = sys.argv[1:]
    call_id = argument if command == "result" else place(argument)
    if command == "place":
        print(json.dumps({"callId": call_id}))
        print("::" + json.dumps({"outputs": {"callId": call_id}}) + "::")
        return
    data = result(call_id)
    print(json.dumps(data, indent=2))
    print("::" + json.dumps({"outputs": {key: data[key] for key in OUTPUTS}}) + "::")
    sys.exit(0 if data["status"] == "completed" else 3)


main()

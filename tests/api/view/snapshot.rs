//! One whole result: a provider call with report, tool call and REST answer.

use std::collections::BTreeMap;

use ringback::call::{
    join::join,
    record::{CallRecord, Fetch, FetchReason, Settled},
    view::{CallResult, Meta, View},
};

use crate::support::{
    bodies::{CALL, MADE, NOW, answered, facts},
    vapi::id,
};

#[test]
#[expect(clippy::too_many_lines, reason = "one whole result has as many lines")]
fn a_whole_result() {
    let answer = answered("ended", NOW.plus(3_000));
    let note = Fetch { at: NOW.plus(3_000), reason: FetchReason::Enrich, outcome: answer.outcome };
    let ours = CallRecord { fetches: BTreeMap::from([("f".to_owned(), note)]), settled: Some(Settled::Complete), ..CallRecord::default() };
    let record = ["status-update-in-progress", "tool-calls", "end-of-call-report"]
        .map(facts)
        .into_iter()
        .chain([*answer.event.facts, ours])
        .reduce(join)
        .unwrap();
    let meta = Meta { version: 4, created_at: Some(MADE), updated_at: Some(NOW.plus(3_000)), next_fetch_at: None };
    let id = id(CALL);
    let result = CallResult::of(&id, &record, meta, View::Full, "https://ringback.example.com");
    insta::assert_json_snapshot!(serde_json::to_value(result).unwrap(), @r#"
    {
      "analysis": {
        "structuredData": {
          "all_criteria_met": false,
          "availability": "unclear",
          "call_id": "in-data",
          "estimated_rate": "unknown",
          "price": "62",
          "ready": true,
          "recommended": false,
          "single_person_found": false
        },
        "structuredDataMulti": [
          {
            "plan-a": {
              "result": {
                "call_id": "multi-1"
              }
            }
          }
        ],
        "successEvaluation": "true",
        "summary": "Forty trays of seedlings wait for the club, for 62 euros."
      },
      "assistantId": "2b4d6f80-1357-4924-8bdf-13579bdf2468",
      "callId": "019e2609-4c00-7a1b-8c3d-2e4f60718293",
      "callMethod": "direct_vapi",
      "callStatus": "ended",
      "correlationId": "HG-114/3",
      "cost": 0.0502,
      "costBreakdown": {
        "chat": 0,
        "llm": 0.0031,
        "llmPromptTokens": 812,
        "structuredOutput": 0.014204399999999999,
        "stt": 0.0042,
        "total": 0.0502,
        "transport": 0,
        "tts": 0.0123,
        "ttsCharacters": 214,
        "vapi": 0.0215
      },
      "createdAt": "2026-05-14T09:30:00.000Z",
      "customer": {
        "name": "Fern & Sons",
        "number": "+15550142233"
      },
      "dataStatus": "complete",
      "duration": 0.4288,
      "durationSeconds": 25.725,
      "endedAt": "2026-05-14T09:30:29.725Z",
      "endedReason": "customer-ended-call",
      "error": "",
      "feedback": {
        "actionItems": "",
        "detractors": "",
        "npsScore": 9.0,
        "overallFeedback": "",
        "positives": "friendly\nquick"
      },
      "fetchAttempts": 1,
      "fetchError": "",
      "fetchedAt": "2026-05-14T10:30:03.000Z",
      "id": "019e2609-4c00-7a1b-8c3d-2e4f60718293",
      "messages": [
        {
          "duration": 3400,
          "endTime": 1778751008900,
          "message": "Good morning, this is Juniper from the Harbour Garden Club.",
          "role": "bot",
          "secondsFromStart": 1.2,
          "time": 1778751005200
        },
        {
          "duration": 1700,
          "endTime": 1778751011200,
          "message": "Morning! What can I do for you?",
          "role": "user",
          "secondsFromStart": 5.5,
          "time": 1778751009500
        },
        {
          "duration": 3000,
          "endTime": 1778751016500,
          "message": "I am calling about order HG-114. Are the seedlings in?",
          "role": "bot",
          "secondsFromStart": 9.5,
          "time": 1778751013500
        },
        {
          "duration": 4000,
          "endTime": 1778751021000,
          "message": "They are. Forty trays, 62 euros, any day after two.",
          "role": "user",
          "secondsFromStart": 13.0,
          "time": 1778751017000
        }
      ],
      "metadata": {
        "attempt": 3,
        "campaign": "may",
        "jwt": "[redacted]",
        "location": "Harbour Street 4",
        "note": "from the assistant",
        "providerId": "prov-9",
        "providerName": "Fern & Sons",
        "providerPhone": "+15550142233",
        "serviceNeeded": "seedlings",
        "serviceRequestId": "req-77",
        "token": "[redacted]",
        "urgency": "within_2_days",
        "userCriteria": "forty trays"
      },
      "nextFetchAt": null,
      "outcome": {
        "analysisMissing": false,
        "analysisMissingReason": "",
        "connected": true,
        "fault": "customer",
        "kind": "completed",
        "rule": "C1",
        "sipStatus": null,
        "userSpoke": true
      },
      "phoneNumberId": "9a7b5c3d-2468-4135-9ace-02468ace1357",
      "provider": {
        "location": "Harbour Street 4",
        "name": "Fern & Sons",
        "phone": "+15550142233",
        "service": "seedlings"
      },
      "providerId": "prov-9",
      "recording": {
        "available": true,
        "url": "https://ringback.example.com/api/v1/vapi/calls/019e2609-4c00-7a1b-8c3d-2e4f60718293/recording"
      },
      "request": {
        "criteria": "forty trays",
        "urgency": "within_2_days"
      },
      "serviceRequestId": "req-77",
      "session": {
        "keyInsights": [
          "Price: 62",
          "Ready: yes",
          "Seedlings ready: yes"
        ],
        "source": "vapi",
        "summary": "Forty trays of seedlings wait for the club, for 62 euros."
      },
      "startedAt": "2026-05-14T09:30:04.000Z",
      "status": "completed",
      "structuredOutputs": {
        "0f1e2d3c-4b5a-4968-8776-655443322110": {
          "name": "Seedlings ready",
          "result": true
        },
        "aabbccdd-0011-4223-8445-566778899aab": {
          "name": "Survey",
          "result": {
            "nps_score": 9,
            "positives": [
              "friendly",
              "quick"
            ]
          }
        }
      },
      "toolCalls": [
        {
          "arguments": {
            "order": "HG-114",
            "token": "[redacted]"
          },
          "at": "2026-05-14T09:30:12.000Z",
          "error": null,
          "id": "call_Seed01",
          "name": "find_order",
          "result": "HG-114: 40 seedlings, paid"
        },
        {
          "arguments": {
            "sku": "S-40"
          },
          "at": "2026-05-14T09:30:12.100Z",
          "error": null,
          "id": "call_Alder2",
          "name": "find_price",
          "result": null
        }
      ],
      "transcript": "AI: Good morning, this is Juniper from the Harbour Garden Club.\nUser: Morning! What can I do for you?\nAI: I am calling about order HG-114. Are the seedlings in?\nUser: They are. Forty trays, 62 euros, any day after two.\n",
      "updatedAt": "2026-05-14T10:30:03.000Z",
      "version": 4,
      "webhookReceivedAt": "2026-05-14T10:30:00.000Z"
    }
    "#);
}

//! Playing a call: its state changes as time goes by, and its webhooks go out.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    bodies::{self, Stage},
    deliver::{Post, Target},
    scenario::{self, Act, Message, Plot},
    script::{CallScript, Entry},
    world::{Kept, Progress, World},
};
use crate::call::time::Millis;

/// What Vapi sends for an assistant that does not say.
const DEFAULT_MESSAGES: [&str; 5] = ["conversation-update", "end-of-call-report", "speech-update", "status-update", "tool-calls"];
/// What Vapi sends by default although it is in no list.
const ALWAYS: &str = "assistant.started";

/// Places a call as `POST /call` does, and begins to play it.
pub(super) fn place(world: &Arc<World>, request: Map<String, Value>) -> CallScript {
    let now = world.options.clock.now();
    let before = world.count_placed();
    let story = world.options.scenario.story(before);
    let id = world.chance().id(now);
    let target = Target::of(&request, world.webhook_url().as_deref());
    let mut script = story.script(&id, now, request).paced(world.options.pace);
    script.storage.clone_from(&world.url);
    script.loses_report = (before + 1).checked_rem(world.options.drop_report) == Some(0);
    let play = world.stop.child_token();
    let began = Instant::now();
    let kept = Kept::Played {
        script: Box::new(script.clone()),
        stage: Stage::Queued,
        changed_at: now,
        patched: Value::Object(Map::new()),
        play: play.clone(),
        began,
    };
    world.calls().insert(id.clone(), kept);
    world.tell(Progress::Placed { call_id: id, scenario: story.as_str() });
    world.playing.send_modify(|playing| *playing += 1);
    let player = Player { world: Arc::clone(world), script: script.clone(), target, began };
    let acts = player.acts();
    world.tasks.spawn(player.run(acts, play));
    script
}

/// Hangs up a call as its control address does: what is left of it is its end. False when it has ended, or is not played.
pub(super) fn hang_up(world: &Arc<World>, id: &str) -> bool {
    let mut calls = world.calls();
    let Some(Kept::Played { script, stage, play, began, .. }) = calls.get_mut(id) else { return false };
    if !matches!(stage, Stage::Queued | Stage::Ringing | Stage::InProgress) {
        return false;
    }
    play.cancel();
    let lived = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    script.hang_up(script.created_at.plus(lived));
    *play = world.stop.child_token();
    let target = Target::of(&script.request, world.webhook_url().as_deref());
    let player = Player { world: Arc::clone(world), script: (**script).clone(), target, began: *began };
    let (mut acts, play) = (player.acts(), play.clone());
    drop(calls);
    acts.retain(|(_, act)| match act {
        Act::Change(stage) => !matches!(stage, Stage::Queued | Stage::Ringing | Stage::InProgress),
        Act::Send { message, .. } => matches!(message, Message::Status(Stage::Dropped) | Message::Report),
    });
    world.playing.send_modify(|playing| *playing += 1);
    world.tasks.spawn(player.run(acts, play));
    true
}

struct Player {
    world: Arc<World>,
    script: CallScript,
    target: Option<Target>,
    began: Instant,
}

impl Drop for Player {
    /// However the play ends, whoever waits for it is told.
    fn drop(&mut self) {
        self.world.playing.send_modify(|playing| *playing -= 1);
    }
}

impl Player {
    async fn run(mut self, acts: Vec<(Millis, Act)>, stop: CancellationToken) {
        if stop.run_until_cancelled(self.play(acts)).await.is_some() {
            self.world.tell(Progress::Played { call_id: self.script.id.clone() });
        }
    }

    fn acts(&self) -> Vec<(Millis, Act)> {
        let options = &self.world.options;
        let plot = Plot { pace: options.pace, drop_report: self.script.loses_report, late_analysis: options.late_analysis };
        scenario::acts(&self.script, plot)
    }

    async fn play(&mut self, mut acts: Vec<(Millis, Act)>) {
        if self.world.options.shuffle {
            shuffle(&mut acts, &self.world);
        }
        for (due, act) in acts {
            let wait = u64::try_from(due.since(self.script.created_at)).unwrap_or_default();
            tokio::time::sleep_until(self.began + Duration::from_millis(wait)).await;
            match act {
                Act::Change(stage) => self.change(stage, due),
                Act::Send { message, at } => self.send(message, at).await,
            }
        }
    }

    fn change(&self, to: Stage, at: Millis) {
        if let Some(Kept::Played { script, stage, changed_at, .. }) = self.world.calls().get_mut(&self.script.id) {
            **script = self.script.clone();
            *stage = to;
            *changed_at = at;
        }
    }

    async fn send(&mut self, message: Message, at: Millis) {
        let Some(target) = self.target.clone().filter(|_| self.is_wanted(message)) else { return };
        let message_id = self.world.chance().message_id();
        let repeated = self.world.chance().happens(self.world.options.duplicate);
        for _ in 0..=usize::from(repeated) {
            self.script.delivery += 1;
            let body = self.body(message, at);
            let post = Post {
                call_id: self.script.id.clone(),
                message_id: message_id.clone(),
                kind: kind_of(&body),
                body: body.to_string().into_bytes(),
            };
            let delivery = self.world.deliver(&target, post).await;
            if let Message::ToolCalls { entry } = message {
                self.take_answer(entry, delivery.status, &delivery.answer);
            }
        }
    }

    fn body(&self, message: Message, at: Millis) -> Value {
        let script = &self.script;
        match message {
            Message::Status(stage) => bodies::status_update(script, stage, at),
            Message::AssistantStarted => bodies::assistant_started(script, at),
            Message::Speech { entry, started } => bodies::speech_update(script, entry, started, at),
            Message::Transcript { entry, is_final } => bodies::transcript(script, entry, is_final, at),
            Message::Conversation => bodies::conversation_update(script, at),
            Message::ToolCalls { entry } => bodies::tool_calls(script, entry, at),
            Message::Report if self.world.options.late_analysis => bodies::end_of_call_report(&script.clone().without_analysis(), at),
            Message::Report => bodies::end_of_call_report(script, at),
        }
    }

    /// The assistant is told what the tool said; Vapi looks only at answers with status 200.
    fn take_answer(&mut self, entry: usize, status: Option<u16>, answer: &str) {
        let Some(Entry::Asked { id, .. }) = self.script.entries.get(entry).cloned() else { return };
        let answer: Value = serde_json::from_str(answer).unwrap_or_default();
        let results = answer["results"].as_array().into_iter().flatten();
        let own = results.into_iter().find(|result| status == Some(200) && result["toolCallId"] == *id);
        let said = own.and_then(|own| own["result"].as_str().or(own["error"].as_str()));
        self.script.answer_tool(&id, said.unwrap_or("No result returned."));
    }

    /// Does the assistant ask for messages of this type? A saved one gets them all.
    fn is_wanted(&self, message: Message) -> bool {
        let request = &self.script.request;
        let own = ["assistantOverrides", "assistant"].iter().find_map(|holder| request.get(*holder)?.get("serverMessages")?.as_array());
        let kind = type_of(message);
        match own {
            Some(wanted) => wanted.iter().filter_map(Value::as_str).any(|word| word == kind || is_final_only(word, message)),
            None if request.contains_key("assistant") => kind == ALWAYS || DEFAULT_MESSAGES.contains(&kind),
            None => true,
        }
    }
}

/// Vapi's own way to ask for final lines only.
fn is_final_only(word: &str, message: Message) -> bool {
    word == "transcript[transcriptType=\"final\"]" && matches!(message, Message::Transcript { is_final: true, .. })
}

fn type_of(message: Message) -> &'static str {
    match message {
        Message::Status(_) => "status-update",
        Message::AssistantStarted => ALWAYS,
        Message::Speech { .. } => "speech-update",
        Message::Transcript { .. } => "transcript",
        Message::Conversation => "conversation-update",
        Message::ToolCalls { .. } => "tool-calls",
        Message::Report => "end-of-call-report",
    }
}

/// The type of a body, with the status of a status-update.
pub(super) fn kind_of(body: &Value) -> String {
    let message = &body["message"];
    let kind = message["type"].as_str().unwrap_or_default();
    match message["status"].as_str() {
        Some(status) if kind == "status-update" => format!("{kind} {status}"),
        _ => kind.to_owned(),
    }
}

/// Sends the messages in another order at the same moments; the call itself changes as before.
fn shuffle(acts: &mut [(Millis, Act)], world: &World) {
    let places: Vec<usize> =
        acts.iter().enumerate().filter(|(_, (_, act))| matches!(act, Act::Send { .. })).map(|(place, _)| place).collect();
    let mut sent: Vec<Act> = places.iter().map(|place| acts[*place].1).collect();
    world.chance().shuffle(&mut sent);
    for (place, act) in places.into_iter().zip(sent) {
        acts[place].1 = act;
    }
}

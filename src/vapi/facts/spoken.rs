//! What was said, in any of the forms in which Vapi lists it.

use std::sync::Arc;

use super::{moment, whole};
use crate::{
    call::{
        record::{Message, Speaker},
        time::Millis,
    },
    vapi::json::Node,
};

/// Stated durations were seconds until some day of autumn 2024, and have been milliseconds since.
const SECONDS_UNTIL: Millis = Millis(1_733_011_200_000);
/// No utterance was ever so long in seconds, nor so short in milliseconds.
const MOST_SECONDS: f64 = 100.0;

/// What bot and user said, of a list of messages.
pub(super) fn messages(list: &Node<'_>) -> Arc<[Message]> {
    let mut messages = Vec::with_capacity(list.items().len());
    messages.extend(list.items().iter().filter_map(message));
    messages.into()
}

/// How many [`messages`] there are in a list.
pub(super) fn count(list: &Node<'_>) -> usize {
    list.items().iter().filter(|entry| spoken(entry).is_some()).count()
}

/// Who said what in one entry.
fn spoken<'n>(entry: &'n Node<'_>) -> Option<(Speaker, &'n str)> {
    let role = speaker(entry.at("role"))?;
    Some((role, [entry.at("message"), entry.at("content")].into_iter().find_map(Node::words)?))
}

fn message(entry: &Node<'_>) -> Option<Message> {
    let (role, words) = spoken(entry)?;
    let (time, end_time) = (moment(entry.at("time")), moment(entry.at("endTime")));
    let taken = time.zip(end_time).map(|(time, end)| end.since(time)).filter(|length| *length >= 0);
    let duration = stated_duration(entry.at("duration"), time).or(taken);
    let seconds_from_start = entry.at("secondsFromStart").number();
    Some(Message { role, message: words.to_owned(), time, end_time, duration, seconds_from_start })
}

/// Milliseconds.
fn stated_duration(node: &Node<'_>, time: Option<Millis>) -> Option<i64> {
    let stated = node.number().filter(|stated| *stated >= 0.0)?;
    let in_seconds = stated < MOST_SECONDS && time.is_some_and(|time| time < SECONDS_UNTIL);
    Some(whole(if in_seconds { stated * 1e3 } else { stated }))
}

/// Who speaks under a role; `None` for system prompts and tools.
#[must_use]
pub fn speaker(role: &Node<'_>) -> Option<Speaker> {
    match role.text()? {
        "bot" | "assistant" => Some(Speaker::Bot),
        "user" | "customer" => Some(Speaker::User),
        _ => None,
    }
}

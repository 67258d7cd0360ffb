//! Our words: what one call is and what may happen to it. Pure: no I/O, no clock, no configuration.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`id`], [`time`], [`json`] | newtypes: a call's id, epoch milliseconds, canonical JSON text |
//! | [`field`] | one piece of evidence with its stamp, and how two of them compare |
//! | [`event`] | [`event::CallEvent`]: something heard about a call, with the facts it states |
//! | [`record`] | [`record::CallRecord`]: all facts of one call |
//! | [`join`] | the one rule that changes a record |
//! | [`policy`] | is it settled, and when is Vapi asked next? |
//! | [`outcome`] | how the call turned out, by ordered rules over Vapi's `endedReason` |
//! | [`view`] | [`view::CallResult`]: the JSON that pollers see |
//! | [`measures`] | what of a call goes into numbers about many |
//! | [`words`] | the text in which a search looks for words |
//!
//! The life of a call, as pollers see it in `dataStatus`:
//!
//! | State | Until |
//! |---|---|
//! | `pending` | a report, or a REST answer that says ended: then it *has a result* |
//! | `partial` | policy settles it, or a first fetch begins |
//! | `fetching` | policy settles it: evidence is complete, or the last delay is spent |
//! | `complete`, `fetch_failed` | for good; later facts improve the record and leave it settled |

pub mod event;
pub mod field;
pub mod id;
pub mod join;
pub mod json;
pub mod measures;
pub mod news;
pub mod outcome;
pub mod phone;
pub mod policy;
pub mod record;
pub mod time;
pub mod view;
pub mod words;

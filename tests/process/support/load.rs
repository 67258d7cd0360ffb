//! Many messages over several connections at once.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ringback::simulate::Auth;

use super::{
    ledger::{Ledger, Sent, ledger},
    messages::{self, Message, new_call},
    random_below,
    wire::Wire,
};

/// Connections that send at once.
const CONNECTIONS: usize = 4;
/// Calls that there are messages for: more than any story sends.
const CALLS: usize = 60;

type Work = Mutex<VecDeque<Message>>;

/// Senders at work.
pub(crate) struct Load(Vec<JoinHandle<Vec<Sent>>>);

impl Load {
    /// Each sender ends when its connection is cut.
    pub(crate) fn until_cut(address: SocketAddr) -> Self {
        Self::of(move |work| Wire::to(address).map(|wire| sent_until_cut(wire, work)).unwrap_or_default())
    }

    /// Senders that take every refusal for one, and go on until their connection is cut or `until` passes; each has several services to turn to.
    pub(crate) fn through_outages(addresses: &[SocketAddr], until: Instant) -> Self {
        let addresses = addresses.to_vec();
        Self::of(move |work| {
            let (mut sent, mut next) = (Vec::new(), random_below(addresses.len() as u64));
            while Instant::now() < until {
                let address = addresses[usize::try_from(next).expect("it is small") % addresses.len()];
                next += 1;
                if let Ok(wire) = Wire::to(address) {
                    sent.extend(sent_until_refused(wire, work));
                }
                // Neither Vapi nor its load balancers come again at once.
                thread::sleep(Duration::from_millis(20));
                if work.lock().expect("no panic").is_empty() {
                    break;
                }
            }
            sent
        })
    }

    /// Each sender ends when nobody opens the door any more.
    pub(crate) fn while_open(address: SocketAddr) -> Self {
        Self::of(move |work| {
            let mut sent = Vec::new();
            while let Ok(wire) = Wire::to(address) {
                let more = sent_until_cut(wire, work);
                if more.is_empty() {
                    break;
                }
                sent.extend(more);
            }
            sent
        })
    }

    fn of(send: impl Fn(&Work) -> Vec<Sent> + Clone + Send + 'static) -> Self {
        let work = Arc::new(Mutex::new(work()));
        let sender = |_| {
            let (work, send) = (Arc::clone(&work), send.clone());
            thread::spawn(move || send(&work))
        };
        Self((0..CONNECTIONS).map(sender).collect())
    }

    /// What was sent, when all have ended.
    pub(crate) fn ended(self) -> Ledger {
        ledger(self.0.into_iter().flat_map(|sender| sender.join().expect("every answer is a 200")))
    }
}

/// Messages of many calls, those of one call in order: neighbours are likely to be in flight together.
fn work() -> VecDeque<Message> {
    let lives = (0..CALLS).flat_map(|_| messages::life_of(&new_call()));
    let proofs = [Auth::Hmac, Auth::Secret].into_iter().cycle();
    lives.zip(proofs).map(|(message, auth)| message.proven_by(auth)).collect()
}

/// Sends messages until there is none, no answer, or a refusal, which must be one of a store that is away or of a stop.
fn sent_until_refused(mut wire: Wire, work: &Work) -> Vec<Sent> {
    let mut sent = Vec::new();
    while let Some(message) = work.lock().expect("no panic").pop_front() {
        let answer = wire.deliver(&message);
        if let Ok(answer) = &answer {
            assert!(matches!(answer.status, 200 | 503), "{message:?}: {}", answer.json());
        }
        let acknowledged = answer.is_ok_and(|answer| answer.status == 200);
        sent.push(Sent { message, acknowledged });
        if !acknowledged {
            break;
        }
    }
    sent
}

/// Sends one message after another until there is none, or no answer.
fn sent_until_cut(mut wire: Wire, work: &Work) -> Vec<Sent> {
    let mut sent = Vec::new();
    loop {
        let Some(message) = work.lock().expect("no panic").pop_front() else { return sent };
        let answer = wire.deliver(&message);
        if let Ok(answer) = &answer {
            assert_eq!(answer.status, 200, "{message:?}: {}", answer.json());
        }
        let acknowledged = answer.is_ok();
        sent.push(Sent { message, acknowledged });
        if !acknowledged {
            return sent;
        }
    }
}

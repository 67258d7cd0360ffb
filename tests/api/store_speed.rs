//! What the SQLite store does in a second. Not a test of anything: `cargo test --release --test api store_speed -- --ignored --nocapture`.

#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, reason = "it measures, and says what")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ringback::{
    call::{
        event::CallEvent,
        record::{CallRecord, Message, Speaker},
        time::Millis,
    },
    store::{CallFilter, Columns, Committed, Retention, Store, StoredCall},
};

use crate::store_support::{alongside, call_id, columns, delivery, open, saying, stored, writing_with};

/// Clients at once.
const CLIENTS: usize = 64;
/// How long each measurement runs.
const PERIOD: Duration = Duration::from_secs(5);
/// Prepared reports that clients take turns with, so that making them up costs nothing.
const REPORTS: usize = 64;

/// Words without much repetition, as people speak: about `length` bytes.
fn words(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::with_capacity(length + 16);
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // A vocabulary of 4,096 words of 3 to 9 letters, the small numbers more often.
        let word = (state % 4_096).min(state >> 32 & 4_095).min(state >> 44 & 4_095);
        let letters = word.wrapping_mul(0x2545_f491_4f6c_dd1d);
        text.extend((0..3 + word % 7).map(|place| char::from(b'a' + u8::try_from(letters >> (place * 6) & 15).unwrap_or(0))));
        text.push(' ');
    }
    text
}

/// A report of 60 KB and the record of 20 KB that it makes.
fn report(seed: u64) -> (CallEvent, StoredCall, Columns) {
    let transcript = words(seed, 8_000);
    let lines: Vec<_> = transcript
        .as_bytes()
        .chunks(160)
        .map(|line| Message {
            role: Speaker::User,
            message: String::from_utf8_lossy(line).into_owned(),
            time: Some(Millis(1_760_000_000_000 + i64::from(line[0]))),
            end_time: None,
            duration: None,
            seconds_from_start: None,
        })
        .collect();
    let messages = serde_json::to_string(&lines).unwrap();
    // Real reports repeat themselves: the assistant, its tools and its prompts take the rest, and 60 KB become 8 when compressed.
    let rest = words(seed + 1_000_000, 3_000).repeat(20);
    let rest = &rest[..60_000 - 2 * messages.len() - transcript.len()];
    let body = format!(r#"{{"transcript":"{transcript}","messages":{messages},"openai":{messages},"assistant":"{rest}"}}"#);
    let mut call = saying(stored("call"), &transcript);
    call.record = CallRecord {
        messages: Some(ringback::call::field::Longest { value: lines.into(), authoritative: true, sent_at: None }),
        ..call.record
    };
    let columns = Columns { search: Some(transcript.to_lowercase()), customer_digits: Some(format!("49151{seed:07}")), ..columns() };
    (CallEvent { body: body.into_bytes().into(), ..delivery("event", "call") }, call, columns)
}

async fn client(store: Store, reports: Arc<Vec<(CallEvent, StoredCall, Columns)>>, count: Arc<AtomicUsize>) -> Vec<Duration> {
    let begin = Instant::now();
    let mut waits = Vec::new();
    while begin.elapsed() < PERIOD {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let (event, call, columns) = &reports[number % REPORTS];
        let id = uuid::Uuid::now_v7().to_string();
        let event_id = format!("{:x}{:x}", uuid::Uuid::new_v4().as_u128(), uuid::Uuid::new_v4().as_u128());
        let event = CallEvent { id: event_id, call_id: Some(call_id(&id)), ..event.clone() };
        let call = StoredCall { id: call_id(&id), ..call.clone() };
        let asked = Instant::now();
        assert_eq!(store.commit(writing_with(event, &call, columns.clone())).await.unwrap(), Committed::Done);
        waits.push(asked.elapsed());
    }
    waits
}

fn told(name: &str, mut waits: Vec<Duration>, period: Duration) {
    waits.sort_unstable();
    let share = |part: usize| waits[(waits.len() * part / 1_000).min(waits.len() - 1)];
    let rate = waits.len() as f64 / period.as_secs_f64();
    println!("{name}: {rate:.0}/s, p50 {:?}, p99 {:?}, p99.9 {:?}, worst {:?}", share(500), share(990), share(999), share(1_000));
}

/// Processor time of every thread so far, in hundredths of a second, by the thread's name.
fn busy() -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else { continue };
        let ticks = rest.split(' ').skip(12).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
        *sums.entry(name.to_owned()).or_default() += ticks;
    }
    sums
}

/// Processor time since then for each commit, by thread: steadier than the rate on a machine that does other things too.
fn spent(before: &BTreeMap<String, u64>, commits: usize) {
    for (name, ticks) in busy() {
        let ticks = ticks - before.get(&name).copied().unwrap_or(0);
        if ticks > 0 {
            print!("{name} {} us, ", 10_000 * ticks / commits as u64);
        }
    }
    println!("for each commit");
}

#[ignore = "measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_of_60_kilobyte_reports() {
    let folder = tempfile::tempdir_in(std::env::var_os("SPEED_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let path = folder.path().join("ringback.db");
    let store = open(&path);
    let reports: Arc<Vec<_>> = Arc::new((0..REPORTS as u64).map(report).collect());
    let packed = zstd::bulk::compress(&reports[0].0.body, 1).unwrap().len();
    println!(
        "body {} bytes, {packed} packed; record {} bytes",
        reports[0].0.body.len(),
        serde_json::to_vec(&reports[0].1.record).unwrap().len()
    );
    let count = Arc::new(AtomicUsize::new(0));
    for clients in [1, CLIENTS] {
        let (begin, busy) = (Instant::now(), busy());
        let tasks: Vec<_> = (0..clients).map(|_| alongside(client(store.clone(), Arc::clone(&reports), Arc::clone(&count)))).collect();
        let mut waits = Vec::new();
        for task in tasks {
            waits.extend(task.await.unwrap());
        }
        spent(&busy, waits.len());
        told(&format!("{clients} clients"), waits, begin.elapsed());
    }
    let total = count.load(Ordering::Relaxed);
    println!("{} MB for {total} calls, log {} MB", size(&path) >> 20, size(&path.with_extension("db-wal")) >> 20);

    let begin = Instant::now();
    let page = store.list(CallFilter { limit: 100, ..CallFilter::default() }).await.unwrap();
    println!("a page of 100: {:?}", begin.elapsed());
    let begin = Instant::now();
    for call in &page.calls {
        store.load(&call.id).await.unwrap();
    }
    println!("a load: {:?}", begin.elapsed() / 100);
    let begin = Instant::now();
    store.list(CallFilter { limit: 20, words: vec!["nowhere to be found".to_owned()], ..CallFilter::default() }).await.unwrap();
    println!("words in {total} calls: {:?}", begin.elapsed());
    let begin = Instant::now();
    store.close().await.unwrap();
    println!("close: {:?}", begin.elapsed());
    let begin = Instant::now();
    let store = open(&path);
    println!("open: {:?}", begin.elapsed());
    store.close().await.unwrap();
}

fn size(path: &std::path::Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// Says how long something took.
async fn timed<T>(name: &str, work: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let result = work.await;
    println!("{name}: {:?}", begin.elapsed());
    result
}

/// Memory in use, in MB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) >> 10
}

#[ignore = "measurement"]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_of_100_000_calls() {
    const CALLS: usize = 100_000;
    let folder = tempfile::tempdir_in(std::env::var_os("SPEED_DIR").unwrap_or_else(|| ".".into())).unwrap();
    let path = folder.path().join("ringback.db");
    let store = open(&path);
    let reports: Arc<Vec<_>> = Arc::new((0..REPORTS as u64).map(report).collect());
    let fill = (0..CLIENTS).map(|client| {
        let (store, reports) = (store.clone(), Arc::clone(&reports));
        alongside(async move {
            for number in (client..CALLS).step_by(CLIENTS) {
                let (event, call, columns) = &reports[number % REPORTS];
                let id = call_id(&format!("call-{number}"));
                let moment = Millis(1_760_000_000_000 + i64::try_from(number).unwrap());
                let event = CallEvent { id: format!("event-{number}"), call_id: Some(id.clone()), received_at: moment, ..event.clone() };
                let call = StoredCall { id, created_at: moment, updated_at: moment, ..call.clone() };
                store.commit(writing_with(event, &call, columns.clone())).await.unwrap();
            }
        })
    });
    timed("filling", futures_util::future::join_all(fill)).await;
    let crashed = folder.path().join("crashed.db");
    std::fs::copy(path.with_extension("db-wal"), crashed.with_extension("db-wal")).unwrap();
    std::fs::copy(&path, &crashed).unwrap();
    for file in [&crashed, &crashed.with_extension("db-wal")] {
        std::fs::File::open(file).unwrap().sync_all().unwrap();
    }
    println!("log of the crashed one: {} MB", size(&crashed.with_extension("db-wal")) >> 20);
    timed("open after a crash", async { open(&crashed) }).await.close().await.unwrap();
    std::fs::remove_file(&crashed).unwrap();
    timed("close", store.close()).await.unwrap();
    drop(reports);

    let before = resident();
    let store = timed("open", async { open(&path) }).await;
    println!("{} MB in use, {} before", resident(), before);
    let filter = |limit| CallFilter { limit, ..CallFilter::default() };
    timed("first 20", store.list(filter(20))).await.unwrap();
    timed("20 at offset 50,000", store.list(CallFilter { offset: 50_000, ..filter(20) })).await.unwrap();
    timed("by phone", store.list(CallFilter { phone: vec!["491510000007".to_owned()], ..filter(20) })).await.unwrap();
    timed("no such status", store.list(CallFilter { status: vec!["no".to_owned()], ..filter(20) })).await.unwrap();
    timed("no such word", store.list(CallFilter { words: vec!["no such word".to_owned()], ..filter(20) })).await.unwrap();
    timed("health", store.health()).await.unwrap();
    let copy = folder.path().join("copy.db");
    timed("backup", async { ringback::store::sqlite::backup(&path, &copy).unwrap() }).await;
    timed("one delete", store.delete(&call_id("call-77"), Millis(0), false)).await.unwrap();
    let deletes = (100..200).map(|number| call_id(&format!("call-{number}"))).collect::<Vec<_>>();
    timed("100 deletes at once", futures_util::future::join_all(deletes.iter().map(|id| store.delete(id, Millis(0), false)))).await;
    timed("1,000 bodies dropped", store.drop_oldest_bodies(1_000)).await.unwrap();
    let retention = Retention { records_before: Some(Millis(1_760_000_005_000)), bodies_before: None };
    println!("{} calls", timed("purge of old calls", store.purge(retention, 10_000)).await.unwrap().len());
    println!("{} MB in use", resident());
    timed("close", store.close()).await.unwrap();
}

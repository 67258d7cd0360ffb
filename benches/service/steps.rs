//! Scratch: time of each step.
use std::time::{Duration, Instant};
use ringback::{call::{join::join, record::CallRecord, id::CallId, view::{CallResult, Meta, View}}, clock::Clock, registry, vapi::{json, message::{self, Delivery}, redact}};
use crate::report::Template;

fn time<T>(name: &str, mut f: impl FnMut() -> T) {
    let mut best = Duration::MAX;
    let until = Instant::now() + Duration::from_millis(700);
    let mut all = vec![];
    while Instant::now() < until {
        let s = Instant::now();
        let r = f();
        let e = s.elapsed();
        drop(r);
        all.push(e);
        best = best.min(e);
    }
    all.sort();
    println!("{name:32} best {:7.1} us  p10 {:7.1} median {:7.1}", best.as_secs_f64()*1e6, all[all.len()/10].as_secs_f64()*1e6, all[all.len()/2].as_secs_f64()*1e6);
}

pub(crate) fn run(file: Option<&str>) {
    let body = match file { Some(f) => std::fs::read(f).unwrap(), None => Template::of_body(60*1024).about("00000000-0000-7000-8000-000000000001") };
    let now = Clock::System.now();
    println!("body {}", body.len());
    time("clone body", || body.clone());
    time("sha256", || message::sha256(&body));
    time("parse", || json::parse(&body).unwrap());
    time("serde_json Value", || serde_json::from_slice::<serde_json::Value>(&body).unwrap());
    time("IgnoredAny", || serde_json::from_slice::<serde::de::IgnoredAny>(&body).unwrap());
    let mut tree = json::parse(&body).unwrap();
    time("drop+clone tree", || { tree.clone() });
    time("redact (again)", || redact::redact(&mut tree));
    time("parse+redact", || { let mut t = json::parse(&body).unwrap(); redact::redact(&mut t); t });
    time("canonical", || tree.canonical());
    println!("canonical {}", tree.canonical().len());
    time("read", || message::read(&body, Delivery::default(), now).unwrap());
    let event = message::read(&body, Delivery::default(), now).unwrap().event;
    time("event clone", || event.clone());
    time("facts clone", || event.facts.clone());
    time("join default", || join(CallRecord::default(), (*event.facts).clone()));
    let id = CallId::parse("x").unwrap();
    time("view", || CallResult::of(&id, &event.facts, Meta::default(), View::Full, ""));
    time("answer", || registry::answer(&CallResult::of(&id, &event.facts, Meta::default(), View::Full, ""), true));
    println!("answer {}", registry::answer(&CallResult::of(&id, &event.facts, Meta::default(), View::Full, ""), true).len());
    time("record to json", || serde_json::to_vec(&event.facts).unwrap());
    let rec = serde_json::to_vec(&event.facts).unwrap();
    println!("record {}", rec.len());
    time("zstd body bulk", || zstd::bulk::compress(&event.body, 1).unwrap());
    println!("packed body {} record {}", zstd::bulk::compress(&event.body, 1).unwrap().len(), zstd::bulk::compress(&rec, 1).unwrap().len());
    let mut c = zstd::bulk::Compressor::new(1).unwrap();
    time("zstd body reused", || c.compress(&event.body).unwrap());
    time("zstd record bulk", || zstd::bulk::compress(&rec, 1).unwrap());
    time("zstd record reused", || c.compress(&rec).unwrap());
    for level in [-1, -3, -5] {
    let mut c = zstd::bulk::Compressor::new(level).unwrap();
    time(&format!("zstd {level} body reused"), || c.compress(&event.body).unwrap());
    println!("  {}", c.compress(&event.body).unwrap().len());
    }
}

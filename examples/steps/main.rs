//! Scratch: time of each step.
#[path = "../../benches/service/report.rs"]
mod report;
use report::Template;
use ringback::{
    call::{
        id::CallId,
        join::join,
        record::CallRecord,
        view::{CallResult, Meta, View},
    },
    clock::Clock,
    registry,
    vapi::{
        json,
        message::{self, Delivery},
        redact,
    },
};
use std::time::{Duration, Instant};

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
    println!(
        "{name:32} best {:7.1} us  p10 {:7.1} median {:7.1}",
        best.as_secs_f64() * 1e6,
        all[all.len() / 10].as_secs_f64() * 1e6,
        all[all.len() / 2].as_secs_f64() * 1e6
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let file = args.first().map(String::as_str);
    if file == Some("read") {
        let body = Template::of_body(60 * 1024).about("00000000-0000-7000-8000-000000000001");
        let now = Clock::System.now();
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until {
            std::hint::black_box(message::read(&body, Delivery::default(), now).unwrap());
        }
        return;
    }
    if file == Some("route") {
        use axum::http::Request;
        use tower::Service;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = ringback::config::Config::from_env(|name| match name {
                "DATABASE_URL" => Some("memory:".to_owned()),
                "LOG_FORMAT" => Some("json".to_owned()),
                _ => None,
            })
            .unwrap();
            let _logs = (std::env::args().any(|a| a == "log")).then(|| ringback::telemetry::start_logs(&config.log, "abcdefgh").unwrap());
            let app = ringback::app::App::build(config, Clock::System).await.unwrap();
            let template = Template::of_answer(8 * 1024);
            let event = message::read(&template.about(&report::id(1, 1)), Delivery::default(), Clock::System.now()).unwrap().event;
            app.api().registry.apply(event).await.unwrap();
            let path = format!("/api/v1/vapi/calls/{}", report::id(1, 1));
            let ours = app.router();
            let floor: axum::Router = axum::Router::new().route(
                "/8.json",
                axum::routing::get(async || {
                    ([(axum::http::header::CONTENT_TYPE, "application/json")], axum::body::Bytes::from_static(b"x"))
                }),
            );
            for (name, path, router) in [("floor", "/8.json".to_owned(), floor), ("ours", path, ours)] {
                let mut best = Duration::MAX;
                let mut all = vec![];
                for _ in 0..std::env::args().find_map(|a| a.strip_prefix("n=").map(|n| n.parse().unwrap())).unwrap_or(300) {
                    let s = Instant::now();
                    for _ in 0..1000 {
                        let mut service = router.clone();
                        let request =
                            Request::builder().uri(&path).header("host", "127.0.0.1:8000").body(axum::body::Body::empty()).unwrap();
                        let response = service.call(request).await.unwrap();
                        assert_eq!(response.status(), 200);
                        std::hint::black_box(response);
                    }
                    let e = s.elapsed() / 1000;
                    all.push(e);
                    best = best.min(e);
                    if std::env::args().any(|a| a == "log") {
                        tokio::time::sleep(Duration::from_millis(8)).await;
                    }
                }
                all.sort();
                println!("{name} best {best:?} p10 {:?} median {:?}", all[all.len() / 10], all[all.len() / 2]);
            }
        });
        return;
    }
    if file == Some("apply") || file == Some("sqlite") {
        let url = if file == Some("apply") {
            "memory:".to_owned()
        } else {
            let _ = std::fs::remove_file("/tmp/steps.db");
            let _ = std::fs::remove_file("/tmp/steps.db-wal");
            "sqlite:/tmp/steps.db".to_owned()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let config = ringback::config::Config::from_env(|name| (name == "DATABASE_URL").then(|| url.clone())).unwrap();
            let app = ringback::app::App::build(config, Clock::System).await.unwrap();
            let template = Template::of_body(60 * 1024);
            let mut all = vec![];
            for i in 0..6000 {
                let body = template.about(&report::id(1, i));
                let s = Instant::now();
                let event = message::read(&body, Delivery::default(), Clock::System.now()).unwrap().event;
                let r = s.elapsed();
                app.api().registry.apply(event).await.unwrap();
                all.push((s.elapsed() - r, r));
            }
            for (name, mut v) in [("apply", all.iter().map(|a| a.0).collect::<Vec<_>>()), ("read", all.iter().map(|a| a.1).collect())] {
                v.sort();
                println!("{name} best {:?} p10 {:?} median {:?}", v[0], v[v.len() / 10], v[v.len() / 2]);
            }
        });
        return;
    }
    let body = match file {
        Some(f) => std::fs::read(f).unwrap(),
        None => Template::of_body(60 * 1024).about("00000000-0000-7000-8000-000000000001"),
    };
    let now = Clock::System.now();
    println!("body {}", body.len());
    time("clone body", || body.clone());
    time("sha256", || message::sha256(&body));
    time("parse", || json::parse(&body).unwrap());
    time("serde_json Value", || serde_json::from_slice::<serde_json::Value>(&body).unwrap());
    time("IgnoredAny", || serde_json::from_slice::<serde::de::IgnoredAny>(&body).unwrap());
    let mut tree = json::parse(&body).unwrap();
    time("drop+clone tree", || tree.clone());
    time("redact (again)", || redact::redact(&mut tree));
    time("parse+redact", || {
        let mut t = json::parse(&body).unwrap();
        redact::redact(&mut t);
        t
    });
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

//! Load for GET: wrk, with a script that draws paths from a list and prints what it measured as numbers.

use std::{fs, process::Command};

use anyhow::{Context as _, bail};

use crate::{
    server::Server,
    setup::{CONNECTIONS, Setup},
    stats::Run,
};

/// Puts load on `server` for a while, one path drawn at random for each request.
pub(crate) fn load(setup: &Setup, server: &Server, paths: &[String]) -> anyhow::Result<Run> {
    let list = setup.scratch.join("paths.txt");
    fs::write(&list, paths.join("\n"))?;
    let before = server.processor_time()?;
    let output = Command::new("taskset")
        .args(["-c", &setup.load_cores, "wrk"])
        .arg(format!("-t{}", setup.load_threads))
        .arg(format!("-c{CONNECTIONS}"))
        .arg(format!("-d{}s", setup.choice.seconds))
        .arg("-s")
        .arg(&setup.wrk_script)
        .arg(format!("http://127.0.0.1:{}", server.port))
        .env("PATHS", &list)
        .output()
        .context("wrk can't be started")?;
    let cpu = server.processor_time()?.saturating_sub(before);
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("measured ")).with_context(|| format!("wrk says: {text}"))?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [requests, seconds, p99, failed] = numbers[..] else { bail!("wrk says: {line}") };
    if failed > 0.0 || requests < 1.0 {
        bail!("{failed} of {requests} requests failed");
    }
    Ok(Run { rate: requests / seconds, p99, cpu: cpu.as_secs_f64() * 1e6 / requests })
}

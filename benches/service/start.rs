//! Starting with many calls on disk, and doing nothing.

use std::time::{Duration, Instant};

use crate::{
    fill, report,
    server::Server,
    setup::Setup,
    stats::Spread,
    table::{Limit, Table},
};

/// Calls on disk.
const CALLS: u32 = 100_000;
/// How long it is left alone before its memory counts as idle.
const LEFT_ALONE: Duration = Duration::from_secs(2);

/// From the start of the process to the first answer, which is about a call on disk.
pub(crate) async fn start(setup: &Setup, table: &mut Table) -> anyhow::Result<()> {
    let store = setup.store("start");
    fill::fill(fill::sqlite(&store)?, CALLS).await?;
    let path = format!("/api/v1/vapi/calls/{}", report::id(fill::RUN, CALLS / 2));
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..setup.choice.rounds {
        let started = Instant::now();
        let server = Server::ringback(setup, &setup.choice.core, &store)?;
        server.get(&path)?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(LEFT_ALONE);
        memory.push(server.memory()? / 1_024.0);
    }
    table.add("start with 100,000 calls on disk", "first answer, ms", Spread::of(times), Limit::Below(150.0));
    table.add("idle, 100,000 calls on disk", "memory, MB", Spread::of(memory), Limit::Below(40.0));
    Ok(())
}

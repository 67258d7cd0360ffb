//! Measures the shipped service beside a floor and a peer. `benches/README.md` tells what and how; `benches/run` starts it.
//!
//! | Module | What it holds |
//! |---|---|
//! | `setup` | what can be chosen, where things are |
//! | `server`, `floor` | servers as processes of their own; the floor is this program again |
//! | `report`, `fill` | reports in the shape of real ones; stores full of calls |
//! | `client`, `wrk` | who asks |
//! | `endpoint` | who is asked, and told |
//! | `get`, `post`, `wait`, `start`, `engines`, `numbers`, `listen`, `tools`, `push`, `place` | what is measured |
//! | `stats`, `table` | medians and quartiles; what comes out |

mod client;
mod endpoint;
mod engines;
mod fill;
mod floor;
mod get;
mod listen;
mod numbers;
mod place;
mod post;
mod push;
mod report;
mod server;
mod setup;
mod start;
mod stats;
mod table;
mod tools;
mod wait;
mod wrk;

#[path = "../../tests/shared/postgres.rs"]
#[expect(dead_code, reason = "the tests do more with it")]
mod postgres_server;
#[path = "../../tests/shared/redis.rs"]
#[expect(dead_code, reason = "the tests do more with it")]
mod redis_server;
#[path = "../../tests/shared/shell.rs"]
mod shell;

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{
    setup::{Choice, Setup},
    table::Table,
};

fn main() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [floor, port, files @ ..] = arguments.as_slice()
        && floor == "floor"
    {
        runtime.block_on(floor::serve(port.parse()?, files))?;
        return Ok(ExitCode::SUCCESS);
    }
    let setup = Setup::new(Choice::parse(), env!("CARGO_BIN_EXE_ringback"))?;
    let table = runtime.block_on(measure(&setup))?;
    write!(stdout(), "{table}")?;
    Ok(if table.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(setup: &Setup) -> anyhow::Result<Table> {
    let mut table = Table::default();
    if setup.wants("get") {
        get::beside_others(setup, &mut table).await?;
    }
    if setup.wants("known") {
        get::few_or_many_known(setup, &mut table).await?;
    }
    if setup.wants("post") {
        post::beside_others(setup, &mut table).await?;
    }
    if setup.wants("engines") {
        engines::side_by_side(setup, &mut table).await?;
    }
    if setup.wants("lists") {
        engines::few_or_many_listed(setup, &mut table).await?;
    }
    if setup.wants("numbers") {
        numbers::of_many(setup, &mut table).await?;
    }
    if setup.wants("wake") {
        wait::wake_one(setup, &mut table).await?;
    }
    if setup.wants("crowd") {
        wait::wake_crowd(setup, &mut table).await?;
    }
    if setup.wants("start") {
        start::start(setup, &mut table).await?;
    }
    if setup.wants("listen") {
        listen::crowd(setup, &mut table).await?;
    }
    if setup.wants("tools") {
        tools::answer(setup, &mut table).await?;
    }
    if setup.wants("push") {
        push::told(setup, &mut table).await?;
    }
    if setup.wants("place") {
        place::place(setup, &mut table).await?;
    }
    Ok(table)
}

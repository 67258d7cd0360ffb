//! `ringback result ID [--wait N]`: the result of a call, on stdout.

use std::{process::ExitCode, time::Duration};

use serde_json::Value;

use super::{
    EXIT_TIMED_OUT, Remote, failed, print,
    service::{Service, Waited, is_unheard},
};
use crate::{
    call::id::{CallId, is_placement_id},
    config::Environment,
};

/// What `ringback result` is told.
#[derive(Debug, clap::Args)]
pub(super) struct ResultArgs {
    /// The call's id
    #[arg(value_parser = CallId::parse)]
    id: CallId,
    /// Seconds to wait for the call to be done
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = super::parse::seconds, allow_negative_numbers = true)]
    wait: f64,
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: ResultArgs, environment: &Environment) -> ExitCode {
    let ResultArgs { id, wait, remote } = args;
    let service = match Service::find(remote, environment) {
        Ok(service) => service,
        Err(code) => return code,
    };
    match service.wait_for(&id, Duration::from_secs_f64(wait)).await {
        Ok(Waited::Done(data)) => print(format!("{data:#}"), ExitCode::SUCCESS),
        Ok(Waited::NotDone(data)) => not_done(&id, wait, &data),
        Err(failure) => failed(&failure.why),
    }
}

/// What there is of a call that is not done. Of one that nobody has heard of there is nothing: whoever did not wait for it asked for the wrong one.
fn not_done(id: &CallId, wait: f64, data: &Value) -> ExitCode {
    if !is_unheard(data) {
        return print(format!("{data:#}"), ExitCode::from(EXIT_TIMED_OUT));
    }
    if is_placement_id(id.as_str()) {
        eprintln!("ringback: nobody knows yet which call placing {id} became; it is looked for. Don't place it again");
        return ExitCode::from(EXIT_TIMED_OUT);
    }
    if wait > 0.0 {
        eprintln!("ringback: nothing was heard of call {id}, so far");
        return ExitCode::from(EXIT_TIMED_OUT);
    }
    failed(&format!("not found: nothing was heard of call {id}. If it is new, wait for it: `ringback result {id} --wait 60`"))
}

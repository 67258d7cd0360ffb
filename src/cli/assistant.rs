//! `ringback assistant-config`: a request on stdin becomes an assistant on stdout.

use std::{io::Read as _, process::ExitCode};

use super::{failed, print, unusable};
use crate::{
    config::{Environment, ServerConfig},
    dial::Writer,
    vapi::assistant::CallRequest,
};

pub(super) fn run(environment: &Environment) -> ExitCode {
    let server = match ServerConfig::from_env(|name| environment.get(name)) {
        Ok(server) => server,
        Err(error) => return unusable(&error),
    };
    let mut text = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut text) {
        return failed(&format!("stdin can't be read: {error}"));
    }
    match written(&text, server) {
        Ok(assistant) => print(assistant, ExitCode::SUCCESS),
        Err(why) => failed(&why),
    }
}

fn written(text: &str, server: ServerConfig) -> Result<String, String> {
    let body = serde_json::from_str(text).map_err(|error| format!("stdin has no JSON: {error}"))?;
    let request = CallRequest::parse(&body).map_err(|errors| {
        let faults: Vec<String> = errors.iter().map(|error| format!("{} {}", error.field, error.message)).collect();
        faults.join("; ")
    })?;
    let writer = Writer::new(server).map_err(|error| error.to_string())?;
    let assistant = writer.assistant(&request).map_err(|error| error.to_string())?;
    Ok(format!("{assistant:#}"))
}

//! `ringback doctor`: is everything as it must be for webhooks to arrive? Changes nothing without `--fix`.

mod mend;
mod note;
mod show;
mod store;

use std::{path::PathBuf, process::ExitCode};

use super::{EXIT_CONFIGURATION, EXIT_USAGE, failed};
use crate::{
    app,
    clock::Clock,
    config::{ClientConfig, Config, ConfigError, Environment},
    doctor::{Doctor, Examination, Finding, Severity, fix::is_id, house::Named},
    vapi::client::VapiClient,
};

/// What `ringback doctor` is told.
#[derive(Debug, clap::Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    which: Which,
    /// Change what is named at Vapi, after asking; what was there is saved to a file first
    #[arg(long)]
    fix: bool,
    /// Put back what a --fix saved, after asking
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fix", "assistant", "phone_number", "org"])]
    restore: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which objects at Vapi are meant.
#[derive(Debug, clap::Args)]
struct Which {
    /// Look at this assistant, not at everything at Vapi; may be repeated
    #[arg(long, value_name = "ID", value_parser = id)]
    assistant: Vec<String>,
    /// Look at this phone number; may be repeated
    #[arg(long, value_name = "ID", value_parser = id)]
    phone_number: Vec<String>,
    /// Look at the organisation
    #[arg(long)]
    org: bool,
}

impl DoctorArgs {
    fn named(&self) -> Named {
        let Which { assistant, phone_number, org } = &self.which;
        Named { assistants: assistant.clone(), phone_numbers: phone_number.clone(), org: *org }
    }

    /// What clap can't tell.
    fn is_mistaken(&self) -> Option<&'static str> {
        let changes = self.fix || self.restore.is_some();
        if self.fix && self.named().is_empty() {
            return Some("--fix changes only what is named: add --assistant ID, --phone-number ID or --org");
        }
        if self.yes && !changes {
            return Some("--yes goes with --fix or --restore");
        }
        (changes && !self.yes && !mend::can_ask())
            .then_some("nobody can be asked here: add --yes to change things at Vapi without being asked")
    }
}

/// What a doctor needs.
struct Practice {
    config: Config,
    client: Option<VapiClient>,
    doctor: Doctor,
    /// Where the running service is; `None` when that can't be told.
    service: Option<ClientConfig>,
}

pub(super) async fn run(args: &DoctorArgs, environment: &Environment) -> ExitCode {
    if let Some(mistake) = args.is_mistaken() {
        eprintln!("error: {mistake}\n\nFor more information, try '--help'.");
        return ExitCode::from(EXIT_USAGE);
    }
    let practice = match open(environment) {
        Ok(practice) => practice,
        Err(problems) => return unusable(args, &problems),
    };
    if let Some(file) = &args.restore {
        return mend::restore(&practice, file, args.yes).await;
    }
    let mut examination = examine(&practice, &args.named()).await;
    if args.fix {
        // Before anything is asked, so that whoever answers knows.
        show::text(&mut std::io::stderr(), &examination, false);
        if let Err(code) = mend::fix(&practice, &examination.plans, args.yes).await {
            return code;
        }
        examination = examine(&practice, &args.named()).await;
    }
    let is_written = if args.json { show::json(&examination) } else { show::on_stdout(&examination, practice.config.log.no_color) };
    let has_errors = examination.findings.iter().any(|finding| finding.severity == Severity::Error);
    if has_errors || !is_written { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn open(environment: &Environment) -> Result<Practice, Vec<String>> {
    let config = Config::from_env(|name| environment.get(name)).map_err(|ConfigError { problems }| problems)?;
    let (doctor, client) = app::doctor(&config, &Clock::System).map_err(|error| vec![error.to_string()])?;
    let service = ClientConfig::from_env(|name| environment.get(name)).ok();
    Ok(Practice { config, client, doctor, service })
}

async fn examine(practice: &Practice, named: &Named) -> Examination {
    let mut findings = store::examine(&practice.config).await;
    let examination = practice.doctor.examine(named).await;
    findings.extend(examination.findings);
    // In the order of the checks, those about objects by object.
    findings.sort_by_key(|finding| (finding.subject.is_some(), finding.subject.is_none().then(|| place(finding))));
    Examination { findings, plans: examination.plans }
}

fn place(finding: &Finding) -> Option<usize> {
    crate::doctor::CHECKS.iter().position(|check| *check == finding.check)
}

fn unusable(args: &DoctorArgs, problems: &[String]) -> ExitCode {
    let advice = "correct it; `serve` would not start with it";
    let findings = problems.iter().map(|problem| Finding::error("config", problem).advise(advice)).collect();
    let examination = Examination { findings, plans: Vec::new() };
    let is_written = if args.json { show::json(&examination) } else { show::on_stdout(&examination, true) };
    if is_written { ExitCode::from(EXIT_CONFIGURATION) } else { failed("stdout is closed") }
}

fn id(text: &str) -> Result<String, String> {
    if is_id(text) { Ok(text.to_owned()) } else { Err("give the id that Vapi shows".to_owned()) }
}

//! Asking, saving, changing, putting back.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{Practice, failed, note::note, show};
use crate::{
    clock::Clock,
    doctor::{
        fix::{self, Saved},
        object::Plan,
    },
    vapi::client::VapiClient,
};

/// Who may read what was saved: its owner.
const PRIVATE: u32 = 0o600;
/// A file that is larger is none of ours, in bytes.
const LARGEST: u64 = 10 * 1_048_576;

/// Is there somebody to ask?
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Changes what needs a change.
pub(super) async fn fix(practice: &Practice, plans: &[Plan], yes: bool) -> Result<(), ExitCode> {
    let Some(client) = &practice.client else {
        return Err(failed("without VAPI_API_KEY nothing can be changed at Vapi"));
    };
    let (plans, stuck): (Vec<Plan>, Vec<Plan>) = plans.iter().cloned().partition(|plan| plan.obstacle.is_none());
    for plan in &stuck {
        eprintln!("{}", show::difference(plan));
    }
    if plans.is_empty() {
        eprintln!("ringback: nothing to change at what is named");
        return if stuck.is_empty() { Ok(()) } else { Err(ExitCode::FAILURE) };
    }
    if !yes && !agreed(&format!("Change {} at Vapi as shown?", objects(plans.len()))) {
        return Err(failed("nothing was changed"));
    }
    let file = save(&Saved::of(&plans, &practice.config.vapi.api_url))
        .map_err(|error| failed(&format!("what is there can't be saved, so nothing was changed: {error}")))?;
    eprintln!("ringback: what was there is saved; `ringback doctor --restore {}` puts it back", file.display());
    note(practice, "doctor.fix", plans.iter().map(|plan| plan.object.subject())).await;
    let needs = practice.doctor.needs();
    let mut all_well = stuck.is_empty();
    for plan in &plans {
        match fix::apply(client, plan, needs).await {
            Ok(()) => eprintln!("ringback: {} is changed", plan.object.subject()),
            Err(error) => {
                eprintln!("ringback: {error}");
                all_well = false;
            }
        }
    }
    if all_well { Ok(()) } else { Err(ExitCode::FAILURE) }
}

/// Puts back what an earlier change saved.
pub(super) async fn restore(practice: &Practice, file: &Path, yes: bool) -> ExitCode {
    let Some(client) = &practice.client else { return failed("without VAPI_API_KEY nothing can be changed at Vapi") };
    let saved = match read(file).and_then(|text| Saved::parse(&text, &practice.config.vapi.api_url).map_err(|error| error.to_string())) {
        Ok(saved) => saved,
        Err(why) => return failed(&format!("{}: {why}", file.display())),
    };
    for object in &saved.objects {
        eprintln!("  {}: {} as saved", object.subject(), object.fields());
    }
    if !yes && !agreed(&format!("Put back {} at Vapi?", objects(saved.objects.len()))) {
        return failed("nothing was changed");
    }
    note(practice, "doctor.restore", saved.objects.iter().map(fix::SavedObject::subject)).await;
    put_back(client, &saved).await
}

async fn put_back(client: &VapiClient, saved: &Saved) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for object in &saved.objects {
        match fix::restore(client, object).await {
            Ok(()) => eprintln!("ringback: {} is as it was", object.subject()),
            Err(error) => code = failed(&error.to_string()),
        }
    }
    code
}

fn objects(count: usize) -> String {
    if count == 1 { "1 object".to_owned() } else { format!("{count} objects") }
}

fn agreed(question: &str) -> bool {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Writes a new file, and waits until it is on disk.
fn save(saved: &Saved) -> io::Result<PathBuf> {
    let stamp: String = Clock::System.now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    let path = PathBuf::from(format!("ringback-doctor-{stamp}.json"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&path)?;
    serde_json::to_writer_pretty(&mut file, saved)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    File::open(".")?.sync_all()?;
    Ok(path)
}

fn read(file: &Path) -> Result<String, String> {
    let length = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if length > LARGEST {
        return Err("that is no file of `ringback doctor --fix`".to_owned());
    }
    fs::read_to_string(file).map_err(|error| error.to_string())
}

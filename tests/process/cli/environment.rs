//! Where settings come from: the environment, files named by it, and `.env`.

use super::CONFIGURATION;
use crate::support::{
    SECRET,
    home::Home,
    messages::{self, new_call},
    program::Program,
};

#[test]
fn a_secret_may_lie_in_a_file_that_is_named() {
    let home = Home::new();
    let file = home.write("secret", format!("{SECRET}\n"));
    let service = Program::in_home(&home).set("VAPI_WEBHOOK_SECRET_FILE", &file).serve();
    let message = messages::report(&new_call());
    assert_eq!(service.post(&message).status, 200);
    assert_eq!(service.post(&messages::Message { auth: None, ..message }).status, 401);
    assert!(!service.said().contains(SECRET));
}

#[test]
fn a_value_and_a_file_for_it_or_a_file_that_is_not_there_stop_the_start() {
    let home = Home::new();
    let file = home.write("secret", SECRET);
    let both = Program::in_home(&home).set("VAPI_WEBHOOK_SECRET", SECRET).set("VAPI_WEBHOOK_SECRET_FILE", file).run();
    assert_eq!(both.code, CONFIGURATION);
    assert!(both.stderr.contains("VAPI_WEBHOOK_SECRET_FILE") && !both.stderr.contains(SECRET), "{}", both.stderr);
    let missing = Program::in_home(&home).set("API_TOKENS_FILE", home.file("nothing")).run();
    assert_eq!(missing.code, CONFIGURATION);
    assert!(missing.stderr.contains("API_TOKENS_FILE"), "{}", missing.stderr);
}

#[test]
fn a_dotenv_file_is_read_beneath_the_environment() {
    let home = Home::new();
    home.write(
        ".env",
        format!("VAPI_WEBHOOK_SECRET='{SECRET}'\nDATABASE_URL=sqlite:from-dotenv.db\nLOG_FORMAT=text # as people like it\n"),
    );
    let service = Program::in_home(&home).set("DATABASE_URL", "sqlite:from-environment.db").serve();
    assert_eq!(service.post(&messages::report(&new_call())).status, 200);
    assert_eq!(service.post(&messages::Message { auth: None, ..messages::report(&new_call()) }).status, 401);
    assert!(home.file("from-environment.db").exists() && !home.file("from-dotenv.db").exists());
    assert!(service.said().starts_with('{'), "the environment says JSON: {}", service.said());
    service.stop();

    let text = Program::in_home(&home).unset("LOG_FORMAT").serve();
    assert!(text.said().contains("listening address="), "{}", text.said());
    assert!(home.file("from-dotenv.db").exists());
}

#[test]
fn a_broken_dotenv_file_is_told_by_line_and_not_shown() {
    let home = Home::new();
    home.write(".env", "PORT=0\nAPI_TOKENS=me='hunter2-never-shown\n");
    let ended = Program::in_home(&home).run();
    assert_eq!(ended.code, CONFIGURATION, "{}", ended.stderr);
    assert!(ended.stderr.contains(".env") && !ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let home = Home::new();
    let service =
        Program::in_home(&home).set("DATABASE_URL", "").set("VAPI_WEBHOOK_SECRET", " ").set("HOST", "").set("API_TOKENS", "").serve();
    assert_eq!(service.post(&messages::Message { auth: None, ..messages::report(&new_call()) }).status, 200);
    assert!(home.store().exists());
}

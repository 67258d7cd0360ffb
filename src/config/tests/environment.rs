use crate::config::{ClientConfig, Environment};
use secrecy::ExposeSecret as _;

fn environment(process: &[(&str, &str)], dotenv: &str) -> Environment {
    Environment::new(process.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), dotenv).unwrap()
}

fn client(variables: &[(&str, &str)]) -> ClientConfig {
    ClientConfig::from_env(|name| environment(variables, "").get(name)).unwrap()
}

#[test]
fn the_environment_goes_before_the_file() {
    let both = environment(&[("PORT", "1")], "PORT=2\nHOST=::1\n");
    assert_eq!(both.get("PORT").as_deref(), Some("1"));
    assert_eq!(both.get("HOST").as_deref(), Some("::1"));
    assert_eq!(both.get("RUST_LOG"), None);
}

#[test]
fn an_empty_variable_takes_one_of_the_file_away() {
    assert_eq!(environment(&[("PORT", "")], "PORT=2").get("PORT").as_deref(), Some(""));
}

#[test]
fn a_value_in_the_environment_hides_its_other_form_in_the_file() {
    let named = environment(&[("PORT_FILE", "/run/port")], "PORT=2");
    assert_eq!((named.get("PORT"), named.get("PORT_FILE").as_deref()), (None, Some("/run/port")));
    let direct = environment(&[("PORT", "1")], "PORT_FILE=/run/port");
    assert_eq!((direct.get("PORT").as_deref(), direct.get("PORT_FILE")), (Some("1"), None));
    let empty = environment(&[("PORT_FILE", "")], "PORT=2");
    assert_eq!(empty.get("PORT").as_deref(), Some("2"));
}

#[test]
fn a_dotenv_file_may_quote_and_comment() {
    let file = "\u{feff}# ours\nexport API_TOKENS='ops=a$b #c'  # for us\nRUST_LOG=\"info\"\n\nHOST=\n";
    let environment = environment(&[], file);
    assert_eq!(environment.get("API_TOKENS").as_deref(), Some("ops=a$b #c"));
    assert_eq!(environment.get("RUST_LOG").as_deref(), Some("info"));
    assert_eq!(environment.get("HOST").as_deref(), Some(""));
}

#[test]
fn a_wrong_line_is_named_and_not_shown() {
    let Err(error) = Environment::new([], "PORT=8000\nVAPI_API_KEY=sk hunter2\n") else { panic!("an unquoted space is an error") };
    let text = error.to_string();
    assert!(text.contains("line 2") && !text.contains("hunter2"), "{text}");
    let Err(open) = Environment::new([], "PORT='hunter2\n") else { panic!("an open quote is an error") };
    assert!(!open.to_string().contains("hunter2"), "{open}");
}

#[test]
fn a_missing_file_is_fine_and_an_unreadable_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".env");
    assert!(Environment::load(&path).is_ok());
    std::fs::write(&path, "RINGBACK_TEST_ONLY=yes").unwrap();
    assert_eq!(Environment::load(&path).unwrap().get("RINGBACK_TEST_ONLY").as_deref(), Some("yes"));
    assert!(Environment::load(&path).unwrap().get("PATH").is_some());
    std::fs::write(&path, b"PORT=\xff").unwrap();
    assert!(Environment::load(&path).is_err());
}

#[test]
fn a_client_finds_the_service_by_its_newer_or_older_name_or_its_port() {
    assert_eq!(client(&[]).url, "http://127.0.0.1:8000");
    assert_eq!(client(&[("PORT", "9000")]).url, "http://127.0.0.1:9000");
    assert_eq!(client(&[("PORT", "9000"), ("BACKEND_URL", "http://old:1/")]).url, "http://old:1");
    assert_eq!(client(&[("RINGBACK_URL", "https://new/base/"), ("BACKEND_URL", "http://old:1/")]).url, "https://new/base");
    let lookup = |name: &str| (name == "PORT").then(|| "0".to_owned());
    assert!(ClientConfig::from_env(lookup).unwrap_err().to_string().contains("RINGBACK_URL"));
}

#[test]
fn a_client_shows_its_token_to_the_service_only() {
    let client = client(&[("RINGBACK_TOKEN", "hunter2-hunter2-")]);
    assert_eq!(client.token.as_ref().unwrap().expose_secret(), "hunter2-hunter2-");
    assert!(!format!("{client:?}").contains("hunter2"));
}

//! The public address: whoever answers there, and however.

use std::net::TcpListener;

use super::{House, complaints, examined, found};
use crate::support::{SECRET, messages::WEBHOOK, target::Target};

#[test]
fn a_public_address_where_nobody_answers_is_found() {
    let house = House::new();
    let ended = house.doctor(&["--json"]);
    assert_eq!((ended.code, complaints(&ended)), (1, vec!["error webhook_reached".to_owned()]), "{}", ended.stdout);
    assert!(found(&ended, "webhook_reached").contains("refused"), "{}", ended.stdout);

    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}{WEBHOOK}", silent.local_addr().expect("an address"));
    let ended = examined(&house.program.clone().set("VAPI_WEBHOOK_URL", address), &["--json", "--org"]);
    assert!(found(&ended, "webhook_reached").contains("no answer within 10 s"), "{}", ended.stdout);

    // No TLS there.
    let ended = examined(&house.program.clone().set("VAPI_WEBHOOK_URL", "https://127.0.0.1:1/"), &["--json", "--org"]);
    assert_eq!(ended.code, 1, "{}", ended.stdout);
}

#[test]
fn tls_that_does_not_hold_is_told_as_that() {
    let house = House::new();
    let plain = house.serve();
    let address = format!("https://{}{WEBHOOK}", plain.address());
    let ended = examined(&house.program.clone().set("VAPI_WEBHOOK_URL", address), &["--json", "--org"]);
    let words = found(&ended, "webhook_reached");
    assert!(ended.code == 1 && words.contains("InvalidContentType"), "{words}");
}

#[test]
fn another_service_at_the_public_address_is_found_and_learns_no_secret() {
    let house = House::new();
    for (status, page, words) in [
        (200, "<h1>Welcome</h1>", "something else answers"),
        (200, r#"{"success":true}"#, "something else answers"),
        (404, "", "something else answers"),
        (401, "", "something else answers"),
        (302, "", "redirects (302)"),
        (308, "", "redirects (308)"),
        (502, "", "a proxy answers 502"),
        (503, r#"{"code":"STORE_UNAVAILABLE"}"#, "the service answers 503"),
    ] {
        let stranger = Target::serving(status, page);
        // The secret itself is the only proof that there is.
        let program = house.program.clone().set("VAPI_WEBHOOK_URL", &stranger.url).set("VAPI_WEBHOOK_AUTH", "secret,bearer");
        let ended = examined(&program, &["--json", "--org"]);
        assert_eq!(ended.code, 1, "{status}: {}", ended.stdout);
        assert!(found(&ended, "webhook_reached").contains(words), "{status}: {}", ended.stdout);
        assert!(found(&ended, "webhook_proof").is_empty(), "{status}: {}", ended.stdout);
        let got = stranger.next();
        assert_eq!(got.json()["message"]["type"], "ringback.doctor");
        assert!(got.headers.iter().all(|(name, value)| !value.contains(SECRET) && !name.contains("signature")), "{got:?}");
    }
}

#[test]
fn a_service_that_runs_with_another_secret_refuses_the_proof() {
    let house = House::new();
    let service = house.serve();
    let ended = examined(&house.program.clone().set("VAPI_WEBHOOK_SECRET", "another-secret-of-mine"), &["--json"]);
    assert_eq!((ended.code, complaints(&ended)), (1, vec!["error webhook_proof".to_owned()]), "{}", ended.stdout);
    service.stop();

    let open = house.program.clone().unset("VAPI_WEBHOOK_SECRET");
    let service = open.serve();
    let ended = house.doctor(&["--json"]);
    assert_eq!((ended.code, complaints(&ended)), (1, vec!["error webhook_refusal".to_owned()]), "{}", ended.stdout);
    let ended = examined(&open, &["--json"]);
    assert_eq!((ended.code, complaints(&ended)), (0, vec!["warning webhook_refusal".to_owned()]), "{}", ended.stdout);
    service.stop();
}

#[test]
fn a_proof_is_shown_also_where_too_many_wrong_ones_came_from() {
    let house = House::new();
    let service = house.serve();
    let mut wire = service.wire();
    for _ in 0..55 {
        wire.ask("POST", WEBHOOK, &[("x-vapi-secret", "wrong")], b"{}").expect("an answer");
    }
    assert_eq!(wire.ask("POST", WEBHOOK, &[], b"{}").expect("an answer").status, 429);
    let ended = house.doctor(&["--json"]);
    assert_eq!((ended.code, complaints(&ended)), (0, Vec::new()), "{}", ended.stdout);
}

#[test]
fn every_kind_of_proof_that_counts_is_good_enough() {
    let house = House::new();
    for (auth, secret) in [
        ("signature", SECRET),
        ("standard", SECRET),
        ("standard", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
        ("secret", SECRET),
        ("bearer", SECRET),
        ("bearer,standard", SECRET),
    ] {
        let program = house.program.clone().set("VAPI_WEBHOOK_AUTH", auth).set("VAPI_WEBHOOK_SECRET", secret);
        let service = program.serve();
        let ended = examined(&program, &["--json"]);
        assert_eq!((ended.code, complaints(&ended)), (0, Vec::new()), "{auth}: {}", ended.stdout);
        service.stop();
    }
}

#[test]
fn without_a_public_address_there_is_nothing_to_compare_with() {
    let house = House::new();
    let ended = examined(&house.program.clone().unset("PUBLIC_URL"), &["--json"]);
    assert_eq!(
        (ended.code, complaints(&ended)),
        (0, vec!["warning server_url".to_owned(), "warning webhook_url".to_owned()]),
        "{}",
        ended.stdout
    );
}

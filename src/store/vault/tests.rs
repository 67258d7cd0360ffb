//! What sealing promises.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;

use super::{DataKeys, Place, Vault};
use crate::{
    call::{id::CallId, record::CallRecord},
    store::{CallFilter, Columns},
};

fn keys(seeds: &[u8]) -> DataKeys {
    let texts: Vec<SecretString> = seeds.iter().map(|seed| STANDARD.encode([*seed; 32]).into()).collect();
    DataKeys::from_base64(&texts).unwrap()
}

/// A vault of these keys, and what the store notes of them then.
fn vault(seeds: &[u8], note: Option<&[u8]>) -> (Vault, Vec<u8>) {
    let vault = Vault::new(keys(seeds));
    let mut note = note.map(<[u8]>::to_vec);
    while let Some(next) = vault.admit(note.as_deref(), false).unwrap() {
        note = Some(next);
    }
    (vault, note.unwrap_or_default())
}

const RECORD: Place<'_> = Place::Record("call-1");

#[test]
fn what_was_sealed_is_opened_only_in_its_place() {
    let (vault, _) = vault(&[1], None);
    let sealed = vault.seal(RECORD, b"words".to_vec()).unwrap();
    assert!(!sealed.windows(5).any(|part| part == b"words"));
    assert_eq!(vault.open(RECORD, &sealed).unwrap().unwrap(), b"words");
    assert_ne!(sealed, vault.seal(RECORD, b"words".to_vec()).unwrap(), "no nonce comes twice");
    for elsewhere in [Place::Record("call-2"), Place::Body { call: Some("call-1"), event: "record" }] {
        assert!(vault.open(elsewhere, &sealed).is_err(), "{elsewhere:?}");
    }
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(vault.open(RECORD, &changed).is_err());
    assert_eq!(vault.open(RECORD, b"in clear").unwrap(), None);
}

#[test]
fn a_body_that_found_its_call_later_is_opened_and_one_of_another_call_is_not() {
    let (vault, _) = vault(&[1], None);
    let place = |call| Place::Body { call, event: "event-1" };
    let early = vault.seal(place(None), b"words".to_vec()).unwrap();
    assert_eq!(vault.open(place(Some("call-1")), &early).unwrap().unwrap(), b"words");
    let bound = vault.seal(place(Some("call-1")), b"words".to_vec()).unwrap();
    assert!(vault.open(place(Some("call-2")), &bound).is_err());
    assert!(vault.open(place(None), &bound).is_err());
}

#[test]
fn the_first_key_seals_and_all_open_and_hashes_stay() {
    let (old, note) = vault(&[1], None);
    let sealed = old.seal(RECORD, b"words".to_vec()).unwrap();
    let (both, note) = vault(&[2, 1], Some(&note));
    assert_eq!(both.open(RECORD, &sealed).unwrap().unwrap(), b"words");
    assert!(old.is_current(&sealed) && !both.is_current(&sealed));
    assert!(both.is_current(&both.seal(RECORD, Vec::new()).unwrap()));
    let wanted = |vault: &Vault| vault.hide_filter(CallFilter { phone: vec!["491".to_owned()], ..CallFilter::default() }).phone;
    assert_eq!(wanted(&old), wanted(&both));
    assert_eq!(wanted(&old).len(), 1);

    let new = Vault::new(keys(&[2]));
    assert!(new.admit(Some(&note), true).is_err(), "the old key is needed as long as nothing was rekeyed");
    let rekeyed = both.rekeyed(&note).unwrap();
    assert_eq!(new.admit(Some(&rekeyed), true), Ok(None));
    assert_eq!(wanted(&new), wanted(&both));
    assert!(new.open(RECORD, &sealed).is_err());
}

#[test]
fn a_wrong_or_missing_key_is_told_by_name_and_never_shown() {
    let (first, note) = vault(&[1], None);
    let name = first.newest().unwrap();
    let missing = Vault::default().admit(Some(&note), true).unwrap_err();
    assert!(missing.contains("DATA_KEY is not set") && missing.contains(&name), "{missing}");
    let wrong = Vault::new(keys(&[9])).admit(Some(&note), true).unwrap_err();
    assert!(wrong.contains("DATA_KEY is not the key") && wrong.contains(&name), "{wrong}");
    assert!(!format!("{first:?}{:?}", keys(&[1])).contains(&STANDARD.encode([1; 32])));
    assert!(Vault::default().admit(None, true).unwrap().is_none());
    assert!(DataKeys::from_base64(&["c2hvcnQ=".into()]).is_err());
}

#[test]
fn what_tells_about_people_is_hidden_and_the_rest_stays() {
    let (vault, _) = vault(&[1], None);
    let mut columns = Columns {
        status: "completed",
        assistant_id: Some("Assistant-1".to_owned()),
        service_request_id: Some("request-1".to_owned()),
        provider_id: Some("provider-1".to_owned()),
        correlation_id: Some("mine-1".to_owned()),
        customer_digits: Some("491".to_owned()),
        provider_digits: Some("491".to_owned()),
        metadata: r#"{"city":"Bonn"}"#.to_owned(),
        search: Some("my grandmother".to_owned()),
        ..Columns::default()
    };
    vault.hide(&CallId::parse("call-1").unwrap(), &CallRecord::default(), &mut columns);
    for hidden in [&columns.customer_digits, &columns.provider_id, &columns.correlation_id] {
        let hash = hidden.as_deref().unwrap();
        assert!(hash.len() == 32 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
    }
    assert!(columns.metadata.contains("city") && !columns.metadata.contains("Bonn"), "{}", columns.metadata);
    let search = columns.search.unwrap();
    assert!(!search.contains("grandmother"), "{search}");
    assert_eq!(columns.customer_digits, columns.provider_digits);
    assert_eq!(columns.service_request_id.as_deref(), Some("request-1"));
    assert!(search.contains("assistant-1") && search.contains("call-1"));
}

#[test]
fn values_from_before_the_first_key_are_looked_for_too() {
    let vault = Vault::new(keys(&[1]));
    let note = vault.admit(None, true).unwrap();
    assert_eq!(vault.admit(note.as_deref(), true), Ok(None));
    let filter = vault.hide_filter(CallFilter { phone: vec!["491".to_owned()], ..CallFilter::default() });
    assert_eq!((filter.phone.len(), filter.phone[0].as_str()), (2, "491"));
}

#[test]
fn a_server_that_lost_what_it_stored_gets_the_same_hashes_again() {
    let (vault, _) = vault(&[1], None);
    let wanted = |vault: &Vault| vault.hide_filter(CallFilter { phone: vec!["491".to_owned()], ..CallFilter::default() }).phone;
    let note = vault.admit(None, false).unwrap();
    let restarted = Vault::new(keys(&[1]));
    assert_eq!(restarted.admit(note.as_deref(), true), Ok(None));
    assert_eq!(wanted(&vault), wanted(&restarted));
}

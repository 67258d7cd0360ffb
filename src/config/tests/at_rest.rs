use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{config, refused, with};

fn key(seed: u8) -> String {
    STANDARD.encode([seed; 32])
}

#[test]
fn keys_are_32_bytes_in_base64_each_once() {
    assert!(config(&[]).unwrap().store.data_keys.is_empty());
    assert_eq!(with("DATA_KEY", &key(1)).store.data_keys.len(), 1);
    assert_eq!(with("DATA_KEY", &format!("{}, {}", key(2), key(1))).store.data_keys.len(), 2);
    for bad in ["short", &STANDARD.encode([1; 31]), &format!("{},", key(1)), &format!("{0},{0}", key(1)), &hex::encode([1; 32])] {
        let sentence = refused("DATA_KEY", bad);
        assert!(sentence.contains("32 bytes in base64") && !sentence.contains(bad), "{sentence}");
    }
}

#[test]
fn with_a_key_other_tables_are_told_only_when_that_is_wanted() {
    let links = |variables: &[(&str, &str)]| config(variables).unwrap().store.links;
    let key = key(1);
    assert!(links(&[]));
    assert!(!links(&[("DATA_KEY", &key)]));
    assert!(links(&[("DATA_KEY", &key), ("LINK_PLAINTEXT", "true")]));
}

#[test]
fn an_archive_in_clear_is_warned_about() {
    let config = config(&[("DATA_KEY", &key(1)), ("RETENTION_ARCHIVE", "/tmp")]).unwrap();
    assert!(config.warnings.iter().any(|warning| warning.contains("RETENTION_ARCHIVE")), "{:?}", config.warnings);
    assert!(!format!("{config:?}").contains(&key(1)));
}

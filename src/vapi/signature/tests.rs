//! Who is let in, and who is not. The vectors were made with Python's `hmac`.

mod plans;
mod properties;
mod support;

use self::support::{BODY, NOW, PATH, SECRET, TOLERANCE, headers, knowing, mac, planned, secret, set_up, standard, verify, verify_body};
use super::{Proof, ProofKind, Rejection, Secrets, SetupError};

const BARE_HEX: &str = "d7eb5a2839679daae157e025e6487487bae80cee996196501f1c0aa0bcffb114";
const BARE_BASE64: &str = "1+taKDlnnarhV+Al5kh0h7roDO6ZYZZQHxwKoLz/sRQ=";
const BARE_BASE64_URL: &str = "1-taKDlnnarhV-Al5kh0h7roDO6ZYZZQHxwKoLz_sRQ";
const PLANNED_SECONDS: &str = "ca1cdb0429f5a563c0e748de994d78692914c3ba6de1683048416313df86f921";
const PLANNED_MILLISECONDS: &str = "03553867362a8cd1ce4847c566cdc7866d7fc67afffa3a88fbbf6e6a3f1566a0";
const PLANNED_MICROSECONDS: &str = "adfb2f23960cfe1dfcbb02ef3e3d2d6f683461c67e20a3f246e111e6aefaef64";
const PLANNED_RFC3339: &str = "b1ae0d1606c6e81157dd3564ff0e3e9fa18775e7bd92fdf6d2d2a29b8ae1327c";
const STANDARD_SIGNATURE: &str = "v1,sXgeKCGEvjJRl7XhjAVEqD/tR/LMUn+gxDVRFOqe+cI=";
const WHSEC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const WHSEC_SIGNATURE: &str = "v1,zVw/Ysh42aiud1f6eqJ7Pp7hZqqKkVq9OlXzVY/J3zc=";

/// A right proof by the newest secret.
fn proof(kind: ProofKind, timestamped: bool) -> Proof {
    Proof { kind, covers_message_id: None, timestamped, secret_index: 0 }
}

#[test]
fn each_kind_of_proof_is_known_when_seen() {
    let bearer = format!("Bearer {SECRET}");
    let prefixed = format!("sha256={BARE_HEX}");
    let shouted = BARE_HEX.to_uppercase();
    for (pairs, kind, timestamped) in [
        (vec![("x-vapi-secret", SECRET)], ProofKind::Secret, false),
        (vec![("X-Vapi-Secret", &*bearer)], ProofKind::Secret, false),
        (vec![("authorization", &*bearer)], ProofKind::Bearer, false),
        (vec![("Authorization", &*bearer.replace("Bearer ", "bEARER  \t"))], ProofKind::Bearer, false),
        (vec![("authorization", SECRET)], ProofKind::Bearer, false),
        (vec![("x-vapi-signature", BARE_HEX)], ProofKind::Signature, false),
        (vec![("x-vapi-signature", &*shouted)], ProofKind::Signature, false),
        (vec![("x-vapi-signature", &*prefixed)], ProofKind::Signature, false),
        (vec![("x-vapi-signature", BARE_BASE64)], ProofKind::Signature, false),
        (vec![("x-vapi-signature", BARE_BASE64_URL)], ProofKind::Signature, false),
        (vec![("x-timestamp", "1780000000"), ("x-signature", PLANNED_SECONDS)], ProofKind::Signature, true),
        (vec![("x-timestamp", "1780000000000"), ("x-signature", PLANNED_MILLISECONDS)], ProofKind::Signature, true),
        (vec![("x-timestamp", "1780000000000000"), ("x-signature", PLANNED_MICROSECONDS)], ProofKind::Signature, true),
        (vec![("x-timestamp", "2026-05-28T20:26:40Z"), ("x-signature", PLANNED_RFC3339)], ProofKind::Signature, true),
    ] {
        assert_eq!(verify(&knowing(SECRET), pairs.clone()), Ok(proof(kind, timestamped)), "{pairs:?}");
    }
}

#[test]
fn standard_webhooks_are_known_by_either_kind_of_secret() {
    for (secrets, signature) in [(SECRET, STANDARD_SIGNATURE), (WHSEC, WHSEC_SIGNATURE)] {
        let listed = format!("v1a,bm90IG91cnM= v1,AAAA v2,zzz {signature} v1,");
        for signatures in [signature, &listed] {
            let pairs = [("webhook-id", "msg_2b"), ("webhook-timestamp", "1780000000"), ("webhook-signature", signatures)];
            let covering = Proof { covers_message_id: Some("msg_2b".into()), ..proof(ProofKind::Standard, true) };
            assert_eq!(verify(&knowing(secrets), pairs), Ok(covering), "{signatures}");
        }
    }
    let in_milliseconds = standard(SECRET.as_bytes(), "msg", "1780000000000", BODY);
    assert!(verify(&knowing(SECRET), in_milliseconds).is_ok());
}

#[test]
fn a_secret_for_standard_webhooks_serves_nothing_else() {
    let verifier = knowing(&format!("{WHSEC},{SECRET}"));
    let text = WHSEC.strip_prefix("whsec_").expect("it has the prefix");
    for token in [WHSEC, text] {
        assert_eq!(verify(&verifier, secret(token)), Err(Rejection::Invalid));
        assert_eq!(verify(&verifier, planned(token, "1780000000", BODY)), Err(Rejection::Invalid));
    }
    assert_eq!(verify(&verifier, secret(SECRET)), Ok(Proof { secret_index: 1, ..proof(ProofKind::Secret, false) }));
}

#[test]
fn what_proves_nothing_is_invalid() {
    let zeros = "0".repeat(64);
    let twice = format!("sha256=sha256={BARE_HEX}");
    let two_tokens = format!("Bearer {SECRET} {SECRET}");
    for pairs in [
        vec![("x-vapi-secret", "wrong")],
        vec![("x-vapi-secret", "")],
        vec![("x-vapi-secret", &SECRET[1..])],
        vec![("x-vapi-secret", "CORRECT-HORSE-BATTERY-STAPLE")],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", &*format!("Bearer{SECRET}"))],
        vec![("authorization", &*format!("Basic {SECRET}"))],
        vec![("authorization", &*two_tokens)],
        vec![("x-vapi-signature", "")],
        vec![("x-vapi-signature", "sha256=")],
        vec![("x-vapi-signature", &zeros)],
        vec![("x-vapi-signature", &BARE_HEX[..63])],
        vec![("x-vapi-signature", &BARE_HEX[..32])],
        vec![("x-vapi-signature", &*twice)],
        vec![("x-vapi-signature", &*format!("sha1={BARE_HEX}"))],
        vec![("x-vapi-signature", PLANNED_SECONDS), ("x-timestamp", "1780000000")],
        vec![("x-signature", BARE_HEX)],
        vec![("x-signature", PLANNED_SECONDS)],
        vec![("x-signature", PLANNED_SECONDS), ("x-timestamp", "1780000001")],
        vec![("x-signature", &*format!("sha256={PLANNED_SECONDS}")), ("x-timestamp", "1780000000")],
        vec![("webhook-signature", STANDARD_SIGNATURE)],
        vec![("webhook-signature", STANDARD_SIGNATURE), ("webhook-timestamp", "1780000000")],
        vec![("webhook-signature", STANDARD_SIGNATURE), ("webhook-timestamp", "1780000000"), ("webhook-id", "msg_2c")],
        vec![("webhook-signature", STANDARD_SIGNATURE), ("webhook-timestamp", "1780000001"), ("webhook-id", "msg_2b")],
        vec![("webhook-signature", &STANDARD_SIGNATURE[3..]), ("webhook-timestamp", "1780000000"), ("webhook-id", "msg_2b")],
    ] {
        assert_eq!(verify(&knowing(SECRET), pairs.clone()), Err(Rejection::Invalid), "{pairs:?}");
    }
}

#[test]
fn without_a_header_of_a_proof_there_is_nothing_to_check() {
    let verifier = knowing(SECRET);
    for pairs in [vec![], vec![("x-timestamp", "1780000000"), ("webhook-id", "msg"), ("x-call-id", SECRET)]] {
        assert!(!verifier.has_any_header(&headers(pairs.clone())), "{pairs:?}");
        assert_eq!(verify(&verifier, pairs), Err(Rejection::Missing));
    }
    for name in ["x-vapi-secret", "authorization", "x-vapi-signature", "x-signature", "webhook-signature"] {
        assert!(verifier.has_any_header(&headers([(name, "")])), "{name}");
    }
}

#[test]
fn only_the_allowed_kinds_count() {
    let in_seconds = "1780000000";
    let ways = [
        (ProofKind::Secret, secret(SECRET)),
        (ProofKind::Bearer, vec![("authorization", SECRET.to_owned())]),
        (ProofKind::Signature, vec![("x-vapi-signature", BARE_HEX.to_owned())]),
        (ProofKind::Signature, planned(SECRET, in_seconds, BODY)),
        (ProofKind::Standard, standard(SECRET.as_bytes(), "msg", in_seconds, BODY)),
    ];
    for allowed in ProofKind::ALL {
        let verifier = set_up(SECRET, "{}", &[allowed]).expect("one kind will do");
        for (kind, pairs) in &ways {
            let kinds = verify(&verifier, pairs.clone()).map(|proof| proof.kind);
            assert_eq!(kinds, if *kind == allowed { Ok(allowed) } else { Err(Rejection::Missing) }, "{allowed:?} {kind:?}");
            assert_eq!(verifier.has_any_header(&headers(pairs.clone())), *kind == allowed);
        }
    }
}

#[test]
fn a_timestamp_may_be_as_far_off_as_the_tolerance_both_ways() {
    for offset in [0, 1, TOLERANCE - 1, TOLERANCE, TOLERANCE + 1, TOLERANCE * 2, 10_000 * TOLERANCE] {
        for at in [NOW.plus(offset), NOW.plus(-offset)] {
            let expected = if offset <= TOLERANCE { Ok(()) } else { Err(Rejection::Stale) };
            for pairs in [planned(SECRET, &at.0.to_string(), BODY), standard(SECRET.as_bytes(), "msg", &at.0.to_string(), BODY)] {
                assert_eq!(verify(&knowing(SECRET), pairs).map(|_| ()), expected, "{offset}");
            }
        }
    }
}

#[test]
fn a_timestamp_that_is_none_is_invalid_even_if_signed() {
    for timestamp in ["", "now", "-1780000000", "1780000000.0", "1e9", "NaN", "99999999999999999999", "2026-05-28"] {
        for pairs in [planned(SECRET, timestamp, BODY), standard(SECRET.as_bytes(), "msg", timestamp, BODY)] {
            assert_eq!(verify(&knowing(SECRET), pairs), Err(Rejection::Invalid), "{timestamp}");
        }
    }
}

#[test]
fn a_message_id_must_be_one_to_be_covered() {
    for (id, expected) in [("m".repeat(256), Ok(())), ("m".repeat(257), Err(Rejection::Invalid)), (String::new(), Err(Rejection::Invalid))]
    {
        let pairs = standard(SECRET.as_bytes(), &id, "1780000000", BODY);
        assert_eq!(verify(&knowing(SECRET), pairs).map(|_| ()), expected, "{}", id.len());
    }
}

#[test]
fn one_right_proof_suffices_and_the_best_is_named() {
    let right = [
        standard(SECRET.as_bytes(), "msg", "1780000000", BODY),
        planned(SECRET, "1780000000", BODY),
        secret(SECRET),
        vec![("authorization", SECRET.to_owned())],
        vec![("x-vapi-signature", BARE_HEX.to_owned())],
    ];
    let wrong = [
        standard(b"other", "msg", "1780000000", BODY),
        planned("other", "1780000000", BODY),
        secret("other"),
        vec![("authorization", "other".to_owned())],
        vec![("x-vapi-signature", "other".to_owned())],
    ];
    let verifier = knowing(SECRET);
    for best in 0..right.len() {
        let alone = verify(&verifier, right[best].clone());
        assert!(alone.is_ok());
        assert_eq!(verify(&verifier, right[best..].concat()), alone, "with weaker ones beside it");
        let others = [&wrong[..best], &wrong[best + 1..]].concat().concat();
        assert_eq!(verify(&verifier, [others, right[best].clone()].concat()), alone, "with wrong ones beside it");
    }
    assert_eq!(verify(&verifier, wrong.concat()), Err(Rejection::Invalid));
}

#[test]
fn stale_is_said_only_when_nothing_better_is_there() {
    let stale = planned(SECRET, "1770000000", BODY);
    let verifier = knowing(SECRET);
    assert_eq!(verify(&verifier, stale.clone()), Err(Rejection::Stale));
    assert_eq!(verify(&verifier, [stale.clone(), secret("other")].concat()), Err(Rejection::Stale));
    assert_eq!(verify(&verifier, [stale.clone(), secret(SECRET)].concat()), Ok(proof(ProofKind::Secret, false)));
    assert_eq!(verify(&verifier, planned("other", "1770000000", BODY)), Err(Rejection::Invalid));
    let signed_again = [stale, planned(SECRET, "1780000000", BODY)].concat();
    assert_eq!(verify(&verifier, signed_again), Ok(proof(ProofKind::Signature, true)));
}

#[test]
fn while_secrets_rotate_the_old_and_the_new_one_count() {
    let (old, new) = (SECRET, "a-newer-and-better-one");
    for (secrets, of_old, of_new) in
        [(old.to_owned(), Some(0), None), (format!("{new}, {old}"), Some(1), Some(0)), (new.to_owned(), None, Some(0))]
    {
        let verifier = knowing(&secrets);
        for (by, expected) in [(old, of_old), (new, of_new)] {
            for pairs in [
                secret(by),
                vec![("authorization", format!("Bearer {by}"))],
                vec![("x-vapi-signature", hex::encode(mac(by.as_bytes(), &[BODY])))],
                planned(by, "1780000000", BODY),
                standard(by.as_bytes(), "msg", "1780000000", BODY),
            ] {
                let index = verify(&verifier, pairs).map(|proof| proof.secret_index);
                assert_eq!(index, expected.ok_or(Rejection::Invalid), "{secrets}: {by}");
            }
        }
    }
}

#[test]
fn of_repeated_headers_each_is_looked_at() {
    let verifier = knowing(SECRET);
    for (right, wrong) in [
        (secret(SECRET), secret("other")),
        (vec![("authorization", SECRET.to_owned())], vec![("authorization", "Basic eDp5".to_owned())]),
        (vec![("x-vapi-signature", BARE_HEX.to_owned())], vec![("x-vapi-signature", "0".repeat(64))]),
        (planned(SECRET, "1780000000", BODY), planned("other", "1780000001", BODY)),
        (standard(SECRET.as_bytes(), "msg", "1780000000", BODY), standard(b"other", "gsm", "1780000001", BODY)),
    ] {
        let alone = verify(&verifier, right.clone());
        assert!(alone.is_ok());
        assert_eq!(verify(&verifier, [wrong.clone(), right.clone()].concat()), alone);
        assert_eq!(verify(&verifier, [right, wrong].concat()), alone);
    }
}

#[test]
fn a_stranger_who_repeats_headers_does_not_make_us_hash_forever() {
    let guesses = (0..1_000).map(|number| ("x-timestamp", format!("177000{number:04}")));
    let pairs: Vec<_> = guesses.chain(planned(SECRET, "1780000000", BODY)).collect();
    assert_eq!(verify(&knowing(SECRET), pairs), Err(Rejection::Invalid));
}

#[test]
fn bytes_that_are_no_text_are_just_wrong() {
    let verifier = knowing(SECRET);
    for name in ["x-vapi-secret", "authorization", "x-vapi-signature", "x-signature", "x-timestamp", "webhook-signature", "webhook-id"] {
        for bytes in [&b"\xff\xfe"[..], b"\xc3", "sha256=é".as_bytes(), b"Bearer \xff", b"v1,\x80\x80"] {
            let beside = planned(SECRET, "1780000000", BODY).into_iter().map(|(name, value)| (name, value.into_bytes()));
            let with_right_one = beside.chain([(name, bytes.to_vec())]);
            assert_eq!(verify(&verifier, with_right_one), Ok(proof(ProofKind::Signature, true)), "{name}");
            assert!(verify(&verifier, [(name, bytes)]).is_err(), "{name}");
        }
    }
    assert!(verify(&knowing("sésame-ouvre-toi"), [("x-vapi-secret", "sésame-ouvre-toi".as_bytes())]).is_ok());
}

#[test]
fn the_raw_bytes_are_what_is_signed() {
    let reformatted = br#"{"message": {"type":"hang","call":{"id":"c-1"}}}"#;
    let pairs = headers([("x-vapi-signature", BARE_HEX)]);
    assert_eq!(verify_body(&knowing(SECRET), &pairs, reformatted), Err(Rejection::Invalid));
    for body in [&b""[..], b"\xff\x00\xfe", &vec![b'x'; 100_000]] {
        let pairs = headers(planned(SECRET, "1780000000", body));
        assert!(verify_body(&knowing(SECRET), &pairs, body).is_ok());
    }
}

#[test]
fn only_a_signature_without_a_timestamp_is_bare() {
    let verifier = knowing(SECRET);
    for (pairs, bare) in [
        (secret(SECRET), false),
        (planned(SECRET, "1780000000", BODY), false),
        (standard(SECRET.as_bytes(), "msg", "1780000000", BODY), false),
        (vec![("x-vapi-signature", BARE_HEX.to_owned())], true),
    ] {
        assert_eq!(verify(&verifier, pairs).map(|proof| proof.is_bare_signature()), Ok(bare));
    }
}

#[test]
fn settings_that_would_let_nobody_in_are_refused() {
    for (secrets, kinds) in [(SECRET, &[][..]), (WHSEC, &[ProofKind::Secret, ProofKind::Bearer, ProofKind::Signature])] {
        assert_eq!(set_up(secrets, "{}", kinds).expect_err(secrets), SetupError::NothingCounts);
    }
    assert!(set_up(WHSEC, "{}", &ProofKind::ALL).is_ok());
}

#[test]
fn a_rejection_has_a_word_and_the_most_telling_one_wins() {
    assert!(Rejection::Missing < Rejection::Invalid && Rejection::Invalid < Rejection::Stale);
    assert_eq!([Rejection::Missing, Rejection::Invalid, Rejection::Stale].map(Rejection::as_str), ["missing", "invalid", "stale"]);
}

#[test]
fn a_signature_of_one_format_holds_in_another_only_for_what_is_no_json() {
    let [_, (_, signature)] = planned(SECRET, "1780000000", BODY).try_into().expect("two headers");
    let moved = headers([("x-vapi-signature", signature)]);
    assert_eq!(verify_body(&knowing(SECRET), &moved, BODY), Err(Rejection::Invalid));
    let shifted = [b"1780000000.", BODY].concat();
    assert!(verify_body(&knowing(SECRET), &moved, &shifted).is_ok());
    assert!(serde_json::from_slice::<serde_json::Value>(&shifted).is_err());
}

#[test]
fn kinds_have_the_words_of_the_configuration() {
    for kind in ProofKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    for word in ["", "Secret", "hmac", SECRET] {
        let error = word.parse::<ProofKind>().expect_err(word);
        assert_eq!(error.to_string(), "the proofs are secret, bearer, signature, standard");
    }
}

#[test]
fn a_verifier_shows_no_secret() {
    let settings = super::Settings {
        secrets: Secrets::parse(&format!("{SECRET},{WHSEC}")).expect("a good list"),
        kinds: ProofKind::ALL.to_vec(),
        plan: super::HmacPlan::default(),
        tolerance: TOLERANCE,
        urls: vec![PATH.to_owned()],
    };
    let shown = format!("{settings:?} {:?}", super::Verifier::new(&settings));
    // The third is how the SHA-256 of the secret begins.
    for part in ["horse", "MfKQ9r8G", "135, 203, 235", &hex::encode(SECRET), &format!("{:?}", SECRET.as_bytes())] {
        assert!(!shown.contains(part), "{part}");
    }
}

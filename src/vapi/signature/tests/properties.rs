//! What holds for any secret, any body and any headers.

use proptest::{
    collection::vec,
    prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest},
    sample::{Index, select},
};

use super::support::{BODY, NOW, PATH, SECRET, TOLERANCE, headers, mac, planned, secret, standard, verify_body, with_plan};
use crate::vapi::signature::{HmacPlan, ProofKind, Rejection, Request, Secrets, Verifier};

type Pairs = Vec<(&'static str, String)>;

/// Everything a stranger may think of: names we look at, and one we don't.
const NAMES: [&str; 9] = [
    "x-vapi-secret",
    "authorization",
    "x-vapi-signature",
    "x-signature",
    "x-timestamp",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-other",
];
/// Crumbs of real values.
const CRUMBS: [&str; 16] = [
    "Bearer ",
    "sha256=",
    "v1,",
    "v1a,",
    " ",
    "=",
    "==",
    ",",
    ".",
    "1780000000",
    "000",
    "2026-05-28T20:26:40Z",
    "-",
    "AAAA",
    "ffff",
    "{body}",
];
/// Plans of all sorts.
const PLANS: [&str; 5] = [
    "{}",
    r#"{"includeTimestamp":false}"#,
    r#"{"algorithm":"sha512","signatureEncoding":"base64","payloadFormat":"{url}{method}{body}{timestamp}"}"#,
    r#"{"algorithm":"sha1","signaturePrefix":"v1,","signatureHeader":"webhook-signature"}"#,
    r#"{"signatureHeader":"authorization","messageIdHeader":"webhook-id","payloadFormat":"{svix-id}{body}"}"#,
];

/// All ways to sign a body.
fn signed(kind: usize, key: &str, id: &str, timestamp: &str, body: &[u8]) -> Pairs {
    match kind {
        0 => planned(key, timestamp, body),
        1 => standard(key.as_bytes(), id, timestamp, body),
        _ => vec![("x-vapi-signature", format!("sha256={}", hex::encode(mac(key.as_bytes(), &[body]))))],
    }
}

fn secrets() -> impl Strategy<Value = Vec<String>> {
    vec("[!-+\\--~]{1,80}".prop_filter("a key of its own", |text| !text.starts_with("whsec_")), 1..4)
}

/// Any value that HTTP lets through, often one that looks nearly right.
fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8], 0..100),
        vec(select(&CRUMBS[..]), 0..8).prop_map(|crumbs| crumbs.concat().into_bytes()),
        "[0-9a-f]{64}".prop_map(String::into_bytes),
        "v1,[A-Za-z0-9+/]{43}=( v1,[A-Za-z0-9_-]{42}A)?".prop_map(String::into_bytes),
    ]
}

fn let_in(verifier: &Verifier, pairs: &Pairs, body: &[u8]) -> Result<ProofKind, Rejection> {
    verify_body(verifier, &headers(pairs.clone()), body).map(|proof| proof.kind)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_signed_is_let_in(
        secrets in secrets(), by: Index, kind in 0..3_usize, id in "[!-~]{1,64}", offset in -TOLERANCE..=TOLERANCE, body: Vec<u8>,
    ) {
        let verifier = with_plan(&secrets.join(","), "{}");
        let key = by.get(&secrets);
        let proof = verify_body(&verifier, &headers(signed(kind, key, &id, &NOW.plus(offset).0.to_string(), &body)), &body).expect("a right proof");
        assert_eq!(&secrets[proof.secret_index], key);
        assert_eq!(proof.covers_message_id, (kind == 1).then_some(id));
        assert_eq!(proof.timestamped, kind != 2);
    }

    #[test]
    fn any_flipped_bit_of_a_body_shuts_it_out(kind in 0..3_usize, mut body in vec(any::<u8>(), 1..500), at: Index, bit in 0..8_u32) {
        let pairs = signed(kind, SECRET, "msg", "1780000000", &body);
        let verifier = with_plan(SECRET, "{}");
        assert!(let_in(&verifier, &pairs, &body).is_ok());
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        assert_eq!(let_in(&verifier, &pairs, &body), Err(Rejection::Invalid));
    }

    #[test]
    fn any_changed_character_of_a_header_shuts_it_out(kind in 0..3_usize, header: Index, at: Index, other in "[!-~]") {
        let mut pairs = signed(kind, SECRET, "msg", "1780000000", BODY);
        let value = &mut pairs[header.index(3 - kind.max(1))].1;
        let at = at.index(value.len());
        // Hexadecimal digits mean the same in either case.
        if !value[at..=at].eq_ignore_ascii_case(&other) {
            value.replace_range(at..=at, &other);
            assert_eq!(let_in(&with_plan(SECRET, "{}"), &pairs, BODY), Err(Rejection::Invalid), "{pairs:?}");
        }
    }

    #[test]
    fn a_cut_signature_is_none(kind in 0..3_usize, keep: Index) {
        let mut pairs = signed(kind, SECRET, "msg", "1780000000", BODY);
        let signature = &mut pairs.last_mut().expect("it comes last").1;
        let padding = usize::from(kind == 1);
        signature.truncate(keep.index(signature.len() - padding));
        assert_eq!(let_in(&with_plan(SECRET, "{}"), &pairs, BODY), Err(Rejection::Invalid));
    }

    #[test]
    fn a_stale_signature_is_stale_and_a_wrong_one_invalid(kind in 0..2_usize, beyond in 1..4_000_000_000_i64, past: bool, other in "[a-z]{1,40}") {
        let offset = TOLERANCE + beyond;
        let at = NOW.plus(if past { -offset } else { offset }).0.to_string();
        let verifier = with_plan(SECRET, "{}");
        assert_eq!(let_in(&verifier, &signed(kind, SECRET, "msg", &at, BODY), BODY), Err(Rejection::Stale));
        assert_eq!(let_in(&verifier, &signed(kind, &other, "msg", &at, BODY), BODY), Err(Rejection::Invalid));
        let rescued = [signed(kind, SECRET, "msg", &at, BODY), secret(SECRET)].concat();
        assert_eq!(let_in(&verifier, &rescued, BODY), Ok(ProofKind::Secret));
    }

    #[test]
    fn nobody_gets_in_by_chance_and_nothing_panics(
        plan in select(&PLANS[..]), sent in vec((select(&NAMES[..]), values()), 0..12), body: Vec<u8>, now: i64, method: String, path: String,
    ) {
        let verifier = with_plan(SECRET, plan);
        let headers = headers(sent);
        let request = Request { headers: &headers, body: &body, method: &method, path_and_query: &path };
        let rejection = verifier.verify(&request, crate::call::time::Millis(now)).expect_err("nothing was signed");
        assert_eq!(rejection == Rejection::Missing, !verifier.has_any_header(&headers));
    }

    #[test]
    fn noise_beside_a_right_secret_does_no_harm(plan in select(&PLANS[..]), noise in vec((select(&NAMES[..]), values()), 0..12), first: bool) {
        let right = [("x-vapi-secret", SECRET.as_bytes().to_vec())];
        let sent = if first { [&right[..], &noise].concat() } else { [&noise[..], &right].concat() };
        let headers = headers(sent);
        let request = Request { headers: &headers, body: BODY, method: "POST", path_and_query: PATH };
        assert_eq!(with_plan(SECRET, plan).verify(&request, NOW).map(|proof| proof.kind), Ok(ProofKind::Secret));
    }

    #[test]
    fn any_configuration_is_read_or_refused(list: String, plan: String, key in "[a-zA-Z64]{0,20}", value: String) {
        let _ = Secrets::parse(&list);
        let _ = plan.parse::<HmacPlan>();
        for key in [&*key, "algorithm", "payloadFormat", "signatureHeader", "includeTimestamp", "messageIdHeader"] {
            let _ = serde_json::json!({ key: value }).to_string().parse::<HmacPlan>();
        }
    }
}

//! Whom we may tell something: private places, and a Kestra.

use super::{config, refused, with};
use crate::config::KestraLogin;

#[test]
fn private_places_are_listed_one_by_one() {
    let allowed = with("OUTBOUND_ALLOW", "10.0.0.0/8, n8n:5678,*.svc.local").outbound.allowed;
    assert!(allowed.may_reach(None, "10.1.2.3".parse().unwrap(), 80));
    assert!(allowed.may_reach(Some("n8n"), "172.18.0.2".parse().unwrap(), 5678));
    assert!(!allowed.may_reach(Some("n8n"), "172.18.0.2".parse().unwrap(), 80));
    assert!(!with("HOST", "127.0.0.1").outbound.allowed.may_reach(None, "10.1.2.3".parse().unwrap(), 80));
    assert!(refused("OUTBOUND_ALLOW", "10.0.0.0/8,http://inside").contains("entry 2"));
}

#[test]
fn kestra_lets_us_in_in_one_way_or_none() {
    let kestra = |more: &[(&str, &str)]| {
        let base = [("KESTRA_URL", "https://kestra.example/")];
        config(&base.iter().chain(more).copied().collect::<Vec<_>>()).map(|config| config.outbound.kestra.unwrap())
    };
    let open = kestra(&[]).unwrap();
    assert_eq!((open.url.as_str(), open.tenant.as_str()), ("https://kestra.example", "main"));
    assert!(matches!(open.login, KestraLogin::Open));
    assert!(matches!(kestra(&[("KESTRA_API_TOKEN", "t")]).unwrap().login, KestraLogin::Token(_)));
    let basic = kestra(&[("KESTRA_USERNAME", "a@b.co"), ("KESTRA_PASSWORD", "hunter2"), ("KESTRA_TENANT", "north")]).unwrap();
    assert!(matches!(basic.login, KestraLogin::Basic(..)) && basic.tenant == "north" && !format!("{basic:?}").contains("hunter2"));
    for wrong in [
        &[("KESTRA_USERNAME", "a@b.co")][..],
        &[("KESTRA_PASSWORD", "x")],
        &[("KESTRA_USERNAME", "a@b.co"), ("KESTRA_PASSWORD", "x"), ("KESTRA_API_TOKEN", "t")],
    ] {
        assert!(kestra(wrong).unwrap_err().to_string().contains("KESTRA_API_TOKEN"), "{wrong:?}");
    }
    for (name, value) in [("KESTRA_TENANT", "a/b"), ("KESTRA_NAMESPACE", "a..b"), ("KESTRA_FLOW", "a.b"), ("KESTRA_ENABLED", "perhaps")] {
        assert!(refused(name, value).contains(name), "{name}");
    }
    assert!(with("KESTRA_API_TOKEN", "t").warnings.iter().any(|warning| warning.contains("KESTRA_URL")));
    assert!(config(&[("KESTRA_URL", "http://kestra.example"), ("KESTRA_API_TOKEN", "t")]).unwrap().warnings[0].contains("in clear"));
}

#[test]
fn kestra_places_calls_only_where_there_is_one() {
    let kestra = ("KESTRA_URL", "https://kestra.example");
    let unless_changed = config(&[kestra]).unwrap().outbound.kestra.unwrap();
    assert_eq!(
        (unless_changed.namespace.as_str(), unless_changed.flow.as_str(), unless_changed.places),
        ("ai_concierge", "place_call", false)
    );
    let changed = config(&[kestra, ("KESTRA_NAMESPACE", "company.team"), ("KESTRA_FLOW", "ring"), ("KESTRA_ENABLED", "1")]).unwrap();
    let changed = changed.outbound.kestra.unwrap();
    assert_eq!((changed.namespace.as_str(), changed.flow.as_str(), changed.places), ("company.team", "ring", true));
    assert!(refused("KESTRA_ENABLED", "true").contains("KESTRA_URL"));
    let told = |more: &[(&str, &str)]| {
        let base = [kestra, ("KESTRA_ENABLED", "true"), ("VAPI_WEBHOOK_SECRET", "webhook-secret-0123456789")];
        let config = config(&base.iter().chain(more).copied().collect::<Vec<_>>()).unwrap();
        config.warnings.iter().any(|warning| warning.contains("VAPI_CREDENTIAL_ID"))
    };
    assert_eq!((told(&[]), told(&[("VAPI_CREDENTIAL_ID", "c1")])), (true, false));
}

//! Links that open doors lose what opens them.

use serde_json::json;

use super::redacted;

fn cut(text: &str) -> String {
    redacted(&json!({"u": text}))["u"].as_str().unwrap().to_owned()
}

#[test]
fn signed_queries_go() {
    let signed = [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2F1&X-Amz-Expires=1800&X-Amz-Signature=abc",
        "x=1&X-Goog-Signature=abc&X-Goog-Credential=me",
        "AWSAccessKeyId=AK&Signature=abc&Expires=1",
        "sv=2024&se=2026-01-01&sp=r&sig=abc",
        "token=abc",
        "a=1&access_token=abc#top",
        "a=1;Auth-Token=abc",
        "api_key=abc",
        "apikey=abc&x=2",
        "key=abc",
        "auth=abc",
        "jwt=abc",
        "client_secret=abc",
        "password=abc",
        "token",
        "TOKEN=abc",
    ];
    for query in signed {
        assert_eq!(cut(&format!("https://files.example.net/a b.wav?{query}")), "https://files.example.net/a b.wav", "{query}");
        for scheme in ["http", "wss", "ws", "HTTPS", "s3"] {
            assert_eq!(
                cut(&format!("{scheme}://files.example.net/a?{query}")),
                format!("{scheme}://files.example.net/a"),
                "{scheme} {query}"
            );
        }
    }
    assert_eq!(cut("https://files.example.net/a#access_token=abc"), "https://files.example.net/a");
    assert_eq!(cut("  https://files.example.net/a?token=x y z"), "  https://files.example.net/a");
}

#[test]
fn plain_ones_stay() {
    for plain in [
        "https://files.example.net/a.wav",
        "https://files.example.net/a.wav?download=1&name=key.txt",
        "https://hooks.example.net/?__applicationId=R&__sessionId=H",
        "https://files.example.net/a?q=token",
        "https://files.example.net/a#section-2",
        "https://files.example.net/token=abc/x",
        "no url ?token=abc",
        "sip:rowan@example.net?token=abc",
        "://",
        "? : //",
        "https://",
    ] {
        assert_eq!(cut(plain), plain);
    }
}

#[test]
fn links_in_the_middle_of_words_lose_theirs_too() {
    assert_eq!(
        cut("Request to https://a.example/x?token=abc failed, as did \"https://b.example/?sig=d\" and <http://c.example/?k=1>."),
        "Request to https://a.example/x failed, as did \"https://b.example/\" and <http://c.example/?k=1>."
    );
    assert_eq!(cut("see\nhttps://a.example/?jwt=abc\nhttps://b.example/?jwt=def"), "see\nhttps://a.example/\nhttps://b.example/");
    assert_eq!(cut(r#"half of {"u":\"https://a.example/?token=abc\"}"#), r#"half of {"u":\"https://a.example/\"}"#);
}

#[test]
fn the_time_when_links_expire_goes_with_them() {
    for expires in [json!("2026-05-14T10:01:40.000Z"), json!(1_778_752_900_000_i64)] {
        assert_eq!(redacted(&json!({"presignedUrlsExpiresAt": expires})), json!({"presignedUrlsExpiresAt": "[redacted]"}));
    }
    assert_eq!(redacted(&json!({"presignedUrlsExpiresAt": null})), json!({"presignedUrlsExpiresAt": null}));
}

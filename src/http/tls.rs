//! Does the client's connection come over TLS? It ends before us, so somebody we trust has to say so.

use axum::{
    extract::ConnectInfo,
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};

use super::{Api, server::Peer};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// A browser that came over TLS comes over nothing else for a year.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The world reaches us over TLS, or a trusted proxy says that this request came so.
pub(super) fn is_used(api: &Api, extensions: &Extensions, headers: &HeaderMap) -> bool {
    public_host(api).is_some() || is_said(api, extensions, headers)
}

/// This very request came over TLS: by the name under which the world reaches us, or a trusted proxy says so.
pub(super) fn brought(api: &Api, extensions: &Extensions, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let by_name = public_host(api).zip(host).is_some_and(|(public, host)| public.eq_ignore_ascii_case(host));
    by_name || is_said(api, extensions, headers)
}

fn public_host(api: &Api) -> Option<&str> {
    let authority = api.config.http.public_url.as_deref()?.strip_prefix("https://")?;
    authority.split('/').next()
}

fn is_said(api: &Api, extensions: &Extensions, headers: &HeaderMap) -> bool {
    let peer = extensions.get::<ConnectInfo<Peer>>().map(|peer| peer.0.address);
    // The proxy next to us wrote the last word; those before it may be the client's.
    let said = headers.get_all(FORWARDED_PROTO).iter().next_back().and_then(|value| value.to_str().ok());
    let is_https = said.and_then(|said| said.rsplit(',').next()).is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"));
    is_https && peer.is_some_and(|peer| api.config.access.trusted_proxies.is_trusted(peer))
}

/// A page that went out over TLS is asked for over nothing else from then on. Browsers take no notice of it over plain HTTP.
pub(super) fn keep(response: &mut Response, is_used: bool) {
    if is_used {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
}

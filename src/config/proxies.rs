//! Which proxies are believed when they say for whom they ask.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::reader::Reader;

/// `private` in `TRUSTED_PROXIES`: private, loopback, link-local and carrier-grade NAT ranges (RFC 1918, 6598, 3927, 4193, 4291).
const PRIVATE: [&str; 9] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10"];

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address ranges of trusted proxies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut nets = Vec::new();
        for entry in reader.list("TRUSTED_PROXIES") {
            match ranges(&entry) {
                Some(found) => nets.extend(found),
                None => reader.problem("TRUSTED_PROXIES must list addresses, ranges such as 10.0.0.0/8, or `private`"),
            }
        }
        Self(nets)
    }

    /// Whether the proxy at `address` is believed.
    #[must_use]
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// For whom the peer asks: `X-Forwarded-For` read from its end for as long as the proxies are trusted.
    ///
    /// What stands further to the left was written by whoever is not trusted, so it is not looked at.
    #[must_use]
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() {
            return client;
        }
        let lines = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        while self.is_trusted(client) {
            let Some(hop) = hops.next().and_then(hop) else { break };
            client = hop;
        }
        client
    }
}

/// Whether an address lies in one of the private ranges.
pub(super) fn is_private(address: IpAddr) -> bool {
    TrustedProxies(ranges("private").unwrap_or_default()).is_trusted(address)
}

/// One entry of `TRUSTED_PROXIES`.
fn ranges(entry: &str) -> Option<Vec<IpNet>> {
    if entry == "private" {
        return PRIVATE.iter().map(|net| net.parse().ok()).collect();
    }
    let net = entry.parse::<IpNet>().ok().or_else(|| entry.parse::<IpAddr>().ok().map(|ip| IpNet::from(ip.to_canonical())))?;
    Some(vec![net])
}

/// One entry of `X-Forwarded-For`: an address, which some proxies write with a port.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())).map(|ip: IpAddr| ip.to_canonical())
}

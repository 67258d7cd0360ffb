//! Which addresses a URL that came over the API may lead to.
//!
//! Everything that is not plainly public is refused, also where an IPv4 address hides in an IPv6 one. `OUTBOUND_ALLOW` lists exceptions; one
//! for loopback or link-local has to name that very address or range: no wide range and no name of somebody else's opens them by the way.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// IPv4 ranges of the registry of special addresses that are not public (RFC 6890 and its followers), multicast, and 240.0.0.0/4.
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (LOOPBACK_V4.0, LOOPBACK_V4.1),
    (LINK_LOCAL_V4.0, LINK_LOCAL_V4.1),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];
const LOOPBACK_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 0, 0, 0), 8);
const LINK_LOCAL_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(169, 254, 0, 0), 16);
const LINK_LOCAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
/// The only IPv6 range that is given out to the public.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// What of it is not public all the same: protocol assignments with Teredo, documentation, 6to4.
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Finds the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Private places that given addresses may lead to all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Exception>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Exception {
    place: Place,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Net(IpNet),
    Host(String),
    /// With the dot before it.
    Suffix(String),
}

impl Allowed {
    /// Reads entries: hosts, `*.suffix` hosts, addresses and CIDRs, each with an optional port (IPv6 then in brackets).
    ///
    /// # Errors
    /// The place in the list, from 1, of the first entry that is none of these.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, usize> {
        let read = entries.into_iter().enumerate().map(|(index, entry)| exception(entry.trim()).ok_or(index + 1));
        read.collect::<Result<_, _>>().map(Self)
    }

    /// May a connection go to this address and port, under this name if it has one?
    #[must_use]
    pub fn may_reach(&self, host: Option<&str>, address: IpAddr, port: u16) -> bool {
        is_public(address) || self.0.iter().any(|exception| exception.covers(host, address, port))
    }
}

impl Exception {
    fn covers(&self, host: Option<&str>, address: IpAddr, port: u16) -> bool {
        let host = host.map(|host| host.trim_end_matches('.').to_ascii_lowercase()).unwrap_or_default();
        let hit = match &self.place {
            Place::Net(net) => net.contains(&address) && (!is_delicate(address) || is_meant(net)),
            Place::Host(name) => host == *name && !is_delicate(address),
            Place::Suffix(suffix) => host.ends_with(suffix) && !is_delicate(address),
        };
        hit && self.port.is_none_or(|only| only == port)
    }
}

fn exception(entry: &str) -> Option<Exception> {
    if let Some(net) = net(entry) {
        return Some(Exception { place: Place::Net(net), port: None });
    }
    let (place, port) = match entry.rsplit_once(':') {
        Some((place, port)) => (place, Some(port.parse().ok()?)),
        None => (entry, None),
    };
    let bare = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(net) = net(bare.unwrap_or(place)).filter(|net| bare.is_some() == matches!(net, IpNet::V6(_))) {
        return Some(Exception { place: Place::Net(net), port });
    }
    let name = place.to_ascii_lowercase();
    let suffix = name.strip_prefix('*').filter(|rest| rest.starts_with('.'));
    let letters = suffix.map_or(name.as_str(), |suffix| &suffix[1..]);
    let is_name = !letters.is_empty()
        && letters.split('.').all(|label| !label.is_empty() && label.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)))
        && !letters.ends_with(|it: char| it.is_ascii_digit());
    let place = suffix.map_or_else(|| Place::Host(name.clone()), |suffix| Place::Suffix(suffix.to_owned()));
    is_name.then_some(Exception { place, port })
}

fn net(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn within_v4(address: Ipv4Addr, (base, bits): (Ipv4Addr, u8)) -> bool {
    Ipv4Net::new(base, bits).is_ok_and(|net| net.contains(&address))
}

fn within_v6(address: Ipv6Addr, (base, bits): (Ipv6Addr, u8)) -> bool {
    Ipv6Net::new(base, bits).is_ok_and(|net| net.contains(&address))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|range| within_v4(address, *range)),
        // v4-mapped, v4-compatible and NAT64 addresses lie outside of the global range.
        IpAddr::V6(address) => within_v6(address, GLOBAL_V6) && !NOT_PUBLIC_V6.iter().any(|range| within_v6(address, *range)),
    }
}

/// Loopback, link-local, this host itself, in whatever disguise: where a machine's own secrets are.
fn is_delicate(address: IpAddr) -> bool {
    let v4 = |address: Ipv4Addr| address.is_unspecified() || within_v4(address, LOOPBACK_V4) || within_v4(address, LINK_LOCAL_V4);
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => {
            let own = address.is_loopback() || address.is_unspecified() || within_v6(address, LINK_LOCAL_V6);
            own || hidden_v4(address).is_some_and(v4)
        }
    }
}

/// The IPv4 address inside a v4-mapped, v4-compatible, NAT64 or 6to4 one.
fn hidden_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = || {
        let [.., a, b, c, d] = address.octets();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0x64, 0xff9b, ..] => Some(last()),
        [0x2002, a, b, ..] => {
            let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// A range that holds nothing but what is delicate was meant as it stands.
fn is_meant(net: &IpNet) -> bool {
    is_delicate(net.network()) && is_delicate(net.broadcast()) && net.prefix_len() >= if net.addr().is_ipv4() { 8 } else { 10 }
}

/// Refuses what may not be reached.
#[derive(Debug, thiserror::Error)]
#[error("none of the addresses may be reached")]
pub(super) struct Refused;

/// Names resolve to what may be reached under them at one port, and to nothing else.
pub(super) struct GuardedNames {
    pub(super) allowed: Arc<Allowed>,
    pub(super) lookup: Lookup,
    pub(super) port: u16,
}

impl Resolve for GuardedNames {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, lookup, port) = (Arc::clone(&self.allowed), Arc::clone(&self.lookup), self.port);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = lookup(host.clone()).await?;
            let reachable = found.into_iter().filter(|address| allowed.may_reach(Some(&host), *address, port));
            // Port 0: the client puts in the URL's own.
            let reachable: Vec<SocketAddr> = reachable.map(|address| SocketAddr::new(address, 0)).collect();
            if reachable.is_empty() { Err(Refused.into()) } else { Ok(Box::new(reachable.into_iter()) as Addrs) }
        })
    }
}

/// Asks the system.
pub(super) fn system_lookup() -> Lookup {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) }))
}

#[cfg(test)]
mod tests {
    use super::Allowed;

    fn reaches(allowed: &str, host: Option<&str>, address: &str, port: u16) -> bool {
        let allowed = Allowed::parse(allowed.split(',').filter(|it| !it.is_empty())).unwrap();
        allowed.may_reach(host, address.parse().unwrap(), port)
    }

    #[test]
    fn only_what_is_public_may_be_reached() {
        for public in ["93.184.216.34", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1", "2a00:1450::1", "2001:4860::8888"] {
            assert!(reaches("", None, public, 443), "{public}");
        }
        let private = "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 \
            192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 \
            :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1 2001::1 2001:db8::1 \
            2002:7f00:1:: 2002:808:808::1 3fff::1 fc00::1 fd12:3456::1 fe80::1 febf::1 fec0::1 ff02::1";
        for private in private.split_whitespace() {
            assert!(!reaches("", None, private, 443), "{private}");
        }
    }

    #[test]
    fn what_is_listed_may_be_reached_by_address_range_name_and_port() {
        for (allowed, host, address, port, may) in [
            ("10.0.0.0/8", None, "10.1.2.3", 80, true),
            ("10.0.0.0/8:8080", None, "10.1.2.3", 80, false),
            ("10.0.0.0/8:8080", None, "10.1.2.3", 8080, true),
            ("10.1.2.3", None, "10.1.2.4", 80, false),
            ("[fd00::/8]:5678", None, "fd00::1", 5678, true),
            ("fd00::/8", None, "fd00::1", 1, true),
            ("n8n.internal", Some("N8N.internal."), "192.168.1.9", 80, true),
            ("n8n.internal", Some("evil.example"), "192.168.1.9", 80, false),
            ("n8n:5678", Some("n8n"), "172.18.0.4", 5678, true),
            ("n8n:5678", Some("n8n"), "172.18.0.4", 5679, false),
            ("*.svc.local", Some("a.b.svc.local"), "10.0.0.9", 80, true),
            ("*.svc.local", Some("svc.local"), "10.0.0.9", 80, false),
            ("*.svc.local", Some("evilsvc.local"), "10.0.0.9", 80, false),
        ] {
            assert_eq!(reaches(allowed, host, address, port), may, "{allowed}: {host:?} {address} {port}");
        }
    }

    #[test]
    fn loopback_and_link_local_open_only_by_their_own_address_or_range() {
        for (allowed, host, address, may) in [
            ("127.0.0.1", None, "127.0.0.1", true),
            ("127.0.0.0/8", None, "127.0.0.1", true),
            ("0.0.0.0/0", None, "127.0.0.1", false),
            ("0.0.0.0/0", None, "10.0.0.1", true),
            ("::/0", None, "::1", false),
            ("::/0", None, "::ffff:127.0.0.1", false),
            ("::ffff:0:0/96", None, "::ffff:169.254.169.254", false),
            ("64:ff9b::/96", None, "64:ff9b::a9fe:a9fe", false),
            ("2002::/16", None, "2002:7f00:1::", false),
            ("::1", None, "::1", true),
            ("127.0.0.1", None, "::ffff:127.0.0.1", false),
            ("localhost", Some("localhost"), "127.0.0.1", false),
            ("*.example.com", Some("a.example.com"), "169.254.169.254", false),
            ("169.254.169.254", None, "169.254.169.254", true),
        ] {
            assert_eq!(reaches(allowed, host, address, 80), may, "{allowed}: {host:?} {address}");
        }
    }

    #[test]
    fn an_entry_that_is_none_is_named_by_its_place() {
        for wrong in ["", "a b", "10.0.0.0/33", "host:port", "host:99999", "*", "*.", "1.2.3", "http://x", "[10.0.0.1]:80", "a..b"] {
            assert_eq!(Allowed::parse(["fine.example", wrong]), Err(2), "{wrong}");
        }
    }
}

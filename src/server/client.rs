//! Which address a request comes from: that of the connection, or, where a trusted proxy is at its other end, the one
//! that the proxy names in `Forwarded` (RFC 7239) or `X-Forwarded-For`.
//!
//! A client can write these headers too. Only what proxies appended counts: read from the right, the first address that
//! is not a trusted proxy's.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Those in these networks.
    pub fn new(networks: &[IpNet]) -> Self {
        Self(networks.to_vec())
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address that a request with `headers` over a connection from `peer` comes from. It is the peer's where that is
    /// not a trusted proxy, where the headers do not say, or say two things.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let forwarded = self.named(headers, FORWARDED, node);
        let x_forwarded_for = self.named(headers, X_FORWARDED_FOR, address);
        match (forwarded, x_forwarded_for) {
            (Some(Ok(one)), Some(Ok(other))) if one == other => one,
            (Some(Ok(one)), None) | (None, Some(Ok(one))) => one,
            // A proxy that writes one header lets a client's own other one pass: they are believed only if they agree.
            _ => peer,
        }
    }

    /// The right-most address in a header that is not a trusted proxy's, else the left-most; none without the header, an
    /// error if it cannot be read that far.
    fn named(
        &self,
        headers: &HeaderMap,
        name: HeaderName,
        read: fn(&str) -> Option<IpAddr>,
    ) -> Option<Result<IpAddr, ()>> {
        let mut farthest = None;
        for line in headers.get_all(name).iter().rev() {
            let Ok(line) = line.to_str() else {
                return Some(Err(()));
            };
            for element in line.rsplit(',') {
                let Some(address) = read(element.trim()) else {
                    return Some(Err(()));
                };
                if !self.trusts(address) {
                    return Some(Ok(address));
                }
                farthest = Some(Ok(address));
            }
        }
        farthest
    }
}

/// The address in an element of `Forwarded`: `for="[2001:db8::7]:4711";proto=https`.
fn node(element: &str) -> Option<IpAddr> {
    let mut nodes = element.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| value.trim())
    });
    let (Some(value), None) = (nodes.next(), nodes.next()) else {
        return None;
    };
    let quoted = value.strip_prefix('"').map(|rest| rest.strip_suffix('"'));
    address(quoted.unwrap_or(Some(value))?)
}

/// An address, maybe with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::7`, `[2001:db8::7]`, `[2001:db8::7]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = text
        .parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().map(|address| address.ip()).ok())
        .or_else(|| bracketed().map(IpAddr::V6))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address of a client behind `10.0.0.1` with these headers, by name and value.
    fn client(headers: &[(&str, &str)]) -> String {
        client_of("10.0.0.1", headers)
    }

    fn client_of(peer: &str, headers: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        // As a visit has it.
        let peer = peer.parse::<IpAddr>().unwrap().to_canonical();
        TrustedProxies::new(&trusted).client(peer, &map).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let said = [("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client(&said), "192.0.2.1");
        assert_eq!(client_of("::ffff:10.0.0.1", &said), "192.0.2.1");
        assert_eq!(client_of("2001:db8::1", &said), "192.0.2.1");
        assert_eq!(client_of("192.0.2.9", &said), "192.0.2.9");
        assert_eq!(client_of("::ffff:192.0.2.9", &said), "192.0.2.9");
        let peer = "10.0.0.1".parse().unwrap();
        let mut map = HeaderMap::new();
        map.append(X_FORWARDED_FOR, "192.0.2.1".parse().unwrap());
        let none = TrustedProxies::default().client(peer, &map);
        assert_eq!(none.to_string(), "10.0.0.1", "none is trusted by default");
    }

    #[test]
    fn the_right_most_address_that_is_not_a_proxy_counts() {
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.7, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.7,192.0.2.1 , 10.2.3.4", "192.0.2.1"),
            ("nonsense, 192.0.2.1, 10.2.3.4", "192.0.2.1"),
            ("10.2.3.4, 10.2.3.5", "10.2.3.4"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2a00::7", "2a00::7"),
            ("[2a00::7]:4711", "2a00::7"),
            ("[2a00::7]", "2a00::7"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, nonsense", "10.0.0.1"),
            ("192.0.2.1, nonsense, 10.2.3.4", "10.0.0.1"),
            ("192.0.2.1,", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
            ("192.0.2.1:99999", "10.0.0.1"),
            ("[192.0.2.1]", "10.0.0.1"),
            ("192.0.2.1\t", "192.0.2.1"),
        ] {
            assert_eq!(client(&[("x-forwarded-for", value)]), expected, "{value}");
        }
        for (value, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1"),
            ("proto=https ; for = \"192.0.2.1:80\"", "192.0.2.1"),
            ("for=\"[2a00::7]:4711\", for=10.2.3.4", "2a00::7"),
            ("for=\", for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.7, for=192.0.2.1", "192.0.2.1"),
            ("for=_hidden", "10.0.0.1"),
            ("for=unknown", "10.0.0.1"),
            ("for=192.0.2.1;for=192.0.2.2", "10.0.0.1"),
            ("for=\"192.0.2.1", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
            ("192.0.2.1", "10.0.0.1"),
        ] {
            assert_eq!(client(&[("forwarded", value)]), expected, "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_list_and_two_headers_have_to_agree() {
        let lines = [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-for", "192.0.2.1, 10.1.1.1"),
        ];
        assert_eq!(client(&lines), "192.0.2.1");
        let both = |one, other| client(&[("forwarded", one), ("x-forwarded-for", other)]);
        assert_eq!(both("for=192.0.2.1", "192.0.2.1"), "192.0.2.1");
        assert_eq!(both("for=192.0.2.7", "192.0.2.1"), "10.0.0.1");
        assert_eq!(both("nonsense", "192.0.2.1"), "10.0.0.1");
    }
}

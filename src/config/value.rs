//! What a value may be: from TOML, or from the text of a variable or flag, to the type of the setting. An error is the
//! end of a sentence that begins with where the value stands.

use std::{
    collections::HashSet,
    fmt::Display,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use hyper::{Uri, http::uri::Scheme};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustls::pki_types::ServerName;
use toml::Value;
use tracing::Level;

use super::LogFormat;
use crate::scim::schema::{ENTERPRISE_URN, GROUP_URN, USER_URN};
use crate::server::syslog::{Destination, Format};

/// No limit of time may be longer: past this, it is no limit.
const LONGEST_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// Past this, nobody waits for the next time.
const LONGEST_INTERVAL: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Bits of the prefix behind which a mapped IPv4 address stands.
const MAPPED: u8 = 96;

/// Seats that may be configured: far more than the file is made for.
const MOST_SEATS: i64 = 1_000_000_000;

/// A DNS name or an IP address.
pub(super) fn host(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    match ServerName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is neither a host name nor an IP address")),
    }
}

/// A DNS name or an IP address, as it is typed.
pub fn typed_host(text: &str) -> Result<String, String> {
    host(&Value::from(text))
}

/// An `https` URL without query and trailing slash. The empty text is none.
pub(super) fn public_url(value: &Value) -> Result<Option<String>, String> {
    let text = text(value)?;
    if text.is_empty() {
        return Ok(None);
    }
    let good = text.parse::<Uri>().is_ok_and(|uri| {
        let authority = uri.authority().map(|authority| authority.as_str());
        uri.scheme() == Some(&Scheme::HTTPS)
            && authority.is_some_and(|authority| !authority.contains('@'))
            && uri.query().is_none()
    });
    if good && !text.ends_with('/') && !text.contains('#') {
        Ok(Some(text.to_owned()))
    } else {
        Err(format!(
            "`{text}` must be like https://scim.example.com, without a slash at the end"
        ))
    }
}

/// At least one path, each `/like/this`, none twice.
pub(super) fn base_paths(value: &Value) -> Result<Vec<String>, String> {
    let paths = list(value)?;
    if paths.is_empty() {
        return Err("at least one path is needed".to_owned());
    }
    let mut seen = HashSet::new();
    for path in &paths {
        let segments = path.strip_prefix('/').map(|rest| rest.split('/'));
        let good = segments.is_some_and(|mut segments| segments.all(is_plain_segment));
        if !good {
            return Err(format!(
                "`{path}` must begin with a slash, not end with one, and hold only letters, digits and `-._~`"
            ));
        }
        if !seen.insert(path) {
            return Err(format!("`{path}` is named twice"));
        }
    }
    Ok(paths)
}

/// A path segment that every client and proxy leaves as it is.
fn is_plain_segment(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain)
}

/// An IP address with a port.
pub(super) fn address(value: &Value) -> Result<SocketAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        format!("`{text}` must be an IP address and a port, like 0.0.0.0:8443 or [::]:8443")
    })
}

/// The path of a file, relative to `base`.
pub(super) fn path(value: &Value, base: &Path) -> Result<PathBuf, String> {
    match text(value)? {
        "" => Err("the name of a file is needed".to_owned()),
        text => Ok(base.join(text)),
    }
}

/// The path of a file, relative to `base`. The empty text is none.
pub(super) fn optional_path(value: &Value, base: &Path) -> Result<Option<PathBuf>, String> {
    Ok(Some(text(value)?)
        .filter(|text| !text.is_empty())
        .map(|text| base.join(text)))
}

/// Networks in CIDR notation; an address is a network of itself.
pub(super) fn networks(value: &Value) -> Result<Vec<IpNet>, String> {
    let network = |text: String| {
        let address = text.parse::<IpAddr>().map(IpNet::from);
        let network = address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            format!("`{text}` must be a network or an address, like 10.0.0.0/8 or 2001:db8::7")
        })?;
        Ok(canonical(network))
    };
    list(value)?.into_iter().map(network).collect()
}

/// A network of IPv4 addresses mapped into IPv6 (RFC 4291 §2.5.5.2) as one of IPv4: so are the addresses of clients.
fn canonical(network: IpNet) -> IpNet {
    let mapped = |network: Ipv6Net| {
        let address = network.addr().to_ipv4_mapped()?;
        let length = network.prefix_len().checked_sub(MAPPED)?;
        Ipv4Net::new(address, length).ok()
    };
    match network {
        IpNet::V6(v6) => mapped(v6).map_or(network, IpNet::V4),
        IpNet::V4(_) => network,
    }
}

/// Where syslog messages go. The empty text is nowhere.
pub(super) fn syslog(value: &Value) -> Result<Option<Destination>, String> {
    match text(value)? {
        "" => Ok(None),
        text => text.parse().map(Some),
    }
}

/// What the message of a forwarded audit row is.
pub(super) fn syslog_format(value: &Value) -> Result<Format, String> {
    match text(value)? {
        "json" => Ok(Format::Json),
        "cef" => Ok(Format::Cef),
        other => Err(format!("`{other}` must be json or cef")),
    }
}

/// How a line of the log looks.
pub(super) fn log_format(value: &Value) -> Result<LogFormat, String> {
    match text(value)? {
        "text" => Ok(LogFormat::Text),
        "logfmt" => Ok(LogFormat::Logfmt),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("`{other}` must be text, logfmt or json")),
    }
}

/// URN of a schema extension that is not one of the standard schemas.
pub(super) fn extension(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let standard = [USER_URN, GROUP_URN, ENTERPRISE_URN]
        .iter()
        .any(|urn| urn.eq_ignore_ascii_case(text));
    let urn = text.to_ascii_lowercase().starts_with("urn:") && !text.contains(char::is_whitespace);
    match (urn, standard) {
        (true, false) => Ok(text.to_owned()),
        (_, true) => Err(format!(
            "`{text}` is a standard schema, not an extension of your own"
        )),
        (false, _) => Err(format!(
            "`{text}` must be a URN, like urn:example:scim:2.0:User"
        )),
    }
}

/// A list of texts; in a variable, with commas between them.
pub(super) fn list(value: &Value) -> Result<Vec<String>, String> {
    let entries: Vec<&str> = match value {
        Value::Array(entries) => entries.iter().map(text).collect::<Result<_, _>>()?,
        Value::String(text) if text.trim().is_empty() => Vec::new(),
        Value::String(text) => text.split(',').map(str::trim).collect(),
        _ => return Err("must be a list of texts".to_owned()),
    };
    if entries.iter().any(|entry| entry.is_empty()) {
        return Err("an entry of the list is empty".to_owned());
    }
    Ok(entries.into_iter().map(str::to_owned).collect())
}

/// A time limit: from one second to a day.
pub(super) fn limit(value: &Value) -> Result<Duration, String> {
    let limit = duration(value)?;
    if limit > LONGEST_LIMIT {
        return Err("must be at most 24h".to_owned());
    }
    Ok(limit)
}

/// A time between two things that come again: from one second to 31 days.
pub(super) fn interval(value: &Value) -> Result<Duration, String> {
    let interval = duration(value)?;
    if interval > LONGEST_INTERVAL {
        return Err("must be at most 744h".to_owned());
    }
    Ok(interval)
}

/// A whole number of seconds, minutes or hours: `90s`, `15m`, `1h`. At least one second.
fn duration(value: &Value) -> Result<Duration, String> {
    let text = text(value)?;
    let units = [("s", 1), ("m", 60), ("h", 60 * 60)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        let count = text.strip_suffix(unit)?;
        digits::<u64>(count)?.checked_mul(*seconds)
    });
    match seconds {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(format!(
            "`{text}` must be a time of at least 1s, like 90s, 15m or 1h"
        )),
    }
}

/// A number of bytes from `least` to `most`, maybe in `KiB` or `MiB`.
pub(super) fn size(value: &Value, least: usize, most: usize) -> Result<usize, String> {
    let bytes = match value {
        Value::Integer(count) => usize::try_from(*count).ok(),
        Value::String(text) => [("KiB", 1024), ("MiB", 1024 * 1024), ("", 1)]
            .iter()
            .find_map(|(unit, bytes)| {
                digits::<usize>(text.strip_suffix(unit)?)?.checked_mul(*bytes)
            }),
        _ => None,
    };
    within(
        bytes,
        least,
        most,
        "a number of bytes, or like 64KiB or 2MiB",
    )
}

/// A whole number from `least` to `most`.
pub(super) fn number<T>(value: &Value, least: T, most: T) -> Result<T, String>
where
    T: TryFrom<i64> + FromStr + PartialOrd + Display,
{
    let number = match value {
        Value::Integer(number) => T::try_from(*number).ok(),
        Value::String(text) => digits(text),
        _ => None,
    };
    within(number, least, most, "a number")
}

/// A number of seats; none where it is `unlimited`.
pub(super) fn seats(value: &Value) -> Result<Option<i64>, String> {
    match value.as_str() {
        Some("unlimited") => Ok(None),
        _ => match number(value, 0, MOST_SEATS) {
            Ok(seats) => Ok(Some(seats)),
            Err(_) => Err(format!(
                "must be unlimited, or a number from 0 to {MOST_SEATS}"
            )),
        },
    }
}

/// The least important level that is logged.
pub(super) fn level(value: &Value) -> Result<Level, String> {
    match text(value)? {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        other => Err(format!(
            "`{other}` must be error, warn, info, debug or trace"
        )),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| "must be a text in quotation marks".to_owned())
}

/// A number of digits only: `parse` alone would take a sign too.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn within<T: PartialOrd + Display>(
    value: Option<T>,
    least: T,
    most: T,
    what: &str,
) -> Result<T, String> {
    value
        .filter(|value| (&least..=&most).contains(&value))
        .ok_or_else(|| format!("must be {what}, from {least} to {most}"))
}

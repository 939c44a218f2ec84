//! Paths: which endpoint a URL names (RFC 7644 §3.2, C-111).

use percent_encoding::percent_decode_str;

/// What a path below a base path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `/Users`
    Users,
    /// `/Users/{id}`
    User(String),
    /// `/Groups`
    Groups,
    /// `/Groups/{id}`
    Group(String),
    /// `/ServiceProviderConfig`
    ServiceProviderConfig,
    /// `/ResourceTypes`, or one of them
    ResourceTypes(Option<String>),
    /// `/Schemas`, or one of them
    Schemas(Option<String>),
}

impl Endpoint {
    /// The methods that it takes, as in `Allow`.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Users => "GET, HEAD, POST",
            Self::User(_) => "GET, HEAD, PUT, PATCH, DELETE",
            _ => "GET, HEAD",
        }
    }
}

/// The base paths under which SCIM is served, as lists of segments.
#[derive(Debug, Clone)]
pub struct Routes {
    bases: Vec<Vec<String>>,
}

impl Routes {
    /// Routes below each of `base_paths`. The longest base that fits a path counts, so that `/scim/v2/Users` is not
    /// taken for something below `/scim`.
    pub fn new(base_paths: &[String]) -> Self {
        let mut bases: Vec<_> = base_paths.iter().map(|base| segments(base)).collect();
        bases.sort_by_key(|base| std::cmp::Reverse(base.len()));
        Self { bases }
    }

    /// The endpoint that `path` names. Empty segments, a slash at the end among them, do not count; names of endpoints
    /// compare in any letter case.
    pub fn endpoint(&self, path: &str) -> Option<Endpoint> {
        let path = segments(path);
        let below = self
            .bases
            .iter()
            .find_map(|base| path.strip_prefix(base.as_slice()))?;
        let (name, id) = match below {
            [name] => (name, None),
            [name, id] => (name, Some(id.clone())),
            _ => return None,
        };
        match (name.to_ascii_lowercase().as_str(), id) {
            ("users", None) => Some(Endpoint::Users),
            ("users", Some(id)) => Some(Endpoint::User(id)),
            ("groups", None) => Some(Endpoint::Groups),
            ("groups", Some(id)) => Some(Endpoint::Group(id)),
            ("serviceproviderconfig", None) => Some(Endpoint::ServiceProviderConfig),
            ("resourcetypes", id) => Some(Endpoint::ResourceTypes(id)),
            ("schemas", id) => Some(Endpoint::Schemas(id)),
            _ => None,
        }
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_endpoints() {
        let routes = Routes::new(&["/scim".into(), "/scim/v2".into(), "/insync/scim".into()]);
        let user = |id: &str| Some(Endpoint::User(id.to_owned()));
        for (path, expected) in [
            ("/scim/Users", Some(Endpoint::Users)),
            ("/scim/v2/Users", Some(Endpoint::Users)),
            ("/insync/scim/Users", Some(Endpoint::Users)),
            ("/scim/v2//Users/", Some(Endpoint::Users)),
            ("/scim/users/u1", user("u1")),
            ("/scim/Users/a%2Fb", user("a/b")),
            ("/scim/Users/a%FFb", user("a\u{fffd}b")),
            (
                "/scim/Schemas/urn:x:User",
                Some(Endpoint::Schemas(Some("urn:x:User".into()))),
            ),
            ("/scim/Users/u1/x", None),
            ("/scim", None),
            ("/Users", None),
            ("/other/Users", None),
        ] {
            assert_eq!(routes.endpoint(path), expected, "{path}");
        }
    }
}

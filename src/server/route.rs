//! Paths: which endpoint a URL names (RFC 7644 §3.2, C-111).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::line::Label;
use crate::scim::schema::ResourceType;

/// The segment behind a collection that makes a POST a query (RFC 7644 §3.4.3). No id looks like it.
const SEARCH: &str = ".search";

/// What a path below a base path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// The base path itself: a query over all resources
    Root,
    /// `/Users`, `/Groups`
    Collection(ResourceType),
    /// `/Users/{id}`, `/Groups/{id}`
    Resource(ResourceType, String),
    /// `/.search`, `/Users/.search`, `/Groups/.search`
    Search(Option<ResourceType>),
    /// `/Bulk`
    Bulk,
    /// `/Me`: a token stands for no person, so there is nobody to show (RFC 7644 §3.11)
    Me,
    /// `/ServiceProviderConfig`
    ServiceProviderConfig,
    /// `/ResourceTypes`, or one of them
    ResourceTypes(Option<String>),
    /// `/Schemas`, or one of them
    Schemas(Option<String>),
}

impl Endpoint {
    /// Its path below the base path, for the log: what differs between resources is a placeholder.
    fn template(&self) -> &'static str {
        use ResourceType::{Group, User};
        match self {
            Self::Root => "/",
            Self::Collection(User) => "/Users",
            Self::Collection(Group) => "/Groups",
            Self::Resource(User, _) => "/Users/{id}",
            Self::Resource(Group, _) => "/Groups/{id}",
            Self::Search(None) => "/.search",
            Self::Search(Some(User)) => "/Users/.search",
            Self::Search(Some(Group)) => "/Groups/.search",
            Self::Bulk => "/Bulk",
            Self::Me => "/Me",
            Self::ServiceProviderConfig => "/ServiceProviderConfig",
            Self::ResourceTypes(_) => "/ResourceTypes",
            Self::Schemas(_) => "/Schemas",
        }
    }

    /// What the log says of it.
    pub fn label(&self) -> Label<'_> {
        (self.template(), self.id())
    }

    /// The id of the resource that it names.
    fn id(&self) -> Option<&str> {
        match self {
            Self::Resource(_, id) => Some(id),
            _ => None,
        }
    }

    /// The methods that it takes, as in `Allow`.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Collection(_) => "GET, HEAD, OPTIONS, POST",
            Self::Resource(..) => "GET, HEAD, OPTIONS, PUT, PATCH, DELETE",
            Self::Search(_) | Self::Bulk => "OPTIONS, POST",
            Self::Me => "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
            Self::Root
            | Self::ServiceProviderConfig
            | Self::ResourceTypes(_)
            | Self::Schemas(_) => "GET, HEAD, OPTIONS",
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
        let base = |base: &String| segments(base).map(Cow::into_owned).collect();
        let mut bases: Vec<Vec<String>> = base_paths.iter().map(base).collect();
        bases.sort_by_key(|base| std::cmp::Reverse(base.len()));
        Self { bases }
    }

    /// The endpoint that `path` names. Empty segments, a slash at the end among them, do not count; names of endpoints
    /// compare in any letter case.
    pub fn endpoint(&self, path: &str) -> Option<Endpoint> {
        let path: Vec<_> = segments(path).collect();
        endpoint(self.below(&path)?)
    }

    /// The endpoint that the path of a bulk operation names: relative to a base path (RFC 7644 §3.7), or with one, or
    /// as a whole URL, whose host does not count.
    pub fn operation(&self, path: &str) -> Option<Endpoint> {
        let path = match path.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => rest.split_once('/')?.1,
            _ => path,
        };
        let path: Vec<_> = segments(path.split(['?', '#']).next()?).collect();
        endpoint(self.below(&path).unwrap_or(&path))
    }

    fn below<'p, 's>(&self, path: &'p [Cow<'s, str>]) -> Option<&'p [Cow<'s, str>]> {
        self.bases.iter().find_map(|base| {
            let (above, below) = path.split_at_checked(base.len())?;
            (above == base.as_slice()).then_some(below)
        })
    }
}

/// What the segments below a base path name.
fn endpoint(below: &[Cow<'_, str>]) -> Option<Endpoint> {
    let (name, id) = match below {
        [] => return Some(Endpoint::Root),
        [name] => (name, None),
        [name, id] => (name, Some(id.as_ref().to_owned())),
        _ => return None,
    };
    let collection = |resource_type, id: Option<String>| match id {
        None => Endpoint::Collection(resource_type),
        Some(id) if id.eq_ignore_ascii_case(SEARCH) => Endpoint::Search(Some(resource_type)),
        Some(id) => Endpoint::Resource(resource_type, id),
    };
    let is = |endpoint| name.eq_ignore_ascii_case(endpoint);
    match id {
        id if is("Users") => Some(collection(ResourceType::User, id)),
        id if is("Groups") => Some(collection(ResourceType::Group, id)),
        id if is("ResourceTypes") => Some(Endpoint::ResourceTypes(id)),
        id if is("Schemas") => Some(Endpoint::Schemas(id)),
        Some(_) => None,
        None if is(SEARCH) => Some(Endpoint::Search(None)),
        None if is("Bulk") => Some(Endpoint::Bulk),
        None if is("Me") => Some(Endpoint::Me),
        None if is("ServiceProviderConfig") => Some(Endpoint::ServiceProviderConfig),
        None => None,
    }
}

/// The parts of a path, decoded. Empty ones do not count.
pub fn segments(path: &str) -> impl Iterator<Item = Cow<'_, str>> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| match segment.contains('%') {
            true => percent_decode_str(segment).decode_utf8_lossy(),
            false => segment.into(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_endpoints() {
        let routes = Routes::new(&["/scim".into(), "/scim/v2".into(), "/insync/scim".into()]);
        let users = Endpoint::Collection(ResourceType::User);
        let user = |id: &str| Some(Endpoint::Resource(ResourceType::User, id.to_owned()));
        for (path, expected) in [
            ("/scim/Users", Some(users.clone())),
            ("/scim/v2/Users", Some(users.clone())),
            ("/insync/scim/Users", Some(users.clone())),
            ("/scim/v2//Users/", Some(users)),
            ("/scim/users/u1", user("u1")),
            ("/scim/Users/a%2Fb", user("a/b")),
            ("/scim/Users/a%FFb", user("a\u{fffd}b")),
            (
                "/scim/Groups/.search",
                Some(Endpoint::Search(Some(ResourceType::Group))),
            ),
            ("/scim/.search", Some(Endpoint::Search(None))),
            (
                "/scim/Schemas/urn:x:User",
                Some(Endpoint::Schemas(Some("urn:x:User".into()))),
            ),
            ("/scim/v2/", Some(Endpoint::Root)),
            ("/scim/Users/u1/x", None),
            ("/Users", None),
            ("/other/Users", None),
        ] {
            assert_eq!(routes.endpoint(path), expected, "{path}");
        }
    }

    #[test]
    fn paths_of_operations_are_relative_or_whole() {
        let routes = Routes::new(&["/scim".into(), "/scim/v2".into()]);
        let users = Some(Endpoint::Collection(ResourceType::User));
        let user = Some(Endpoint::Resource(ResourceType::User, "u1".to_owned()));
        for (path, expected) in [
            ("/Users", &users),
            ("Users", &users),
            ("//users/", &users),
            ("/scim/Users", &users),
            ("/scim/v2/Users", &users),
            ("https://scim.example.test/scim/v2/Users", &users),
            ("/Users/u1", &user),
            ("/Users/u1?attributes=id", &user),
            ("https://scim.example.test:8443/Users/u1", &user),
            ("/other/Users", &None),
            ("https://scim.example.test", &None),
            ("", &Some(Endpoint::Root)),
        ] {
            assert_eq!(&routes.operation(path), expected, "{path}");
        }
    }
}

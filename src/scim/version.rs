//! Entity tags and the conditions that clients put on them (RFC 7644 §3.14, RFC 9110 §13.1).

/// The entity tags of one condition header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// `*`: whatever the version is.
    Any,
    /// One of these.
    Listed(Vec<String>),
}

impl Tags {
    /// Reads a header's value. Tags are compared weakly, as SCIM uses them: `W/` does not count. A tag without quotes
    /// is taken as it is.
    pub fn parse(header: &str) -> Self {
        match header.trim() {
            "*" => Self::Any,
            tags => Self::Listed(tags.split(',').map(|tag| opaque(tag).to_owned()).collect()),
        }
    }

    fn have(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag == opaque(etag)),
        }
    }
}

/// What stands between the quotes of a tag.
fn opaque(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

/// What a client wants of a resource's version before its request counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// `If-Match`: it has one of these versions.
    pub if_match: Option<Tags>,
    /// `If-None-Match`: it has none of these versions.
    pub if_none_match: Option<Tags>,
}

impl Condition {
    /// Whether a resource of version `etag` is what the client wants.
    pub fn holds(&self, etag: &str) -> bool {
        self.if_match.as_ref().is_none_or(|tags| tags.have(etag))
            && !self
                .if_none_match
                .as_ref()
                .is_some_and(|tags| tags.have(etag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare_weakly() {
        let tags = |text: Option<&str>| text.map(Tags::parse);
        for (if_match, if_none_match, holds) in [
            (None, None, true),
            (Some("*"), None, true),
            (Some("W/\"2\""), None, true),
            (Some("\"2\""), None, true),
            (Some("\"1\", W/\"2\""), None, true),
            (Some("2"), None, true),
            (Some("W/\"1\""), None, false),
            (Some(""), None, false),
            (None, Some("W/\"2\""), false),
            (None, Some("*"), false),
            (None, Some("W/\"1\""), true),
            (Some("*"), Some("W/\"2\""), false),
        ] {
            let condition = Condition {
                if_match: tags(if_match),
                if_none_match: tags(if_none_match),
            };
            assert_eq!(condition.holds("W/\"2\""), holds, "{condition:?}");
        }
    }
}

//! What a mapping's filter says about a user of whom only a part is kept. Attributes that no schema has are dropped when
//! a user is made (design §3.4), so that later nobody can tell what they were: a term that would have looked at one first
//! is unknown, and `and`, `or` and `not` go on with that as in Kleene's logic.

use super::evaluate::is_sure;
use super::{Filter, Scope};
use crate::scim::Object;
use crate::scim::path::AttrPath;
use crate::scim::schema::Schemas;

/// Whether a filter matches; or the first attribute in it for want of which nobody can tell.
pub type Known<'f> = Result<bool, &'f AttrPath>;

impl Filter {
    /// Whether [`takes`](Self::takes) said so of a user of whom `kept` is stored, when all of it was there. What this
    /// says holds whatever was dropped.
    pub fn took(&self, kept: &Object, schemas: &Schemas) -> Known<'_> {
        match self {
            Self::And(terms) => all(terms.iter().map(|term| term.took(kept, schemas))),
            // That one holds means that not all fail.
            Self::Or(terms) => not(all(terms.iter().map(|term| not(term.took(kept, schemas))))),
            Self::Not(term) => not(term.took(kept, schemas)),
            Self::Present(attr) | Self::Compare { attr, .. } | Self::Element { attr, .. } => {
                match is_sure(Scope::Mapping(schemas), kept, attr) {
                    true => Ok(self.takes(kept, schemas)),
                    false => Err(attr),
                }
            }
        }
    }
}

fn not(known: Known<'_>) -> Known<'_> {
    known.map(|holds| !holds)
}

/// Whether all hold: one that fails decides, whatever the others are.
fn all<'f>(terms: impl Iterator<Item = Known<'f>>) -> Known<'f> {
    let mut all = Ok(true);
    for term in terms {
        match term {
            Ok(false) => return Ok(false),
            Err(_) if all.is_ok() => all = term,
            Ok(true) | Err(_) => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{parse, schemas};
    use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, USER_URN};

    #[test]
    fn a_term_over_what_is_dropped_is_unknown_until_another_decides() {
        let kept = json!({
            "userName": "anna", "title": "Captain", "team": "A", "emails": [{"value": "a"}],
            (ENTERPRISE_URN): {"department": "Sales"},
            (CUSTOM_URN): {"userPrincipalName": "a@x"},
            "urn:example:kept": {"floor": "3"},
        });
        let kept = kept.as_object().unwrap();
        for (filter, expected) in [
            // A bare name may have been one of the custom extension, or of the enterprise extension.
            (r#"title eq "Captain""#, Err("title")),
            (r#"department eq "Sales""#, Err("department")),
            (r#"team eq "A""#, Err("team")),
            (r#"emails[value eq "a"]"#, Err("emails")),
            ("company pr", Err("company")),
            ("not (company pr)", Err("company")),
            (r#"company.city eq "x""#, Err("company.city")),
            (r#"sites[type eq "x"]"#, Err("sites")),
            // Unless that is kept there.
            (r#"userPrincipalName eq "a@x""#, Ok(true)),
            // Behind a URN it is known whether it is dropped; but not since when the configuration keeps it.
            (r#"core:title eq "Captain""#, Ok(true)),
            (r#"core:team eq "A""#, Ok(true)),
            ("custom:team pr", Err("custom:team")),
            ("core:company pr", Err("core:company")),
            (r#"enterprise:department eq "Sales""#, Ok(true)),
            ("enterprise:team pr", Err("enterprise:team")),
            (r#"urn:example:kept:floor eq "3""#, Ok(true)),
            ("urn:example:kept:room pr", Err("urn:example:kept:room")),
            ("urn:example:other:floor pr", Err("urn:example:other:floor")),
            ("core:name.nickname pr", Ok(false)),
            ("core:emails[comment pr]", Ok(false)),
            // What is sure may decide.
            ("core:title pr and company pr", Err("company")),
            ("company pr and core:nickName pr", Ok(false)),
            ("company pr or core:title pr", Ok(true)),
            ("company pr or core:nickName pr", Err("company")),
            ("not (company pr and core:nickName pr)", Ok(true)),
            ("not (company pr or core:title pr)", Ok(false)),
            ("company pr or (city pr and core:title pr)", Err("company")),
            (
                "(company pr or city pr) and core:nickName pr or core:title pr",
                Ok(true),
            ),
        ] {
            let whole = |text: &str| {
                let text = text.replace("core:", &format!("{USER_URN}:"));
                let text = text.replace("custom:", &format!("{CUSTOM_URN}:"));
                text.replace("enterprise:", &format!("{ENTERPRISE_URN}:"))
            };
            let parsed = parse(&whole(filter)).unwrap();
            let known = parsed.took(kept, &schemas());
            let known = known.map_err(ToString::to_string);
            assert_eq!(known, expected.map_err(whole), "{filter}");
        }
    }
}

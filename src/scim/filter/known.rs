//! What a filter says about a resource of which only a part is kept. Attributes that no schema has are dropped when a
//! user is made (design §3.4), so that later nobody can tell what they were: a term that looks at one is unknown, and
//! `and`, `or` and `not` go on with that as in Kleene's logic.

use super::{Filter, Scope};
use crate::scim::Object;
use crate::scim::path::AttrPath;
use crate::scim::schema::{Place, ResourceType, Schemas};

/// Whether a filter matches; or the first attribute in it for want of which nobody can tell.
pub type Known<'f> = Result<bool, &'f AttrPath>;

impl Filter {
    /// Whether a resource of which `kept` is stored matched when all of it was there. What this says holds whatever
    /// was dropped.
    pub fn known(&self, kept: &Object, kind: ResourceType, schemas: &Schemas) -> Known<'_> {
        let scope = Scope::Resource(kind, schemas);
        match self {
            Self::And(terms) => all(terms.iter().map(|term| term.known(kept, kind, schemas))),
            // That one holds means that not all fail.
            Self::Or(terms) => not(all(terms
                .iter()
                .map(|term| not(term.known(kept, kind, schemas))))),
            Self::Not(term) => not(term.known(kept, kind, schemas)),
            Self::Present(attr) | Self::Compare { attr, .. } | Self::Element { attr, .. } => {
                match scope.meaning(attr).place {
                    Place::Unknown => Err(attr),
                    Place::Known { .. } | Place::Open { .. } => Ok(self.holds(scope, kept)),
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
    use super::*;

    #[test]
    fn a_term_over_what_is_dropped_is_unknown_until_another_decides() {
        let kept = json!({
            "userName": "anna", "title": "Captain", "team": "A",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Sales"},
            "urn:example:kept": {"floor": "3"},
        });
        let kept = kept.as_object().unwrap();
        for (filter, expected) in [
            (r#"title eq "Captain""#, Ok(true)),
            (r#"department eq "Sales""#, Ok(true)),
            (r#"team eq "A""#, Ok(true)),
            (r#"urn:example:kept:floor eq "3""#, Ok(true)),
            ("urn:example:kept:room pr", Ok(false)),
            ("name.nickname pr", Ok(false)),
            ("emails[comment pr]", Ok(false)),
            ("company pr", Err("company")),
            ("not (company pr)", Err("company")),
            (r#"company.city eq "x""#, Err("company.city")),
            (r#"sites[type eq "x"]"#, Err("sites")),
            ("urn:example:other:floor pr", Err("urn:example:other:floor")),
            ("title pr and company pr", Err("company")),
            ("company pr and nickName pr", Ok(false)),
            ("company pr or title pr", Ok(true)),
            ("company pr or nickName pr", Err("company")),
            ("not (company pr and nickName pr)", Ok(true)),
            ("not (company pr or title pr)", Ok(false)),
            ("company pr or (city pr and title pr)", Err("company")),
            (
                "(company pr or city pr) and nickName pr or title pr",
                Ok(true),
            ),
        ] {
            let filter = parse(filter).unwrap();
            let known = filter.known(kept, ResourceType::User, &schemas());
            let known = known.map_err(ToString::to_string);
            assert_eq!(known, expected.map_err(str::to_owned), "{filter}");
        }
    }
}

//! Filters lowered to SQL: what an index can answer becomes a condition with parameters, and the rest is left to the
//! evaluation in memory. A condition never leaves out a resource that matches, and only where it is `exact` does it
//! stand alone.

use std::borrow::Cow;

use rusqlite::types::Value;
use rusqlite::{Connection, Statement};

use super::users::Status;
use super::{Error, groups, id, text, users};
use crate::scim::filter::evaluate::{Collation, Key};
use crate::scim::filter::{CompareOp, Filter, Literal, Scope};
use crate::scim::fold::fold;
use crate::scim::path::AttrPath;
use crate::scim::schema::{Place, ResourceType, Schemas};

/// The SQL condition for a filter.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The text, to stand behind AND.
    pub sql: String,
    /// Its parameters, in order.
    pub parameters: Vec<Value>,
    /// The resources that it selects are those that match, not more.
    pub exact: bool,
    /// It selects few resources, by an index.
    pub indexed: bool,
}

/// The condition that everything meets.
const EVERYTHING: &str = "1";

/// Bytes of a condition up to which its statements stay prepared: those of the filters that identity providers send, of one
/// term or a few. There is no end of longer ones, which clients make up, and each can take a megabyte.
const BRIEF: usize = 384;

impl Condition {
    /// Runs `sql`, a statement that holds this condition.
    pub fn run<T, E: From<Error>>(
        &self,
        connection: &Connection,
        sql: &str,
        run: impl FnOnce(&mut Statement<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        match self.is_brief() {
            true => run(&mut *connection.prepare_cached(sql).map_err(Error::from)?),
            false => run(&mut connection.prepare(sql).map_err(Error::from)?),
        }
    }

    /// This condition, if SQLite takes the statement that `sql` makes of it. A filter may be nested deeper than a statement;
    /// then one that all meet, so that memory tells about the filter.
    pub fn within_bounds(
        &self,
        connection: &Connection,
        sql: impl Fn(&Self) -> String,
    ) -> Cow<'_, Self> {
        match self.is_brief() || connection.prepare(&sql(self)).is_ok() {
            true => Cow::Borrowed(self),
            false => Cow::Owned(Self::everything(false)),
        }
    }

    fn is_brief(&self) -> bool {
        self.sql.len() <= BRIEF
    }

    /// Whether it leaves nothing out.
    pub fn is_met_by_all(&self) -> bool {
        self.sql == EVERYTHING
    }

    /// Selects everything; as a lowered filter, one that SQL cannot tell about.
    fn everything(exact: bool) -> Self {
        Self {
            sql: EVERYTHING.to_owned(),
            parameters: Vec::new(),
            exact,
            indexed: false,
        }
    }

    /// Selects few, by an index.
    fn few(sql: &str, parameters: impl Into<Vec<Value>>) -> Self {
        Self {
            sql: sql.to_owned(),
            parameters: parameters.into(),
            exact: true,
            indexed: true,
        }
    }
}

/// The condition for the resources of a type that `filter` matches, among those that SCIM sees; for all if there is
/// none.
pub fn condition(
    filter: Option<&Filter>,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Condition {
    let visible = match resource_type {
        ResourceType::User => users::VISIBLE,
        ResourceType::Group => groups::VISIBLE,
    };
    lowered(filter, resource_type, schemas, visible)
}

/// The condition for the users that `filter` matches, hidden ones among them.
pub fn condition_of_accounts(filter: Option<&Filter>, schemas: &Schemas) -> Condition {
    lowered(filter, ResourceType::User, schemas, "1")
}

fn lowered(
    filter: Option<&Filter>,
    resource_type: ResourceType,
    schemas: &Schemas,
    among: &'static str,
) -> Condition {
    match filter {
        None => Condition::everything(true),
        Some(filter) => Lowering {
            resource_type,
            scope: Scope::Resource(resource_type, schemas),
            among,
        }
        .lower(filter),
    }
}

struct Lowering<'a> {
    resource_type: ResourceType,
    scope: Scope<'a>,
    /// Which rows of the table count, as SQL.
    among: &'static str,
}

impl Lowering<'_> {
    fn lower(&self, filter: &Filter) -> Condition {
        match filter {
            Filter::And(terms) => {
                let mut terms: Vec<_> = terms.iter().map(|term| self.lower(term)).collect();
                let indexed = terms.iter().any(|term| term.indexed);
                for term in terms.iter_mut().filter(|term| indexed && !term.indexed) {
                    // The plus keeps SQLite from the index of a term that selects many.
                    term.sql = format!("+({})", term.sql);
                }
                join(terms, " AND ", indexed)
            }
            Filter::Or(terms) => {
                let terms: Vec<_> = terms.iter().map(|term| self.lower(term)).collect();
                match terms.iter().all(|term| term.indexed) {
                    true => self.any_by_index(terms),
                    false => join(terms, " OR ", false),
                }
            }
            Filter::Not(term) => {
                let term = self.lower(term);
                match term.exact {
                    // A comparison with a missing value is null in SQL and false in memory.
                    true => Condition {
                        sql: format!("NOT coalesce({}, 0)", term.sql),
                        indexed: false,
                        ..term
                    },
                    false => Condition::everything(false),
                }
            }
            Filter::Compare { attr, op, value } => self.compare(attr, *op, value),
            Filter::Element { attr, filter } => self.element(attr, filter),
            Filter::Present(_) => Condition::everything(false),
        }
    }

    /// Terms of which each selects few. Each looks for its own rows, because inside an `OR` SQLite takes no partial
    /// index and walks the table.
    fn any_by_index(&self, mut terms: Vec<Condition>) -> Condition {
        let table = match self.resource_type {
            ResourceType::User => users::TABLE,
            ResourceType::Group => groups::TABLE,
        };
        let among = self.among;
        for term in &mut terms {
            term.sql = format!("SELECT seq FROM {table} WHERE {among} AND {}", term.sql);
        }
        let any = join(terms, " UNION ALL ", true);
        Condition {
            sql: format!("seq IN {}", any.sql),
            ..any
        }
    }

    /// A comparison of one of the attributes that have a column and an index.
    fn compare(&self, attr: &AttrPath, op: CompareOp, literal: &Literal) -> Condition {
        let unknown = Condition::everything(false);
        let meaning = self.scope.meaning(attr);
        let (
            Place::Known {
                urn: None,
                attribute,
            },
            Some(compared),
        ) = (meaning.place, meaning.compared())
        else {
            return unknown;
        };
        let literal = serde_json::Value::from(literal);
        let key = Collation::of(compared).and_then(|collation| collation.key(&literal));
        match (attribute.name, compared.name, key) {
            ("meta", "lastModified", Some(Key::Instant(at)))
                if at.subsec_nanosecond() % 1_000_000 == 0 =>
            {
                match ordering(op) {
                    Some(operator) => Condition {
                        indexed: op == CompareOp::Equal,
                        ..Condition::few(
                            &format!("modified {operator} ?"),
                            [text::instant(at).into()],
                        )
                    },
                    None => unknown,
                }
            }
            ("active", _, Some(Key::Boolean(active))) if op == CompareOp::Equal => {
                let status = match active {
                    true => Status::Active,
                    false => Status::Preserved,
                };
                Condition {
                    indexed: false,
                    ..Condition::few("status = ?", [status.as_str().to_owned().into()])
                }
            }
            (attribute, sub, Some(Key::Text(key))) if op == CompareOp::Equal => {
                self.equal_text(attribute, sub, &key).unwrap_or(unknown)
            }
            _ => unknown,
        }
    }

    /// The condition for a text attribute that equals what has this key; none if no index knows it.
    fn equal_text(&self, attribute: &str, sub: &str, key: &str) -> Option<Condition> {
        let value = || [Value::from(key.to_owned())];
        let by_id = || {
            let (row, id) = id::key(key);
            [Value::from(row), id.to_owned().into()]
        };
        Some(match (self.resource_type, attribute, sub) {
            (_, "id", _) => Condition::few("seq = ? AND id = ?", by_id()),
            (_, "externalId", _) => Condition::few("external_id = ?", value()),
            (ResourceType::User, "userName", _) => Condition::few("user_name_key = ?", value()),
            (ResourceType::User, "displayName", _) => {
                Condition::few("display_name_key = ?", value())
            }
            (ResourceType::Group, "displayName", _) => {
                Condition::few("display_name_key = ?", value())
            }
            (ResourceType::User, "emails", "value") => Condition::few(
                "seq IN (SELECT user FROM user_email WHERE value_key = ?)",
                value(),
            ),
            // By an index, but a group may have 100,000 members.
            (ResourceType::User, "groups", "value") => Condition {
                indexed: false,
                ..Condition::few(
                    "seq IN (WITH RECURSIVE below (seq) AS (\
                         SELECT seq FROM \"group\" WHERE seq = ? AND id = ? \
                         UNION \
                         SELECT subgroup FROM group_group JOIN below ON group_group.\"group\" = below.seq\
                     ) SELECT user FROM below CROSS JOIN group_user ON group_user.\"group\" = below.seq)",
                    by_id(),
                )
            },
            (ResourceType::Group, "members", "value") => Condition::few(
                "seq IN (\
                     SELECT \"group\" FROM group_user \
                     WHERE user = (SELECT seq FROM user WHERE seq = ? AND id = ?) \
                     UNION ALL \
                     SELECT \"group\" FROM group_group \
                     WHERE subgroup = (SELECT seq FROM \"group\" WHERE seq = ? AND id = ?))",
                [by_id(), by_id()].concat(),
            ),
            _ => return None,
        })
    }

    /// `emails[type eq "work" and value eq "x"]`: the index finds who has the value, memory looks at the rest.
    fn element(&self, attr: &AttrPath, filter: &Filter) -> Condition {
        let terms = match filter {
            Filter::And(terms) => terms.as_slice(),
            term => std::slice::from_ref(term),
        };
        let meaning = self.scope.meaning(attr);
        let value = terms.iter().find_map(|term| match term {
            Filter::Compare {
                attr,
                op: CompareOp::Equal,
                value: Literal::String(value),
            } if attr.name.eq_ignore_ascii_case("value") => Some(value),
            _ => None,
        });
        let (
            Place::Known {
                urn: None,
                attribute,
            },
            Some(value),
        ) = (meaning.place, value)
        else {
            return Condition::everything(false);
        };
        let key = match attribute.sub("value") {
            Some(sub) if sub.case_exact => value.clone(),
            _ => fold(value).into_owned(),
        };
        match self.equal_text(attribute.name, "value", &key) {
            Some(condition) => Condition {
                exact: terms.len() == 1,
                ..condition
            },
            None => Condition::everything(false),
        }
    }
}

fn join(terms: Vec<Condition>, operator: &str, indexed: bool) -> Condition {
    let texts: Vec<_> = terms.iter().map(|term| term.sql.as_str()).collect();
    Condition {
        sql: format!("({})", texts.join(operator)),
        exact: terms.iter().all(|term| term.exact),
        indexed,
        parameters: terms.into_iter().flat_map(|term| term.parameters).collect(),
    }
}

/// The SQL operator of a comparison that orders.
fn ordering(op: CompareOp) -> Option<&'static str> {
    match op {
        CompareOp::Equal => Some("="),
        CompareOp::NotEqual => Some("<>"),
        CompareOp::Greater => Some(">"),
        CompareOp::GreaterOrEqual => Some(">="),
        CompareOp::Less => Some("<"),
        CompareOp::LessOrEqual => Some("<="),
        CompareOp::Contains | CompareOp::StartsWith | CompareOp::EndsWith => None,
    }
}

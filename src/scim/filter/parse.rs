//! The grammar of filters (RFC 7644 §3.4.2.2, figure 1) by recursive descent: `not` binds tighter than `and`, `and`
//! tighter than `or`. A comparison that cannot hold for its attribute's type is refused here, so that evaluation, in
//! memory or in SQL, never meets one. Every refusal is `invalidFilter` and names the byte at which it arose.

use serde_json::Number;

use super::evaluate::check;
use super::{CompareOp, Filter, Literal, Scope};
use crate::scim::path::{self, AttrPath};
use crate::scim::schema::{Attribute, ResourceType, Schemas, Type};
use crate::scim::{Error, ScimType};

/// How deep parentheses and brackets may nest: far above what clients send, far below what a stack holds.
pub const MAX_DEPTH: usize = 32;
/// How many comparisons a filter may hold: each is a term of the SQL statement.
pub const MAX_TERMS: usize = 256;

impl Filter {
    /// Reads a filter on resources of a type. An attribute that no schema has is no error: it matches only where a
    /// resource holds it nevertheless, as the one does on which a mapping is tried.
    pub fn parse(
        text: &str,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Result<Self, Error> {
        Parser::new(text, Scope::Resource(resource_type, schemas)).whole()
    }

    /// Reads the filter of a valuePath on `attribute`, whose `[` is at byte `open` of `text`. Gives it with the text
    /// behind its `]`.
    pub(in crate::scim) fn parse_bracket<'a>(
        text: &'a str,
        open: usize,
        attribute: Option<&'a Attribute>,
    ) -> Result<(Self, &'a str), Error> {
        let mut parser = Parser::new(text, Scope::Element(attribute));
        parser.at = open;
        if !parser.eat('[') {
            return Err(parser.error("`[` is expected"));
        }
        let filter = parser.enclosed(']')?;
        Ok((filter, parser.rest()))
    }
}

/// A place in the text, and what has been spent of the limits.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    terms: usize,
    scope: Scope<'a>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, scope: Scope<'a>) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            terms: 0,
            scope,
        }
    }

    fn whole(mut self) -> Result<Filter, Error> {
        let filter = self.disjunction()?;
        self.skip_blanks();
        if self.rest().is_empty() {
            Ok(filter)
        } else {
            Err(self.error("`and`, `or` or the end is expected"))
        }
    }

    fn disjunction(&mut self) -> Result<Filter, Error> {
        self.chain("or", Self::conjunction, Filter::Or)
    }

    fn conjunction(&mut self) -> Result<Filter, Error> {
        self.chain("and", Self::term, Filter::And)
    }

    /// One `part`, or several with `word` between them.
    fn chain(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Filter, Error>,
        join: fn(Vec<Filter>) -> Filter,
    ) -> Result<Filter, Error> {
        let first = part(self)?;
        if !self.eat_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first, part(self)?];
        while self.eat_word(word) {
            parts.push(part(self)?);
        }
        Ok(join(parts))
    }

    /// A group, a negation, a valuePath or a comparison. `not` is an operator only before a parenthesis.
    fn term(&mut self) -> Result<Filter, Error> {
        self.skip_blanks();
        if self.eat('(') {
            return self.enclosed(')');
        }
        let start = self.at;
        let word = self.word();
        let end = self.at;
        if word.eq_ignore_ascii_case("not") {
            self.skip_blanks();
            if self.eat('(') {
                return Ok(Filter::Not(Box::new(self.enclosed(')')?)));
            }
            self.at = end;
        }
        let attr = self.attr_path(word, start)?;
        if self.eat('[') {
            self.value_path(attr, start)
        } else {
            self.comparison(attr, start)
        }
    }

    /// A filter up to `close`, whose counterpart has been read.
    fn enclosed(&mut self, close: char) -> Result<Filter, Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("a filter nests at most {MAX_DEPTH} deep")));
        }
        let filter = self.disjunction()?;
        self.skip_blanks();
        if !self.eat(close) {
            return Err(self.error(format!("`and`, `or` or `{close}` is expected")));
        }
        self.depth -= 1;
        Ok(filter)
    }

    /// `attr[filter]`, or `attr[filter].sub op value`, which becomes one more term of the filter.
    fn value_path(&mut self, attr: AttrPath, start: usize) -> Result<Filter, Error> {
        let attribute = self.scope.meaning(&attr).attribute();
        if matches!(self.scope, Scope::Element(_))
            || attr.sub.is_some()
            || attribute.is_some_and(|attribute| attribute.ty != Type::Complex)
        {
            return Err(self.error_at(
                start,
                // What nobody knows may be a value that a client has put there.
                match attribute {
                    Some(_) => format!("`{attr}` has no elements with sub-attributes"),
                    None => "this has no elements with sub-attributes".to_owned(),
                },
            ));
        }
        let outer = std::mem::replace(&mut self.scope, Scope::Element(attribute));
        let mut filter = self.enclosed(']')?;
        if self.eat('.') {
            let start = self.at;
            let word = self.word();
            let sub = self.attr_path(word, start)?;
            let last = self.comparison(sub, start)?;
            filter = match filter {
                Filter::And(mut terms) => {
                    terms.push(last);
                    Filter::And(terms)
                }
                other => Filter::And(vec![other, last]),
            };
        }
        self.scope = outer;
        Ok(Filter::Element {
            attr,
            filter: Box::new(filter),
        })
    }

    /// `pr`, or an operator and a value.
    fn comparison(&mut self, attr: AttrPath, start: usize) -> Result<Filter, Error> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.error_at(
                start,
                format!("a filter has at most {MAX_TERMS} comparisons"),
            ));
        }
        self.skip_blanks();
        let operator_at = self.at;
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(attr));
        }
        let op = CompareOp::ALL
            .into_iter()
            .find(|op| word.eq_ignore_ascii_case(op.as_str()))
            .ok_or_else(|| {
                self.error_at(
                    operator_at,
                    "an operator is expected: pr, eq, ne, co, sw, ew, gt, ge, lt or le",
                )
            })?;
        let value = self.literal()?;
        if let Err(why) = check(&self.scope.meaning(&attr), op, &value) {
            return Err(self.error_at(operator_at, format!("`{attr}` {why}")));
        }
        Ok(Filter::Compare { attr, op, value })
    }

    /// The attribute that `word`, read at `start`, names; in an element, a sub-attribute without a URN.
    fn attr_path(&self, word: &str, start: usize) -> Result<AttrPath, Error> {
        let attr = match self.scope {
            Scope::Resource(..) | Scope::Mapping(_) => AttrPath::parse(word).ok(),
            Scope::Element(_) => path::is_name(word).then(|| AttrPath {
                urn: None,
                name: word.to_owned(),
                sub: None,
            }),
        };
        attr.ok_or_else(|| {
            let what = match self.scope {
                Scope::Resource(..) | Scope::Mapping(_) => "an attribute is expected",
                Scope::Element(_) => "a sub-attribute is expected",
            };
            self.error_at(start, what)
        })
    }

    fn literal(&mut self) -> Result<Literal, Error> {
        self.skip_blanks();
        if self.rest().starts_with('"') {
            return self.string();
        }
        let start = self.at;
        let word = self.word();
        if word.is_empty() || word.starts_with('\'') {
            return Err(self.error_at(start, "a value is expected; text stands in double quotes"));
        }
        Ok(unquoted(word))
    }

    /// A JSON string with its escapes (C-17).
    fn string(&mut self) -> Result<Literal, Error> {
        let mut escaped = false;
        let end = self
            .rest()
            .char_indices()
            .skip(1)
            .find(|&(_, c)| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            })
            .map(|(index, _)| index + 1);
        let text = end.and_then(|end| self.rest().get(..end));
        let decoded = text.and_then(|text| serde_json::from_str(text).ok());
        let (Some(text), Some(decoded)) = (text, decoded) else {
            return Err(self.error("the text has no closing quote, or is no JSON string"));
        };
        self.at += text.len();
        Ok(Literal::String(decoded))
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let eaten = self.rest().starts_with(wanted);
        if eaten {
            self.at += wanted.len_utf8();
        }
        eaten
    }

    /// Reads up to a blank, a bracket, a parenthesis or a quote.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest
            .find(|c: char| c.is_whitespace() || "[]()\"".contains(c))
            .unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    /// Reads `wanted`, in any letter case, or nothing.
    fn eat_word(&mut self, wanted: &str) -> bool {
        self.skip_blanks();
        let start = self.at;
        let eaten = self.word().eq_ignore_ascii_case(wanted);
        if !eaten {
            self.at = start;
        }
        eaten
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        self.error_at(self.at, what)
    }

    fn error_at(&self, at: usize, what: impl std::fmt::Display) -> Error {
        Error::new(
            ScimType::InvalidFilter,
            format!("invalid filter at byte {at}: {what}"),
        )
    }
}

/// What a value without quotes is: a word of JSON in any letter case, a number, else text (C-14, C-16). A number that
/// would print otherwise, such as `007` or one of thirty digits, stays text, because it may be an id.
fn unquoted(word: &str) -> Literal {
    if word.eq_ignore_ascii_case("null") {
        return Literal::Null;
    }
    for boolean in [true, false] {
        if word.eq_ignore_ascii_case(&boolean.to_string()) {
            return Literal::Boolean(boolean);
        }
    }
    let number = word
        .parse::<u64>()
        .map(Number::from)
        .or_else(|_| word.parse::<i64>().map(Number::from))
        .ok()
        .or_else(|| word.parse().ok().and_then(Number::from_f64));
    match number {
        Some(number) if number.to_string() == word => Literal::Number(number),
        _ => Literal::String(word.to_owned()),
    }
}

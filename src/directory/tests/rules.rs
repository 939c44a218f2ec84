//! The mappings of the model: whom each takes as a user is sent, and as it is stored.

use super::acts::{DEPARTMENTS, Target, Whom};

pub struct Rule {
    pub whom: Whom,
    pub target: Target,
}

impl Rule {
    pub fn is_any(&self) -> bool {
        matches!(self.whom, Whom::Any)
    }

    /// Whether it takes a new user with these departments in the custom and the enterprise extension. Values of an
    /// attribute compare with regard to case, those of a filter without.
    fn takes(&self, custom: Option<usize>, enterprise: Option<usize>) -> bool {
        let in_filter = |found: Option<usize>, wanted: usize| {
            found.is_some_and(|found| DEPARTMENTS[found].eq_ignore_ascii_case(DEPARTMENTS[wanted]))
        };
        match self.whom {
            Whom::Any => true,
            Whom::Bare(wanted) => custom.or(enterprise) == Some(wanted),
            Whom::Filter(wanted) => in_filter(custom.or(enterprise), wanted),
            Whom::Enterprise(wanted) => in_filter(enterprise, wanted),
        }
    }
}

/// What the mappings give a new user.
pub fn decide(rules: &[Rule], custom: Option<usize>, enterprise: Option<usize>) -> Option<&Target> {
    let winner = rules.iter().find(|rule| rule.takes(custom, enterprise));
    winner.map(|rule| &rule.target)
}

/// What the mappings give a stored user: none if none does, or if nobody can know which.
pub fn decide_again(rules: &[Rule], enterprise: Option<usize>) -> Option<&Target> {
    for rule in rules {
        match rule.whom {
            // It may have been one of the custom extension.
            Whom::Bare(_) | Whom::Filter(_) => return None,
            Whom::Any | Whom::Enterprise(_) if rule.takes(None, enterprise) => {
                return Some(&rule.target);
            }
            Whom::Any | Whom::Enterprise(_) => {}
        }
    }
    None
}

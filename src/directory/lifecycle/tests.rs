//! The life of an account as a table: every state with every event, what becomes of it and which text says so. The
//! diagram in ARCHITECTURE.md is held to it.

use std::collections::BTreeSet;

use super::*;

/// The states by their names in the diagram; legal hold goes with any of them.
const STATES: &[(&str, Option<PreservedBy>, ManagedBy, bool)] = &[
    ("active", None, ManagedBy::Idp, true),
    ("idp", Some(PreservedBy::Idp), ManagedBy::Idp, true),
    ("admin", Some(PreservedBy::Admin), ManagedBy::Idp, true),
    ("idp_hidden", Some(PreservedBy::Idp), ManagedBy::Idp, false),
    (
        "admin_hidden",
        Some(PreservedBy::Admin),
        ManagedBy::Idp,
        false,
    ),
    ("hand", None, ManagedBy::Manual, true),
    (
        "hand_admin",
        Some(PreservedBy::Admin),
        ManagedBy::Manual,
        true,
    ),
    ("hand_idp", Some(PreservedBy::Idp), ManagedBy::Manual, true),
    (
        "hand_idp_hidden",
        Some(PreservedBy::Idp),
        ManagedBy::Manual,
        false,
    ),
    (
        "hand_admin_hidden",
        Some(PreservedBy::Admin),
        ManagedBy::Manual,
        false,
    ),
];

/// The events by their names in the diagram. What SCIM sees is written to; what it does not see, a POST brings back.
const EVENTS: &[(&str, Event)] = &[
    ("active=true", Event::Written { active: true }),
    ("active=false", Event::Written { active: false }),
    ("DELETE", Event::Removed),
    ("POST active=true", Event::Returned { active: true }),
    ("POST active=false", Event::Returned { active: false }),
    ("user preserve", Event::Preserved),
    ("user activate", Event::Activated),
];

/// Not possible: SCIM answers 404 for what it does not see, and a POST of a name that it sees is a conflict or a write.
const NEVER: &str = "never asked";
const REFUSED: &str = "refused";

/// State, event, what becomes of it, and why.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("active", "active=true",       "active",       "design §3.8"),
    ("active", "active=false",      "idp",          "design §3.7"),
    ("active", "DELETE",            "idp_hidden",   "design §3.7"),
    ("active", "POST active=true",  NEVER,          "design §8 Statuses: 409"),
    ("active", "POST active=false", NEVER,          "design §8 Statuses: 409"),
    ("active", "user preserve",     "admin",        "design §8 Preserved"),
    ("active", "user activate",     "active",       "design §8 Preserved"),

    ("idp", "active=true",          "active",       "design §3.8"),
    ("idp", "active=false",         "idp",          "design §3.7"),
    ("idp", "DELETE",               "idp_hidden",   "design §3.7"),
    ("idp", "POST active=true",     NEVER,          "design §8 Statuses: 409, also when inactive"),
    ("idp", "POST active=false",    NEVER,          "design §8 Statuses: 409, also when inactive"),
    ("idp", "user preserve",        "admin",        "design §8 Preserved: also on top of idp"),
    ("idp", "user activate",        "active",       "design §5"),

    ("admin", "active=true",        REFUSED,        "design §3.8"),
    ("admin", "active=false",       "admin",        "design §8 Preserved"),
    ("admin", "DELETE",             "admin_hidden", "design §8 Preserved: stays so through a DELETE"),
    ("admin", "POST active=true",   NEVER,          "design §8 Statuses: 409, also when inactive"),
    ("admin", "POST active=false",  NEVER,          "design §8 Statuses: 409, also when inactive"),
    ("admin", "user preserve",      "admin",        "design §8 Preserved"),
    ("admin", "user activate",      "active",       "design §5"),

    ("idp_hidden", "active=true",       NEVER,          "design §3.7: its id answers 404"),
    ("idp_hidden", "active=false",      NEVER,          "design §3.7: its id answers 404"),
    ("idp_hidden", "DELETE",            NEVER,          "design §3.7: its id answers 404"),
    ("idp_hidden", "POST active=true",  "active",       "design §3.7: a later POST brings that account back"),
    ("idp_hidden", "POST active=false", "idp",          "design §3.7, §8 Preserved"),
    ("idp_hidden", "user preserve",     "admin_hidden", "design §8 Preserved: also on top of idp"),
    ("idp_hidden", "user activate",     REFUSED,        "design §3.7: the identity provider brings it back"),

    ("admin_hidden", "active=true",       NEVER,        "design §3.7: its id answers 404"),
    ("admin_hidden", "active=false",      NEVER,        "design §3.7: its id answers 404"),
    ("admin_hidden", "DELETE",            NEVER,        "design §3.7: its id answers 404"),
    ("admin_hidden", "POST active=true",  REFUSED,      "design §3.8"),
    ("admin_hidden", "POST active=false", "admin",      "design §8 Preserved"),
    ("admin_hidden", "user preserve",     "admin_hidden", "design §8 Preserved"),
    ("admin_hidden", "user activate",     "idp_hidden", "design §3.7, §3.8: left to the identity provider again"),

    ("hand", "active=true",         "active",       "design §3.9"),
    ("hand", "active=false",        "idp",          "design §3.9, §3.7"),
    ("hand", "DELETE",              "idp_hidden",   "design §3.9, §3.7"),
    ("hand", "POST active=true",    NEVER,          "design §3.9: it is adopted by a write"),
    ("hand", "POST active=false",   NEVER,          "design §3.9: it is adopted by a write"),
    ("hand", "user preserve",       "hand_admin",   "design §8 Preserved"),
    ("hand", "user activate",       "hand",         "design §8 Preserved"),

    ("hand_admin", "active=true",       REFUSED,        "design §3.8"),
    ("hand_admin", "active=false",      "admin",        "design §3.9, §8 Preserved"),
    ("hand_admin", "DELETE",            "admin_hidden", "design §3.9, §8 Preserved"),
    ("hand_admin", "POST active=true",  NEVER,          "design §3.9: it is adopted by a write"),
    ("hand_admin", "POST active=false", NEVER,          "design §3.9: it is adopted by a write"),
    ("hand_admin", "user preserve",     "hand_admin",   "design §8 Preserved"),
    ("hand_admin", "user activate",     "hand",         "design §5"),

    ("hand_idp", "active=true",         "active",       "design §3.9, §3.8"),
    ("hand_idp", "active=false",        "idp",          "design §3.9, §3.7"),
    ("hand_idp", "DELETE",              "idp_hidden",   "design §3.9, §3.7"),
    ("hand_idp", "POST active=true",    NEVER,          "design §3.9: it is adopted by a write"),
    ("hand_idp", "POST active=false",   NEVER,          "design §3.9: it is adopted by a write"),
    ("hand_idp", "user preserve",       "hand_admin",   "design §8 Preserved: also on top of idp"),
    ("hand_idp", "user activate",       "hand",         "design §5"),

    ("hand_idp_hidden", "active=true",       NEVER,     "design §3.7: its id answers 404"),
    ("hand_idp_hidden", "active=false",      NEVER,     "design §3.7: its id answers 404"),
    ("hand_idp_hidden", "DELETE",            NEVER,     "design §3.7: its id answers 404"),
    ("hand_idp_hidden", "POST active=true",  "active",  "design §3.7, §3.9"),
    ("hand_idp_hidden", "POST active=false", "idp",     "design §3.7, §3.9"),
    ("hand_idp_hidden", "user preserve",     "hand_admin_hidden", "design §8 Preserved: also on top of idp"),
    ("hand_idp_hidden", "user activate",     REFUSED,   "design §3.7: the identity provider brings it back"),

    ("hand_admin_hidden", "active=true",       NEVER,   "design §3.7: its id answers 404"),
    ("hand_admin_hidden", "active=false",      NEVER,   "design §3.7: its id answers 404"),
    ("hand_admin_hidden", "DELETE",            NEVER,   "design §3.7: its id answers 404"),
    ("hand_admin_hidden", "POST active=true",  REFUSED, "design §3.8"),
    ("hand_admin_hidden", "POST active=false", "admin", "design §8 Preserved, §3.9"),
    ("hand_admin_hidden", "user preserve",     "hand_admin_hidden", "design §8 Preserved"),
    ("hand_admin_hidden", "user activate",     "hand_idp_hidden", "design §3.7, §3.8: left to the identity provider again"),
];

/// How an account comes to be, as the diagram has it.
const CREATED: &[(&str, &str, &str)] = &[
    ("POST active=true", "active", "design §3.3"),
    (
        "POST active=false",
        "idp",
        "design §8 Preserved: also at creation",
    ),
    ("user add", "hand", "design §3.9"),
    ("user import", "hand", "design §3.9"),
    ("user import", "hand_admin", "design §3.9, §8 Preserved"),
    ("user import", "hand_idp", "design §3.9, §8 Preserved"),
    (
        "user import",
        "hand_idp_hidden",
        "design §3.9, §8 Preserved",
    ),
    (
        "user import",
        "hand_admin_hidden",
        "design §3.9, §8 Preserved",
    ),
];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn standing(state: &str, since: Timestamp, legal_hold: bool) -> Standing {
    let found = STATES.iter().find(|(name, ..)| *name == state);
    let (_, by, managed_by, visible) = *found.unwrap_or_else(|| panic!("no state {state}"));
    Standing {
        preserved: by.map(|by| (by, since)),
        managed_by,
        visible,
        legal_hold,
    }
}

#[test]
fn every_state_goes_where_the_table_says_with_every_event() {
    let mut rows = TABLE.iter();
    let (then, now) = (at(1), at(2));
    for (state, ..) in STATES {
        for (name, event) in EVENTS {
            let Some((from, by, to, source)) = rows.next() else {
                panic!("no row for {state}, {name}")
            };
            assert_eq!(
                (from, by),
                (state, name),
                "in the order of the states and the events"
            );
            for held in [false, true] {
                let before = standing(state, then, held);
                let case = format!("{state} {name} {to}: {source}");
                match *to {
                    NEVER => {}
                    REFUSED => {
                        let refusal = after(before, *event, now).unwrap_err();
                        assert_eq!(refusal.status(), 403, "{case}");
                    }
                    to => {
                        // The days of what is preserved are counted from when it stopped.
                        let since = before.preserved.map_or(now, |(_, since)| since);
                        let after = after(before, *event, now).unwrap();
                        assert_eq!(after, standing(to, since, held), "{case}");
                    }
                }
            }
        }
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn an_account_begins_as_the_table_says() {
    let (then, now) = (at(1), at(2));
    for (event, state, source) in CREATED {
        for legal_hold in [false, true] {
            let wanted = standing(state, then, legal_hold);
            let event = match *event {
                "POST active=true" => Event::Written { active: true },
                "POST active=false" => Event::Written { active: false },
                _ => Event::Made {
                    preserved: wanted.preserved,
                    removed: !wanted.visible,
                    legal_hold,
                },
            };
            let made = after(NEW, event, now).unwrap();
            let expected = match event {
                Event::Made { .. } => wanted,
                _ => standing(state, now, false),
            };
            assert_eq!(made, expected, "{state}: {source}");
        }
    }
}

#[test]
fn what_no_account_can_be_is_not_made() {
    for (preserved, removed) in [
        (None, true),
        (Some((PreservedBy::Idp, at(3))), false),
        (Some((PreservedBy::Admin, at(3))), true),
    ] {
        let made = Event::Made {
            preserved,
            removed,
            legal_hold: false,
        };
        let refusal = after(NEW, made, at(2)).unwrap_err();
        assert_eq!(refusal.status(), 400, "{preserved:?} {removed}");
    }
}

#[test]
fn a_legal_hold_goes_with_every_state_and_changes_no_other_part_of_it() {
    for (state, ..) in STATES {
        for held in [false, true] {
            let before = standing(state, at(1), held);
            for (event, hold) in [(Event::Held, true), (Event::Released, false)] {
                let after = after(before, event, at(2)).unwrap();
                assert_eq!(after, standing(state, at(1), hold), "{state} {event:?}");
            }
        }
    }
}

/// Design §3.10: never what is active, never under legal hold.
#[test]
fn what_is_preserved_and_not_held_may_be_deleted() {
    for (state, preserved, ..) in STATES {
        for held in [false, true] {
            let may = may_be_deleted(standing(state, at(1), held)).is_ok();
            assert_eq!(may, preserved.is_some() && !held, "{state} {held}");
        }
    }
}

#[test]
fn the_diagram_shows_every_change_of_the_table_and_no_other() {
    let text = include_str!("../../../ARCHITECTURE.md");
    let (_, diagram) = text.split_once("stateDiagram-v2").unwrap();
    let (diagram, _) = diagram.split_once("```").unwrap();
    let arrow = |line: &str| {
        let (from, rest) = line.trim().split_once(" --> ")?;
        let (to, event) = rest.split_once(": ").unwrap();
        Some([from, to, event].map(str::to_owned))
    };
    let drawn: BTreeSet<_> = diagram.lines().filter_map(arrow).collect();

    let changes = TABLE
        .iter()
        .filter(|(from, _, to, _)| ![*from, NEVER, REFUSED].contains(to))
        .map(|(from, event, to, _)| [*from, *to, *event]);
    let created = CREATED.iter().map(|(event, to, _)| ["[*]", *to, *event]);
    let deleted = STATES
        .iter()
        .filter(|(_, preserved, ..)| preserved.is_some())
        .map(|(state, ..)| [*state, "[*]", "user delete"]);
    let told = changes.chain(created).chain(deleted);
    let told: BTreeSet<_> = told.map(|arrow| arrow.map(str::to_owned)).collect();
    assert_eq!(drawn, told);
}

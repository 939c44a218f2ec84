//! By what the clock is judged before anything is deleted because of it: what was the last that happened here, in the
//! order in which it happened, not of the instants that were written.

use jiff::Timestamp;
use rusqlite::Connection;

use super::{Error, text};

/// What the file tells of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// When somebody did something last: a request by a token or, while none was used, an audit row of another than the
    /// server itself. A clock that was ahead then has not made it later than what came after.
    pub alive: Option<Timestamp>,
    /// When the clock was last found to have leapt.
    pub leapt: Option<Timestamp>,
}

/// Reads the signs of life.
pub fn signs(connection: &Connection) -> Result<Signs, Error> {
    // Each use of a token brings later ones down to itself: the latest is the last.
    let (alive, leapt): (Option<String>, Option<String>) = connection.query_row(
        "SELECT coalesce((SELECT max(last_used) FROM token),
                         (SELECT at FROM audit WHERE actor <> 'server' ORDER BY seq DESC LIMIT 1)),
                (SELECT leapt FROM appliance)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let instant = |text: Option<String>| text.map(|text| text::parse_instant(0, &text)).transpose();
    Ok(Signs {
        alive: instant(alive)?,
        leapt: instant(leapt)?,
    })
}

/// Notes that the clock was found to have leapt, at `at` by itself.
pub fn note_leap(connection: &Connection, at: Timestamp) -> Result<(), Error> {
    connection.execute("UPDATE appliance SET leapt = ?1", [text::instant(at)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{audit, open, tokens};

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_000_000_000 + day * 86_400).unwrap()
    }

    #[test]
    fn a_clock_that_was_ahead_leaves_no_trace_behind_what_came_after() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(open::SCHEMA).unwrap();
        audit::insert_genesis(&connection, at(0)).unwrap();
        for id in ["a", "b"] {
            connection
                .execute(
                    "INSERT INTO token (id, name, scope, phc, fingerprint, created, expires)
                     VALUES (?1, ?1, 'provision', '', 0, ?2, ?2)",
                    (id, text::instant(at(0))),
                )
                .unwrap();
        }
        let alive = || signs(&connection).unwrap().alive;
        assert_eq!(alive(), None);
        for (id, day, last) in [("a", 1, 1), ("b", 2, 2), ("a", 365, 365), ("b", 3, 3)] {
            tokens::used(&connection, id, at(day)).unwrap();
            assert_eq!(alive(), Some(at(last)), "{id} on day {day}");
        }
        assert_eq!(signs(&connection).unwrap().leapt, None);
        note_leap(&connection, at(9)).unwrap();
        assert_eq!(signs(&connection).unwrap().leapt, Some(at(9)));
    }
}

//! Ids of resources. Each ends in the number of its row, so that resources are found by that, and no index is searched
//! first. The index on `id` is there for the view `accounts`, which has no row numbers, and for whoever reads it.

use rusqlite::Connection;
use uuid::Uuid;

use super::Error;

/// Where the number of the row begins in an id.
const ROW: usize = 24;

/// The number and the id of the next row of `table`, for who inserts it in the same transaction. The id is a UUID of
/// version 8, whose form is the program's own (RFC 9562 §5.8): it begins as one of version 7 and so sorts by the
/// millisecond in which it was made, and its last twelve digits are the number of the row in decimal. Beside a user and a
/// group in rows of one number, or a row whose number was another's before, 26 random bits tell two of one millisecond
/// apart.
pub fn next(connection: &Connection, table: &str) -> Result<(i64, String), Error> {
    let sql = format!("SELECT coalesce(max(seq), 0) + 1 FROM {table}");
    let row = connection
        .prepare_cached(&sql)?
        .query_row([], |row| row.get(0))?;
    let random = Uuid::new_v7(uuid::Timestamp::now(uuid::NoContext));
    Ok((row, at(row, random)))
}

/// The id that says this row.
fn at(row: i64, random: Uuid) -> String {
    let mut id = Uuid::new_v8(random.into_bytes()).to_string();
    id.truncate(ROW);
    id + &format!("{row:012}")
}

/// What finds the row with this id, as the parameters of `seq = ? AND id = ?`. That a row has the number says nothing
/// yet: all of the id has to be that row's.
pub fn key(id: &str) -> (i64, &str) {
    let row = id.get(ROW..).and_then(|number| number.parse().ok());
    (row.unwrap_or_default(), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_that_says_its_row_and_sorts_by_time() {
        for number in [1, 7_000_000, 999_999_999_999] {
            let id = at(number, Uuid::now_v7());
            assert_eq!(key(&id), (number, id.as_str()));
            assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 8);
            assert_eq!(Uuid::parse_str(&id).unwrap().to_string(), id);
        }
        let [earlier, later] = [1, 2].map(|second| {
            let time = uuid::Timestamp::from_unix(uuid::NoContext, second, 0);
            at(3 - second as i64, Uuid::new_v7(time))
        });
        assert!(earlier < later);
    }

    #[test]
    fn what_is_no_id_says_no_row() {
        for text in [
            "user--------------------99999999999999999999",
            "",
            "7",
            "ä",
            "-ääääääääääää7",
            "user--------------------seven",
        ] {
            assert_eq!(key(text), (0, text));
        }
    }
}

//! Ids of resources. Each ends in the number of its row, so that whoever has an id finds the row without a second search,
//! in an index. That there is an index on `id` too is for the readers of the view `accounts`.

use rusqlite::Connection;
use uuid::Uuid;

use super::Error;

/// Where the number of the row begins in an id.
const ROW: usize = 24;

/// The number and the id of the next row of `table`, for who inserts it in the same transaction. The id is a UUID
/// (RFC 9562 §5.8): of version 7, so that it sorts by the millisecond in which it was made, up to its last twelve digits,
/// which are the number of the row in decimal.
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

/// The number of the row that has this id, if any has it; what is no id gives the number of no row, or of one with another
/// id.
pub fn row(id: &str) -> i64 {
    let number = id.get(ROW..).and_then(|number| number.parse().ok());
    number.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_that_says_its_row_and_sorts_by_time() {
        for number in [1, 7_000_000, 999_999_999_999] {
            let id = at(number, Uuid::now_v7());
            assert_eq!(row(&id), number);
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
            "",
            "7",
            "ä",
            "-ääääääääääää7",
            "user--------------------seven",
        ] {
            assert_eq!(row(text), 0, "{text}");
        }
        assert_eq!(row("user--------------------99999999999999999999"), 0);
    }
}

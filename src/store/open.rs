//! Making and opening the database file: permissions, pragmas, and the check that its schema is this program's.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::migrate::{PRESENT, Plan};
use super::whole::{self, JOURNAL, Unfinished};
use super::{Error, lock};

/// The schema, the one truth about the tables.
pub const SCHEMA: &str = include_str!("../../schema.sql");
/// Marks a file as a Scimlite database: "Slit" in ASCII.
const APPLICATION_ID: i64 = 0x536c_6974;
/// How long to wait for another process that holds the write lock, such as a command beside the server.
pub const BUSY: Duration = Duration::from_secs(10);
/// Memory for pages that whoever writes has read or written, as SQLite takes it: in KiB, below zero. Most of what a change
/// touches in indexes is then there.
const WRITER_CACHE: i64 = -8 * 1024;
/// Prepared statements kept per connection: more than the program has.
const STATEMENTS: usize = 128;

/// Makes a new database file, readable by its owner alone, and fills it by `fill` in the same transaction. The file
/// appears under its name only when it is complete, and never in the place of another.
pub fn create<E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&Connection) -> Result<(), E>,
) -> Result<(), E> {
    let _shared = lock::shared(path)?;
    let failed = |error| Error::file(path, error);
    let unfinished = Unfinished::beside(path).map_err(failed)?;
    let connection = Connection::open(unfinished.path()).map_err(Error::from)?;
    let version = PRESENT.version();
    let begin = format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; BEGIN; {SCHEMA}
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};"
    );
    connection.execute_batch(&begin).map_err(Error::from)?;
    fill(&connection)?;
    connection.execute_batch("COMMIT").map_err(Error::from)?;
    connection
        .close()
        .map_err(|(_, error)| Error::from(error))?;
    whole::give_to_owner(unfinished.path(), whole::directory(path)).map_err(failed)?;
    unfinished.publish(false).map_err(failed)?;
    Ok(())
}

/// Opens a connection for changes, after the file has shown that it is this program's.
pub fn writable(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    verify(path, &connection, &PRESENT)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
    )?;
    connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
    Ok(connection)
}

/// Opens a connection that may write, to a file whose schema was not looked at and may be an older one.
pub fn unverified(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("PRAGMA synchronous = FULL;")?;
    Ok(connection)
}

/// Opens a read-only connection.
pub fn readable(path: &Path) -> Result<Connection, Error> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Opens a file that lies by itself, a backup, to read it. Where SQLite has put nothing beside it, it is read as it is:
/// that works on a medium that cannot be written, and leaves nothing beside it.
pub fn lone(path: &Path) -> Result<Connection, Error> {
    let found = path.metadata().map_err(|error| Error::file(path, error))?;
    if !found.is_file() {
        return Err(Error::file(path, "is no regular file; name a backup"));
    }
    let journal = whole::with_suffix(path, JOURNAL);
    if journal.metadata().is_ok_and(|found| found.len() > 0) {
        let what =
            "lies beside the backup: it was copied in the middle of a change; name another backup";
        return Err(Error::file(&journal, what));
    }
    if whole::companions(path).any(|companion| companion.exists()) {
        return readable(path);
    }
    let bare = path.as_os_str().as_encoded_bytes();
    let uri = format!(
        "file:{}?immutable=1",
        percent_encode(bare, NON_ALPHANUMERIC)
    );
    // SQLite says of any that it cannot read that it cannot open it.
    File::open(path).map_err(|error| Error::file(path, error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;")?;
    Ok(connection)
}

/// Whether the file at `path` begins like a database of this program. Only that is looked at: it may be broken.
pub fn is_ours(path: &Path) -> bool {
    let mut header = [0; 72];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    // Where SQLite has the number of the program: https://www.sqlite.org/fileformat.html, 1.3.
    let id = APPLICATION_ID.to_be_bytes();
    read.is_ok() && header.starts_with(b"SQLite format 3\0") && header.ends_with(id.split_at(4).1)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let named = path.display().to_string();
    match std::fs::metadata(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::Missing(named)),
        Err(error) => return Err(Error::Sqlite(format!("{named}: {error}"))),
    }
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without this SQLite looks at the values of parameters when it plans over a partial index, and then prepares the
    // statement again for each new value: a quarter of the time of a POST.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;")?;
    Ok(connection)
}

/// Refuses a file whose schema is not the one to which `plan` leads: one of another program, of a later or earlier
/// version, and one whose schema was changed by hand.
pub fn verify(path: &Path, connection: &Connection, plan: &Plan<'_>) -> Result<(), Error> {
    let found = identify(path, connection, plan)?;
    let (known, path) = (plan.version(), path.display().to_string());
    if found < known {
        return Err(Error::Older { path, found, known });
    }
    match difference(plan.schema, connection)? {
        Some(object) => Err(Error::Drift { path, object }),
        None => Ok(()),
    }
}

/// The version of a file's schema. Refuses a file of another program and one that is later than where `plan` leads.
pub fn identify(path: &Path, connection: &Connection, plan: &Plan<'_>) -> Result<i64, Error> {
    let pragma = |name: &str| -> Result<i64, rusqlite::Error> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
    };
    let path = path.display().to_string();
    match pragma("application_id") {
        Ok(APPLICATION_ID) => {}
        Ok(_) => return Err(Error::Foreign(path)),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(Error::Foreign(path));
        }
        Err(error) => return Err(error.into()),
    }
    match (pragma("user_version")?, plan.version()) {
        (..=0, _) => Err(Error::Foreign(path)),
        (found, known) if found > known => Err(Error::Newer { path, found, known }),
        (found, _) => Ok(found),
    }
}

/// The first object that `schema` has and the file has not, or has otherwise. What SQLite keeps for itself
/// (`sqlite_stat1`, the indexes of constraints) is left aside.
pub fn difference(schema: &str, file: &Connection) -> Result<Option<String>, Error> {
    let objects = |connection: &Connection| -> Result<Vec<(String, String)>, rusqlite::Error> {
        connection
            .prepare(
                "SELECT type || ' ' || name, sql FROM sqlite_schema
                 WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY 1",
            )?
            .query_map([], |row| {
                let sql: String = row.get(1)?;
                Ok((row.get(0)?, normalised(&sql)))
            })?
            .collect()
    };
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(schema)?;
    let (wanted, found) = (objects(&fresh)?, objects(file)?);
    let missing = wanted.iter().find(|object| !found.contains(object));
    let unknown = found.iter().find(|object| !wanted.contains(object));
    Ok(missing.or(unknown).map(|(name, _)| name.clone()))
}

/// A statement without comments, the quotation marks of names and blanks that mean nothing: SQLite keeps the text of a
/// table that was altered otherwise than that of a table that was made so.
fn normalised(sql: &str) -> String {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut text = String::with_capacity(sql.len());
    let mut letters = sql.chars().peekable();
    let mut apart = false;
    while let Some(letter) = letters.next() {
        match letter {
            '-' if letters.peek() == Some(&'-') => {
                letters.by_ref().find(|&letter| letter == '\n');
                apart = true;
            }
            '"' => apart = true,
            _ if letter.is_whitespace() => apart = true,
            _ => {
                if apart && is_word(letter) && text.ends_with(is_word) {
                    text.push(' ');
                }
                apart = false;
                text.push(letter);
                // A text is kept as it is; two marks within it are its end and the beginning of another.
                if letter == '\'' {
                    for letter in letters.by_ref() {
                        text.push(letter);
                        if letter == '\'' {
                            break;
                        }
                    }
                }
            }
        }
    }
    text
}

/// Whether a row answers to the query: `row?` as an option, for statements that may find nothing.
pub fn optional<T>(result: Result<T, rusqlite::Error>) -> Result<Option<T>, Error> {
    Ok(result.optional()?)
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn a_statement_is_what_it_says() {
        let plain = "CREATE TABLE group(a TEXT CHECK(a IN('x  y','--','it''s')),b TEXT)";
        for other in [
            "CREATE TABLE \"group\" (\n    a TEXT CHECK (a IN ('x  y', '--', 'it''s')), -- a, \"b\" 'c\n    b TEXT\n)",
            "CREATE  TABLE group ( a TEXT CHECK( a IN ('x  y' , '--' , 'it''s')) , b TEXT )",
        ] {
            assert_eq!(normalised(other), plain);
        }
        for different in [
            "CREATE TABLE group(a TEXT CHECK(a IN('x y','--','it''s')),b TEXT)",
            "CREATE TABLE group(aTEXT CHECK(a IN('x  y','--','it''s')),b TEXT)",
            "CREATE TABLE group(a TEXT CHECK(a IN('x  y','--','it''s')),b  INT)",
        ] {
            assert_ne!(normalised(different), plain);
        }
    }
}

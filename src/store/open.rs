//! Making and opening the database file: permissions, pragmas, and the check that its schema is this program's.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::Error;

/// The schema, the one truth about the tables.
pub const SCHEMA: &str = include_str!("../../schema.sql");
/// Marks a file as a Scimlite database: "Slit" in ASCII.
const APPLICATION_ID: i64 = 0x536c_6974;
/// Version of SCHEMA.
const USER_VERSION: i64 = 1;
/// How long to wait for another process that holds the write lock, such as a command beside the server.
pub const BUSY: Duration = Duration::from_secs(10);
/// Prepared statements kept per connection: more than the program has.
const STATEMENTS: usize = 128;

/// Makes a new database file, readable by its owner alone, and fills it by `fill` in the same transaction. The file
/// appears under its name only when it is complete, and never in the place of another.
pub fn create<E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&Connection) -> Result<(), E>,
) -> Result<(), E> {
    let unfinished = path.with_extension(format!("new-{}", std::process::id()));
    let made = make(&unfinished, fill).and_then(|()| {
        // A link, not a rename: it fails where another process was faster, instead of replacing its file.
        std::fs::hard_link(&unfinished, path)
            .and_then(|()| sync_directory(path))
            .map_err(|error| Error::Sqlite(format!("{}: {error}", path.display())).into())
    });
    // Without it there is nothing to remove; a leftover does no harm.
    let _ = std::fs::remove_file(&unfinished);
    made
}

fn make<E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&Connection) -> Result<(), E>,
) -> Result<(), E> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Error::Sqlite(format!("{}: {error}", path.display())))?;
    let connection = Connection::open(path).map_err(Error::from)?;
    let begin = format!(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; BEGIN; {SCHEMA}
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {USER_VERSION};"
    );
    connection.execute_batch(&begin).map_err(Error::from)?;
    fill(&connection)?;
    connection.execute_batch("COMMIT").map_err(Error::from)?;
    connection
        .close()
        .map_err(|(_, error)| Error::from(error).into())
}

/// Makes the new name `path` durable.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Opens the read-write connection, after the file has shown that it is this program's.
pub fn writable(path: &Path) -> Result<Connection, Error> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    verify(path, &connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 4000;",
    )?;
    Ok(connection)
}

/// Opens a read-only connection.
pub fn readable(path: &Path) -> Result<Connection, Error> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
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

/// Refuses a file of another program, of a later version, and one whose schema was changed by hand.
fn verify(path: &Path, connection: &Connection) -> Result<(), Error> {
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
    let found = pragma("user_version")?;
    if found > USER_VERSION {
        return Err(Error::Newer {
            path,
            found,
            known: USER_VERSION,
        });
    }
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(SCHEMA)?;
    match difference(&fresh, connection)? {
        Some(object) => Err(Error::Drift { path, object }),
        None => Ok(()),
    }
}

/// The first object that one schema has and the other has not, or has otherwise. What SQLite keeps for itself
/// (`sqlite_stat1`, the indexes of constraints) is left aside.
fn difference(fresh: &Connection, file: &Connection) -> Result<Option<String>, Error> {
    let objects = |connection: &Connection| -> Result<Vec<(String, String)>, rusqlite::Error> {
        connection
            .prepare(
                "SELECT type || ' ' || name, sql FROM sqlite_schema
                 WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY 1",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    let (wanted, found) = (objects(fresh)?, objects(file)?);
    let missing = wanted.iter().find(|object| !found.contains(object));
    let unknown = found.iter().find(|object| !wanted.contains(object));
    Ok(missing.or(unknown).map(|(name, _)| name.clone()))
}

/// Whether a row answers to the query: `row?` as an option, for statements that may find nothing.
pub fn optional<T>(result: Result<T, rusqlite::Error>) -> Result<Option<T>, Error> {
    Ok(result.optional()?)
}

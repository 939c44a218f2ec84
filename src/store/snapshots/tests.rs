//! Which snapshot is due when, and which are removed, over a real database and directory.

use std::sync::Arc;

use jiff::SignedDuration;
use tempfile::TempDir;

use super::*;
use crate::store::{audit, open};

const HOUR: Duration = Duration::from_secs(60 * 60);

struct Place {
    root: TempDir,
    plan: Plan,
    start: Timestamp,
}

impl Place {
    fn new(keep: usize) -> Self {
        let root = TempDir::new().unwrap();
        let start = "2026-03-01T12:00:00Z".parse().unwrap();
        open::create(&root.path().join("a.db"), |connection| {
            audit::insert_genesis(connection, start)
        })
        .unwrap();
        let plan = Plan {
            directory: root.path().join("below/snapshots"),
            every: HOUR,
            keep,
        };
        Self { root, plan, start }
    }

    /// A look at so many minutes after the start: whether it made one, and the minutes until the next.
    fn look(&self, minutes: i64) -> (bool, u64) {
        let now = self.start + SignedDuration::from_mins(minutes);
        let watch: Watch = Arc::new(|_| true);
        let database = self.root.path().join("a.db");
        let done = self.plan.maintain(&database, now, &watch).unwrap();
        (done.made.is_some(), done.next.as_secs() / 60)
    }

    /// A plan of another appliance with the same directory.
    fn look_of_another(&self, name: &str, created: &str) -> Result<Maintained, Error> {
        let database = self.root.path().join(name);
        let created = created.parse().unwrap();
        open::create(&database, |connection| {
            audit::insert_genesis(connection, created)
        })?;
        let watch: Watch = Arc::new(|_| true);
        self.plan.maintain(&database, self.start, &watch)
    }

    /// The hours and minutes of those that are there.
    fn there(&self) -> Vec<String> {
        let mut there: Vec<_> = self.plan.present().unwrap();
        there.sort();
        let time = |(at, _): &(Timestamp, PathBuf)| at.strftime("%H:%M").to_string();
        there.iter().map(time).collect()
    }
}

#[test]
fn the_newest_decides_when_the_next_is_due() {
    let place = Place::new(10);
    assert_eq!(place.look(0), (true, 60));
    assert_eq!(place.look(0), (false, 60));
    assert_eq!(place.look(20), (false, 40));
    assert_eq!(place.look(59), (false, 1));
    assert_eq!(place.look(60), (true, 60));
    assert_eq!(place.look(500), (true, 60), "one, however many were missed");
    assert_eq!(place.there(), ["12:00", "13:00", "20:20"]);
}

#[test]
fn the_oldest_are_removed() {
    let place = Place::new(2);
    for hour in 0..4 {
        assert_eq!(place.look(hour * 60), (true, 60));
    }
    assert_eq!(place.there(), ["14:00", "15:00"]);
}

#[test]
fn those_of_a_clock_that_was_wrong_put_nothing_off_and_go_first() {
    let place = Place::new(2);
    for hour in 3..5 {
        assert!(place.look(hour * 60).0);
    }
    assert_eq!(place.look(0), (true, 60));
    assert_eq!(place.there(), ["12:00", "16:00"]);
    assert_eq!(place.look(30), (false, 30));
    assert_eq!(place.look(60), (true, 60));
    assert_eq!(place.there(), ["12:00", "13:00"]);
}

#[test]
fn one_that_is_stopped_leaves_nothing() {
    let place = Place::new(2);
    let stop: Watch = Arc::new(|_| false);
    let database = place.root.path().join("a.db");
    let stopped = place.plan.maintain(&database, place.start, &stop);
    assert!(matches!(stopped, Err(Error::Stopped)));
    let left: Vec<_> = place.plan.directory.read_dir().unwrap().collect();
    assert_eq!(left.len(), 1, "the mark: {left:?}");
}

#[test]
fn names_are_read_as_they_are_written_and_no_others() {
    let at = "2026-03-01T12:00:00Z".parse().unwrap();
    assert_eq!(name(at), "scimlite-20260301T120000Z.db");
    assert_eq!(taken_at(&name(at)), Some(at));
    for other in [
        "scimlite-20260301T120000Z.db-wal",
        "scimlite-20260301T120000.db",
        "scimlite-20261301T120000Z.db",
        "scimlite- 2026301T120000Z.db",
        "scimlite-schema-1-20260301T120000Z.db",
        "scimlite.db",
        "",
    ] {
        assert_eq!(taken_at(other), None, "{other}");
    }
}

#[test]
fn another_appliance_keeps_away() {
    let place = Place::new(1);
    assert_eq!(place.look(0), (true, 60));
    let refused = |done: Result<Maintained, Error>| match done {
        Err(error) => error.to_string(),
        Ok(_) => panic!("not refused"),
    };
    let said = refused(place.look_of_another("b.db", "2026-03-01T12:00:00.001Z"));
    assert!(said.contains("scimlite.appliance"), "{said}");
    assert!(place.plan.allowed("2026-03-01T12:00:00.001Z").is_err());
    let newest = |created| place.plan.newest(created, place.start).ok().flatten();
    assert!(newest("2026-03-01T12:00:00.000Z").is_some());
    assert!(newest("2026-03-01T12:00:00.001Z").is_none());
    assert_eq!(place.look(61), (true, 60));

    // A copy of the same appliance has the same mark: the lock keeps the second one away while the first one runs.
    let watch: Watch = Arc::new(|_| true);
    let database = place.root.path().join("a.db");
    let held = place.plan.maintain(&database, place.start, &watch).unwrap();
    let said = refused(place.look_of_another("c.db", "2026-03-01T12:00:00Z"));
    assert!(said.contains("another appliance"), "{said}");
    drop(held);
    assert!(
        place
            .look_of_another("d.db", "2026-03-01T12:00:00Z")
            .is_ok()
    );

    // Whose database is replaced lets go.
    place.plan.release("2026-03-01T12:00:00.000Z").unwrap();
    assert!(
        place
            .look_of_another("e.db", "2026-03-01T12:00:00.002Z")
            .is_ok()
    );
}

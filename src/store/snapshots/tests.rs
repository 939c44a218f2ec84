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
    assert_eq!(place.plan.directory.read_dir().unwrap().count(), 0);
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

//! How far the audit was forwarded. What it is forwarded over is the server's business.

use rusqlite::Connection;

use super::audit::Recorded;
use super::paging::{Filling, Span};
use super::{Directory, Refusal};
use crate::store::audit::Tail;
use crate::store::writer::Job;
use crate::store::{self, audit::select, forwarding};

impl Directory {
    /// The audit rows after `seq` in their order: `most` of them, and not more than fit on a page.
    pub fn audit_after(&self, seq: i64, most: usize) -> Result<Vec<Recorded>, Refusal> {
        self.store.readers.short(|connection| {
            let mut page = Filling::new(Span::page(seq, most));
            select::behind(connection, seq, |row| page.take(row.seq, row))?;
            Ok(page.done().items)
        })
    }

    /// The last audit row that `destination` is known to have; 0 for none.
    pub fn forwarded(&self, destination: &str) -> Result<i64, Refusal> {
        self.store
            .readers
            .short(|connection| Ok(forwarding::received(connection, destination)?))
    }

    /// Notes that `destination` has every audit row up to `seq`.
    pub async fn note_forwarded(&self, destination: &str, seq: i64) -> Result<(), Refusal> {
        let destination = destination.to_owned();
        Ok(self
            .store
            .writer
            .submit(Received { destination, seq })
            .await?)
    }
}

/// Notes how far a receiver has come: no change to the directory, so without a row in the audit.
struct Received {
    destination: String,
    seq: i64,
}

impl Job for Received {
    type Done = ();
    type Refused = store::Error;

    fn apply(&mut self, connection: &Connection, _: &mut Tail) -> Result<(), store::Error> {
        forwarding::note(connection, &self.destination, self.seq)
    }
}

//! The audit as people read it: by what they ask for, and proved (design §3.12).

use rusqlite::Connection;

use super::paging::{Filling, Span};
use super::{Directory, Refusal};
pub use crate::store::audit::Link;
pub use crate::store::audit::chain::{Fault, Proof};
pub use crate::store::audit::select::{Selection, Whom};
pub use crate::store::audit::{Json, Recorded, Verdict};
use crate::store::audit::{chain, select};
use crate::store::users;

/// Rows that are read before they are given away.
const AT_ONCE: usize = 1000;

impl Directory {
    /// Gives the rows of a selection, as far as they are there now, to `each`, in the order of their numbers. They are read
    /// on the calling thread, a page at a time: however long `each` takes, it holds no snapshot, which would keep the WAL
    /// from being emptied.
    pub fn each_row<E: From<Refusal>>(
        &self,
        selection: &Selection,
        mut each: impl FnMut(Recorded) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = selection.clone();
        let mut left = usize::MAX;
        let head = self.head()?.seq;
        rest.up_to = Some(selection.up_to.map_or(head, |up_to| up_to.min(head)));
        match (selection.limit, selection.after) {
            (Some(limit), None) => {
                let read =
                    |connection: &Connection| select::first_of_last(connection, &rest, limit);
                let Some(first) = self.store.readers.short(read).map_err(Refusal::from)? else {
                    return Ok(());
                };
                rest.after = Some(first - 1);
            }
            (Some(limit), Some(_)) => left = usize::try_from(limit).unwrap_or(usize::MAX),
            (None, _) => {}
        }
        while left > 0 {
            let after = rest.after.unwrap_or(i64::MIN);
            let read = |connection: &Connection| {
                let mut page = Filling::new(Span::page(after, left.min(AT_ONCE)));
                select::each(connection, &rest, |row| page.take(row.seq, row))?;
                Ok::<_, Refusal>(page.done())
            };
            let page = self.store.readers.short(read)?;
            left -= page.items.len();
            page.items.into_iter().try_for_each(&mut each)?;
            match page.next {
                None => break,
                next => rest.after = next,
            }
        }
        Ok(())
    }

    /// Whom an id or a name means: whatever has or had it, under each of its names, members of groups among it, and what
    /// was refused under one of these names.
    pub fn whom(&self, text: &str) -> Result<Whom, Refusal> {
        self.store.readers.short(|connection| {
            let mut ids = users::hidden_ids(connection, text)?;
            ids.extend(users::named(connection, text)?.map(|user| user.id));
            Ok(Whom::of(connection, text, ids)?)
        })
    }

    /// Computes the chain of the audit again. Each of `anchors`, places that were noted outside the database, has to be
    /// in it.
    pub async fn verify_audit(&self, anchors: Vec<Link>) -> Result<Result<Proof, Fault>, Refusal> {
        let read = move |connection: &Connection| chain::verify(connection, &anchors);
        Ok(self.store.readers.long(read).await?)
    }
}

#[cfg(test)]
mod tests;

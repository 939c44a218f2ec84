//! The audit as people read it: by what they ask for, and proved (design §3.12).

use std::ops::ControlFlow;

use super::{Directory, Refusal};
pub use crate::store::audit::Link;
pub use crate::store::audit::chain::{Fault, Proof};
pub use crate::store::audit::select::Selection;
pub use crate::store::audit::{Recorded, Verdict};
use crate::store::audit::{chain, select};
use crate::store::{self, users};

impl Directory {
    /// Gives the rows of a selection to `each`, in the order of their numbers. They are read on the calling thread, one
    /// at a time.
    pub fn each_row<E: From<store::Error>>(
        &self,
        selection: &Selection,
        mut each: impl FnMut(Recorded) -> Result<(), E>,
    ) -> Result<(), E> {
        self.store.readers.short(|connection| {
            select::each(connection, selection, |row| {
                each(row).map(ControlFlow::Continue)
            })
        })
    }

    /// What [`Selection::whom`] is for an id or a name: the ids of those who have the name now, or had it when the
    /// identity provider deleted them, and the text itself.
    pub fn whom(&self, text: &str) -> Result<Vec<String>, Refusal> {
        self.store.readers.short(|connection| {
            let mut ids = users::hidden_ids(connection, text)?;
            ids.extend(users::named(connection, text)?.map(|user| user.id));
            ids.push(text.to_owned());
            Ok(ids)
        })
    }

    /// Computes the chain of the audit again. Each of `anchors`, places that were noted outside the database, has to be
    /// in it.
    pub async fn verify_audit(&self, anchors: Vec<Link>) -> Result<Result<Proof, Fault>, Refusal> {
        let read = move |connection: &rusqlite::Connection| chain::verify(connection, &anchors);
        Ok(self.store.readers.long(read).await?)
    }
}

#[cfg(test)]
mod tests;

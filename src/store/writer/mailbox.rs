//! The way back: the answers of a batch to callers on one thread are handed over at once, and given out there. Each by
//! itself would wake that thread once more, and what was allocated for a job is freed where it was.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::runtime::{Handle, Id};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Error, Pending};

/// Jobs that were committed together, or failed together.
struct Answers {
    jobs: Vec<Box<dyn Pending>>,
    committed: Result<(), Error>,
}

impl Answers {
    fn give_out(self) {
        for job in self.jobs {
            let committed = self.committed.clone();
            // A panic is a bug in one job; the others are answered all the same.
            let _ = catch_unwind(AssertUnwindSafe(|| job.answer(committed)));
        }
    }
}

/// Where callers on one thread are told.
#[derive(Clone)]
pub(super) struct Mailbox {
    runtime: Id,
    sender: UnboundedSender<Answers>,
}

thread_local! {
    static HERE: RefCell<Option<Mailbox>> = const { RefCell::new(None) };
}

impl Mailbox {
    /// That of the runtime in which this thread is; none where it is in none.
    pub(super) fn here() -> Option<Self> {
        let handle = Handle::try_current().ok()?;
        HERE.with_borrow_mut(|here| {
            let known = here.as_ref().filter(|known| known.runtime == handle.id());
            if known.is_none_or(|known| known.sender.is_closed()) {
                let (sender, receiver) = unbounded_channel();
                handle.spawn(open(receiver));
                let runtime = handle.id();
                *here = Some(Self { runtime, sender });
            }
            here.clone()
        })
    }
}

/// Gives out what arrives, for as long as the runtime lives.
async fn open(mut mailbox: UnboundedReceiver<Answers>) {
    while let Some(answers) = mailbox.recv().await {
        answers.give_out();
    }
}

/// Answers the jobs of a batch, each by way of its mailbox.
pub(super) fn deliver(batch: Vec<Box<dyn Pending>>, committed: &Result<(), Error>) {
    let mut boxes: Vec<(Option<Mailbox>, Answers)> = Vec::new();
    for mut job in batch {
        let mailbox = job.mailbox();
        let same = |known: &Option<Mailbox>| match (known, &mailbox) {
            (Some(known), Some(mailbox)) => known.sender.same_channel(&mailbox.sender),
            (known, mailbox) => known.is_none() && mailbox.is_none(),
        };
        match boxes.iter_mut().find(|(known, _)| same(known)) {
            Some((_, answers)) => answers.jobs.push(job),
            None => {
                let (jobs, committed) = (vec![job], committed.clone());
                boxes.push((mailbox, Answers { jobs, committed }));
            }
        }
    }
    for (mailbox, answers) in boxes {
        let unsent = match mailbox {
            Some(mailbox) => mailbox.sender.send(answers).err(),
            None => Some(SendError(answers)),
        };
        // Nobody looks there any more: the runtime has ended.
        if let Some(SendError(answers)) = unsent {
            answers.give_out();
        }
    }
}

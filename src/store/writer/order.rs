//! Jobs keep the order in which they were asked for.

use super::*;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

type Done = Arc<Mutex<Vec<usize>>>;

/// Waits for a word, then notes its number.
struct Numbered(usize, Done, Option<Receiver<()>>);

impl Job for Numbered {
    type Done = ();
    type Refused = Error;

    fn apply(&mut self, _: &Connection, _: &mut Tail) -> Result<(), Error> {
        if let Some(word) = &self.2 {
            word.recv().unwrap();
        }
        self.1.lock().unwrap().push(self.0);
        Ok(())
    }
}

#[test]
fn jobs_do_not_overtake_each_other_even_before_a_full_queue() {
    let [connection, other] = [(); 2].map(|()| Connection::open_in_memory().unwrap());
    let file = Arc::new(tempfile::tempfile().unwrap());
    let writer = Writer::start(connection, other, file, BATCH_TIME, || {}).unwrap();
    let (done, (say, word)) = (Done::default(), channel());
    let mut word = Some(word);
    let count = QUEUE + 500;
    type Submission<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;
    let mut submissions: Vec<Submission<'_>> = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    for number in 0..count {
        let job = Numbered(number, Arc::clone(&done), word.take());
        let mut submission = Box::pin(writer.submit(job));
        assert!(submission.as_mut().poll(&mut context).is_pending());
        submissions.push(submission);
    }
    say.send(()).unwrap();
    // From now on the last is asked first.
    submissions.reverse();
    while !submissions.is_empty() {
        submissions.retain_mut(|submission| submission.as_mut().poll(&mut context).is_pending());
    }
    assert!(done.lock().unwrap().iter().copied().eq(0..count));
}

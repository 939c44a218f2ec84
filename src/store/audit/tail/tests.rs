//! The tail over a database in memory: whatever its jobs do, what is committed is the chain of what they kept.

use proptest::prelude::*;

use super::*;
use crate::store::audit::{self, chain};
use crate::store::open;

/// What a job does after it has appended its row, and whether it is rolled back then.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Has the rows so far written, as a job does that reads them.
    writes: bool,
    refused: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (proptest::bool::weighted(0.2), any::<bool>())
        .prop_map(|(writes, refused)| Step { writes, refused })
}

proptest! {
    #[test]
    fn what_jobs_keep_is_a_chain_in_the_table(batches in prop::collection::vec(prop::collection::vec(step(), 0..6), 1..4)) {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(open::SCHEMA).unwrap();
        audit::insert_genesis(&connection, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let mut kept = Vec::new();
        let in_table = || -> Vec<(i64, String)> {
            let mut statement = connection.prepare("SELECT seq, request_id FROM audit ORDER BY seq").unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        for (batch, steps) in batches.iter().enumerate() {
            connection.execute_batch("BEGIN").unwrap();
            let mut tail = Tail::default();
            for (number, step) in steps.iter().enumerate() {
                connection.execute_batch("SAVEPOINT job").unwrap();
                let mark = tail.mark();
                let id = format!("{batch}.{number}");
                let next = tail.next_seq(&connection).unwrap();
                let seq = tail.append(&connection, &Row::sample(&id)).unwrap();
                prop_assert_eq!(seq, next);
                prop_assert_eq!(seq, i64::try_from(kept.len()).unwrap() + 1);
                kept.push((seq, id));
                if step.writes {
                    tail.write(&connection).unwrap();
                    prop_assert_eq!(&in_table(), &kept);
                }
                if step.refused {
                    kept.pop();
                    tail.back_to(mark);
                    connection.execute_batch("ROLLBACK TO job").unwrap();
                    let id = format!("{batch}.{number} was refused");
                    let seq = tail.append(&connection, &Row::sample(&id)).unwrap();
                    kept.push((seq, id));
                }
                connection.execute_batch("RELEASE job").unwrap();
            }
            tail.write(&connection).unwrap();
            connection.execute_batch("COMMIT").unwrap();
            prop_assert_eq!(&in_table(), &kept);
            let proof = chain::verify(&connection, &[]).unwrap().unwrap();
            prop_assert_eq!(proof.rows, kept.len() as u64);
            let about = "SELECT count(*) FROM audit_about JOIN audit USING (seq) WHERE key = 'åse: 3'";
            let found: i64 = connection.query_row(about, [], |row| row.get(0)).unwrap();
            prop_assert_eq!(found, kept.len() as i64);
        }
    }
}

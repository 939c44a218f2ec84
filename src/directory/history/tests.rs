//! That random acts leave a whole audit, that pruning keeps it so, and that whatever a hand with SQL does to the file is
//! found at the first row that it touched.

use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;

use super::*;
use crate::directory::accounts::Act as ByAdmin;
use crate::directory::audit::{Entry, Origin, Verdict};
use crate::directory::by_hand::ByHand;
use crate::directory::paging::Span;
use crate::directory::world::{World, idp};

/// Something that somebody does, to one of a few people.
#[derive(Debug, Clone)]
enum Act {
    Create(u8, bool),
    Title(u8, u8),
    Rename(u8, u8),
    Active(u8, bool),
    Remove(u8),
    ByHand(u8),
    ByAdmin(u8, u8),
    Delete(u8),
    Nobody,
    Days(u8),
    Prune(u8),
}

fn acts() -> impl Strategy<Value = Act> {
    let who = 0..4u8;
    prop_oneof![
        4 => (who.clone(), any::<bool>()).prop_map(|(who, active)| Act::Create(who, active)),
        3 => (who.clone(), 0..3u8).prop_map(|(who, title)| Act::Title(who, title)),
        2 => (who.clone(), who.clone()).prop_map(|(who, other)| Act::Rename(who, other)),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, active)| Act::Active(who, active)),
        2 => who.clone().prop_map(Act::Remove),
        1 => who.clone().prop_map(Act::ByHand),
        2 => (who.clone(), 0..4u8).prop_map(|(who, act)| Act::ByAdmin(who, act)),
        1 => who.prop_map(Act::Delete),
        1 => Just(Act::Nobody),
        2 => (0..20u8).prop_map(Act::Days),
        1 => (1..10u8).prop_map(Act::Prune),
    ]
}

/// Does it; whether it is refused is its own affair.
async fn perform(world: &World, act: Act) {
    let directory = &world.directory;
    let name = |who: u8| format!("p{who}@x.test");
    let id = async |who: u8| {
        let story = directory.account(&name(who), Span::everything()).await;
        story.map_or_else(|_| "nobody".to_owned(), |story| story.account.id)
    };
    let admin = Origin::command_line();
    match act {
        Act::Create(who, active) => {
            let user = json!({"userName": name(who), "externalId": name(who), "active": active});
            let _ = directory.post(user).await;
        }
        Act::Title(who, title) => drop(
            directory
                .set(&id(who).await, "title", json!(format!("T{title}")))
                .await,
        ),
        Act::Rename(who, other) => drop(
            directory
                .set(&id(who).await, "userName", json!(name(other)))
                .await,
        ),
        Act::Active(who, active) => {
            drop(directory.set(&id(who).await, "active", json!(active)).await)
        }
        Act::Remove(who) => drop(directory.remove(&id(who).await).await),
        Act::ByHand(who) => {
            let account = ByHand {
                email: name(who),
                ..ByHand::default()
            };
            let _ = directory.add_account(&admin, account).await;
        }
        Act::ByAdmin(who, act) => {
            let act = [
                ByAdmin::Preserve,
                ByAdmin::Activate,
                ByAdmin::Hold,
                ByAdmin::Release,
            ][usize::from(act)];
            let _ = directory.act(&admin, &id(who).await, act).await;
        }
        Act::Delete(who) => drop(
            directory
                .delete_account(&admin, &id(who).await, "a good reason")
                .await,
        ),
        Act::Nobody => drop(directory.remove("nobody").await),
        Act::Days(days) => world.wait(SignedDuration::from_hours(24 * i64::from(days))),
        Act::Prune(days) => drop(
            directory
                .prune_audit(&admin, u32::from(days))
                .await
                .unwrap(),
        ),
    }
}

/// What a hand with SQL does to a file, and where it shows first: statements and a number.
struct Harm {
    sql: String,
    bad: i64,
}

const COLUMNS: [&str; 17] = [
    "at",
    "request_id",
    "actor",
    "source",
    "action",
    "target_type",
    "target_id",
    "target_name",
    "verdict",
    "status",
    "scim_type",
    "reason",
    "changes",
    "mapping",
    "account",
    "prev_hash",
    "hash",
];

/// Every kind of harm, done to rows that `pick` and `other` choose among those from `first` to `last`.
fn harms(first: i64, last: i64, pick: u32, other: u32) -> Vec<Harm> {
    let count = last - first + 1;
    let (one, two) = (
        first + i64::from(pick) % count,
        first + i64::from(other) % count,
    );
    let (low, high) = (one.min(two), one.max(two));
    let mut harms = Vec::new();
    let mut add = |sql: String, bad| harms.push(Harm { sql, bad });
    for column in COLUMNS {
        let value = match column {
            "verdict" => "CASE verdict WHEN 'failed' THEN 'refused' ELSE 'failed' END".to_owned(),
            "status" => "status + 1".to_owned(),
            "prev_hash" | "hash" => format!("'x' || substr({column}, 2)"),
            _ => format!("coalesce({column} || ' ', '{{}}')"),
        };
        add(
            format!("UPDATE audit SET {column} = {value} WHERE seq = {one}"),
            one,
        );
    }
    for column in [
        "target_type",
        "target_id",
        "target_name",
        "scim_type",
        "changes",
        "mapping",
        "account",
    ] {
        add(
            format!(
                "UPDATE audit SET {column} = CASE WHEN {column} IS NULL THEN '' END WHERE seq = {one}"
            ),
            one,
        );
    }
    add(format!("DELETE FROM audit WHERE seq = {one}"), one);
    add(
        format!("DELETE FROM audit WHERE seq > {low}; DELETE FROM audit WHERE seq = {low}"),
        low,
    );
    add(
        format!("DELETE FROM audit WHERE seq < {high} OR seq = {high}"),
        first,
    );
    add(
        format!("UPDATE audit SET seq = {last} + 7 WHERE seq = {one}"),
        one,
    );
    add(format!("UPDATE audit SET seq = -7 WHERE seq = {one}"), -7);
    if low != high {
        add(
            format!(
                "UPDATE audit SET seq = -1 WHERE seq = {low}; UPDATE audit SET seq = {low} WHERE seq = {high};
                 UPDATE audit SET seq = {high} WHERE seq = -1"
            ),
            low,
        );
    }
    let columns = COLUMNS.join(", ");
    for seq in [last + 1, first - 1] {
        add(
            format!(
                "INSERT INTO audit (seq, {columns}) SELECT {seq}, {columns} FROM audit WHERE seq = {one}"
            ),
            seq,
        );
    }
    add(
        "UPDATE appliance SET audit_seq = audit_seq + 1".to_owned(),
        last + 1,
    );
    add(
        "UPDATE appliance SET audit_seq = audit_seq - 1".to_owned(),
        last,
    );
    add(
        "UPDATE appliance SET audit_hash = 'x' || substr(audit_hash, 2)".to_owned(),
        last,
    );
    add(
        "UPDATE appliance SET pruned_hash = 'x' || substr(pruned_hash, 2)".to_owned(),
        first,
    );
    add(
        "UPDATE appliance SET pruned_seq = pruned_seq + 1".to_owned(),
        first,
    );
    add(
        "UPDATE appliance SET pruned_seq = pruned_seq - 1".to_owned(),
        first - 1,
    );
    add("DELETE FROM appliance".to_owned(), 1);
    // The beginning cut as if it were pruned: only the row of a pruning can say so.
    if high < last {
        add(
            format!(
                "UPDATE appliance SET (pruned_seq, pruned_hash) = (SELECT seq, hash FROM audit WHERE seq = {high});
                 DELETE FROM audit WHERE seq <= {high}"
            ),
            first,
        );
    }
    harms
}

fn proof(connection: &Connection) -> Result<Proof, Fault> {
    chain::verify(connection, &[]).unwrap()
}

/// A world in which these acts were done, a second apart, and the runtime that it lives in.
fn after(acts: Vec<Act>) -> (World, tokio::runtime::Runtime) {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for act in acts {
            perform(&world, act).await;
            world.wait(SignedDuration::from_secs(1));
        }
    });
    (world, runtime)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// However much of the beginning was pruned.
    #[test]
    fn whatever_bore_a_name_is_found_by_it(acts in vec(acts(), 1..60)) {
        let (world, runtime) = after(acts);
        let rows = |whom| {
            let selection = Selection { whom, ..Selection::default() };
            let mut rows = Vec::new();
            let each = |row| {
                rows.push(row);
                Ok::<_, Refusal>(())
            };
            world.directory.each_row(&selection, each).unwrap();
            rows
        };
        for row in rows(None) {
            let Some(name) = row.target_name else { continue };
            let whom = world.directory.whom(&name).unwrap();
            prop_assert!(row.target_id.is_none_or(|id| whom.ids.contains(&id)), "{}", row.seq);
            prop_assert!(rows(Some(whom)).iter().any(|found| found.seq == row.seq), "{}", row.seq);
        }
        runtime.block_on(world.directory.close());
    }

    #[test]
    fn any_harm_is_found_at_the_first_row_that_it_touches(
        acts in vec(acts(), 1..40),
        picks in vec(any::<(u32, u32)>(), 2),
    ) {
        let (world, runtime) = after(acts);
        runtime.block_on(world.directory.close());
        let whole = std::fs::read(world.path()).unwrap();
        let connection = Connection::open(world.path()).unwrap();
        let good = proof(&connection).unwrap();
        drop(connection);
        let (first, last) = (good.pruned.seq + 1, good.head.seq);
        prop_assert_eq!(i64::try_from(good.rows).unwrap(), last - first + 1);
        for (pick, other) in picks {
            for harm in harms(first, last, pick, other) {
                std::fs::write(world.path(), &whole).unwrap();
                let connection = Connection::open(world.path()).unwrap();
                connection.execute_batch(&format!("PRAGMA synchronous = OFF; {}", harm.sql)).unwrap();
                // A cut beginning is found even where an earlier pruning is among what was cut.
                let found = proof(&connection).expect_err(&harm.sql);
                let cut = harm.sql.contains("audit WHERE seq <=");
                let earlier = cut && found.seq < first;
                prop_assert!(found.seq == harm.bad || earlier, "{}: {:?}, not {}", harm.sql, found, harm.bad);
            }
        }
    }
}

/// Triggers that somebody adds while the server runs: what they do to a new row, and whether it is there at all.
#[tokio::test]
async fn triggers_do_not_falsify_unseen() {
    for (trigger, made) in [
        (
            "AFTER INSERT ON audit BEGIN UPDATE audit SET actor = 'x' WHERE seq = new.seq; END",
            true,
        ),
        (
            "AFTER INSERT ON audit BEGIN DELETE FROM audit WHERE seq = new.seq; END",
            true,
        ),
        (
            "AFTER INSERT ON audit BEGIN DELETE FROM audit WHERE seq = new.seq - 1; END",
            true,
        ),
        (
            "AFTER UPDATE ON appliance BEGIN UPDATE appliance SET audit_seq = old.audit_seq; END",
            true,
        ),
        (
            "BEFORE INSERT ON audit BEGIN SELECT RAISE(IGNORE); END",
            false,
        ),
    ] {
        let world = World::new();
        let before = world.directory.head().unwrap();
        let hand = Connection::open(world.path()).unwrap();
        hand.execute_batch(&format!("CREATE TRIGGER t {trigger}"))
            .unwrap();
        let answer = world.directory.post(json!({"userName": "a@x.test"})).await;
        assert_eq!(answer.is_ok(), made, "{trigger}");
        assert_eq!(
            world
                .directory
                .account("a@x.test", Span::everything())
                .await
                .is_ok(),
            made,
            "no change without its row: {trigger}"
        );
        hand.execute_batch("DROP TRIGGER t").unwrap();
        match world.directory.verify_audit(Vec::new()).await.unwrap() {
            Ok(proof) => assert!(!made && proof.head == before, "{trigger}"),
            Err(fault) => {
                let first = before.seq + i64::from(!trigger.contains("new.seq - 1"));
                assert!(made && fault.seq == first, "{trigger}: {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_anchor_finds_a_chain_that_was_cut_or_written_anew_together_with_its_head() {
    let world = World::new();
    let begun = world.directory.head().unwrap();
    for name in ["a@x.test", "b@x.test"] {
        world
            .directory
            .post(json!({"userName": name}))
            .await
            .unwrap();
    }
    let anchor = world.directory.head().unwrap();
    let verify = |anchors: Vec<Link>| world.directory.verify_audit(anchors);
    assert!(
        verify(vec![begun.clone(), anchor.clone()])
            .await
            .unwrap()
            .is_ok()
    );
    let other = Link {
        hash: "1".repeat(64),
        ..anchor.clone()
    };
    for both in [[anchor.clone(), other.clone()], [other, anchor.clone()]] {
        let fault = verify(both.to_vec()).await.unwrap().unwrap_err();
        assert_eq!(fault.seq, anchor.seq, "two of one number: {both:?}");
    }
    let hand = Connection::open(world.path()).unwrap();
    hand.execute_batch(
        "DELETE FROM audit WHERE seq = (SELECT audit_seq FROM appliance);
         UPDATE appliance SET (audit_seq, audit_hash) = (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1)",
    )
    .unwrap();
    assert!(
        verify(vec![begun.clone()]).await.unwrap().is_ok(),
        "nothing in the file says so"
    );
    let fault = verify(vec![begun.clone(), anchor.clone()])
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(fault.seq, anchor.seq);
    // Another row in its place.
    world
        .directory
        .post(json!({"userName": "c@x.test"}))
        .await
        .unwrap();
    assert!(verify(vec![begun.clone()]).await.unwrap().is_ok());
    let fault = verify(vec![begun, anchor.clone()])
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(fault.seq, anchor.seq);
}

#[tokio::test]
async fn pruning_does_not_vouch_for_a_beginning_that_was_cut() {
    for pruned_before in [false, true] {
        let world = World::new();
        let directory = &world.directory;
        let admin = Origin::command_line();
        for _ in 0..5 {
            directory.remove("nobody").await.unwrap_err();
        }
        world.wait(SignedDuration::from_hours(48));
        for _ in 0..5 {
            directory.remove("nobody").await.unwrap_err();
        }
        if pruned_before {
            directory.prune_audit(&admin, 1).await.unwrap();
        }
        world.wait(SignedDuration::from_hours(48));
        let first = directory.verify_audit(Vec::new()).await.unwrap().unwrap();
        let first = first.pruned.seq + 1;
        let hand = Connection::open(world.path()).unwrap();
        hand.execute_batch(&format!(
            "UPDATE appliance SET (pruned_seq, pruned_hash) = (SELECT seq, hash FROM audit WHERE seq = {first} + 2);
             DELETE FROM audit WHERE seq <= {first} + 2"
        ))
        .unwrap();
        let cut = directory.verify_audit(Vec::new()).await.unwrap();
        assert_eq!(cut.unwrap_err().seq, first);
        let refused = directory.prune_audit(&admin, 1).await.unwrap_err();
        assert!(
            refused.to_string().contains(&format!("row {first} ")),
            "{refused}"
        );
        let still = directory.verify_audit(Vec::new()).await.unwrap();
        assert_eq!(still.unwrap_err().seq, first);
    }
}

#[tokio::test]
async fn pruning_leaves_what_can_be_proved_and_who_preserved_whom() {
    let world = World::new();
    let directory = &world.directory;
    let id = directory
        .post(json!({"userName": "a@x.test"}))
        .await
        .unwrap()
        .stored
        .id;
    directory.set(&id, "active", json!(false)).await.unwrap();
    let old = directory.head().unwrap();
    world.wait(SignedDuration::from_hours(24 * 30));
    directory
        .post(json!({"userName": "b@x.test"}))
        .await
        .unwrap();
    let admin = Origin::command_line();
    assert_eq!(directory.prune_audit(&admin, 31).await.unwrap(), 0);
    assert_eq!(
        directory.prune_audit(&admin, 29).await.unwrap(),
        old.seq.unsigned_abs()
    );
    let proof = directory
        .verify_audit(vec![old.clone()])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(proof.pruned, old);
    let mut rows = Vec::new();
    let push = |row| {
        rows.push(row);
        Ok::<_, Refusal>(())
    };
    directory.each_row(&Selection::default(), push).unwrap();
    let told: Vec<_> = rows.iter().map(|row| (&*row.action, row.verdict)).collect();
    let expected = [
        ("user.create", Verdict::Applied),
        ("audit.prune", Verdict::Unchanged),
        ("audit.prune", Verdict::Applied),
    ];
    assert_eq!(told, expected);
    assert_eq!(rows[2].actor, &*admin.actor);
    let changes = serde_json::to_value(&rows[2].changes).unwrap();
    assert_eq!(changes["pruned_seq"], json!({"old": 0, "new": old.seq}));
    assert_eq!(changes["pruned_hash"]["new"], old.hash.as_str());
    let mut preserved = Vec::new();
    let push = |account| {
        preserved.push(account);
        Ok::<_, Refusal>(())
    };
    directory.report_preserved(push).unwrap();
    assert_eq!(preserved[0].by_whom, Some(idp().actor.to_string()));
}

#[tokio::test]
async fn pruning_goes_on_in_parts_and_does_not_hide_what_was_done() {
    let world = World::new();
    let directory = &world.directory;
    for _ in 0..5 {
        directory.remove("nobody").await.unwrap_err();
    }
    let hand = Connection::open(world.path()).unwrap();
    hand.execute_batch("UPDATE audit SET actor = 'somebody' WHERE seq = 5")
        .unwrap();
    world.wait(SignedDuration::from_hours(48));
    let head = directory.head().unwrap();
    let refused = directory
        .prune_audit(&Origin::command_line(), 1)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("row 5"), "{refused}");
    let row = "SELECT count(*) FROM audit";
    let rows: i64 = hand.query_row(row, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, head.seq + 1, "all rows, and that of the refusal");
}

#[tokio::test]
async fn changes_of_one_batch_know_the_rows_of_each_other() {
    let world = World::new();
    let directory = &world.directory;
    let mut ids = Vec::new();
    for name in ["a@x.test", "b@x.test", "c@x.test"] {
        let user = directory.post(json!({"userName": name})).await.unwrap();
        ids.push(user.stored.id);
    }
    world.wait(SignedDuration::from_hours(48));
    // While a change is made, what is asked for gathers before the writer.
    let admin = Origin::command_line();
    let (running, runs) = tokio::sync::oneshot::channel();
    let (release, go) = std::sync::mpsc::channel();
    let mut gate =
        Box::pin(
            directory.change(&admin, Entry::new("test.gate", 0), move |_, _, _| {
                running.send(()).unwrap();
                go.recv().unwrap();
                Ok(())
            }),
        );
    tokio::select! {
        done = &mut gate => panic!("{done:?}"),
        begun = runs => begun.unwrap(),
    }
    let prune = || directory.prune_audit(&admin, 1);
    let (passed, one, _, other, first, second, last, ()) = tokio::join!(
        gate,
        directory.remove(&ids[0]),
        directory.remove("nobody"),
        directory.remove(&ids[1]),
        prune(),
        prune(),
        directory.remove(&ids[2]),
        async { release.send(()).unwrap() },
    );
    passed.unwrap();
    for removed in [one, other, last] {
        removed.unwrap();
    }
    assert!(first.unwrap() > 0);
    assert_eq!(second.unwrap(), 0, "the first has seen to it");
    assert!(directory.verify_audit(Vec::new()).await.unwrap().is_ok());
    let file = Connection::open(world.path()).unwrap();
    let told = "SELECT count(*) FROM user JOIN audit ON audit.seq = user.removed
         WHERE audit.target_id = user.id AND action = 'user.delete' AND verdict = 'applied'";
    let told: i64 = file.query_row(told, [], |row| row.get(0)).unwrap();
    assert_eq!(told, 3);
}

//! The feed gives every applied change once and in order, whoever commits it, and never keeps anybody waiting in vain.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::directory::accounts::Act;
use crate::directory::audit::Origin;
use crate::directory::world::World;

/// No wait at all.
const NOW: Duration = Duration::ZERO;

/// So many changes behind a number.
fn ask(after: i64, most: usize, wait: Duration) -> Ask {
    let after = Some(after.to_string().parse().unwrap());
    Ask { after, most, wait }
}

/// What the feed has behind a cursor without waiting.
async fn all(directory: &Directory, after: i64) -> Vec<Change> {
    let mut after = after;
    let mut all = Vec::new();
    loop {
        let part = directory.changes(ask(after, 3, NOW)).await.unwrap();
        assert_eq!(part.more, part.next.seq() < directory.head().unwrap().seq);
        if part.items.is_empty() {
            return all;
        }
        after = part.next.seq();
        all.extend(part.items);
    }
}

#[tokio::test]
async fn each_change_has_the_account_before_and_after_it() {
    let world = World::new();
    let directory = &world.directory;
    let start = directory.head().unwrap().seq;
    let admin = Origin::command_line();
    let id = directory
        .post(json!({"userName": "a@x.test"}))
        .await
        .unwrap()
        .stored
        .id;
    world.wait(SignedDuration::from_secs(1));
    directory
        .set(&id, "displayName", json!("Anna"))
        .await
        .unwrap();
    directory
        .set(&id, "displayName", json!("Anna"))
        .await
        .unwrap();
    directory.remove("nobody").await.unwrap_err();
    world.wait(SignedDuration::from_secs(1));
    directory.remove(&id).await.unwrap();
    directory.act(&admin, &id, Act::Hold).await.unwrap();
    directory.act(&admin, &id, Act::Release).await.unwrap();
    directory
        .delete_account(&admin, &id, "a good reason")
        .await
        .unwrap();
    directory
        .revoke_token(&admin, &directory.tokens().unwrap()[0].id)
        .await
        .unwrap();

    let changes = all(directory, start).await;
    let actions: Vec<_> = changes.iter().map(|change| &*change.row.action).collect();
    let expected = [
        "user.create",
        "user.patch",
        "user.delete",
        "account.hold",
        "account.release",
        "account.delete",
        "token.revoke",
    ];
    assert_eq!(actions, expected);
    let (last, of_account) = changes.split_last().unwrap();
    assert_eq!((&last.account_before, &last.account_after), (&None, &None));
    let mut present = None;
    for change in of_account {
        assert_eq!(change.account_before, present, "{}", change.row.action);
        present.clone_from(&change.account_after);
    }
    assert_eq!(present, None, "it is gone");
    let after =
        |index: usize, key: &str| changes[index].account_after.as_ref().unwrap()[key].clone();
    assert_eq!(after(0, "activation_email"), false);
    assert_eq!(after(0, "name"), "a@x.test");
    assert_eq!(after(1, "name"), "Anna");
    assert_eq!(after(2, "status"), "preserved");
    assert_eq!(after(2, "scim_visible"), false);
    assert_eq!(after(3, "legal_hold"), true);
    let mut account = serde_json::to_value(&changes[0]).unwrap()["account_after"].clone();
    account
        .as_object_mut()
        .unwrap()
        .shift_remove("activation_email")
        .unwrap();
    let keys: Vec<_> = account
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let contract = [
        "id",
        "username",
        "email",
        "name",
        "upn",
        "status",
        "preserved_by",
        "preserved_at",
        "profile",
        "storage",
        "quota_gb",
        "managed_by",
        "mapping",
        "legal_hold",
        "scim_visible",
        "external_id",
        "created",
        "modified",
    ];
    assert_eq!(keys, contract);
}

/// Two processes write at the same time; a third reads as the rows come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_come_in_the_order_of_the_commits_whoever_commits() {
    const EACH: usize = 40;
    let world = World::new();
    let start = world.directory.head().unwrap().seq;
    let processes: Vec<Arc<Directory>> = (0..2).map(|_| Arc::new(world.beside())).collect();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let directory = Arc::clone(&processes[writer % 2]);
        writers.spawn(async move {
            for number in 0..EACH {
                let name = format!("w{writer}n{number}@x.test");
                directory.post(json!({"userName": name})).await.unwrap();
            }
        });
    }
    let (mut cursor, mut seen) = (start, HashMap::new());
    while seen.len() < 4 * EACH {
        let part = world
            .directory
            .changes(ask(cursor, 7, LONGEST_WAIT))
            .await
            .unwrap();
        assert!(!part.items.is_empty(), "a wait of a minute in vain");
        for change in part.items {
            // Nothing but creations is going on: a number that is left out would be a row that comes late.
            assert_eq!(change.row.seq, cursor + 1);
            cursor = change.row.seq;
            assert_eq!(seen.insert(change.row.target_name.clone(), cursor), None);
        }
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    assert_eq!(world.directory.head().unwrap().seq, cursor);
    assert!(
        world
            .directory
            .verify_audit(Vec::new())
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn who_waits_is_woken_by_a_change_of_any_process_and_by_nothing_else() {
    let world = World::new();
    let other = world.beside();
    let start = world.directory.head().unwrap().seq;
    for (directory, name) in [(&world.directory, "a@x.test"), (&other, "b@x.test")] {
        let cursor = world.directory.head().unwrap().seq;
        let change = async {
            directory.remove("nobody").await.unwrap_err();
            directory.post(json!({"userName": name})).await.unwrap();
        };
        let (part, ()) = tokio::join!(
            world.directory.changes(ask(cursor, 9, LONGEST_WAIT)),
            change
        );
        let part = part.unwrap();
        assert_eq!(part.items.len(), 1);
        assert_eq!(part.items[0].row.target_name.as_deref(), Some(name));
    }
    assert_eq!(all(&world.directory, start).await.len(), 2);
}

#[tokio::test]
async fn a_wait_ends_with_its_time_and_with_the_server() {
    let world = World::new();
    let directory = &world.directory;
    let head = directory.head().unwrap().seq;
    let part = directory
        .changes(ask(head, 9, Duration::from_millis(1)))
        .await
        .unwrap();
    assert_eq!((part.items.len(), part.next.seq()), (0, head));
    let end = async { directory.end_feed() };
    let (part, ()) = tokio::join!(directory.changes(ask(head, 9, LONGEST_WAIT)), end);
    assert_eq!(
        (part.unwrap().items.len(), part_next(directory, head).await),
        (0, head)
    );
}

/// The next cursor after the server's end: nobody waits any more.
async fn part_next(directory: &Directory, after: i64) -> i64 {
    directory
        .changes(ask(after, 9, LONGEST_WAIT))
        .await
        .unwrap()
        .next
        .seq()
}

#[tokio::test]
async fn not_more_wait_than_there_are_places() {
    let world = World::new();
    let directory = Arc::new(world.beside());
    let head = directory.head().unwrap().seq;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..=WAITERS {
        let directory = Arc::clone(&directory);
        waiting.spawn(async move { directory.changes(ask(head, 9, LONGEST_WAIT)).await });
    }
    // One is told at once that there is no place; the end of the server lets the others go.
    let refused = waiting.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(refused.status(), 429);
    directory.end_feed();
    while let Some(part) = waiting.join_next().await {
        assert!(part.unwrap().unwrap().items.is_empty());
    }
}

#[tokio::test]
async fn a_cursor_that_would_lose_changes_is_refused() {
    let world = World::new();
    let directory = &world.directory;
    let head = directory.head().unwrap().seq;
    let ahead = directory.changes(ask(head + 1, 9, NOW)).await.unwrap_err();
    assert_eq!(ahead.status(), 410);
    world.wait(SignedDuration::from_hours(48));
    directory
        .prune_audit(&Origin::command_line(), 1)
        .await
        .unwrap();
    let behind = directory.changes(ask(head - 1, 9, NOW)).await.unwrap_err();
    assert_eq!(behind.status(), 410);
    let rest = all(directory, head).await;
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].row.action, "audit.prune");
}

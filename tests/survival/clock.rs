//! A clock that steps, forth and back: what is written stays in its order, and nobody is locked out.

use serde_json::json;

use crate::app::TestApp;
use crate::home::Home;
use crate::shim::{Orders, Shim};
use crate::traffic::Acknowledged;
use crate::truth::Truth;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

#[tokio::test]
async fn a_clock_that_steps_changes_no_order_and_locks_nobody_out() {
    let shim = Shim::new(Orders::default());
    let mut app = TestApp::on(Home::new(), |command| shim.under(command));
    let mut ids = Vec::new();
    for (number, clock) in [0, HOUR, -HOUR, 40 * DAY, -40 * DAY, 1, 0]
        .into_iter()
        .enumerate()
    {
        shim.tell(Orders {
            clock,
            ..Orders::default()
        });
        let user = json!({"userName": format!("c{number}@example.test"), "title": "Captain"});
        let made = app.client.create(user).await.expect(201);
        let row = app.audited(made.request_id());
        let at: jiff::Timestamp = row["at"].as_str().unwrap().parse().unwrap();
        let moved = at.as_second() - jiff::Timestamp::now().as_second();
        assert!((moved - clock).abs() < 10 * 60, "{row} at {clock} s");
        let title = json!([{"op": "replace", "path": "title", "value": "Major"}]);
        app.client.patch(&made.id(), title).await.expect(200);
        ids.push(made.id());
        let listed = app.client.get("/Users").await.expect(200);
        let listed = listed.json["Resources"].as_array().unwrap().clone();
        let listed: Vec<_> = listed
            .iter()
            .map(|user| user["id"].as_str().unwrap())
            .collect();
        assert_eq!(listed, ids, "in the order of creation");
        app.kill();
        app.resume_with(|command| shim.under(command));
    }
    Truth::default().holds(&app, &Acknowledged::new());
}

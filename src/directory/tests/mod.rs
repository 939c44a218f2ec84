//! The directory against a small model of its rules: random deeds of an identity provider and an administrator are done to
//! both, and after each the accounts, the answer and the audit have to be what the model says.

mod acts;
mod model;
mod rules;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::accounts::Listed;
use super::audit::Origin;
use super::by_hand::{ByHand, Quota};
use super::mappings::{Condition, Edit, NewMapping, To};
use super::paging::Span;
use super::profiles::Settings;
use super::reclassify::{Tally, Which};
use super::*;
use crate::scim::patch;
use crate::scim::resource;
use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN};
use crate::scim::version::Condition as Version;
use crate::store::text;
use acts::{DEPARTMENTS, Deed, EXTERNAL_IDS, NAMES, PROFILES, STORAGES, Sent, Target, Whom, deed};
use model::{Account, Model, Outcome};

/// Midnight of a day.
const START: i64 = 1_800_000_000_000;
const SEATS: i64 = 5;
const SHARE_PERCENT: i64 = 40;

fn clock(millisecond: i64) -> (Clock, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(millisecond));
    let read = Arc::clone(&now);
    let clock = move || Timestamp::from_millisecond(read.load(Ordering::Relaxed)).unwrap();
    (Arc::new(clock), now)
}

fn origin() -> Origin {
    Origin::new("test", "test")
}

/// A directory under test with what it was told so far.
struct World {
    directory: Directory,
    look: Connection,
    clock: Arc<AtomicI64>,
    /// Ids in the order of creation, as the model counts them.
    ids: Vec<String>,
    mappings_made: usize,
}

/// What a deed came to: the account that it names, if it names one.
type Answer = Result<Option<String>, Refusal>;

impl World {
    fn new(path: &Path) -> Self {
        // Made once: its tokens take a while.
        static MADE: OnceLock<Vec<u8>> = OnceLock::new();
        let file = MADE.get_or_init(|| {
            let made = path.with_extension("made");
            setup::create_database(&made, &origin(), &clock(START).0, Some(365)).unwrap();
            std::fs::read(made).unwrap()
        });
        std::fs::write(path, file).unwrap();
        let view = View {
            schemas: Arc::new(Schemas::new(CUSTOM_URN, &[])),
            base: "https://localhost/scim".into(),
        };
        let seats = Seats {
            active: Some(SEATS),
            preserved_percent: SHARE_PERCENT,
        };
        let (clock, now) = clock(START);
        let store = Store::open(path).unwrap();
        let settings = crate::directory::Settings {
            seats,
            ..Default::default()
        };
        Self {
            directory: Directory::new(store, view, clock, settings).unwrap(),
            look: Connection::open(path).unwrap(),
            clock: now,
            ids: Vec::new(),
            mappings_made: 0,
        }
    }

    fn id(&self, who: usize) -> &str {
        &self.ids[who]
    }

    fn parsed(&self, sent: &Sent) -> resource::Parsed {
        let mut body = json!({"userName": NAMES[sent.name].text});
        let mut put = |key: &str, value: Option<Value>| {
            body.as_object_mut()
                .unwrap()
                .extend(value.map(|value| (key.to_owned(), value)));
        };
        put(
            "externalId",
            sent.external_id.map(|id| EXTERNAL_IDS[id].into()),
        );
        put("displayName", sent.display_name.map(Value::from));
        put("active", sent.active.map(Value::from));
        let department = sent
            .department
            .map(|number| json!({"department": DEPARTMENTS[number]}));
        put(CUSTOM_URN, department);
        let enterprise = sent
            .enterprise
            .map(|number| json!({"department": DEPARTMENTS[number]}));
        put(ENTERPRISE_URN, enterprise);
        resource::parse(body, ResourceType::User, self.directory.schemas()).unwrap()
    }

    async fn patch(&self, who: usize, path: &str, value: Value) -> Answer {
        let body = json!({"Operations": [{"op": "replace", "path": path, "value": value}]});
        let patch = patch::parse(body, ResourceType::User, self.directory.schemas()).unwrap();
        let (origin, id) = (origin(), self.id(who));
        let patched = self
            .directory
            .patch_user(&origin, id, patch, Version::default());
        Ok(Some(patched.await?.stored.id))
    }

    fn mapping(&self, which: usize) -> String {
        self.directory.mappings().unwrap()[which].name.clone()
    }

    /// Does what a deed says; none for an automatic deletion, of which there is another answer.
    async fn act(&mut self, deed: &Deed) -> Answer {
        let (directory, origin) = (&self.directory, &origin());
        let name = |account: Listed| Ok(Some(account.id));
        match deed {
            Deed::Post(sent) => {
                let made = directory.create_user(origin, self.parsed(sent)).await?;
                Ok(Some(made.stored.id))
            }
            Deed::Put { who, sent } => {
                let (id, body) = (self.id(*who), self.parsed(sent));
                let put = directory
                    .replace_user(origin, id, body, Version::default())
                    .await?;
                Ok(Some(put.stored.id))
            }
            Deed::PatchActive { who, active } => self.patch(*who, "active", (*active).into()).await,
            Deed::PatchName { who, name } => {
                self.patch(*who, "userName", NAMES[*name].text.into()).await
            }
            Deed::Delete { who } => {
                directory
                    .delete_user(origin, self.id(*who), Version::default())
                    .await?;
                Ok(Some(self.id(*who).to_owned()))
            }
            Deed::AddByHand {
                name: number,
                target,
            } => {
                let account = ByHand {
                    email: NAMES[*number].text.to_owned(),
                    profile: Some(PROFILES[target.profile].to_owned()),
                    storage: Some(STORAGES[target.storage].to_owned()),
                    quota: target.quota_gb.map_or(Quota::OfProfile, Quota::Own),
                    ..ByHand::default()
                };
                name(directory.add_account(origin, account).await?)
            }
            Deed::Administer { who, act } => {
                name(directory.act(origin, self.id(*who), *act).await?)
            }
            Deed::DeleteForGood { who, reason } => name(
                directory
                    .delete_account(origin, self.id(*who), reason)
                    .await?
                    .account,
            ),
            Deed::EditAccount { who, target } => {
                let edit = assignment::Edit {
                    profile: Some(PROFILES[target.profile].to_owned()),
                    storage: Some(STORAGES[target.storage].to_owned()),
                    quota_gb: Some(target.quota_gb),
                };
                name(directory.edit_account(origin, self.id(*who), edit).await?)
            }
            Deed::Reclassify => {
                let everyone = Which::Present(None);
                directory
                    .reclassify(origin, everyone, false, Span::everything(), |_| Ok(()))
                    .await
                    .map(|_: (Tally, _)| None)
            }
            Deed::AddMapping { whom, target } => {
                self.mappings_made += 1;
                let mapping = NewMapping {
                    name: format!("m{}", self.mappings_made),
                    condition: condition(*whom),
                    profile: PROFILES[target.profile].to_owned(),
                    storage: STORAGES[target.storage].to_owned(),
                    quota_gb: target.quota_gb,
                    activation_email: false,
                };
                directory.add_mapping(origin, mapping).await.map(|_| None)
            }
            Deed::EditMapping { which, target } => {
                let Target {
                    profile,
                    storage,
                    quota_gb,
                } = target;
                let edit = Edit {
                    name: None,
                    profile: Some(PROFILES[*profile].to_owned()),
                    storage: Some(STORAGES[*storage].to_owned()),
                    quota_gb: Some(*quota_gb),
                };
                let mapping = self.mapping(*which);
                directory
                    .edit_mapping(origin, &mapping, edit)
                    .await
                    .map(|_| None)
            }
            Deed::MoveMapping { which, to } => {
                let mapping = self.mapping(*which);
                directory
                    .move_mapping(origin, &mapping, To::Place(*to))
                    .await
                    .map(|_| None)
            }
            Deed::RemoveMapping { which } => {
                let mapping = self.mapping(*which);
                directory
                    .remove_mapping(origin, &mapping)
                    .await
                    .map(|_| None)
            }
            Deed::LimitProfile {
                which,
                max_users,
                days,
            } => {
                let settings = Settings {
                    max_users: Some(*max_users),
                    delete_after_days: Some(*days),
                    ..Settings::default()
                };
                directory
                    .edit_profile(origin, PROFILES[*which], settings)
                    .await
                    .map(|_| None)
            }
            Deed::EnableStorage { which, enabled } => directory
                .edit_storage(origin, STORAGES[*which], *enabled)
                .await
                .map(|_| None),
            Deed::AutoDelete { .. } => directory
                .auto_delete(origin, usize::MAX)
                .await
                .map(|_| None),
        }
    }

    /// Does a deed, and asserts that what comes of it is what the model says.
    async fn check(&mut self, model: &mut Model, deed: &Deed) {
        let rows = self.audit_rows();
        let busy = self.active_accounts();
        let expected = model.expect(deed);
        self.clock
            .store(model.now.as_millisecond(), Ordering::Relaxed);
        let answer = self.act(deed).await;
        let status = answer.as_ref().err().map(Refusal::status);
        let verdicts = match &expected {
            Outcome::Done { who, changed } => {
                assert_eq!(status, None, "{deed:?}: {answer:?}");
                if let (Some(who), Ok(Some(id))) = (who, answer) {
                    if *who == self.ids.len() {
                        self.ids.push(id.clone());
                    }
                    assert_eq!(self.ids[*who], id, "{deed:?}");
                }
                vec![if *changed { "applied" } else { "unchanged" }]
            }
            Outcome::Refused(statuses) => {
                let found = status.unwrap_or_default();
                assert!(
                    statuses.contains(&found),
                    "{deed:?}: {answer:?}, not {statuses:?}"
                );
                vec!["refused"]
            }
            Outcome::Several(verdicts) => {
                assert_eq!(status, None, "{deed:?}: {answer:?}");
                match verdicts.is_empty() {
                    true => vec!["unchanged"],
                    false => verdicts.clone(),
                }
            }
        };
        let after = self.audit_rows();
        assert_eq!(after[..rows.len()], rows[..], "the past stays");
        let new: Vec<_> = after[rows.len()..].iter().map(|row| &row.2).collect();
        assert_eq!(new, verdicts, "{deed:?}");
        self.check_accounts(model, deed);
        self.check_sums(&busy, &after, deed);
    }

    fn check_accounts(&self, model: &Model, deed: &Deed) {
        let there = model.accounts.iter().enumerate();
        let there = there.filter_map(|(who, account)| Some((who, account.as_ref()?)));
        let expected: Vec<_> = there
            .map(|(who, account)| seen(model, self.id(who), account))
            .collect();
        let found = self.accounts();
        assert_eq!(found, expected, "after {deed:?}");
    }

    /// The accounts as the local product reads them.
    fn accounts(&self) -> Vec<Value> {
        let sql = "SELECT json_object('id', accounts.id, 'username', accounts.username, 'email', accounts.email,
                'name', accounts.name, 'status', accounts.status, 'preserved_by', accounts.preserved_by,
                'preserved_at', accounts.preserved_at, 'delete_due', delete_due, 'profile', accounts.profile,
                'storage', accounts.storage, 'quota_gb', accounts.quota_gb, 'managed_by', accounts.managed_by,
                'scim_visible', accounts.scim_visible, 'legal_hold', accounts.legal_hold,
                'external_id', accounts.external_id, 'mapped', user.mapping IS NOT NULL, 'active', json_extract(resource, '$.active'))
            FROM user JOIN accounts ON accounts.id = user.id ORDER BY seq";
        let mut statement = self.look.prepare(sql).unwrap();
        let rows = statement
            .query_map([], |row| row.get::<_, String>(0))
            .unwrap();
        rows.map(|row| serde_json::from_str(&row.unwrap()).unwrap())
            .collect()
    }

    /// Sequence number, link and verdict of each row of the audit.
    fn audit_rows(&self) -> Vec<(i64, [String; 2], String)> {
        let sql = "SELECT seq, prev_hash, hash, verdict FROM audit ORDER BY seq";
        let mut statement = self.look.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, [row.get(1)?, row.get(2)?], row.get(3)?))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    fn active_accounts(&self) -> Vec<i64> {
        let sql = "SELECT active_accounts FROM profile ORDER BY name";
        let mut statement = self.look.prepare(sql).unwrap();
        let counts = statement.query_map([], |row| row.get(0)).unwrap();
        counts.map(Result::unwrap).collect()
    }

    /// What must hold whatever happened: counts that count, limits that no deed passes, a chain without a gap.
    fn check_sums(&self, before: &[i64], rows: &[(i64, [String; 2], String)], deed: &Deed) {
        let wrong: i64 = self
            .look
            .query_row(
                "SELECT (SELECT count(*) FROM profile WHERE
                     active_accounts <> (SELECT count(*) FROM user WHERE profile = profile.id AND status = 'active') OR
                     preserved_accounts <> (SELECT count(*) FROM user WHERE profile = profile.id AND status = 'preserved'))
                 + (SELECT count(*) FROM storage WHERE
                     active_accounts <> (SELECT count(*) FROM user WHERE storage = storage.id AND status = 'active') OR
                     preserved_accounts <> (SELECT count(*) FROM user WHERE storage = storage.id AND status = 'preserved'))
                 + (SELECT count(*) FROM appliance WHERE
                     users <> (SELECT count(*) FROM user WHERE scim_visible = 1) OR
                     groups <> (SELECT count(*) FROM \"group\"))",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(wrong, 0, "counts after {deed:?}");
        let active = self.active_accounts();
        assert!(active.iter().sum::<i64>() <= SEATS, "seats after {deed:?}");
        let profiles = self.directory.profiles().unwrap();
        for ((profile, before), now) in profiles.iter().zip(before).zip(&active) {
            let passed = now > before && profile.max_users.is_some_and(|max| *now > max);
            assert!(!passed, "{} after {deed:?}", profile.name);
        }
        let head: (i64, String) = self
            .look
            .query_row("SELECT audit_seq, audit_hash FROM appliance", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        let linked = rows
            .windows(2)
            .all(|pair| pair[0].1[1] == pair[1].1[0] && pair[0].0 + 1 == pair[1].0);
        let last = rows.last().unwrap();
        assert!(
            linked && head == (last.0, last.1[1].clone()),
            "chain after {deed:?}"
        );
    }
}

/// An account of the model in the words of the view, with the `active` that SCIM shows.
fn seen(model: &Model, id: &str, account: &Account) -> Value {
    let name = account
        .display_name
        .map_or(account.name.username, |_| "A_B");
    json!({
        "id": id,
        "username": account.name.username,
        "email": account.name.text,
        "name": name,
        "status": if account.preserved.is_some() { "preserved" } else { "active" },
        "preserved_by": account.preserved.map(|(by, _)| by),
        "preserved_at": account.preserved.map(|(_, since)| text::instant(since)),
        "delete_due": model.due(account).map(text::instant),
        "profile": PROFILES[account.profile],
        "storage": STORAGES[account.storage],
        "quota_gb": account.quota_gb.unwrap_or(0),
        "managed_by": if account.manual { "manual" } else { "idp" },
        "scim_visible": i64::from(account.removed.is_none()),
        "legal_hold": i64::from(account.held),
        "external_id": account.external_id,
        "mapped": i64::from(account.mapped),
        "active": i64::from(account.preserved.is_none()),
    })
}

fn condition(whom: Whom) -> Condition {
    let filter = |name: &str, number: usize| {
        Condition::Filter(format!("{name} eq \"{}\"", DEPARTMENTS[number]))
    };
    match whom {
        Whom::Any => Condition::Any,
        Whom::Bare(number) => Condition::Attribute {
            name: "department".to_owned(),
            values: vec![DEPARTMENTS[number].to_owned()],
        },
        Whom::Filter(number) => filter("department", number),
        Whom::Enterprise(number) => filter(&format!("{ENTERPRISE_URN}:department"), number),
    }
}

/// The deed with its numbers brought into range; none if there is nothing that it could be done to.
fn in_range(model: &Model, mut deed: Deed) -> Option<Deed> {
    match &mut deed {
        Deed::Put { who, .. }
        | Deed::PatchActive { who, .. }
        | Deed::PatchName { who, .. }
        | Deed::Delete { who }
        | Deed::Administer { who, .. }
        | Deed::EditAccount { who, .. }
        | Deed::DeleteForGood { who, .. } => *who = model.who(*who)?,
        Deed::EditMapping { which, .. }
        | Deed::MoveMapping { which, .. }
        | Deed::RemoveMapping { which } => {
            *which = which.checked_rem(model.rules())?;
        }
        _ => {}
    }
    Some(deed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_directory_does_what_the_model_says(deeds in vec(deed(), 1..80)) {
        let home = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(&home.path().join("scimlite.db"));
            let start = Timestamp::from_millisecond(START).unwrap();
            let mut model = Model::new(start, SEATS, SEATS * SHARE_PERCENT / 100);
            world.directory.add_profile(&origin(), PROFILES[1], Settings::default()).await.unwrap();
            world.directory.add_storage(&origin(), STORAGES[1]).await.unwrap();
            for deed in deeds {
                if let Some(deed) = in_range(&model, deed) {
                    world.check(&mut model, &deed).await;
                }
            }
            world.directory.close().await;
        });
    }
}

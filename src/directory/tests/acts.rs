//! What an identity provider and an administrator may do, drawn at random from a small world, so that names collide, places
//! run out and people come back.

use proptest::option;
use proptest::prelude::*;

use crate::directory::accounts::Act;

/// A userName, and which others it equals: as a userName, and by the name that its account has.
#[derive(Debug, PartialEq, Eq)]
pub struct Name {
    pub text: &'static str,
    pub username: &'static str,
    pub same_name: u8,
    pub same_account: u8,
}

const fn name(text: &'static str, username: &'static str, same_name: u8, same_account: u8) -> Name {
    Name {
        text,
        username,
        same_name,
        same_account,
    }
}

pub const NAMES: [Name; 7] = [
    name("anna@x.test", "anna@x.test", 0, 0),
    name("ANNA@x.test", "ANNA@x.test", 0, 0),
    name("a?b@x.test", "a_b@x.test", 1, 1),
    name("a*b@x.test", "a_b@x.test", 2, 1),
    name("Straße@x.test", "Straße@x.test", 3, 2),
    name("STRASSE@x.test", "STRASSE@x.test", 3, 2),
    name("bela@x.test", "bela@x.test", 4, 3),
];
pub const EXTERNAL_IDS: [&str; 3] = ["e1", "e2", "e3"];
pub const PROFILES: [&str; 2] = ["Default", "Small"];
pub const STORAGES: [&str; 2] = ["Default", "Fast"];
pub const DEPARTMENTS: [&str; 3] = ["Sales", "sales", "IT"];

/// A user as the identity provider sends it; the numbers stand for entries of the lists above.
#[derive(Debug, Clone)]
pub struct Sent {
    pub name: usize,
    pub external_id: Option<usize>,
    pub display_name: Option<&'static str>,
    pub active: Option<bool>,
    /// In the custom extension, which is not kept.
    pub department: Option<usize>,
    /// In the enterprise extension, which is.
    pub enterprise: Option<usize>,
}

/// Whom a mapping takes; the numbers stand for departments.
#[derive(Debug, Clone, Copy)]
pub enum Whom {
    Any,
    /// An attribute by its bare name.
    Bare(usize),
    /// A filter over that.
    Filter(usize),
    /// A filter over the enterprise extension alone.
    Enterprise(usize),
}

/// The target of a mapping.
#[derive(Debug, Clone)]
pub struct Target {
    pub profile: usize,
    pub storage: usize,
    pub quota_gb: Option<i64>,
}

/// One thing that somebody does. `who` and `which` count the accounts ever made and the mappings there are, round and round.
#[derive(Debug, Clone)]
pub enum Deed {
    Post(Sent),
    Put {
        who: usize,
        sent: Sent,
    },
    PatchActive {
        who: usize,
        active: bool,
    },
    PatchName {
        who: usize,
        name: usize,
    },
    Delete {
        who: usize,
    },
    AddByHand {
        name: usize,
        target: Target,
    },
    Administer {
        who: usize,
        act: Act,
    },
    DeleteForGood {
        who: usize,
        reason: &'static str,
    },
    EditAccount {
        who: usize,
        target: Target,
    },
    /// Of all that SCIM sees.
    Reclassify,
    AddMapping {
        whom: Whom,
        target: Target,
    },
    EditMapping {
        which: usize,
        target: Target,
    },
    MoveMapping {
        which: usize,
        to: usize,
    },
    RemoveMapping {
        which: usize,
    },
    LimitProfile {
        which: usize,
        max_users: Option<i64>,
        days: Option<i64>,
    },
    EnableStorage {
        which: usize,
        enabled: bool,
    },
    AutoDelete {
        after_days: i64,
    },
}

fn sent() -> impl Strategy<Value = Sent> {
    let parts = (
        0..NAMES.len(),
        option::weighted(0.6, 0..EXTERNAL_IDS.len()),
        option::of(Just("A/B")),
        option::weighted(0.4, any::<bool>()),
        option::of(0..DEPARTMENTS.len()),
        option::of(0..DEPARTMENTS.len()),
    );
    parts.prop_map(
        |(name, external_id, display_name, active, department, enterprise)| Sent {
            name,
            external_id,
            display_name,
            active,
            department,
            enterprise,
        },
    )
}

fn target() -> impl Strategy<Value = Target> {
    let quota = option::of(prop_oneof![Just(0_i64), Just(7)]);
    (0..PROFILES.len(), 0..STORAGES.len(), quota).prop_map(|(profile, storage, quota_gb)| Target {
        profile,
        storage,
        quota_gb,
    })
}

fn whom() -> impl Strategy<Value = Whom> {
    let department = 0..DEPARTMENTS.len();
    prop_oneof![
        1 => Just(Whom::Any),
        1 => department.clone().prop_map(Whom::Bare),
        1 => department.clone().prop_map(Whom::Filter),
        2 => department.prop_map(Whom::Enterprise),
    ]
}

pub fn deed() -> impl Strategy<Value = Deed> {
    let who = 0..12_usize;
    let which = 0..4_usize;
    let act = prop_oneof![
        3 => Just(Act::Preserve),
        3 => Just(Act::Activate),
        1 => Just(Act::Hold),
        1 => Just(Act::Release),
    ];
    let reason = prop_oneof![4 => Just("left the company in spring"), 1 => Just("too short")];
    prop_oneof![
        12 => sent().prop_map(Deed::Post),
        4 => (who.clone(), sent()).prop_map(|(who, sent)| Deed::Put { who, sent }),
        8 => (who.clone(), any::<bool>()).prop_map(|(who, active)| Deed::PatchActive { who, active }),
        4 => (who.clone(), 0..NAMES.len()).prop_map(|(who, name)| Deed::PatchName { who, name }),
        8 => who.clone().prop_map(|who| Deed::Delete { who }),
        4 => (0..NAMES.len(), target()).prop_map(|(name, target)| Deed::AddByHand { name, target }),
        8 => (who.clone(), act).prop_map(|(who, act)| Deed::Administer { who, act }),
        2 => (who.clone(), reason).prop_map(|(who, reason)| Deed::DeleteForGood { who, reason }),
        3 => (who, target()).prop_map(|(who, target)| Deed::EditAccount { who, target }),
        2 => Just(Deed::Reclassify),
        2 => (whom(), target()).prop_map(|(whom, target)| Deed::AddMapping { whom, target }),
        1 => (which.clone(), target()).prop_map(|(which, target)| Deed::EditMapping { which, target }),
        1 => (which.clone(), 0..5_usize).prop_map(|(which, to)| Deed::MoveMapping { which, to }),
        1 => which.prop_map(|which| Deed::RemoveMapping { which }),
        2 => (0..PROFILES.len(), option::of(0..4_i64), option::of(Just(30_i64)))
            .prop_map(|(which, max_users, days)| Deed::LimitProfile { which, max_users, days }),
        1 => (0..STORAGES.len(), any::<bool>()).prop_map(|(which, enabled)| Deed::EnableStorage { which, enabled }),
        2 => (0..40_i64).prop_map(|after_days| Deed::AutoDelete { after_days }),
    ]
}

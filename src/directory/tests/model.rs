//! The rules of accounts in a few lines, from the design alone: what should come of each deed. It knows nothing of SQL,
//! SCIM or the code beside it.

use jiff::{SignedDuration, Timestamp};

use super::acts::{Deed, EXTERNAL_IDS, NAMES, Name, PROFILES, STORAGES, Sent, Target, Whom};
use super::rules::{Rule, decide, decide_again};
use crate::directory::accounts::Act;

/// What comes of a deed: the account it is about, whether anything changed, or by which statuses it may be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done {
        who: Option<usize>,
        changed: bool,
    },
    Refused(Vec<u16>),
    /// The verdicts about accounts that were looked at together; none if there was nothing to do.
    Several(Vec<&'static str>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    pub name: &'static Name,
    pub external_id: Option<&'static str>,
    pub display_name: Option<&'static str>,
    /// By `idp` or `admin`, and since when.
    pub preserved: Option<(&'static str, Timestamp)>,
    pub manual: bool,
    /// Which removal it was, for one that SCIM does not see.
    pub removed: Option<usize>,
    pub held: bool,
    pub profile: usize,
    pub storage: usize,
    pub quota_gb: Option<i64>,
    /// Whether a mapping gave it its place.
    pub mapped: bool,
    /// What is kept of the departments.
    pub enterprise: Option<usize>,
}

#[derive(Default, Clone)]
pub struct Limits {
    pub max_users: Option<i64>,
    pub days: Option<i64>,
}

pub struct Model {
    pub now: Timestamp,
    pub seats: i64,
    pub share: i64,
    /// All accounts ever made, in order; none for those that are deleted for good.
    pub accounts: Vec<Option<Account>>,
    pub profiles: Vec<Limits>,
    enabled: Vec<bool>,
    rules: Vec<Rule>,
    removals: usize,
}

impl Model {
    /// An appliance after `init`, with the other profile and storage.
    pub fn new(now: Timestamp, seats: i64, share: i64) -> Self {
        let target = Target {
            profile: 0,
            storage: 0,
            quota_gb: None,
        };
        Self {
            now,
            seats,
            share,
            accounts: Vec::new(),
            profiles: vec![Limits::default(); PROFILES.len()],
            enabled: vec![true; STORAGES.len()],
            rules: vec![Rule {
                whom: Whom::Any,
                target,
            }],
            removals: 0,
        }
    }

    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// The number of an account that a deed names; none while there is none.
    pub fn who(&self, who: usize) -> Option<usize> {
        who.checked_rem(self.accounts.len())
    }

    fn there(&self) -> impl Iterator<Item = (usize, &Account)> {
        let all = self.accounts.iter().enumerate();
        all.filter_map(|(number, account)| Some((number, account.as_ref()?)))
    }

    fn active(&self) -> i64 {
        self.there()
            .filter(|(_, account)| account.preserved.is_none())
            .count() as i64
    }

    fn is_full(&self, profile: usize) -> bool {
        let taken = self
            .there()
            .filter(|(_, account)| account.preserved.is_none() && account.profile == profile)
            .count() as i64;
        self.profiles[profile]
            .max_users
            .is_some_and(|max| taken >= max)
    }

    /// 403 if an account of `profile` cannot become active, or be made.
    fn room(&self, profile: usize, active: bool, new: bool) -> Vec<u16> {
        let full = active && self.is_full(profile);
        let seatless = active && self.active() >= self.seats;
        let crowded = new && self.there().count() as i64 >= self.seats + self.share;
        refused_if(full || seatless || crowded, 403)
    }

    /// 409 if a visible account but `but` has the name, as it is or as its account's.
    fn taken(&self, name: &Name, but: Option<usize>) -> Vec<u16> {
        let mut others = self
            .there()
            .filter(|(number, other)| Some(*number) != but && other.removed.is_none());
        let same = |other: &Name| {
            other.same_name == name.same_name || other.same_account == name.same_account
        };
        refused_if(others.any(|(_, other)| same(other.name)), 409)
    }

    pub fn expect(&mut self, deed: &Deed) -> Outcome {
        match deed {
            Deed::Post(sent) => self.post(sent),
            Deed::Put { who, sent } => self.written(*who, |account| {
                account.name = &NAMES[sent.name];
                account.external_id = sent
                    .external_id
                    .map(|id| EXTERNAL_IDS[id])
                    .or(account.external_id);
                account.display_name = sent.display_name;
                account.enterprise = sent.enterprise;
                sent.active
            }),
            Deed::PatchActive { who, active } => self.written(*who, |_| Some(*active)),
            Deed::PatchName { who, name } => self.written(*who, |account| {
                account.name = &NAMES[*name];
                None
            }),
            Deed::Delete { who } => self.delete(*who),
            Deed::AddByHand { name, target } => self.add(*name, target),
            Deed::Administer { who, act } => self.administer(*who, *act),
            Deed::DeleteForGood { who, reason } => self.delete_for_good(*who, reason),
            Deed::EditAccount { who, target } => self.edit(*who, target),
            Deed::Reclassify => self.reclassify(),
            Deed::AddMapping { whom, target } => {
                let last_is_any = self.rules.last().is_some_and(Rule::is_any);
                let place = self.rules.len() - usize::from(last_is_any);
                let (whom, target) = (*whom, target.clone());
                self.rules.insert(place, Rule { whom, target });
                done(None, true)
            }
            Deed::EditMapping { which, target } => {
                let rule = &mut self.rules[*which];
                let old = std::mem::replace(&mut rule.target, target.clone());
                let same = (old.profile, old.storage, old.quota_gb)
                    == (target.profile, target.storage, target.quota_gb);
                done(None, !same)
            }
            Deed::MoveMapping { to, .. } if !(1..=self.rules.len()).contains(to) => {
                Outcome::Refused(vec![400])
            }
            Deed::MoveMapping { which, to } => {
                let rule = self.rules.remove(*which);
                self.rules.insert(to - 1, rule);
                done(None, *which != to - 1)
            }
            Deed::RemoveMapping { which } => {
                self.rules.remove(*which);
                done(None, true)
            }
            Deed::LimitProfile {
                which,
                max_users,
                days,
            } => {
                let limits = &mut self.profiles[*which];
                let changed = (limits.max_users, limits.days) != (*max_users, *days);
                (limits.max_users, limits.days) = (*max_users, *days);
                done(None, changed)
            }
            Deed::EnableStorage { which, enabled } => {
                let before = std::mem::replace(&mut self.enabled[*which], *enabled);
                done(None, before != *enabled)
            }
            Deed::AutoDelete { after_days } => {
                self.now += SignedDuration::from_hours(24 * after_days);
                let due = |account: &Account| self.due(account).is_some_and(|due| due <= self.now);
                let gone: Vec<_> = self
                    .there()
                    .filter(|(_, account)| due(account))
                    .map(|(who, _)| who)
                    .collect();
                for who in &gone {
                    self.accounts[*who] = None;
                }
                Outcome::Several(vec!["applied"; gone.len()])
            }
        }
    }

    /// When the profile deletes an account.
    pub fn due(&self, account: &Account) -> Option<Timestamp> {
        let days = self.profiles[account.profile]
            .days
            .filter(|_| !account.held)?;
        let (_, since) = account.preserved?;
        Some(since + SignedDuration::from_hours(24 * days))
    }

    fn post(&mut self, sent: &Sent) -> Outcome {
        let name = &NAMES[sent.name];
        let external_id = sent.external_id.map(|id| EXTERNAL_IDS[id]);
        let active = sent.active.unwrap_or(true);
        let describe = |account: &mut Account| {
            (account.name, account.external_id) = (name, external_id);
            account.display_name = sent.display_name;
            account.enterprise = sent.enterprise;
            Some(active)
        };
        let visible = |account: &Account| account.removed.is_none();
        let by_hand = self.there().find(|(_, account)| {
            visible(account) && account.manual && account.name.same_name == name.same_name
        });
        if let Some((who, _)) = by_hand {
            return self.written(who, describe);
        }
        let taken = self.taken(name, None);
        if !taken.is_empty() {
            return Outcome::Refused(taken);
        }
        let same_person = |account: &Account| match external_id {
            Some(_) => account.external_id == external_id,
            None => account.external_id.is_none() && account.name.same_name == name.same_name,
        };
        let gone = self
            .there()
            .filter(|(_, account)| !visible(account) && same_person(account));
        if let Some((who, _)) = gone.max_by_key(|(_, account)| account.removed) {
            return self.written_or_back(who, true, describe);
        }
        let Some(target) = decide(&self.rules, sent.department, sent.enterprise).cloned() else {
            return Outcome::Refused(vec![400]);
        };
        let account = Account {
            name,
            external_id,
            display_name: sent.display_name,
            preserved: (!active).then_some(("idp", self.now)),
            manual: false,
            removed: None,
            held: false,
            profile: target.profile,
            storage: target.storage,
            quota_gb: target.quota_gb,
            mapped: true,
            enterprise: sent.enterprise,
        };
        self.made(account, Vec::new())
    }

    fn add(&mut self, name: usize, target: &Target) -> Outcome {
        let name = &NAMES[name];
        let taken = self.taken(name, None);
        let account = Account {
            name,
            external_id: None,
            display_name: None,
            preserved: None,
            manual: true,
            removed: None,
            held: false,
            profile: target.profile,
            storage: target.storage,
            quota_gb: target.quota_gb,
            mapped: false,
            enterprise: None,
        };
        self.made(account, taken)
    }

    fn made(&mut self, account: Account, mut refusals: Vec<u16>) -> Outcome {
        refusals.extend(refused_if(!self.enabled[account.storage], 403));
        refusals.extend(self.room(account.profile, account.preserved.is_none(), true));
        if !refusals.is_empty() {
            return Outcome::Refused(refusals);
        }
        self.accounts.push(Some(account));
        done(Some(self.accounts.len() - 1), true)
    }

    /// A write by the identity provider to what it sees.
    fn written(
        &mut self,
        who: usize,
        describe: impl FnOnce(&mut Account) -> Option<bool>,
    ) -> Outcome {
        self.written_or_back(who, false, describe)
    }

    /// `describe` gives an account its new words and says which `active` was sent.
    fn written_or_back(
        &mut self,
        who: usize,
        back: bool,
        describe: impl FnOnce(&mut Account) -> Option<bool>,
    ) -> Outcome {
        let Some(before) = self.accounts[who]
            .clone()
            .filter(|it| back || it.removed.is_none())
        else {
            return Outcome::Refused(vec![404]);
        };
        let mut after = before.clone();
        let active = describe(&mut after).unwrap_or(before.preserved.is_none());
        after.manual = false;
        after.removed = None;
        let mut refusals = Vec::new();
        match before.preserved {
            Some((by, _)) if active => {
                refusals.extend(refused_if(by == "admin", 403));
                refusals.extend(self.room(before.profile, true, false));
                after.preserved = None;
            }
            None if !active => after.preserved = Some(("idp", self.now)),
            _ => {}
        }
        refusals.extend(self.taken(after.name, Some(who)));
        if !refusals.is_empty() {
            return Outcome::Refused(refusals);
        }
        let changed = after != before;
        self.accounts[who] = Some(after);
        done(Some(who), changed)
    }

    fn delete(&mut self, who: usize) -> Outcome {
        let now = self.now;
        let Some(account) = self.accounts[who]
            .as_mut()
            .filter(|it| it.removed.is_none())
        else {
            return Outcome::Refused(vec![404]);
        };
        self.removals += 1;
        account.removed = Some(self.removals);
        account.manual = false;
        account.preserved = account.preserved.or(Some(("idp", now)));
        done(Some(who), true)
    }

    fn administer(&mut self, who: usize, act: Act) -> Outcome {
        let Some(before) = self.accounts[who].clone() else {
            return Outcome::Refused(vec![404]);
        };
        let mut after = before.clone();
        match (act, before.preserved) {
            (Act::Preserve, since) => {
                after.preserved = Some(("admin", since.map_or(self.now, |(_, since)| since)));
            }
            (Act::Activate, Some(("admin", since))) if before.removed.is_some() => {
                after.preserved = Some(("idp", since));
            }
            (Act::Activate, Some(_)) if before.removed.is_some() => {
                return Outcome::Refused(vec![403]);
            }
            (Act::Activate, Some(_)) => {
                let room = self.room(before.profile, true, false);
                if !room.is_empty() {
                    return Outcome::Refused(room);
                }
                after.preserved = None;
            }
            (Act::Activate, None) => {}
            (Act::Hold, _) => after.held = true,
            (Act::Release, _) => after.held = false,
        }
        let changed = after != before;
        self.accounts[who] = Some(after);
        done(Some(who), changed)
    }

    fn delete_for_good(&mut self, who: usize, reason: &str) -> Outcome {
        let Some(account) = self.accounts[who].as_ref() else {
            return Outcome::Refused(vec![404]);
        };
        let mut refusals = refused_if(!(10..=150).contains(&reason.len()), 400);
        refusals.extend(refused_if(account.held || account.preserved.is_none(), 403));
        if !refusals.is_empty() {
            return Outcome::Refused(refusals);
        }
        self.accounts[who] = None;
        done(None, true)
    }

    fn edit(&mut self, who: usize, target: &Target) -> Outcome {
        let Some(account) = &self.accounts[who] else {
            return Outcome::Refused(vec![404]);
        };
        if has(account, target) {
            return done(Some(who), false);
        }
        let refusals = self.in_the_way(account, target);
        if !refusals.is_empty() {
            return Outcome::Refused(refusals);
        }
        self.give(who, target, false);
        done(Some(who), true)
    }

    /// Why an account cannot be given another place.
    fn in_the_way(&self, account: &Account, target: &Target) -> Vec<u16> {
        let full = self.is_full(target.profile);
        let moves = account.profile != target.profile && account.preserved.is_none();
        let closed = account.storage != target.storage && !self.enabled[target.storage];
        refused_if(closed || moves && full, 403)
    }

    fn give(&mut self, who: usize, target: &Target, mapped: bool) {
        if let Some(account) = &mut self.accounts[who] {
            (account.profile, account.storage) = (target.profile, target.storage);
            (account.quota_gb, account.mapped) = (target.quota_gb, mapped);
        }
    }

    fn reclassify(&mut self) -> Outcome {
        let mut verdicts = Vec::new();
        for who in 0..self.accounts.len() {
            let Some(account) = &self.accounts[who] else {
                continue;
            };
            if !account.mapped || account.removed.is_some() {
                continue;
            }
            let target = decide_again(&self.rules, account.enterprise);
            let Some(target) = target.filter(|target| !has(account, target)).cloned() else {
                continue;
            };
            match self.in_the_way(account, &target).is_empty() {
                true => {
                    self.give(who, &target, true);
                    verdicts.push("applied");
                }
                false => verdicts.push("refused"),
            }
        }
        Outcome::Several(verdicts)
    }
}

fn has(account: &Account, target: &Target) -> bool {
    (account.profile, account.storage, account.quota_gb)
        == (target.profile, target.storage, target.quota_gb)
}

fn done(who: Option<usize>, changed: bool) -> Outcome {
    Outcome::Done { who, changed }
}

fn refused_if(refused: bool, status: u16) -> Vec<u16> {
    refused.then_some(status).into_iter().collect()
}

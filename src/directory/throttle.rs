//! Failed authentications slow down whoever makes them (design §3.14, §6), and nobody else.
//!
//! Each failure is a debt that is paid off by time alone (a token bucket in the form of GCRA): of the address, of the
//! token id that was presented, and, where argon2 had to run for it, of the address once more. What is remembered is
//! bounded. Where there is no room the smallest debt is forgotten, never the largest: whoever wants a debt forgotten
//! needs more addresses than there is room for, each deeper in debt.
//!
//! Nothing here knows a secret, or decides who is right: that is done in `tokens`.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many failures there may be. The configuration can change each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Failures in a row before an address, or a token id, is slowed.
    pub failures: u32,
    /// Time after which one failure is forgiven.
    pub recovery: Duration,
    /// Addresses, and token ids, whose failures are remembered at one time.
    pub remembered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than a person's typing mistakes and an identity provider's repetitions; nothing against 200 bits.
            failures: 50,
            // 17,000 guesses a day; a client whose token was mended is itself again within minutes.
            recovery: Duration::from_secs(5),
            // 3 MB at the most.
            remembered: 16_384,
        }
    }
}

/// Who shares a debt: an IPv4 address, or the /64 of an IPv6 address, which one host has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(formatter),
            IpAddr::V6(address) => write!(formatter, "{address}/64"),
        }
    }
}

/// The debts of addresses or token ids: when each will be paid off, by a clock that nobody sets.
struct Debts<K> {
    ends: HashMap<K, Instant>,
    /// The same in the order in which they end: the first is the smallest.
    order: BTreeSet<(Instant, K)>,
}

impl<K: Clone + Ord + Hash> Debts<K> {
    fn new() -> Self {
        Self {
            ends: HashMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// How long until the debt is paid off; zero for one without debt.
    fn left(&self, key: &K, now: Instant) -> Duration {
        let end = self.ends.get(key);
        end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now))
    }

    /// Adds one failure; forgets the smallest debt where more would be remembered than there is room for.
    fn add(&mut self, key: &K, now: Instant, limits: &Limits) {
        let end = now + self.left(key, now) + limits.recovery;
        if let Some(before) = self.ends.insert(key.clone(), end) {
            self.order.remove(&(before, key.clone()));
        }
        self.order.insert((end, key.clone()));
        while self
            .order
            .first()
            .is_some_and(|(end, _)| *end <= now || self.order.len() > limits.remembered)
        {
            if let Some((_, key)) = self.order.pop_first() {
                self.ends.remove(&key);
            }
        }
    }
}

struct State {
    addresses: Debts<Network>,
    ids: Debts<String>,
    argon2: Debts<Network>,
}

/// The failures of late.
pub struct Throttle {
    limits: Limits,
    state: Mutex<State>,
}

/// Whose failures are too many, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowed {
    /// The sentence.
    pub reason: &'static str,
    /// Seconds until the next attempt is looked at.
    pub retry_after: u64,
}

impl Throttle {
    /// No failures yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::new(State {
                addresses: Debts::new(),
                ids: Debts::new(),
                argon2: Debts::new(),
            }),
        }
    }

    /// Counts a failure of `address` with token `id`, or says that it is one too many. An address without debt is not
    /// slowed by what others did with the same id.
    pub fn fail(&self, address: IpAddr, id: Option<&str>, now: Instant) -> Result<(), Slowed> {
        let network = Network::from(address);
        let id = id.map(str::to_owned);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.addresses.left(&network, now);
        self.within(own, "too many failures from this address")?;
        if let (false, Some(id)) = (own.is_zero(), &id) {
            self.within(
                state.ids.left(id, now),
                "too many failures with this token id",
            )?;
        }
        state.addresses.add(&network, now, &self.limits);
        if let Some(id) = &id {
            state.ids.add(id, now, &self.limits);
        }
        Ok(())
    }

    /// Whether argon2 may run for `address`: only its own failures that cost a run count.
    pub fn may_run(&self, address: IpAddr, now: Instant) -> Result<(), Slowed> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.argon2.left(&address.into(), now);
        self.within(own, "too many failures from this address")
    }

    /// Counts a failure for which argon2 had to run.
    pub fn ran_in_vain(&self, address: IpAddr, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.argon2.add(&address.into(), now, &self.limits);
    }

    /// Whether there is room for one more failure in a debt that ends in `left`.
    fn within(&self, left: Duration, reason: &'static str) -> Result<(), Slowed> {
        let allowed = self
            .limits
            .recovery
            .saturating_mul(self.limits.failures.saturating_sub(1));
        let over = left.saturating_sub(allowed);
        match over.is_zero() {
            true => Ok(()),
            false => Err(Slowed {
                reason,
                retry_after: over.as_secs() + u64::from(over.subsec_nanos() > 0),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle(failures: u32, remembered: usize) -> Throttle {
        Throttle::new(Limits {
            failures,
            recovery: Duration::from_secs(10),
            remembered,
        })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn so_many_failures_and_then_one_at_a_time() {
        let now = Instant::now();
        let throttle = throttle(3, 10);
        let one = address("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(throttle.fail(one, None, now), Ok(()));
        }
        let slowed = throttle.fail(one, None, now).unwrap_err();
        assert_eq!(slowed.retry_after, 10);
        assert_eq!(
            throttle
                .fail(one, None, now + Duration::from_secs(7))
                .unwrap_err()
                .retry_after,
            3
        );
        assert_eq!(
            throttle.fail(one, None, now + Duration::from_secs(10)),
            Ok(())
        );
        assert!(
            throttle
                .fail(one, None, now + Duration::from_secs(10))
                .is_err()
        );
        assert_eq!(throttle.fail(address("192.0.2.2"), None, now), Ok(()));
        for _ in 0..3 {
            assert_eq!(
                throttle.fail(one, None, now + Duration::from_secs(1000)),
                Ok(()),
                "all is paid off"
            );
        }
        assert!(
            throttle
                .fail(one, None, now + Duration::from_secs(1000))
                .is_err()
        );
    }

    #[test]
    fn one_ipv6_network_is_one_address_and_a_mapped_ipv4_address_is_itself() {
        let now = Instant::now();
        let throttle = throttle(1, 10);
        assert_eq!(throttle.fail(address("2001:db8::1"), None, now), Ok(()));
        assert!(
            throttle
                .fail(address("2001:db8::ffff:2"), None, now)
                .is_err()
        );
        assert_eq!(throttle.fail(address("2001:db8:0:1::1"), None, now), Ok(()));
        assert_eq!(
            throttle.fail(address("::ffff:192.0.2.1"), None, now),
            Ok(())
        );
        assert!(throttle.fail(address("192.0.2.1"), None, now).is_err());
        assert_eq!(
            throttle.fail(address("::ffff:192.0.2.2"), None, now),
            Ok(())
        );
        let shown = Network::from(address("2001:db8:0:1::7")).to_string();
        assert_eq!(shown, "2001:db8:0:1::/64");
    }

    #[test]
    fn an_id_slows_only_addresses_that_failed_themselves() {
        let now = Instant::now();
        let throttle = throttle(2, 10);
        let id = Some("a");
        for last in 1..=4_u8 {
            assert_eq!(
                throttle.fail(IpAddr::from([192, 0, 2, last]), id, now),
                Ok(())
            );
        }
        let again = throttle.fail(address("192.0.2.1"), id, now).unwrap_err();
        assert!(again.reason.contains("id"));
        assert_eq!(throttle.fail(address("192.0.2.1"), Some("b"), now), Ok(()));
    }

    #[test]
    fn a_run_of_argon2_is_counted_apart() {
        let now = Instant::now();
        let throttle = throttle(2, 10);
        let one = address("192.0.2.1");
        while throttle.fail(one, None, now).is_ok() {}
        assert_eq!(throttle.may_run(one, now), Ok(()));
        throttle.ran_in_vain(one, now);
        throttle.ran_in_vain(one, now);
        assert!(throttle.may_run(one, now).is_err());
        assert_eq!(throttle.may_run(one, now + Duration::from_secs(10)), Ok(()));
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_room_and_frees_nobody() {
        let now = Instant::now();
        let throttle = throttle(2, 100);
        let one = address("192.0.2.1");
        while throttle.fail(one, None, now).is_ok() {}
        for number in 0..10_000_u32 {
            let other = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
            assert_eq!(throttle.fail(other, Some(&number.to_string()), now), Ok(()));
        }
        assert!(
            throttle.fail(one, None, now).is_err(),
            "the larger debt stays"
        );
        let state = throttle.state.lock().unwrap();
        for (ends, order) in [
            (state.addresses.ends.len(), state.addresses.order.len()),
            (state.ids.ends.len(), state.ids.order.len()),
        ] {
            assert_eq!((ends, order), (100, 100));
        }
    }
}

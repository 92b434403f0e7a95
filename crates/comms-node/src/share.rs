//! Shared bounds with a part for each caller that nobody else can take.
//!
//! A bound is split in two halves. One is divided equally among the services of the definition: that part is always
//! there for its owner, whatever others do. The other half goes to whoever comes first, so that one busy service among
//! idle ones is not held to its part alone. What the node itself needs is no part of a bound: it is kept beside it.
//!
//! [`Ledger`] is the arithmetic; [`Shares`] shares one among tasks and hands out [`Share`]s that give themselves back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use comms_domain::{Bound, Parts};
use comms_msg::ServiceName;
use comms_msg::door::{Refusal, RefusalKind};

/// What a bound is about, in the words of who runs into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What is counted, as in "1024 *requests in hand*".
    pub what: &'static str,
    /// The key of `domain.toml` that changes it.
    pub key: &'static str,
    /// No caller's part is smaller than this, however many there are: one of a kind, or the bytes of the largest.
    pub least: u64,
}

impl Limit {
    /// A bound of the definition.
    pub fn of(bound: Bound) -> Limit {
        Limit { what: bound.what(), key: bound.path(), least: bound.least() }
    }
}

/// Who may hold how much of something: the arithmetic, without a lock.
///
/// Invariant: what all hold beyond their own parts together is at most the common half when something is granted. After
/// [`follow`](Ledger::follow) made parts smaller it may be more for as long as what was granted before is held.
#[derive(Debug)]
pub struct Ledger {
    limit: Limit,
    total: u64,
    /// Part of each caller.
    own: u64,
    /// What goes to whoever comes first.
    common: u64,
    /// Never zero: who holds nothing has no entry.
    held: HashMap<ServiceName, u64>,
    /// What is held beyond the parts of its holders: a sum that fits, whatever each of them holds.
    beyond: u128,
}

impl Ledger {
    /// A bound of `total` for so many callers.
    pub fn new(limit: Limit, total: u64, callers: usize) -> Ledger {
        let mut ledger = Ledger { limit, total: 0, own: 0, common: 0, held: HashMap::new(), beyond: 0 };
        ledger.follow(total, callers);
        ledger
    }

    /// Goes on with another total and number of callers. Nothing that is held is taken away.
    pub fn follow(&mut self, total: u64, callers: usize) {
        self.total = total;
        Parts { own: self.own, common: self.common } = Parts::of(total, callers, self.limit.least);
        self.beyond = self.held.values().map(|held| self.part_beyond(*held)).sum();
    }

    /// Grants `amount` to `caller`: all of it or nothing.
    ///
    /// # Errors
    /// [`OverShare`] where it fits neither into the caller's own part nor into what is common.
    pub fn take(&mut self, caller: &ServiceName, amount: u64) -> Result<(), OverShare> {
        let held = self.held(caller);
        let wanted = held.saturating_add(amount);
        let beyond = self.beyond - self.part_beyond(held) + self.part_beyond(wanted);
        if amount > 0 && wanted > self.own && beyond > u128::from(self.common) {
            return Err(OverShare {
                limit: self.limit,
                caller: caller.clone(),
                held,
                asked: amount,
                own: self.own,
                total: self.total,
            });
        }
        self.set(caller, wanted, beyond);
        Ok(())
    }

    /// Counts what `caller` holds already, over its share or not: what was granted before a restart.
    pub fn hold(&mut self, caller: &ServiceName, amount: u64) {
        let held = self.held(caller);
        let now = held.saturating_add(amount);
        self.set(caller, now, self.beyond - self.part_beyond(held) + self.part_beyond(now));
    }

    /// Takes back what was granted; never more than is held.
    pub fn give_back(&mut self, caller: &ServiceName, amount: u64) {
        let held = self.held(caller);
        let now = held.saturating_sub(amount);
        self.set(caller, now, self.beyond - self.part_beyond(held) + self.part_beyond(now));
    }

    /// What `caller` holds.
    pub fn held(&self, caller: &ServiceName) -> u64 {
        self.held.get(caller).copied().unwrap_or(0)
    }

    /// What is always there for one caller.
    pub fn own(&self) -> u64 {
        self.own
    }

    /// What all hold together.
    pub fn in_use(&self) -> u64 {
        self.held.values().fold(0, |sum, held| sum.saturating_add(*held))
    }

    /// What of `held` is more than one's own part.
    fn part_beyond(&self, held: u64) -> u128 {
        u128::from(held.saturating_sub(self.own))
    }

    fn set(&mut self, caller: &ServiceName, held: u64, beyond: u128) {
        self.beyond = beyond;
        if held == 0 {
            self.held.remove(caller);
        } else if let Some(known) = self.held.get_mut(caller) {
            *known = held;
        } else {
            self.held.insert(caller.clone(), held);
        }
    }
}

/// A [`Ledger`] that many tasks take from.
#[derive(Debug, Clone)]
pub struct Shares(Arc<Mutex<Ledger>>);

impl Shares {
    /// A bound of `total` for so many callers.
    pub fn new(limit: Limit, total: u64, callers: usize) -> Shares {
        Shares(Arc::new(Mutex::new(Ledger::new(limit, total, callers))))
    }

    /// Goes on with another total and number of callers. Nothing that is held is taken away.
    pub fn follow(&self, total: u64, callers: usize) {
        self.lock().follow(total, callers);
    }

    /// Grants `amount` to `caller` until the share is dropped.
    ///
    /// # Errors
    /// As [`Ledger::take`].
    pub fn take(&self, caller: &ServiceName, amount: u64) -> Result<Share, OverShare> {
        self.lock().take(caller, amount)?;
        Ok(Share { of: self.clone(), caller: caller.clone(), amount })
    }

    /// Counts what `caller` holds already, until the share is dropped.
    pub fn hold(&self, caller: &ServiceName, amount: u64) -> Share {
        self.lock().hold(caller, amount);
        Share { of: self.clone(), caller: caller.clone(), amount }
    }

    /// What `caller` holds.
    pub fn held(&self, caller: &ServiceName) -> u64 {
        self.lock().held(caller)
    }

    /// What all hold together.
    pub fn in_use(&self) -> u64 {
        self.lock().in_use()
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Nothing panics while it holds the ledger; a poisoned one is as good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one caller holds of a bound. It goes back when this is dropped.
#[derive(Debug)]
#[must_use = "a share that is dropped is given back"]
pub struct Share {
    of: Shares,
    caller: ServiceName,
    amount: u64,
}

impl Share {
    /// How much it is.
    pub fn amount(&self) -> u64 {
        self.amount
    }

    /// Gives back all but `amount`; nothing where it is not more than that.
    pub fn shrink(&mut self, amount: u64) {
        let surplus = self.amount.saturating_sub(amount);
        if surplus > 0 {
            self.of.lock().give_back(&self.caller, surplus);
            self.amount -= surplus;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.lock().give_back(&self.caller, self.amount);
    }
}

/// More than a caller's share was asked for. Nothing was granted; it fits again when the caller gave something back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{caller} has {held} {} and asks for {asked} more; {own} are kept for each service, and of all {total} no others are free ({} in domain.toml)",
    limit.what, limit.key
)]
pub struct OverShare {
    /// Of what.
    pub limit: Limit,
    /// Who asked.
    pub caller: ServiceName,
    /// What it holds.
    pub held: u64,
    /// What it asked for beside that.
    pub asked: u64,
    /// What is always there for it.
    pub own: u64,
    /// The whole bound.
    pub total: u64,
}

impl From<OverShare> for Refusal {
    fn from(over: OverShare) -> Refusal {
        Refusal::new(RefusalKind::Busy, over.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: Limit = Limit { what: "requests in hand", key: "limits.requests", least: 1 };

    fn name(n: usize) -> ServiceName {
        format!("s{n}").parse().unwrap()
    }

    #[test]
    fn a_hoarder_leaves_everybody_else_their_part() {
        let shares = Shares::new(LIMIT, 100, 5);
        let mut hoard = Vec::new();
        let over = loop {
            match shares.take(&name(0), 1) {
                Ok(share) => hoard.push(share),
                Err(over) => break over,
            }
        };
        assert_eq!(hoard.len(), 60, "its own part and the common half");
        assert_eq!(
            over.to_string(),
            "s0 has 60 requests in hand and asks for 1 more; 10 are kept for each service, and of all 100 no others \
             are free (limits.requests in domain.toml)"
        );
        let others: Vec<_> =
            (1..5).map(|n| shares.take(&name(n), 10).expect("everybody's part is free")).collect();
        assert!(shares.take(&name(1), 1).is_err());
        drop(hoard);
        let more = shares.take(&name(1), 50).expect("the common half is free again");
        drop((others, more));
        assert_eq!(shares.in_use(), 0);
    }

    #[test]
    fn nothing_is_granted_in_part_and_numbers_do_not_overflow() {
        let mut ledger = Ledger::new(LIMIT, u64::MAX, 1);
        ledger.take(&name(0), u64::MAX).unwrap();
        assert!(ledger.take(&name(1), u64::MAX).is_err());
        assert_eq!((ledger.held(&name(0)), ledger.held(&name(1))), (u64::MAX, 0));
        ledger.hold(&name(1), u64::MAX);
        ledger.give_back(&name(0), u64::MAX);
        ledger.give_back(&name(0), 1);
        ledger.give_back(&name(1), u64::MAX);
        assert_eq!(ledger.in_use(), 0);
    }

    #[test]
    fn a_part_is_never_smaller_than_the_least() {
        let mut ledger = Ledger::new(Limit { least: 4, ..LIMIT }, 8, 1_000);
        for n in 0..1_000 {
            ledger.take(&name(n), 4).unwrap();
        }
    }

    #[test]
    fn a_share_shrinks() {
        let shares = Shares::new(LIMIT, 100, 1);
        let mut share = shares.take(&name(0), 80).unwrap();
        share.shrink(90);
        assert_eq!(share.amount(), 80);
        share.shrink(3);
        assert_eq!((share.amount(), shares.held(&name(0))), (3, 3));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Take(usize, u64),
        Hold(usize, u64),
        GiveBack(usize, u64),
        Follow(u64, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..4_usize, 0..40_u64).prop_map(|(n, amount)| Step::Take(n, amount)),
            (0..4_usize, 0..40_u64).prop_map(|(n, amount)| Step::Hold(n, amount)),
            (0..4_usize, 0..40_u64).prop_map(|(n, amount)| Step::GiveBack(n, amount)),
            (0..200_u64, 0..8_usize).prop_map(|(total, callers)| Step::Follow(total, callers)),
        ]
    }

    proptest! {
        /// Whatever was done before, what fits into a caller's own part is granted; the running sum is the sum.
        #[test]
        fn the_own_part_is_always_there(steps in prop::collection::vec(step(), 0..60), who in 0..4_usize) {
            let mut ledger = Ledger::new(LIMIT, 100, 4);
            for step in steps {
                match step {
                    Step::Take(n, amount) => {
                        let before = ledger.held(&name(n));
                        let granted = ledger.take(&name(n), amount).is_ok();
                        let after = ledger.held(&name(n));
                        prop_assert_eq!(after - before, if granted { amount } else { 0 });
                        let fits = ledger.beyond <= u128::from(ledger.common) || after <= ledger.own;
                        prop_assert!(!granted || amount == 0 || fits);
                    }
                    Step::Hold(n, amount) => ledger.hold(&name(n), amount),
                    Step::GiveBack(n, amount) => ledger.give_back(&name(n), amount),
                    Step::Follow(total, callers) => ledger.follow(total, callers),
                }
                let beyond: u128 = ledger.held.values().map(|held| ledger.part_beyond(*held)).sum();
                prop_assert_eq!(ledger.beyond, beyond);
            }
            let free = ledger.own().saturating_sub(ledger.held(&name(who)));
            prop_assert!(ledger.take(&name(who), free).is_ok());
        }
    }
}

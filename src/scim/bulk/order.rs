//! In which order operations run that refer to each other, and which of them never can.

use std::collections::BTreeSet;

/// Every place once, as they come; only those that a place refers to come before it, if they had not come yet. So nothing
/// overtakes what was sent before it but what that needs (RFC 7644 §3.7). And the places that form circles, which stand in
/// the order as if they referred to nothing. `references` holds for each place the places it refers to.
pub(super) fn order(mut references: Vec<BTreeSet<usize>>) -> (Vec<usize>, BTreeSet<usize>) {
    let circular = circles(references.clone());
    for place in &circular {
        if let Some(references) = references.get_mut(*place) {
            references.clear();
        }
    }
    let mut order = Vec::with_capacity(references.len());
    let mut seen = BTreeSet::new();
    for place in 0..references.len() {
        let mut path = Vec::from_iter(seen.insert(place).then_some(place));
        while let Some(last) = path.last().copied() {
            match references.get_mut(last).and_then(BTreeSet::pop_first) {
                Some(referred) if seen.insert(referred) => path.push(referred),
                Some(_) => {}
                None => {
                    order.push(last);
                    path.pop();
                }
            }
        }
    }
    (order, circular)
}

/// The places that wait in a circle. One that waits for nothing is taken again and again; where all wait, some wait in a
/// circle: that is noted, and taken as if it did not.
fn circles(mut waits: Vec<BTreeSet<usize>>) -> BTreeSet<usize> {
    let mut referrers = vec![Vec::new(); waits.len()];
    for (place, references) in waits.iter().enumerate() {
        for reference in references {
            if let Some(referrers) = referrers.get_mut(*reference) {
                referrers.push(place);
            }
        }
    }
    let (mut ready, mut waiting): (BTreeSet<usize>, BTreeSet<usize>) =
        (0..waits.len()).partition(|place| waits.get(*place).is_none_or(BTreeSet::is_empty));
    let mut circular = BTreeSet::new();
    loop {
        let Some(place) = ready.pop_first() else {
            let Some(stuck) = waiting.first() else {
                return circular;
            };
            let circle = circle(&waits, *stuck);
            waiting.retain(|place| !circle.contains(place));
            ready.extend(&circle);
            circular.extend(circle);
            continue;
        };
        for referrer in referrers.get(place).into_iter().flatten() {
            if let Some(waits) = waits.get_mut(*referrer)
                && waits.remove(&place)
                && waits.is_empty()
                && waiting.remove(referrer)
            {
                ready.insert(*referrer);
            }
        }
    }
}

/// The circle that is reached from `start`, where each place waits for another that waits.
fn circle(waits: &[BTreeSet<usize>], start: usize) -> BTreeSet<usize> {
    let next = |place: usize| waits.get(place).and_then(BTreeSet::first).copied();
    let (mut passed, mut place) = (BTreeSet::new(), start);
    while passed.insert(place) {
        place = next(place).unwrap_or(start);
    }
    // `place` was passed before, so it is in the circle: one more round collects it.
    let mut circle = BTreeSet::new();
    while circle.insert(place) {
        place = next(place).unwrap_or(start);
    }
    circle
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// References as pairs: who refers to whom.
    fn graph(size: usize, pairs: &[(usize, usize)]) -> Vec<BTreeSet<usize>> {
        let mut references = vec![BTreeSet::new(); size];
        for (from, to) in pairs {
            references[*from].insert(*to);
        }
        references
    }

    #[test]
    fn referrers_come_later_and_circles_are_found() {
        for (size, pairs, expected, circular) in [
            (3, &[][..], &[0, 1, 2][..], &[][..]),
            (3, &[(0, 2)], &[2, 0, 1], &[]),
            (4, &[(1, 3), (2, 3)], &[0, 3, 1, 2], &[]),
            (4, &[(0, 1), (1, 2)], &[2, 1, 0, 3], &[]),
            (3, &[(2, 0), (2, 1)], &[0, 1, 2], &[]),
            (2, &[(0, 0)], &[0, 1], &[0]),
            (4, &[(0, 1), (1, 0), (2, 0), (1, 3)], &[0, 1, 2, 3], &[0, 1]),
            (3, &[(0, 1), (1, 2), (2, 1)], &[1, 0, 2], &[1, 2]),
            (
                4,
                &[(0, 1), (1, 0), (2, 3), (3, 2)],
                &[0, 1, 2, 3],
                &[0, 1, 2, 3],
            ),
        ] {
            let (order, found) = order(graph(size, pairs));
            assert_eq!(order, expected, "{pairs:?}");
            assert_eq!(found.into_iter().collect::<Vec<_>>(), circular, "{pairs:?}");
        }
    }

    /// A thousand operations that cost most: a long way to each of many circles.
    #[test]
    fn a_maze_is_no_effort() {
        let last = 999;
        let mut pairs: Vec<_> = (1..=last).flat_map(|n| [(n, n), (n, n - 1)]).collect();
        pairs.retain(|(_, to)| *to != 0);
        pairs.push((0, last));
        let (order, circular) = order(graph(1000, &pairs));
        assert_eq!(order.len(), 1000);
        assert_eq!(circular.len(), last);
    }

    proptest! {
        /// Whatever the references: what is no circle runs after all it refers to, and those that nothing refers to keep
        /// their order.
        #[test]
        fn references_come_first_and_the_rest_keeps_its_order(
            shuffled in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
            pairs in prop::collection::vec((0..40_usize, 0..40_usize), 0..80),
        ) {
            // An edge always goes down in `shuffled`, so that there are no circles.
            let pairs: Vec<_> = pairs.into_iter()
                .filter(|(from, to)| shuffled[*from] > shuffled[*to])
                .collect();
            let references = graph(40, &pairs);
            let (order, circular) = order(references.clone());
            prop_assert!(circular.is_empty());
            let mut places = vec![usize::MAX; 40];
            for (at, place) in order.iter().enumerate() {
                prop_assert_eq!(places[*place], usize::MAX);
                places[*place] = at;
            }
            prop_assert_eq!(order.len(), 40);
            for (from, to) in &pairs {
                prop_assert!(places[*from] > places[*to], "{} before {}", from, to);
            }
            let referred: BTreeSet<_> = pairs.iter().map(|(_, to)| *to).collect();
            let free: Vec<_> = order.into_iter().filter(|place| !referred.contains(place)).collect();
            prop_assert!(free.is_sorted(), "{:?}", free);
        }

        /// Circles are found exactly: whoever is noted can reach itself, and without them nothing is stuck.
        #[test]
        fn only_circles_are_refused(
            pairs in prop::collection::vec((0..12_usize, 0..12_usize), 0..24),
        ) {
            let references = graph(12, &pairs);
            let (order, circular) = order(references.clone());
            prop_assert_eq!(order.len(), 12);
            for place in &circular {
                let mut reached = BTreeSet::new();
                let mut next: Vec<_> = references[*place].iter().copied().collect();
                while let Some(at) = next.pop() {
                    if reached.insert(at) {
                        next.extend(&references[at]);
                    }
                }
                prop_assert!(reached.contains(place), "{} is in no circle", place);
            }
            let mut places = [0; 12];
            for (at, place) in order.iter().enumerate() {
                places[*place] = at;
            }
            for (from, to) in pairs {
                prop_assert!(circular.contains(&from) || places[from] > places[to]);
            }
        }
    }
}

//! How long to wait. The functions are pure: the caller passes the random numbers.

use std::time::Duration;

/// The first wait after a failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait after failures.
const LONGEST: Duration = Duration::from_secs(300);
/// How many repairs are made without a wait.
const FREE_REPAIRS: u32 = 3;
/// How many projects are looked at in a second when many are due for one cause that is no hurry.
const PROJECTS_A_SECOND: u32 = 100;
/// How many projects whose objects were in sync report, in a second, that a credential they share is refused. A report is
/// a write or two to the API server, while a pass over a project in order makes none.
const REPORTS_A_SECOND: u32 = 20;
/// How many pauses in a row owed work waits for the sake of people.
const RESERVE_PAUSES: u32 = 3;
/// The longest time between two repairs of one place.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The wait after the nth failure in a row (from 1). It doubles from a second up to five minutes, and jitter takes
/// between half and all of that; `random` is uniform over its type.
pub fn backoff(failures: u32, random: u32) -> Duration {
    jittered(doubled(failures).min(LONGEST), random)
}

/// The same for a failure that lasts until somebody acts: the wait doubles for as long as it is shorter than `longest`, and
/// then there is none (`None`).
pub fn backoff_below(longest: Duration, failures: u32, random: u32) -> Option<Duration> {
    let full = doubled(failures);
    (full < longest).then(|| jittered(full, random))
}

/// A second, doubled for each failure but the first.
fn doubled(failures: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX))
}

fn jittered(full: Duration, random: u32) -> Duration {
    full / 2 + full.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// The wait before the next repair of drift, after `repairs` earlier ones. There is none for the first three; then it
/// doubles from a minute up to a day, so that two owners don't fight for ever.
pub fn repair_wait(repairs: u32) -> Duration {
    match repairs.checked_sub(FREE_REPAIRS) {
        None => Duration::ZERO,
        Some(more) => {
            Duration::from_secs(60).saturating_mul(1_u32.checked_shl(more).unwrap_or(u32::MAX)).min(DAY)
        }
    }
}

/// How long the operator leaves a project alone after an answer says that at most a fifth of its token bucket is left,
/// since that part is for people. Atlas refills 500 tokens a minute (documentation: API rate limits), so a quarter of
/// that comes back meanwhile. A bucket that is too small to share is used up completely.
pub fn reserve_wait(limit: u32, remaining: u32) -> Option<Duration> {
    (limit >= 10 && remaining <= limit / 5).then_some(Duration::from_secs(15))
}

/// Whether a project may use one request of the part that is left to people, after owed work has waited for this many
/// pauses in a row because of that part. Otherwise nothing would ever be written to a project that others keep busy.
pub fn may_use_reserve(pauses: u32) -> bool {
    pauses >= RESERVE_PAUSES
}

/// The offset of a project within the resync interval. A hash of its id spreads projects evenly.
pub fn resync_offset(project: &str, interval: Duration) -> Duration {
    // FNV-1a stays the same over restarts and releases, which the standard library's hasher does not promise.
    let hash = project.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // Ids that differ only in their last digits differ only in the low bits of FNV. Mixing spreads the difference over
    // all bits.
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    interval.mul_f64((hash >> 11) as f64 / (1_u64 << 53) as f64)
}

/// When the nth project (from 0) of `count` is looked at, if all are due at once for a cause that is no hurry: a start,
/// or a change of a Secret that many share. A hundred are looked at in a second, and all within the resync interval.
pub fn spread(nth: usize, count: usize, interval: Duration) -> Duration {
    let nth = u32::try_from(nth).unwrap_or(u32::MAX);
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let one = (Duration::from_secs(1) / PROJECTS_A_SECOND).min(interval / count);
    one.saturating_mul(nth)
}

/// How far apart projects that were in sync report that the credential that they share is refused, if there are so many
/// projects. All of them have reported it within the resync interval.
pub fn reports_apart(projects: usize, interval: Duration) -> Duration {
    let projects = u32::try_from(projects).unwrap_or(u32::MAX).max(1);
    (Duration::from_secs(1) / REPORTS_A_SECOND).min(interval / projects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn backoff_doubles_within_its_bounds() {
        for failures in 1..200 {
            let (low, high) = (backoff(failures, 0), backoff(failures, u32::MAX));
            assert!(low >= FIRST / 2 && high <= LONGEST && low <= high, "{failures}: {low:?} {high:?}");
        }
        assert_eq!(backoff(1, u32::MAX), Duration::from_secs(1));
        assert_eq!(backoff(4, u32::MAX), Duration::from_secs(8));
    }

    #[test]
    fn waits_that_are_as_long_as_the_longest_are_none() {
        let below = |failures| backoff_below(Duration::from_secs(600), failures, u32::MAX);
        assert_eq!(below(1), Some(Duration::from_secs(1)));
        assert_eq!(below(10), Some(Duration::from_secs(512)), "longer than those after an outage");
        assert_eq!([below(11), below(12), below(200)], [None; 3]);
        assert_eq!(backoff_below(FIRST, 1, 0), None);
    }

    proptest! {
        /// Chance takes at most half of a wait away, so the waits still grow with the number of failures.
        #[test]
        fn chance_takes_at_most_half_of_a_wait(failures in 1..100_u32, random: u32) {
            let full = backoff(failures, u32::MAX);
            prop_assert_eq!(backoff(failures, 0) * 2, full);
            let share = backoff(failures, random).as_secs_f64() / full.as_secs_f64();
            prop_assert!((share - 0.5 - f64::from(random) / f64::from(u32::MAX) / 2.0).abs() < 1e-6, "{}", share);
        }
    }

    #[test]
    fn three_repairs_are_free() {
        assert_eq!(repair_wait(2), Duration::ZERO);
        assert_eq!(repair_wait(3), Duration::from_secs(60));
        assert_eq!(repair_wait(5), Duration::from_secs(240));
        assert_eq!(repair_wait(13), Duration::from_secs(61_440));
        assert_eq!(repair_wait(14), Duration::from_secs(86_400), "two repairs are at most a day apart");
        assert_eq!(repair_wait(4_000), Duration::from_secs(86_400));
    }

    #[test]
    fn a_fifth_of_the_bucket_is_peoples() {
        assert_eq!(reserve_wait(1_200, 241), None);
        assert_eq!(reserve_wait(1_200, 240), Some(Duration::from_secs(15)));
    }

    #[test]
    fn owed_work_waits_three_pauses_for_people() {
        assert_eq!([0, 2, 3, 99].map(may_use_reserve), [false, false, true, true]);
    }

    #[test]
    fn a_bucket_that_is_too_small_to_share_is_used_up() {
        assert_eq!(reserve_wait(9, 0), None);
        assert_eq!(reserve_wait(10, 3), None);
        assert_eq!(reserve_wait(10, 2), Some(Duration::from_secs(15)));
    }

    #[test]
    fn many_projects_are_looked_at_one_after_another() {
        let interval = Duration::from_secs(600);
        let at = |nth, count| spread(nth, count, interval);
        assert_eq!([at(0, 1), at(0, 50_000), at(100, 50_000)].map(|at| at.as_secs()), [0, 0, 1]);
        assert_eq!(at(49_999, 50_000), Duration::from_millis(499_990), "a hundred a second");
        assert_eq!(at(150_000, 300_000), interval / 2, "but all within the interval");
        assert_eq!(spread(5, 10, Duration::from_millis(20)), Duration::from_millis(10));
        assert_eq!(spread(0, 0, interval), Duration::ZERO);
    }

    #[test]
    fn projects_are_spread_over_the_interval() {
        let interval = Duration::from_secs(600);
        let mut tenths = [0; 10];
        for n in 0..1_000 {
            let offset = resync_offset(&format!("{n:024x}"), interval);
            tenths[offset.as_secs() as usize / 60] += 1;
        }
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }

    /// A project that got another turn with each release would be read twice in one interval, or not at all.
    #[test]
    fn a_project_keeps_its_turn_over_restarts_and_releases() {
        let turn = |project| resync_offset(project, Duration::from_secs(1_000_000)).as_secs();
        assert_eq!(turn("5d791c84ff7a2522cc4f9aa1"), 572_610);
        assert_eq!(turn("5d791c84ff7a2522cc4f9aa2"), 652_612);
        assert_eq!(turn("000000000000000000000000"), 599_789);
    }

    #[test]
    fn refusals_are_reported_one_after_another_and_all_within_the_interval() {
        let interval = Duration::from_secs(600);
        assert_eq!(reports_apart(0, interval), Duration::from_millis(50));
        assert_eq!(reports_apart(12_000, interval), Duration::from_millis(50));
        assert_eq!(reports_apart(100_000, interval), Duration::from_millis(6));
    }
}

//! Rate limits: a project's token bucket, and the count per minute of the legacy limit and of token requests.

use std::time::{Duration, Instant};

use crate::settings::Settings;

/// A token bucket that is refilled in whole steps: in the recorded answers `Ratelimit-Remaining` only falls during
/// 26 seconds, which a bucket that drips 500 tokens a minute would not do.
#[derive(Debug, Default)]
pub struct Bucket {
    started: Option<Instant>,
    steps: u128,
    used: u32,
}

impl Bucket {
    /// Takes a token and says how many are left; without one, the seconds until the next step.
    pub fn take(&mut self, settings: &Settings, now: Instant) -> Result<u32, u64> {
        let started = *self.started.get_or_insert(now);
        let interval = settings.rate_interval.as_millis().max(1);
        let steps = now.saturating_duration_since(started).as_millis() / interval;
        let gained = u128::from(settings.rate_refill).saturating_mul(steps.saturating_sub(self.steps));
        self.steps = steps;
        self.used =
            self.used.saturating_sub(u32::try_from(gained).unwrap_or(u32::MAX)).max(settings.rate_others);
        if self.used >= settings.rate_capacity {
            let next = (steps + 1) * interval;
            let wait = next.saturating_sub(now.saturating_duration_since(started).as_millis());
            return Err(u64::try_from(wait.div_ceil(1000)).unwrap_or(u64::MAX).max(1));
        }
        self.used += 1;
        Ok(settings.rate_capacity - self.used)
    }
}

/// A count that begins anew each minute.
#[derive(Debug, Default)]
pub struct PerMinute {
    started: Option<Instant>,
    count: u32,
}

impl PerMinute {
    /// Counts one, and says whether it is within the limit.
    pub fn allow(&mut self, limit: u32, now: Instant) -> bool {
        let started = self.started.get_or_insert(now);
        if now.saturating_duration_since(*started) >= Duration::from_secs(60) {
            *started = now;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.count <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_empties_and_is_refilled_in_steps() {
        let settings = Settings { rate_capacity: 3, rate_refill: 2, ..Settings::default() };
        let start = Instant::now();
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(&settings, start), Ok(2));
        assert_eq!(
            bucket.take(&settings, start + Duration::from_secs(20)),
            Ok(1),
            "nothing drips in between"
        );
        assert_eq!(bucket.take(&settings, start + Duration::from_secs(21)), Ok(0));
        assert_eq!(bucket.take(&settings, start + Duration::from_millis(21_500)), Err(39));
        assert_eq!(bucket.take(&settings, start + Duration::from_secs(60)), Ok(1));
        assert_eq!(bucket.take(&settings, start + Duration::from_secs(61)), Ok(0), "a step counts once");
        assert_eq!(bucket.take(&settings, start + Duration::from_secs(62)), Err(58));
        assert_eq!(
            bucket.take(&settings, start + Duration::from_secs(600)),
            Ok(2),
            "never more than the capacity"
        );
    }

    #[test]
    fn others_keep_their_share_of_the_bucket() {
        let settings = Settings { rate_capacity: 10, rate_others: 8, ..Settings::default() };
        let start = Instant::now();
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(&settings, start), Ok(1));
        assert_eq!(bucket.take(&settings, start), Ok(0));
        assert_eq!(bucket.take(&settings, start), Err(60));
        assert_eq!(
            bucket.take(&settings, start + Duration::from_secs(60)),
            Ok(1),
            "the refill is theirs too"
        );
    }

    #[test]
    fn the_count_begins_anew_each_minute() {
        let start = Instant::now();
        let mut count = PerMinute::default();
        assert!(count.allow(1, start));
        assert!(!count.allow(1, start + Duration::from_secs(59)));
        assert!(count.allow(1, start + Duration::from_secs(60)));
    }
}

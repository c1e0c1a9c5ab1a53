//! Durations, sizes and percentages as people write them: `30s`, `16 MB`, `20%`.

use std::time::Duration;

/// Whole number and unit: ms, s, m, h or d.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // A century at most, so that adding one to a time never overflows.
    number.checked_mul(millis).filter(|ms| *ms <= 36_525 * 86_400_000).map(Duration::from_millis)
}

/// Number and unit: B, KB, MB or GB, of 1000 bytes each step; KiB, MiB, GiB of 1024.
#[must_use]
pub fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text)?;
    let number: f64 = number.parse().ok()?;
    let bytes = match unit {
        "B" => 1.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    };
    let total = (number * bytes).round();
    // Exact: below 2^53, and not negative, since `split` takes no sign.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (total <= 1e12).then_some(total as usize)
}

/// `20%` as 0.2; from 0 to 100.
#[must_use]
pub fn percent(text: &str) -> Option<f64> {
    let (number, unit) = split(text)?;
    let number: f64 = number.parse().ok()?;
    (unit == "%" && number <= 100.0).then_some(number / 100.0)
}

fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then_some((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_sizes_and_percentages_are_read_as_people_write_them() {
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("10 m"), Some(Duration::from_secs(600)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(size("1 MB"), Some(1_000_000));
        assert_eq!(size("1.5KiB"), Some(1536));
        assert_eq!(percent("20%"), Some(0.2));
        assert_eq!(percent("0.5 %"), Some(0.005));
    }

    #[test]
    fn what_has_no_unit_a_sign_or_too_much_is_refused() {
        for text in ["", "30", "s", "-30s", "1.5h", "30 sec", "99999999999999999999s", "999999999d", "1h30m"] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["", "16", "16 mb", "-1 MB", "1.2.3 MB", "9999999 GB"] {
            assert_eq!(size(text), None, "{text}");
        }
        for text in ["", "20", "0.2", "101%", "-1%", "%"] {
            assert_eq!(percent(text), None, "{text}");
        }
    }
}

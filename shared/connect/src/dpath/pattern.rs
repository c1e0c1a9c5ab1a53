//! Names that fit a shell's pattern: `*`, `?`, `[ab]`, `[!a-z]`.

/// Of several stars only the last is ever tried again, so it takes no longer than the
/// lengths multiplied.
pub(super) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some((size, taken)) = fits_one(&pattern[p..], &name[n..]) {
            p += size;
            n += taken;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Bytes of the pattern and of the name that belong together.
fn fits_one(pattern: &[u8], name: &[u8]) -> Option<(usize, usize)> {
    let byte = name.first()?;
    match pattern.first()? {
        b'?' => Some((1, 1 + name.iter().skip(1).take_while(|byte| **byte & 0xc0 == 0x80).count())),
        b'[' => {
            let start = if pattern.get(1) == Some(&b'!') { 2 } else { 1 };
            let Some(close) = pattern.iter().skip(start + 1).position(|byte| *byte == b']') else {
                return (*byte == b'[').then_some((1, 1));
            };
            let set = &pattern[start..=start + close];
            let mut found = false;
            let mut rest = set;
            while let [low, tail @ ..] = rest {
                if let [b'-', high, tail @ ..] = tail {
                    found |= (low..=high).contains(&byte);
                    rest = tail;
                } else {
                    found |= low == byte;
                    rest = tail;
                }
            }
            (found == (start == 1)).then_some((start + close + 2, 1))
        }
        own => (own == byte).then_some((1, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("a*", "abc", true),
            ("a*c*e", "abcde", true),
            ("a*c", "abd", false),
            ("?", "é", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("**", "", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        assert!(!fits("*a".repeat(50).as_bytes(), "a".repeat(10_000).replace("aa", "ab").as_bytes()));
    }
}

//! Comparison of text as a directory needs it: by NFC and full Unicode case folding, so that `Ö` matches `ö` and
//! `STRASSE` matches `straße`. ASCII, nearly all that a directory holds, takes a short way.

use std::borrow::Cow;

use icu_casemap::CaseMapperBorrowed;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// The key under which `text` compares without regard to case: two texts are the same for a caseExact=false attribute
/// exactly when their keys are equal (Unicode §3.13 canonical caseless matching, composed).
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(text);
    let folded = CaseMapperBorrowed::new().fold_string(&decomposed);
    Cow::Owned(
        ComposingNormalizerBorrowed::new_nfc()
            .normalize(&folded)
            .into_owned(),
    )
}

/// Whether two texts are equal without regard to case and to Unicode composition.
pub fn same(a: &str, b: &str) -> bool {
    match a.is_ascii() && b.is_ascii() {
        true => a.eq_ignore_ascii_case(b),
        false => fold(a) == fold(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_beyond_ascii() {
        for (a, b) in [
            ("Anna@Example.TEST", "anna@example.test"),
            ("ÖZLEM", "özlem"),
            ("STRASSE", "straße"),
            ("e\u{301}va", "ÉVA"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ] {
            assert!(same(a, b), "{a} and {b}");
        }
        assert!(!same("anna", "anne"));
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for text in ["ΑΙ\u{345}", "ŉ", "ẞ", "ǰ", "İ"] {
            assert_eq!(fold(text), fold(&fold(text)), "{text}");
        }
    }
}

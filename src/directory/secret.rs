//! The secret of a token: how it is made, shown once, hashed, and compared. It cannot be printed, copied or compared but
//! by what stands here, and is wiped from memory.
//!
//! The database holds two things of a secret: its argon2id hash, which decides, and a fingerprint of 16 bits, which
//! tells nearly every wrong secret without argon2. Of the 200 bits of a secret the fingerprint gives away 16.

use std::borrow::Cow;
use std::fmt;

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use aws_lc_rs::{hmac, rand};
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::Refusal;

/// What every token starts with, so that secret scanners find it.
const PREFIX: &str = "slt_";
/// Letters of ids and secrets: 32 of them, five bits each, without those that are mistaken for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Letters of an id: 50 bits, enough that two never meet.
const ID_LETTERS: usize = 10;
/// Letters of a secret: 200 bits.
const SECRET_LETTERS: usize = 40;

/// A string as long as a PHC string is, which is the hash of nothing.
const NO_PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// `text` without the secrets in it: behind `slt_`, an id and `_`, what could be one is `…`. For what a client sent by
/// mistake where it is kept, in a URL too: then all of it is decoded.
pub fn masked(text: &str) -> Cow<'_, str> {
    let plain = match text.contains('%') {
        true => percent_decode_str(text).decode_utf8_lossy(),
        false => text.into(),
    };
    if !plain.contains(PREFIX) {
        return text.into();
    }
    let mut parts = plain.split(PREFIX);
    let mut safe = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        safe.push_str(PREFIX);
        let letters = |text: &str| {
            let end = text.find(|letter: char| !letter.is_ascii_alphanumeric());
            end.unwrap_or(text.len())
        };
        let (id, rest) = part.split_at(letters(part));
        safe.push_str(id);
        match rest.strip_prefix('_') {
            Some(rest) if !id.is_empty() => {
                let (secret, rest) = rest.split_at(letters(rest));
                safe.push('_');
                safe.push_str(if secret.is_empty() { "" } else { "…" });
                safe.push_str(rest);
            }
            _ => safe.push_str(rest),
        }
    }
    safe.into()
}

/// A whole token, to be shown once.
///
/// It cannot be printed, copied or compared by accident:
/// ```compile_fail
/// fn leak(secret: &scimlite::directory::tokens::Secret) -> String { format!("{secret}") }
/// ```
/// ```compile_fail
/// fn copy(secret: &scimlite::directory::tokens::Secret) -> scimlite::directory::tokens::Secret { secret.clone() }
/// ```
/// ```compile_fail
/// fn same(secret: &scimlite::directory::tokens::Secret) -> bool { secret == secret }
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The token's text, for the one place that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// A new secret with what is stored of it.
pub(super) struct Made {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) phc: String,
    pub(super) fingerprint: u16,
}

/// Makes the secret of a new token. Takes some 25 ms for argon2.
pub(super) fn make() -> Result<Made, Refusal> {
    let id = letters::<ID_LETTERS>()?;
    let secret = letters::<SECRET_LETTERS>()?;
    let phc = Argon2::default()
        .hash_password(secret.as_bytes())
        .map_err(|error| Refusal::Failed(format!("token: {error}")))?
        .to_string();
    Ok(Made {
        id: id.to_string(),
        fingerprint: fingerprint(&secret, &phc),
        secret: Secret(Zeroizing::new(format!("{PREFIX}{}_{}", *id, *secret))),
        phc,
    })
}

/// Whether the alphabet has this letter.
fn is_letter(byte: u8) -> bool {
    let missing = matches!(byte, b'i' | b'l' | b'o' | b'u');
    matches!(byte, b'0'..=b'9' | b'a'..=b'z') && !missing
}

/// Random letters of the alphabet.
fn letters<const N: usize>() -> Result<Zeroizing<String>, Refusal> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    rand::fill(&mut *bytes)
        .map_err(|_| Refusal::Failed("the system gave no random bytes".to_owned()))?;
    let letter = |byte: &u8| ALPHABET.get(usize::from(byte & 31)).copied();
    // With its room from the start: a string that grows leaves copies behind.
    let mut letters = Zeroizing::new(String::with_capacity(N));
    letters.extend(bytes.iter().filter_map(letter).map(char::from));
    Ok(letters)
}

/// Sixteen bits of the secret under a key that only the database knows: a stranger cannot compute which secrets share
/// them.
fn fingerprint(secret: &str, phc: &str) -> u16 {
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, phc.as_bytes()),
        secret.as_bytes(),
    );
    match tag.as_ref() {
        [first, second, ..] => u16::from_be_bytes([*first, *second]),
        _ => 0,
    }
}

/// A token that a request presents, on loan from it: nothing but a comparison comes out of it.
pub(super) struct Presented<'a> {
    /// The public half.
    pub(super) id: &'a str,
    secret: &'a str,
}

impl<'a> Presented<'a> {
    /// Takes a token apart. None if it has not the shape of one.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let made_of = |text: &str, length| text.len() == length && text.bytes().all(is_letter);
        (made_of(id, ID_LETTERS) && made_of(secret, SECRET_LETTERS)).then_some(Self { id, secret })
    }

    /// Whether it may be the secret that `phc` is the hash of: true for the right one, and one wrong one in 65,536.
    pub(super) fn resembles(&self, phc: &str, stored: u16) -> bool {
        fingerprint(self.secret, phc) ^ stored == 0
    }

    /// Takes the time of [`Self::resembles`] where there is nothing to compare with, so that it does not show.
    pub(super) fn resembles_nothing(&self) {
        std::hint::black_box(self.resembles(NO_PHC, 0));
    }

    /// Its keyed digest.
    pub(super) fn tag(&self, key: &hmac::Key) -> hmac::Tag {
        hmac::sign(key, self.secret.as_bytes())
    }

    /// Whether that digest is `tag`, in the same time for each wrong secret.
    pub(super) fn has_tag(&self, key: &hmac::Key, tag: &hmac::Tag) -> bool {
        hmac::verify(key, self.secret.as_bytes(), tag.as_ref()).is_ok()
    }

    /// The work of finding out whether it is the secret that `phc` is the hash of: some 25 ms and 19 MiB.
    pub(super) fn argon2(&self, phc: String) -> impl FnOnce() -> bool + Send + 'static + use<> {
        let secret = Zeroizing::new(self.secret.to_owned());
        move || {
            Argon2::default()
                .verify_password(secret.as_bytes(), phc.as_str())
                .is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_short_and_comes_apart_again() {
        let made = make().unwrap();
        let text = made.secret.reveal();
        assert!(text.len() <= 64);
        let presented = Presented::parse(text).unwrap();
        assert_eq!(presented.id, made.id);
        assert!(presented.resembles(&made.phc, made.fingerprint));
        assert!(presented.argon2(made.phc.clone())());
        assert!(!format!("{:?}", made.secret).contains(presented.secret));
        for text in [&made.phc, &made.id] {
            assert!(!text.contains(presented.secret));
        }
    }

    #[test]
    fn a_secret_in_a_text_is_masked() {
        let made = make().unwrap();
        let (text, id) = (made.secret.reveal(), &made.id);
        let other = format!("slt_{}_{}", "0".repeat(10), "z".repeat(40));
        for (found, masked_as) in [
            (text.to_owned(), format!("slt_{id}_…")),
            (
                format!("POST /scim/{text}/x?y"),
                format!("POST /scim/slt_{id}_…/x?y"),
            ),
            (
                format!("{text} {other}"),
                format!("slt_{id}_… slt_0000000000_…"),
            ),
            (text[..30].to_owned(), format!("slt_{id}_…")),
            (
                format!("{}X-y", text.to_uppercase().replace("SLT", "slt")),
                format!("slt_{}_…-y", id.to_uppercase()),
            ),
            (format!("slt_{text}"), format!("slt_slt_{id}_…")),
            (
                format!("GET /a%20b/{}", text.replace('_', "%5F")),
                format!("GET /a b/slt_{id}_…"),
            ),
            (
                format!("slt_{}", text[4..].replace('_', "%5f")),
                format!("slt_{id}_…"),
            ),
            ("100 % of a%20b".to_owned(), "100 % of a%20b".to_owned()),
            ("slt_".to_owned(), "slt_".to_owned()),
            ("slt__x".to_owned(), "slt__x".to_owned()),
            (format!("slt_{id}"), format!("slt_{id}")),
            ("no token".to_owned(), "no token".to_owned()),
        ] {
            assert_eq!(masked(&found), masked_as);
        }
        assert_eq!(NO_PHC.len(), made.phc.len());
        for byte in 0..=u8::MAX {
            assert_eq!(is_letter(byte), ALPHABET.contains(&byte));
        }
    }

    #[test]
    fn a_fingerprint_tells_nearly_every_wrong_secret() {
        let made = make().unwrap();
        let wrong = |number: u32| format!("{PREFIX}{}_{number:040}", made.id);
        let alike = |number: &u32| {
            let text = wrong(*number);
            let presented = Presented::parse(&text).unwrap();
            presented.resembles(&made.phc, made.fingerprint)
        };
        // A thousand wrong ones: the chance that more than two are alike is one in a million.
        assert!((0..1000).filter(alike).count() <= 2);
        assert!(!Presented::parse(&wrong(1))
            .unwrap()
            .argon2(made.phc.clone())());
    }

    #[test]
    fn what_is_not_a_token_has_no_parts() {
        let good = format!("slt_{}_{}", "a".repeat(10), "b".repeat(40));
        assert!(Presented::parse(&good).is_some());
        for bad in [
            "",
            "slt_",
            "slt__",
            "Bearer",
            &good[1..],
            &good[..54],
            &format!("{good}c"),
            &good.to_uppercase(),
            &good.replace('b', "ü"),
        ] {
            assert!(Presented::parse(bad).is_none(), "{bad}");
        }
    }
}

//! Who runs a command, for the audit: what the system says, never what the environment alone says.

/// The accounts of this machine. It is read here and not through the system's library, which a static binary does not
/// have; who is known to a directory service alone is named by number.
const PASSWD: &str = "/etc/passwd";
/// Letters of a name at the most.
const LETTERS: usize = 64;

/// Whoever runs this process: by the account that it belongs to and, where `sudo` says so, by the one behind that.
pub(super) fn present() -> String {
    let accounts = std::fs::read(PASSWD).unwrap_or_default();
    let uid = rustix::process::getuid().as_raw();
    let sudo = std::env::var_os("SUDO_USER");
    let sudo = sudo.map(|name| name.to_string_lossy().into_owned());
    named(&String::from_utf8_lossy(&accounts), uid, sudo.as_deref())
}

/// The actor for the account `uid` among `accounts`, with the name that `sudo` left in the environment.
fn named(accounts: &str, uid: u32, sudo: Option<&str>) -> String {
    let name = name(accounts, uid).map_or_else(|| format!("uid {uid}"), safe);
    match sudo.map(safe).filter(|sudo| !sudo.is_empty()) {
        None => format!("administrator:{name}"),
        Some(sudo) => format!("administrator:{name} (sudo: {sudo})"),
    }
}

/// The name of an account in the lines of passwd(5).
fn name(accounts: &str, uid: u32) -> Option<&str> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// A name without what names have not, and not longer than they are.
fn safe(name: &str) -> String {
    let letter = |letter: char| match letter {
        '.' | '-' | '_' | '$' | '@' | '\\' => letter,
        _ if letter.is_alphanumeric() => letter,
        _ => '_',
    };
    name.chars().take(LETTERS).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_is_named_by_the_account_and_by_sudo() {
        let accounts = "# comment\nroot:x:0:0:root:/root:/bin/bash\n\nscimlite:x:990:990::/:\nnobody:x:x\n\
                        d\u{fc}\u{202e}\u{1b}:x:7:7::/:\n:x:8:8::/:\nlong";
        let long = "x".repeat(100);
        for (uid, sudo, expected) in [
            (0, None, "administrator:root"),
            (990, Some("alice"), "administrator:scimlite (sudo: alice)"),
            (990, Some(""), "administrator:scimlite"),
            (5, None, "administrator:uid 5"),
            (8, None, "administrator:uid 8"),
            (7, None, "administrator:d\u{fc}__"),
            (0, Some("a) b\n(c"), "administrator:root (sudo: a__b__c)"),
            (
                0,
                Some("CORP\\al-ice.x"),
                "administrator:root (sudo: CORP\\al-ice.x)",
            ),
            (
                0,
                Some(&*long),
                &*format!("administrator:root (sudo: {})", &long[..LETTERS]),
            ),
        ] {
            assert_eq!(named(accounts, uid, sudo), expected);
        }
    }
}

//! Places that the configuration names: whether the server can make its files there, and whether its user may read what
//! is there already.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;

use super::{Finding, Verdict};
use crate::config::{Config, FILE_NAME};
use crate::store::{open, snapshots};

/// Bits of a mode, as they are for one of owner, group and others.
const READ: u32 = 0o4;
const WRITE: u32 = 0o2;
const ENTER: u32 = 0o1;

/// What the user who serves, the owner of the data directory, may not read as far as modes tell. Whoever is that user, or
/// root, has met the rest of the check as the server will.
pub fn reached(config: &Config) -> Vec<Finding> {
    let Ok(user) = config.data_dir.metadata().map(|found| User::of(&found)) else {
        return Vec::new();
    };
    let present = rustix::process::geteuid().as_raw();
    if user.uid == 0 || user.uid == present {
        return Vec::new();
    }
    let tls = &config.tls;
    let read = [
        Some(config.data_dir.join(FILE_NAME)),
        Some(tls.certificate.clone()),
        Some(tls.key.clone()),
        tls.admin_client_ca.clone(),
        config.syslog.ca.clone(),
    ];
    let read = read.into_iter().flatten().map(|path| (path, READ));
    let wanted = read.chain([(config.database(), READ | WRITE)]);
    let denied = wanted.filter(|(path, bits)| !user.may(path, *bits));
    let finding = |(path, _): (std::path::PathBuf, u32)| {
        let text = format!(
            "{} cannot be used by user {}, who owns {}; give it to that user (`chown`), with the way to it",
            path.display(),
            user.uid,
            config.data_dir.display()
        );
        Finding::new("permissions", Verdict::Warn, text)
    };
    denied.map(finding).collect()
}

/// Whether there is a place for the snapshots and for the anchor.
pub fn written(config: &Config) -> Vec<Finding> {
    let mut wrong = Vec::new();
    let plan = &config.backup;
    if plan.keep > 0 {
        let near = plan.directory.ancestors().find(|path| path.exists());
        wrong.extend(near.and_then(|near| refusal("backup", near)));
        let database = open::readable(&config.database());
        let appliance = database.and_then(|connection| snapshots::appliance(&connection));
        // Where there is no database, that is what is said.
        if let Ok(Err(error)) = appliance.map(|appliance| plan.allowed(&appliance)) {
            wrong.push(Finding::new("backup", Verdict::Fail, error.to_string()));
        }
    }
    if let Some(file) = &config.directory.audit.anchor_file {
        wrong.extend(file.parent().and_then(|parent| refusal("anchor", parent)));
        if file.exists() && !file.is_file() {
            let text = format!("{} is no regular file", file.display());
            wrong.push(Finding::new("anchor", Verdict::Fail, text));
        }
    }
    wrong
}

/// Why no file can be made in `directory`.
fn refusal(check: &'static str, directory: &Path) -> Option<Finding> {
    let why = match directory.metadata() {
        Ok(found) if !found.is_dir() => "it is no directory".to_owned(),
        Ok(_) => rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK)
            .err()?
            .to_string(),
        Err(error) => error.to_string(),
    };
    let text = format!("cannot write into {}: {why}", directory.display());
    Some(Finding::new(check, Verdict::Fail, text))
}

/// Who serves.
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Whoever owns this.
    fn of(found: &Metadata) -> Self {
        let (uid, gid) = (found.uid(), found.gid());
        Self { uid, gid }
    }

    /// Whether the user comes to the file at `path`, also through links, and has these bits there. Nothing is known of
    /// further groups. What is not there is for others to say.
    fn may(&self, path: &Path, bits: u32) -> bool {
        let Ok(real) = path.canonicalize() else {
            return true;
        };
        let above = path.ancestors().skip(1).chain(real.ancestors().skip(1));
        let mut above = above.filter(|directory| !directory.as_os_str().is_empty());
        above.all(|directory| self.has(directory, ENTER)) && self.has(&real, bits)
    }

    fn has(&self, path: &Path, bits: u32) -> bool {
        let Ok(found) = path.metadata() else {
            return false;
        };
        let shift = match (found.uid() == self.uid, found.gid() == self.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        (found.mode() >> shift) & bits == bits
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_reached_by_its_own_mode_and_by_those_on_the_way() {
        let root = tempfile::TempDir::new_in("/tmp").unwrap();
        let at = |name: &str| root.path().join(name);
        let mode = |name: &str, mode| {
            std::fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
        };
        std::fs::create_dir(at("archive")).unwrap();
        std::fs::write(at("archive/key"), "").unwrap();
        symlink(at("archive/key"), at("key")).unwrap();
        let found = at("").metadata().unwrap();
        let owner = User::of(&found);
        let stranger = User {
            uid: found.uid() + 1,
            gid: found.gid() + 1,
        };
        let member = User {
            uid: stranger.uid,
            gid: owner.gid,
        };
        mode("", 0o755);
        for (directory, file, allowed) in [
            (0o755, 0o600, [true, false, false]),
            (0o755, 0o640, [true, true, false]),
            (0o755, 0o644, [true, true, true]),
            (0o710, 0o644, [true, true, false]),
            (0o700, 0o644, [true, false, false]),
        ] {
            mode("archive", directory);
            mode("archive/key", file);
            let may = [&owner, &member, &stranger].map(|user| user.may(&at("key"), READ));
            assert_eq!(may, allowed, "{directory:o} {file:o}");
        }
        assert!(stranger.may(&at("missing"), READ));
    }
}

//! Directories and files that commands make: for their owner alone, and whole or not at all. The owner is that of the
//! directory above: who makes them may be root, who serves is not.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;

use crate::store::whole;

/// Makes `path` for its owner alone. A directory that is there keeps its mode, unless it is empty: then it becomes the
/// appliance's.
pub fn make_directory(path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot make {}", path.display());
    if !path.exists() {
        let above = whole::directory(path);
        make_directory(above)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .and_then(|()| whole::give_to_owner(path, above))
            .with_context(cannot)?;
    }
    if path.read_dir().with_context(cannot)?.next().is_none() {
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).with_context(cannot)?;
    }
    Ok(())
}

/// A new file for its owner alone. What is there under its name stays, and is an error.
pub fn create_new(path: &Path) -> anyhow::Result<File> {
    let named = path.display();
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| {
            format!("cannot make {named}; choose another name or remove what is there")
        })
}

/// Writes a file for its owner alone. It appears under its name only when it is complete.
pub fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    // Of an earlier run that was cut off; what is new gets its own mode.
    let _ = std::fs::remove_file(&unfinished);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| whole::give_to_owner(&unfinished, whole::directory(path)))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

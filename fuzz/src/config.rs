//! The configuration file: any text is a configuration or a list of mistakes, and what is in force can be written down and
//! read again.

use std::cell::LazyCell;

use scimlite::config::{self, Config, Overrides};
use tempfile::TempDir;

thread_local! {
    static DIRECTORY: LazyCell<TempDir> = LazyCell::new(|| TempDir::new().expect("a directory"));
}

/// Any bytes as `scimlite.toml`.
pub fn check(data: &[u8]) {
    DIRECTORY.with(|directory| {
        let file = directory.path().join("scimlite.toml");
        let read = |content: &[u8]| {
            std::fs::write(&file, content).expect("a file");
            config::inspect(directory.path(), &Overrides::default())
        };
        let found = read(data);
        for mistake in &found.mistakes {
            assert!(!mistake.is_empty());
        }
        let loaded = Config::load(directory.path(), &Overrides::default());
        assert_eq!(loaded.is_ok(), found.mistakes.is_empty());
        if loaded.is_err() {
            return;
        }
        let text = config::in_force(&found.values);
        let again = read(text.as_bytes());
        assert_eq!(again.mistakes, [] as [String; 0], "{text}");
        assert_eq!(
            format!("{:?}", again.config),
            format!("{:?}", found.config),
            "{text}"
        );
    });
}

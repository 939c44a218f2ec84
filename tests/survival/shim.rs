//! A C library between the server and the system, built here, that fails when it is told to (`shim.c`).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// What the operating system says when the disk is full.
pub const ENOSPC: i32 = 28;
/// What it says when the disk is broken.
pub const EIO: i32 = 5;
/// What it says when the file system may only be read.
pub const EROFS: i32 = 30;

/// What the shim is told; the order of the fields is that of `shim.c`.
#[derive(Clone, Copy, Default)]
pub struct Orders {
    pub write_error: i32,
    pub sync_error: i32,
    /// Writes and fsyncs that still succeed.
    pub spare: i32,
    pub keep: bool,
    /// Seconds by which the clock is moved.
    pub clock: i64,
    /// Whether those fsyncs fail that follow what was moved from the WAL into the database, or all others.
    pub moving: bool,
}

/// The way to tell one server's shim.
pub struct Shim {
    directory: TempDir,
    control: File,
}

impl Shim {
    pub fn new(orders: Orders) -> Self {
        let directory = TempDir::new().unwrap();
        let control = File::create(directory.path().join("control")).unwrap();
        let shim = Self { directory, control };
        shim.tell(orders);
        shim
    }

    /// From now on.
    pub fn tell(&self, orders: Orders) {
        let mut bytes = Vec::new();
        let words = [orders.write_error, orders.sync_error, orders.spare];
        for word in words.into_iter().chain([i32::from(orders.keep)]) {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(orders.clock.to_ne_bytes());
        bytes.extend(i32::from(orders.moving).to_ne_bytes());
        // What lets fewer writes pass must be there before what makes them fail, and one write is not always one step.
        self.control.write_all_at(&bytes[8..], 8).unwrap();
        self.control.write_all_at(&bytes[..8], 0).unwrap();
    }

    /// Puts the shim under a command.
    pub fn under(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("SHIM_CONTROL", self.directory.path().join("control"));
    }
}

/// The library, built once in each run by the compiler that builds SQLite.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/survival/shim.c");
        let name = format!("shim-{}.so", std::process::id());
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(built.expect("a C compiler").success());
        library
    })
}

//! A directory over a file of its own for the tests of its functions, with a clock that they set.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::audit::Origin;
use super::view::{Representation, View};
use super::{Clock, Directory, Refusal, Settings, setup};
use crate::scim::schema::{CUSTOM_URN, ResourceType, Schemas};
use crate::scim::version::Condition;
use crate::scim::{patch, resource};
use crate::store::Store;

/// When the clock begins.
pub const BEGINNING: &str = "2026-01-01T00:00:00Z";

pub struct World {
    root: TempDir,
    clock: Arc<Mutex<Timestamp>>,
    pub directory: Directory,
}

impl World {
    pub fn new() -> Self {
        // The two tokens of a new file take a while; one file does for all.
        static FILE: OnceLock<Vec<u8>> = OnceLock::new();
        let root = TempDir::new().unwrap();
        let beginning: Timestamp = BEGINNING.parse().unwrap();
        let path = root.path().join("a.db");
        let file = FILE.get_or_init(|| {
            let clock: Clock = Arc::new(move || beginning);
            setup::create_database(&path, &Origin::command_line(), &clock, Some(365)).unwrap();
            std::fs::read(&path).unwrap()
        });
        std::fs::write(&path, file).unwrap();
        let clock = Arc::new(Mutex::new(beginning));
        let directory = open(&path, &clock, Settings::default());
        Self {
            root,
            clock,
            directory,
        }
    }

    /// The file of the database.
    pub fn path(&self) -> PathBuf {
        self.root.path().join("a.db")
    }

    /// Another directory over the same file, as another process has it.
    pub fn beside(&self) -> Directory {
        self.configured(Settings::default())
    }

    /// The same of one that is configured otherwise.
    pub fn configured(&self, settings: Settings) -> Directory {
        open(&self.path(), &self.clock, settings)
    }

    /// Lets time pass.
    pub fn wait(&self, time: SignedDuration) {
        *self.clock.lock().unwrap() += time;
    }
}

fn open(path: &Path, clock: &Arc<Mutex<Timestamp>>, settings: Settings) -> Directory {
    let view = View {
        schemas: Arc::new(Schemas::new(CUSTOM_URN.to_owned(), &[])),
        base: "https://x.test/scim".into(),
    };
    let clock = Arc::clone(clock);
    let store = Store::open(path).unwrap();
    let clock = Arc::new(move || *clock.lock().unwrap());
    Directory::new(store, view, clock, settings).unwrap()
}

/// The identity provider.
pub fn idp() -> Origin {
    Origin::new("token:idp", "192.0.2.1")
}

/// What the identity provider does, in short.
impl Directory {
    /// POST of a user.
    pub async fn post(&self, user: Value) -> Result<Representation, Refusal> {
        let parsed = resource::parse(user, ResourceType::User, self.schemas()).unwrap();
        self.create_user(&idp(), parsed).await
    }

    /// PATCH of one attribute.
    pub async fn set(&self, id: &str, attribute: &str, value: Value) -> Result<(), Refusal> {
        let body = json!({"Operations": [{"op": "replace", "path": attribute, "value": value}]});
        let patch = patch::parse(body, ResourceType::User, self.schemas()).unwrap();
        let idp = idp();
        let patched = self.patch_user(&idp, id, patch, Condition::default());
        patched.await.map(drop)
    }

    /// DELETE of a user.
    pub async fn remove(&self, id: &str) -> Result<(), Refusal> {
        self.delete_user(&idp(), id, Condition::default()).await
    }
}
